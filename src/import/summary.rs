//! What became of the commands: counted, the rejected grouped by reason, and held against what their lines expect.

use std::{collections::BTreeMap, fmt, time::Duration};

use foldline_command::Outcome;
use serde::Serialize;

use super::window::Pending;

/// How many reasons are told apart; a service has some thirty.
const REASONS_MAX: usize = 100;
/// What is beyond them is counted under this.
const OTHER: &str = "OTHER";
/// How many commands are shown per reason.
const EXAMPLES_MAX: usize = 3;

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    /// Done now.
    accepted: u64,
    /// Accepted too, but it was so already and nothing was recorded.
    unchanged: u64,
    /// Done before under the same command id.
    known: u64,
    rejected: u64,
    /// Of the rejected, those whose lines expect just that.
    rejected_as_expected: u64,
    /// The others, by code.
    reasons: BTreeMap<String, Reason>,
    /// Commands that were not rejected, or with another code, although their lines expect it; by that code.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    missed: BTreeMap<String, Reason>,
    seconds: f64,
    commands_per_second: f64,
}

/// Commands that were rejected for the same reason, and the first of them.
#[derive(Debug, Default, Serialize)]
struct Reason {
    count: u64,
    /// The earliest lines: answers come in any order.
    examples: Vec<Example>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Example {
    line: u64,
    detail: String,
}

impl Reason {
    fn add(&mut self, line: u64, detail: &str) {
        self.count += 1;
        let example = Example {
            line,
            detail: detail.to_owned(),
        };
        let at = self.examples.partition_point(|other| *other < example);
        self.examples.insert(at, example);
        self.examples.truncate(EXAMPLES_MAX);
    }
}

impl Summary {
    pub(super) fn accept(&mut self, command: &Pending, outcome: Outcome) {
        match outcome {
            Outcome::Recorded => self.accepted += 1,
            Outcome::Known => self.known += 1,
            Outcome::Unchanged => self.unchanged += 1,
        }
        if let Some(expected) = &command.expect {
            add(&mut self.missed, expected, command.line, "it was accepted");
        }
    }

    pub(super) fn reject(&mut self, command: &Pending, code: &str, detail: &str) {
        self.rejected += 1;
        match &command.expect {
            None => add(&mut self.reasons, code, command.line, detail),
            Some(expected) if expected == code => self.rejected_as_expected += 1,
            Some(expected) => {
                add(&mut self.reasons, code, command.line, detail);
                let instead = format!("it was rejected with {code}: {detail}");
                add(&mut self.missed, expected, command.line, &instead);
            }
        }
    }

    pub(super) fn malformed(&mut self, line: u64, problem: &str) {
        self.rejected += 1;
        add(&mut self.reasons, "LINE_MALFORMED", line, problem);
    }

    pub(super) fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Whether everything became what its line says: accepted, or rejected as expected.
    pub(super) fn is_as_expected(&self) -> bool {
        self.rejected == self.rejected_as_expected && self.missed.is_empty()
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
            "the import broke off after {} commands were answered ({} accepted, {} already known, {} rejected); what was \
             accepted stays, and running the same again goes on from there",
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
        if self.rejected_as_expected > 0 {
            writeln!(f, "  as expected  {:>10}", self.rejected_as_expected)?;
        }
        show(f, &self.reasons)?;
        if !self.missed.is_empty() {
            writeln!(f, "expected to be rejected, and not so:")?;
            show(f, &self.missed)?;
        }
        writeln!(
            f,
            "{:.1} seconds, {} commands a second",
            self.seconds, self.commands_per_second
        )
    }
}

/// What is beyond the bound goes under one name.
fn add(reasons: &mut BTreeMap<String, Reason>, code: &str, line: u64, detail: &str) {
    let is_new = !reasons.contains_key(code);
    let code = match is_new && reasons.len() >= REASONS_MAX {
        true => OTHER,
        false => code,
    };
    reasons
        .entry(code.to_owned())
        .or_default()
        .add(line, detail);
}

fn show(f: &mut fmt::Formatter<'_>, reasons: &BTreeMap<String, Reason>) -> fmt::Result {
    for (code, Reason { count, examples }) in reasons {
        writeln!(f, "  {code:<26} {count:>8}")?;
        for Example { line, detail } in examples {
            writeln!(f, "      line {line}: {detail}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u64, expect: Option<&str>) -> Pending {
        Pending {
            line,
            expect: expect.map(str::to_owned),
            ..Pending::default()
        }
    }

    #[test]
    fn a_reason_shows_its_earliest_lines() {
        let mut summary = Summary::default();
        for line in [9, 4, 7, 1, 8] {
            let detail = format!("of {line}");
            summary.reject(&at(line, None), "UNKNOWN_PROJECT", &detail);
        }
        let text = summary.to_string();
        let shown = "       5\n      line 1: of 1\n      line 4: of 4\n      line 7: of 7\n0.0";
        assert!(text.contains(shown), "{text}");
    }

    #[test]
    fn a_rejection_that_was_expected_is_no_fault_and_any_other_end_is() {
        let mut summary = Summary::default();
        summary.reject(&at(1, Some("TASK_BLOCKED")), "TASK_BLOCKED", "");
        assert!(summary.is_as_expected());
        let mut accepted = Summary::default();
        accepted.accept(&at(1, Some("TASK_BLOCKED")), Outcome::Recorded);
        assert!(!accepted.is_as_expected());
        let mut other = Summary::default();
        other.reject(&at(1, Some("TASK_BLOCKED")), "UNKNOWN_TASK", "");
        assert!(!other.is_as_expected());
        summary.reject(&at(1, None), "TASK_BLOCKED", "");
        assert!(!summary.is_as_expected());
    }

    #[test]
    fn reasons_are_bounded() {
        let mut summary = Summary::default();
        for code in 0..500 {
            summary.reject(&at(1, None), &format!("CODE_{code}"), "");
        }
        assert_eq!(summary.reasons.len(), REASONS_MAX + 1);
        assert_eq!(summary.rejected(), 500);
    }
}
