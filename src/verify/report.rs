//! What was found, for a person or as one line of JSON.

use std::fmt;

use foldline_events::Position;
use foldline_projector::{
    View,
    verify::{Check, Difference, Digest, Outcome, Standing},
};
use serde_json::{Value, json};
use uuid::Uuid;

pub(super) struct Report {
    completed: Position,
    /// What was checked is what readers see as of then; of the present, `None`.
    as_of: Option<Position>,
    epoch: Option<Uuid>,
    parked: i64,
    tenant: Option<String>,
    found: Found,
}

enum Found {
    Checks(Vec<Checked>),
    Digests(Vec<Digested>),
}

pub(super) struct Checked {
    pub(super) check: Check,
    pub(super) outcome: Outcome,
}

pub(super) struct Digested {
    pub(super) view: View,
    pub(super) version: i32,
    pub(super) tables: Vec<String>,
    pub(super) digest: Digest,
}

impl Report {
    pub(super) fn of_checks(
        standing: &Standing,
        as_of: Option<Position>,
        parked: i64,
        tenant: Option<&str>,
        checks: Vec<Checked>,
    ) -> Self {
        Self {
            as_of,
            ..Self::of(standing, parked, tenant, Found::Checks(checks))
        }
    }

    pub(super) fn of_digests(
        standing: &Standing,
        parked: i64,
        tenant: Option<&str>,
        digests: Vec<Digested>,
    ) -> Self {
        Self::of(standing, parked, tenant, Found::Digests(digests))
    }

    fn of(standing: &Standing, parked: i64, tenant: Option<&str>, found: Found) -> Self {
        Self {
            completed: standing.completed,
            as_of: None,
            epoch: standing.epoch,
            parked,
            tenant: tenant.map(str::to_owned),
            found,
        }
    }

    /// Whether nothing differs.
    pub(super) fn is_well(&self) -> bool {
        match &self.found {
            Found::Checks(checks) => checks.iter().all(Checked::is_well),
            Found::Digests(_) => true,
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let mut report = json!({
            "completedPrefix": self.completed.to_string(),
            "asOf": self.as_of.map(|position| position.to_string()),
            "epoch": self.epoch,
            "parked": self.parked.to_string(),
            "tenant": self.tenant,
        });
        match &self.found {
            Found::Checks(checks) => {
                report["well"] = json!(self.is_well());
                report["checks"] = checks.iter().map(Checked::to_json).collect();
            }
            Found::Digests(digests) => {
                report["views"] = digests.iter().map(Digested::to_json).collect();
            }
        }
        report
    }
}

impl Checked {
    fn is_well(&self) -> bool {
        self.outcome.differing == 0
    }

    fn to_json(&self) -> Value {
        let difference = |difference: &Difference| {
            json!({
                "key": difference.key,
                "stored": difference.stored,
                "recomputed": difference.recomputed,
            })
        };
        let outcome = &self.outcome;
        json!({
            "check": self.check.name(),
            "compared": outcome.compared,
            "differing": outcome.differing,
            "differences": outcome.differences.iter().map(difference).collect::<Vec<_>>(),
        })
    }
}

impl Digested {
    fn to_json(&self) -> Value {
        json!({
            "view": self.view.name(),
            "version": self.version,
            "tables": self.tables,
            "rows": self.digest.rows,
            "digest": self.digest.to_string(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "as of position {}", self.as_of.unwrap_or(self.completed))?;
        if let Some(epoch) = self.epoch {
            write!(f, " of the log {epoch}")?;
        }
        match &self.tenant {
            Some(tenant) => writeln!(f, ", tenant {tenant}")?,
            None => writeln!(f, ", all tenants")?,
        }
        if self.parked > 0 {
            writeln!(
                f,
                "{} streams are parked, counted in each view: what differs may be theirs; `foldline parked list` says which",
                self.parked
            )?;
        }
        match &self.found {
            Found::Checks(checks) => {
                checks
                    .iter()
                    .try_for_each(|checked| write!(f, "{checked}"))?;
                if self.is_well() {
                    writeln!(f, "all equal")
                } else {
                    writeln!(f, "something differs")
                }
            }
            Found::Digests(digests) => digests.iter().try_for_each(|view| write!(f, "{view}")),
        }
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome {
            compared,
            differing,
            differences,
        } = &self.outcome;
        let verdict = if self.is_well() { "equal" } else { "DIFFER" };
        writeln!(
            f,
            "{verdict}  {:<24} {compared:>9} compared {differing:>7} differ  ({})",
            self.check.name(),
            self.check.subject()
        )?;
        for difference in differences {
            let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".to_owned());
            writeln!(f, "        {}", difference.key)?;
            writeln!(f, "          stored      {}", side(&difference.stored))?;
            writeln!(f, "          recomputed  {}", side(&difference.recomputed))?;
        }
        let shown = differences.len() as u64;
        if *differing > shown {
            writeln!(f, "        and {} more", differing - shown)?;
        }
        Ok(())
    }
}

impl fmt::Display for Digested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<16} v{:<3} {:>9} rows  {}",
            self.view.name(),
            self.version,
            self.digest.rows,
            self.digest
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(differing: u64) -> Report {
        let difference = Difference {
            key: "acme/1 total".to_owned(),
            stored: Some("5".to_owned()),
            recomputed: None,
        };
        let outcome = Outcome {
            compared: 40,
            differing,
            differences: vec![difference; usize::from(differing > 0)],
        };
        let check = Check::ProjectDashboard;
        Report {
            as_of: None,
            completed: 7,
            epoch: None,
            parked: 0,
            tenant: None,
            found: Found::Checks(vec![Checked { check, outcome }]),
        }
    }

    #[test]
    fn a_difference_is_shown_with_both_sides_and_the_rest_is_counted() {
        let text = report(3).to_string();
        for part in [
            "DIFFER  project_dashboard",
            "acme/1 total",
            "stored      5",
            "recomputed  nothing",
            "and 2 more",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!report(3).is_well());
        assert!(report(0).is_well());
    }

    #[test]
    fn positions_are_strings_in_json() {
        assert_eq!(report(0).to_json()["completedPrefix"], json!("7"));
    }
}
