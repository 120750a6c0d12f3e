//! A row that is stored otherwise than it comes out when it is folded again.

use serde_json::{Map, Value};

use crate::verify::SHOWN_CHARS_MAX;

/// A row that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowDifference {
    /// Its table, and what tells it apart there.
    pub row: String,
    /// What differs; of a row that is on one side alone, nothing.
    pub fields: Vec<String>,
    /// What readers see.
    pub stored: String,
    /// What its events leave.
    pub again: String,
}

impl RowDifference {
    /// Of the row of a table with this key; `None` where there is no such row.
    pub(crate) fn of(
        table: &str,
        key: &Value,
        stored: Option<Value>,
        again: Option<Value>,
    ) -> Self {
        let row = format!("{table} {}", shown(&key.to_string()));
        let (Some(Value::Object(stored)), Some(Value::Object(again))) = (&stored, &again) else {
            let on_side = |side: Option<Value>| {
                side.map_or("no such row".to_owned(), |it| shown(&it.to_string()))
            };
            return Self {
                row,
                fields: Vec::new(),
                stored: on_side(stored),
                again: on_side(again),
            };
        };
        let differs = |field: &&String| stored.get(*field) != again.get(*field);
        let fields: Vec<String> = stored.keys().filter(differs).cloned().collect();
        let of = |side: &Map<String, Value>| {
            let differing = side.iter().filter(|(field, _)| fields.contains(field));
            let differing: Map<String, Value> = differing
                .map(|(field, value)| (field.clone(), value.clone()))
                .collect();
            shown(&Value::Object(differing).to_string())
        };
        Self {
            row,
            stored: of(stored),
            again: of(again),
            fields,
        }
    }
}

/// As much of a text as is told.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}
