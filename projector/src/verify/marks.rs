//! Whether tasks are found by their labels and free-form facts: a mark is a name-based UUID, which SQL cannot make.

use std::collections::BTreeSet;

use foldline_events::tasks::{Metadata, label_mark, metadata_mark};
use sqlx::{AssertSqlSafe, PgConnection, Row, postgres::PgRow};
use uuid::Uuid;

use super::{Check, DIFFERENCES_MAX, Difference, Error, Outcome, SHOWN_CHARS_MAX};

/// How many tasks are held in memory at a time.
const TASKS_PER_FETCH: usize = 2_000;

/// A task, or the marks of one that is not there.
struct Marked {
    key: String,
    /// Whether there is such a task.
    present: bool,
    labels: Vec<String>,
    metadata: Metadata,
    marks: BTreeSet<Uuid>,
}

/// The query is `marks.sql`.
pub(super) async fn check(
    connection: &mut PgConnection,
    query: &str,
    tenant: Option<&str>,
) -> Result<Outcome, Error> {
    let failed = |source| Error::Check {
        check: Check::TaskMarks,
        source,
    };
    let declare = format!("declare marked no scroll cursor for {query}");
    sqlx::query(AssertSqlSafe(declare))
        .bind(tenant)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    let fetch = format!("fetch {TASKS_PER_FETCH} from marked");
    let mut outcome = Outcome {
        compared: 0,
        differing: 0,
        differences: Vec::new(),
    };
    loop {
        let rows = sqlx::query(AssertSqlSafe(fetch.clone()))
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            outcome.compared += 1;
            if let Some(difference) = difference(&marked(row)?) {
                outcome.differing += 1;
                keep(&mut outcome.differences, difference);
            }
        }
    }
    sqlx::query("close marked")
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(outcome)
}

/// Tasks come in any order, and those with the lowest keys are shown, so that two runs show the same.
fn keep(differences: &mut Vec<Difference>, difference: Difference) {
    let at = differences.partition_point(|kept| kept.key < difference.key);
    if at < DIFFERENCES_MAX {
        differences.insert(at, difference);
        differences.truncate(DIFFERENCES_MAX);
    }
}

fn marked(row: &PgRow) -> Result<Marked, Error> {
    let (tenant, task): (&str, Uuid) = (row.get("tenant"), row.get("task_id"));
    let key = format!("{tenant}/{task}");
    let metadata: Option<&str> = row.get("metadata");
    let metadata = match metadata.map(serde_json::from_str).transpose() {
        Ok(metadata) => metadata,
        Err(source) => return Err(Error::Metadata { task: key, source }),
    };
    Ok(Marked {
        present: metadata.is_some(),
        labels: row.get::<Option<_>, _>("labels").unwrap_or_default(),
        metadata: metadata.unwrap_or_default(),
        marks: row
            .get::<Option<Vec<Uuid>>, _>("marks")
            .unwrap_or_default()
            .into_iter()
            .collect(),
        key,
    })
}

/// What is wrong with a task's marks, if anything: their number, or one that is not there.
fn difference(marked: &Marked) -> Option<Difference> {
    let labels = marked.labels.iter().map(|label| label_mark(label));
    // A number may have lost its last digit on the way through JSON; of those the number of marks must do.
    let facts = marked
        .metadata
        .iter()
        .filter(|(_, value)| !value.is_number());
    let due: BTreeSet<Uuid> = labels
        .chain(facts.map(|(name, value)| metadata_mark(name, value)))
        .collect();
    let numbers = marked.metadata.values().filter(|value| value.is_number());
    let due_total = due.len() + numbers.count();
    let missing = due.difference(&marked.marks).next();
    if marked.present && missing.is_none() && marked.marks.len() == due_total {
        return None;
    }
    let stored = format!("{} marks", marked.marks.len());
    let recomputed = match missing {
        Some(mark) => format!("{due_total} marks, among them {mark}"),
        None => format!("{due_total} marks"),
    };
    let shown = |text: String| text.chars().take(SHOWN_CHARS_MAX).collect();
    Some(Difference {
        key: marked.key.clone(),
        stored: Some(shown(stored)),
        recomputed: marked.present.then(|| shown(recomputed)),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn marked() -> Marked {
        let metadata: Metadata =
            serde_json::from_value(json!({"area": "ui", "points": 3})).unwrap();
        let marks = metadata
            .iter()
            .map(|(name, value)| metadata_mark(name, value));
        Marked {
            key: "acme/1".to_owned(),
            present: true,
            labels: vec!["bug".to_owned()],
            marks: marks.chain([label_mark("bug")]).collect(),
            metadata,
        }
    }

    #[test]
    fn a_mark_that_is_missing_foreign_or_left_over_is_a_difference() {
        assert_eq!(difference(&marked()), None);
        let mut missing = marked();
        missing.marks.pop_first();
        let mut foreign = marked();
        foreign.marks.remove(&label_mark("bug"));
        foreign.marks.insert(label_mark("feature"));
        let mut left_over = marked();
        left_over.marks.insert(label_mark("feature"));
        let mut orphaned = marked();
        orphaned.present = false;
        for wrong in [missing, foreign, left_over, orphaned] {
            assert!(difference(&wrong).is_some());
        }
    }

    #[test]
    fn the_lowest_keys_are_shown() {
        let mut kept = Vec::new();
        for key in [30, 10, 20].into_iter().chain(40..60) {
            let key = key.to_string();
            let difference = Difference {
                key,
                stored: None,
                recomputed: None,
            };
            keep(&mut kept, difference);
        }
        assert_eq!(kept.len(), DIFFERENCES_MAX);
        assert_eq!(kept[0].key, "10");
        assert_eq!(kept[1].key, "20");
    }
}
