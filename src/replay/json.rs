//! JSON that steers no terminal: the same values, with escapes in place of what a terminal obeys or turns round.
//!
//! The library escapes what lies below a space and leaves the rest; beyond ASCII that is text only inside strings, where an escape
//! says the same. What was recorded is written as it was, unless a person looks at it.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Serializer, ser::Formatter};

use crate::changes::text::steers;

/// How the data of events, which was recorded as JSON, is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    /// Byte for byte: a program reads it.
    AsRecorded,
    /// The same JSON, for a terminal.
    WithoutSteering,
}

struct Plain(Data);

impl Formatter for Plain {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        write_escaped(writer, fragment)
    }

    fn write_raw_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        match self.0 {
            Data::AsRecorded => writer.write_all(fragment.as_bytes()),
            Data::WithoutSteering => write_escaped(writer, fragment),
        }
    }
}

/// In one line.
pub(super) fn written(value: &impl Serialize, data: Data) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Plain(data)))?;
    Ok(String::from_utf8(bytes)?)
}

fn write_escaped<W: ?Sized + Write>(writer: &mut W, fragment: &str) -> io::Result<()> {
    let mut rest = fragment;
    // Tabs may stand between values, where no escape may, and steer nothing.
    while let Some((at, found)) = rest
        .char_indices()
        .find(|(_, it)| !it.is_ascii_whitespace() && steers(*it))
    {
        writer.write_all(&rest.as_bytes()[..at])?;
        write!(writer, "\\u{:04x}", u32::from(found))?;
        rest = &rest[at + found.len_utf8()..];
    }
    writer.write_all(rest.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json, value::RawValue};

    use super::*;

    const STEERING: &str = "\u{7f}\u{80}\u{9b}2J\u{9f}\u{202a}\u{202e}\u{2066}\u{2069}";

    #[test]
    fn nothing_in_json_steers_a_terminal_and_it_is_the_same_json() {
        let value = json!({STEERING: [STEERING, "Ünï ©\u{1b}\t\"\\"], "n": 1.5});
        let said = written(&value, Data::AsRecorded).unwrap();
        assert!(!said.contains(steers), "{said:?}");
        assert!(
            said.contains("\\u009b2J") && said.contains("Ünï ©"),
            "{said}"
        );
        assert_eq!(serde_json::from_str::<Value>(&said).unwrap(), value);
    }

    #[test]
    fn what_was_recorded_is_written_as_it_was_but_on_a_terminal() {
        let recorded = format!("{{\t\"a\":\"{STEERING}\", \"n\":1.50}}");
        let raw = RawValue::from_string(recorded.clone()).unwrap();
        let value = BTreeMap::from([("data", &raw)]);
        let said = written(&value, Data::AsRecorded).unwrap();
        assert_eq!(said, format!("{{\"data\":{recorded}}}"));
        let on_terminal = written(&value, Data::WithoutSteering).unwrap();
        assert!(
            !on_terminal.contains(|it: char| it != '\t' && steers(it)),
            "{on_terminal:?}"
        );
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(read(&on_terminal), read(&said));
    }
}
