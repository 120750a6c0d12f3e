//! How much of everything a project or task may hold, and the checks that say so.

use foldline_events::{Hours, tasks::Metadata};
use serde_json::Value;

use super::{Rejection, TextFault};

/// Lengths count Unicode scalar values.
pub const NAME_CHARS_MAX: usize = 255;
pub const TITLE_CHARS_MAX: usize = 255;
pub const LABEL_CHARS_MAX: usize = 50;
pub const STEP_CHARS_MAX: usize = 1_000;
pub const REASON_CHARS_MAX: usize = 500;
pub const METADATA_KEY_CHARS_MAX: usize = 100;
pub const METADATA_TEXT_CHARS_MAX: usize = 1_000;

pub const LABELS_PER_TASK_MAX: usize = 50;
pub const STEPS_PER_TASK_MAX: usize = 200;
pub const METADATA_KEYS_MAX: usize = 50;

/// Eleven years of one person: more is a slip of the finger.
pub const HOURS_MAX: Hours = Hours::from_hundredths(100_000 * 100);

/// Text that people must be able to read: not blank, not too long, and nothing that Postgres cannot store.
pub(super) fn check_text(
    field: &'static str,
    text: &str,
    chars_max: usize,
) -> Result<(), Rejection> {
    match text_fault(text, chars_max) {
        Some(fault) => Err(Rejection::Text { field, fault }),
        None if text.trim().is_empty() => Err(Rejection::Text {
            field,
            fault: TextFault::Blank,
        }),
        None => Ok(()),
    }
}

pub(super) fn check_hours(field: &'static str, hours: Option<Hours>) -> Result<(), Rejection> {
    match hours {
        Some(hours) if !(Hours::default()..=HOURS_MAX).contains(&hours) => {
            Err(Rejection::HoursOutOfRange { field })
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) fn check_metadata(metadata: &Metadata) -> Result<(), Rejection> {
    if metadata.len() > METADATA_KEYS_MAX {
        return Err(Rejection::TooManyMetadataKeys);
    }
    for (key, value) in metadata {
        if key.is_empty() || text_fault(key, METADATA_KEY_CHARS_MAX).is_some() {
            return Err(Rejection::MetadataKey);
        }
        let fits = match value {
            Value::String(text) => text_fault(text, METADATA_TEXT_CHARS_MAX).is_none(),
            // JSON has no infinities, so a number that was read is finite.
            Value::Number(_) | Value::Bool(_) => true,
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        };
        if !fits {
            return Err(Rejection::MetadataValue { key: key.clone() });
        }
    }
    Ok(())
}

fn text_fault(text: &str, chars_max: usize) -> Option<TextFault> {
    if text.contains('\0') {
        Some(TextFault::Nul)
    } else if text.chars().nth(chars_max).is_some() {
        Some(TextFault::TooLong { chars_max })
    } else {
        None
    }
}
