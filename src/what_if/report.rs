//! An answer as a person reads it.

use std::fmt::{self, Display, Formatter};

use foldline_command::{WhatIf, WhatIfVerdict};

pub struct Report<'a>(pub &'a WhatIf);

impl Display for Report<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let answer = self.0;
        write!(f, "as of position {}: ", answer.as_of)?;
        match answer.verdict {
            WhatIfVerdict::Recorded => writeln!(f, "it would be accepted, and recorded as")?,
            WhatIfVerdict::Known => writeln!(
                f,
                "it would be accepted, and nothing recorded: it was, under the same command id"
            )?,
            WhatIfVerdict::Unchanged => writeln!(
                f,
                "it would be accepted, and nothing recorded: it is so already"
            )?,
            WhatIfVerdict::Rejected => writeln!(f, "it would be rejected")?,
        }
        for event in &answer.events {
            writeln!(f)?;
            writeln!(
                f,
                "  {} (schema {})",
                event.event_type, event.schema_version
            )?;
            writeln!(f, "  version {} of {}", event.version, event.stream)?;
            if !event.tags.is_empty() {
                writeln!(f, "  tags {}", event.tags.join(" "))?;
            }
            writeln!(f, "  {}", event.data.get())?;
        }
        if let Some(problem) = &answer.problem {
            let why = problem.detail.as_ref().unwrap_or(&problem.title);
            writeln!(f, "  {}: {why}", problem.code)?;
            for fault in &problem.errors {
                writeln!(f, "  at {}: {}", fault.pointer, fault.message)?;
            }
        }
        Ok(())
    }
}
