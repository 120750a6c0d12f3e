//! What became of the commands: counted, and the rejected grouped by reason.

use std::{collections::BTreeMap, fmt, time::Duration};

use foldline_command::Outcome;
use serde::Serialize;

/// How many reasons are told apart; a service has some thirty.
const REASONS_MAX: usize = 100;
/// What is beyond them is counted under this.
const OTHER: &str = "OTHER";

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    /// Done now.
    accepted: u64,
    /// Accepted too, but it was so already and nothing was recorded.
    unchanged: u64,
    /// Done before under the same command id.
    pub(super) known: u64,
    rejected: u64,
    /// By code.
    reasons: BTreeMap<String, Reason>,
    seconds: f64,
    commands_per_second: f64,
}

/// Commands that were rejected for the same reason, and the first of them.
#[derive(Debug, Serialize)]
struct Reason {
    count: u64,
    line: u64,
    detail: String,
}

impl Summary {
    pub(super) fn accept(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Recorded => self.accepted += 1,
            Outcome::Known => self.known += 1,
            Outcome::Unchanged => self.unchanged += 1,
        }
    }

    pub(super) fn reject(&mut self, code: &str, line: u64, detail: &str) {
        self.rejected += 1;
        let is_new = !self.reasons.contains_key(code);
        let code = if is_new && self.reasons.len() >= REASONS_MAX {
            OTHER
        } else {
            code
        };
        let reason = self
            .reasons
            .entry(code.to_owned())
            .or_insert_with(|| Reason {
                count: 0,
                line,
                detail: detail.to_owned(),
            });
        reason.count += 1;
        // Answers come in any order; the earliest line is the one to look at.
        if line < reason.line {
            reason.line = line;
            detail.clone_into(&mut reason.detail);
        }
    }

    pub(super) fn rejected(&self) -> u64 {
        self.rejected
    }

    /// How many commands are answered for.
    pub(super) fn commands(&self) -> u64 {
        self.accepted + self.unchanged + self.known + self.rejected
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate needs no sixteenth digit"
    )]
    pub(super) fn took(&mut self, time: Duration) {
        // In milliseconds: more digits only hide the number.
        self.seconds = (time.as_secs_f64() * 1e3).round() / 1e3;
        self.commands_per_second = (self.commands() as f64 / time.as_secs_f64()).round();
    }

    /// What to say when it could not be brought to its end.
    pub(super) fn broken_off(&self) -> String {
        format!(
            "the import broke off after {} commands ({} accepted, {} already known, {} rejected); running it again \
             continues it",
            self.commands(),
            self.accepted + self.unchanged,
            self.known,
            self.rejected
        )
    }

    pub(super) fn as_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and text can be written")
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "accepted       {:>10}", self.accepted)?;
        if self.unchanged > 0 {
            writeln!(f, "already so     {:>10}", self.unchanged)?;
        }
        writeln!(f, "already known  {:>10}", self.known)?;
        writeln!(f, "rejected       {:>10}", self.rejected)?;
        for (code, reason) in &self.reasons {
            let Reason {
                count,
                line,
                detail,
            } = reason;
            writeln!(f, "  {code:<24} {count:>8}  first at line {line}: {detail}")?;
        }
        writeln!(
            f,
            "{:.1} seconds, {} commands a second",
            self.seconds, self.commands_per_second
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_shows_its_earliest_line() {
        let mut summary = Summary::default();
        summary.reject("UNKNOWN_PROJECT", 9, "of nine");
        summary.reject("UNKNOWN_PROJECT", 4, "of four");
        summary.reject("UNKNOWN_PROJECT", 7, "of seven");
        let text = summary.to_string();
        assert!(text.contains("3  first at line 4: of four"), "{text}");
    }

    #[test]
    fn reasons_are_bounded() {
        let mut summary = Summary::default();
        for code in 0..500 {
            summary.reject(&format!("CODE_{code}"), 1, "");
        }
        assert_eq!(summary.reasons.len(), REASONS_MAX + 1);
        assert_eq!(summary.rejected(), 500);
    }
}
