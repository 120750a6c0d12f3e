//! How long rows of the past are kept.

use chrono::TimeDelta;
use clap::Args;
use foldline_projector::{Retention, View};

use super::Problems;

/// A hundred years, so that no date is ever too early for a database.
const DAYS_MAX: i64 = 36_500;

#[derive(Args, Clone)]
pub struct RetentionArgs {
    /// For how many days queries as of the past are answered; without it, for ever. `90` for all views, or
    /// `task_view=30,task_dashboard=365` for some.
    #[arg(long, env = "FOLDLINE_KEEP_PAST", value_name = "DAYS")]
    pub keep_past: Option<String>,
}

impl RetentionArgs {
    pub(super) fn read(&self, problems: &mut Problems) -> Option<Retention> {
        let given = self.keep_past.as_deref().map(str::trim);
        let Some(text) = given.filter(|text| !text.is_empty()) else {
            return Some(Retention::new());
        };
        problems.note(parse(text).map_err(|problem| format!("--keep-past: {problem}")))
    }
}

fn parse(text: &str) -> Result<Retention, String> {
    if !text.contains('=') {
        let keep = days(text)?;
        return Ok(kept().map(|view| (view, keep)).collect());
    }
    let mut retention = Retention::new();
    for part in text.split(',') {
        let (name, value) = part
            .split_once('=')
            .ok_or_else(|| format!("{part} is not VIEW=DAYS"))?;
        let view = kept()
            .find(|view| view.name() == name.trim())
            .ok_or_else(|| {
                let known: Vec<_> = kept().map(View::name).collect();
                format!(
                    "no rows of the past are kept of {name}, only of {}",
                    known.join(", ")
                )
            })?;
        if retention.insert(view, days(value)?).is_some() {
            return Err(format!("{name} is given twice"));
        }
    }
    Ok(retention)
}

/// The views that have rows of the past.
fn kept() -> impl Iterator<Item = View> {
    View::ALL
        .into_iter()
        .filter(|view| view.past_tables().next().is_some())
}

fn days(text: &str) -> Result<TimeDelta, String> {
    let count: Option<i64> = text.trim().parse().ok();
    count
        .filter(|count| (1..=DAYS_MAX).contains(count))
        .map(TimeDelta::days)
        .ok_or_else(|| format!("{text} is not a number of days from 1 to {DAYS_MAX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_for_every_view_that_has_rows_of_the_past_and_a_name_for_one() {
        let all = parse("90").unwrap();
        assert!(all.values().all(|keep| *keep == TimeDelta::days(90)));
        let names: Vec<&str> = all.keys().map(|view| view.name()).collect();
        assert_eq!(names, ["project_view", "task_view", "task_dashboard"]);
        let some = parse("task_view=30, task_dashboard=365").unwrap();
        assert_eq!(some.len(), 2);
        assert_eq!(some[&View::TaskView], TimeDelta::days(30));
    }

    #[test]
    fn what_is_no_retention_is_refused() {
        for wrong in [
            "",
            "0",
            "-1",
            "1.5",
            "36501",
            "soon",
            "task_view=",
            "task_view=1,task_view=2",
            "task_history=1",
            "tasks=1",
            "task_view=1,90",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
