//! An event with what it changed and the state that it leaves.
//!
//! Pure: states come from [`super::states`], and how it looks is for [`super::output`] and the screen to say.

use std::collections::HashSet;

use foldline_domain::State;
use foldline_events::{Recorded, Version};
use serde::Serialize;
use serde_json::{Map, Value};

/// What is known of a stream after some of its events.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Standing {
    /// Its state; none before the first event that makes one.
    Known(Option<State>),
    /// This build cannot read its event of this version, so nothing is known of what came of it.
    UnknownSince(Version),
}

/// The same with the state as it is shown, which is made once: one event leaves it, the next one finds it.
#[derive(Debug, Clone)]
pub(super) struct Stood {
    pub(super) standing: Standing,
    /// `None` when it is not known.
    value: Option<Value>,
}

#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) event: Recorded,
    /// Why this build cannot read it.
    pub(super) problem: Option<String>,
    /// What it changed of the state; `None` when that is not known.
    pub(super) changes: Option<Vec<Change>>,
    /// Null where there is none, or it is not known.
    pub(super) state: Value,
    /// The first event of the stream that this build cannot read, if it is this one or came before.
    pub(super) unknown_since: Option<Version>,
}

/// A field of the state, before and after; null where it was not or is not there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Change {
    pub(super) field: String,
    pub(super) before: Value,
    pub(super) after: Value,
}

impl Standing {
    /// After one more event of the stream, and why that cannot be read.
    pub(super) fn after(self, event: &Recorded) -> (Self, Option<String>) {
        match (event.event(), self) {
            (Ok(event), Self::Known(state)) => (Self::Known(State::evolve(state, &event)), None),
            (Ok(_), unknown @ Self::UnknownSince(_)) => (unknown, None),
            (Err(error), standing) => {
                let since = match standing {
                    Self::Known(_) => event.version,
                    Self::UnknownSince(version) => version,
                };
                let problem = format!("{:#}", anyhow::Error::from(error));
                (Self::UnknownSince(since), Some(problem))
            }
        }
    }

    /// Roughly how much memory it holds.
    pub(super) fn size_bytes(&self) -> usize {
        let state = match self {
            Self::Known(Some(state)) => state.size_bytes(),
            Self::Known(None) | Self::UnknownSince(_) => 0,
        };
        size_of::<Self>() + state
    }

    fn value(&self) -> Option<Value> {
        match self {
            Self::Known(None) => Some(Value::Null),
            Self::Known(Some(state)) => Some(
                serde_json::to_value(state)
                    .expect("states hold text, numbers and maps with text keys"),
            ),
            Self::UnknownSince(_) => None,
        }
    }
}

impl From<Standing> for Stood {
    fn from(standing: Standing) -> Self {
        Self {
            value: standing.value(),
            standing,
        }
    }
}

impl Shown {
    /// An event, and how its stream stands after it; `before` is how it stood.
    pub(super) fn new(event: Recorded, before: Stood) -> (Self, Stood) {
        let (after, problem) = before.standing.after(&event);
        let after = Stood::from(after);
        let changes = before.value.as_ref().zip(after.value.as_ref());
        let changes = changes.map(|(before, after)| changes_between(before, after));
        let unknown_since = match after.standing {
            Standing::Known(_) => None,
            Standing::UnknownSince(version) => Some(version),
        };
        let state = after.value.clone().unwrap_or(Value::Null);
        let shown = Self {
            event,
            problem,
            changes,
            state,
            unknown_since,
        };
        (shown, after)
    }
}

/// The field of each change: of a map that both have, its entry (`steps.<id>`); of a list, each element that went or came.
pub(super) fn changes_between(before: &Value, after: &Value) -> Vec<Change> {
    let none = Map::new();
    let before = before.as_object().unwrap_or(&none);
    let after = after.as_object().unwrap_or(&none);
    let mut changes = Vec::new();
    for (field, before, after) in pairs(before, after).filter(|(_, before, after)| before != after)
    {
        match (before, after) {
            (Value::Object(before), Value::Object(after)) if are_alike(before, after) => {
                let entries = pairs(before, after);
                changes.extend(entries.filter_map(|(entry, before, after)| {
                    change(format!("{field}.{entry}"), before, after)
                }));
            }
            (Value::Array(before), Value::Array(after)) => {
                let (had, has): (HashSet<_>, HashSet<_>) =
                    (before.iter().collect(), after.iter().collect());
                let gone = before.iter().filter(|it| !has.contains(it));
                changes.extend(gone.filter_map(|it| change(field.clone(), it, &Value::Null)));
                let came = after.iter().filter(|it| !had.contains(it));
                changes.extend(came.filter_map(|it| change(field.clone(), &Value::Null, it)));
            }
            _ => changes.extend(change(field.clone(), before, after)),
        }
    }
    changes
}

/// Two maps of the same things; not two choices of an enum, of which one took the other's place.
fn are_alike(before: &Map<String, Value>, after: &Map<String, Value>) -> bool {
    before.is_empty() || after.is_empty() || before.keys().any(|key| after.contains_key(key))
}

/// Every field of either, with both values.
fn pairs<'a>(
    before: &'a Map<String, Value>,
    after: &'a Map<String, Value>,
) -> impl Iterator<Item = (&'a String, &'a Value, &'a Value)> {
    let new = after.keys().filter(|field| !before.contains_key(*field));
    let of = |map: &'a Map<String, Value>, field| map.get(field).unwrap_or(&Value::Null);
    before
        .keys()
        .chain(new)
        .map(move |field| (field, of(before, field), of(after, field)))
}

fn change(field: String, before: &Value, after: &Value) -> Option<Change> {
    (before != after).then(|| Change {
        field,
        before: before.clone(),
        after: after.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(before: &Value, after: &Value) -> Vec<(String, Value, Value)> {
        let changes = changes_between(before, after).into_iter();
        changes
            .map(|change| (change.field, change.before, change.after))
            .collect()
    }

    #[test]
    fn what_changed_is_told_by_field_entry_and_element_and_what_did_not_is_left_out() {
        let before = json!({"title": "Dig", "steps": {"a": 1, "b": 2}, "labels": ["x", "y"], "metadata": {}, "same": 1});
        let after = json!({"title": "Dug", "steps": {"a": 1, "c": 3}, "labels": ["y", "z"], "metadata": {"n": 1}, "same": 1});
        let change = |field: &str, before, after| (field.to_owned(), before, after);
        let expected = [
            change("labels", json!("x"), json!(null)),
            change("labels", json!(null), json!("z")),
            change("metadata.n", json!(null), json!(1)),
            change("steps.b", json!(2), json!(null)),
            change("steps.c", json!(null), json!(3)),
            change("title", json!("Dig"), json!("Dug")),
        ];
        assert_eq!(said(&before, &after), expected);
        assert_eq!(said(&before, &before), []);
        assert_eq!(
            said(
                &json!(null),
                &json!({"name": "Garden", "description": null})
            ),
            [change("name", json!(null), json!("Garden"))]
        );
        let blocked = json!({"status": {"blocked": {"reason": "rain"}}});
        let completed = json!({"status": {"completed": {"actualHours": 1}}});
        let whole = change(
            "status",
            blocked["status"].clone(),
            completed["status"].clone(),
        );
        assert_eq!(said(&blocked, &completed), [whole]);
    }
}
