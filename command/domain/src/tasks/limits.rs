//! How much of everything a project or task may hold, and the checks that say so.

use chrono::NaiveDate;
use foldline_events::{Hours, tasks::Metadata};
use serde_json::Value;

use super::{Rejection, TextFault, escape};

/// Lengths count Unicode scalar values.
pub const NAME_CHARS_MAX: usize = 255;
pub const TITLE_CHARS_MAX: usize = 255;
pub const DESCRIPTION_CHARS_MAX: usize = 10_000;
pub const KEY_CHARS_MAX: usize = 50;
pub const LABEL_CHARS_MAX: usize = 50;
pub const STEP_CHARS_MAX: usize = 1_000;
pub const REASON_CHARS_MAX: usize = 500;
pub const COMMENT_CHARS_MAX: usize = 5_000;
pub const SUMMARY_CHARS_MAX: usize = 5_000;
pub const METADATA_KEY_CHARS_MAX: usize = 100;
pub const METADATA_TEXT_CHARS_MAX: usize = 1_000;

pub const LABELS_PER_TASK_MAX: usize = 50;
pub const STEPS_PER_TASK_MAX: usize = 200;
pub const COMMENTS_PER_TASK_MAX: usize = 1_000;
pub const METADATA_KEYS_MAX: usize = 50;

/// Eleven years of one person: more is a slip of the finger.
pub const HOURS_MAX: Hours = Hours::from_hundredths(100_000 * 100);

/// A due date lies from the first to the last of these days.
pub const DUE_DATES: (NaiveDate, NaiveDate) = (
    NaiveDate::from_ymd_opt(1970, 1, 1).expect("a day of the calendar"),
    NaiveDate::from_ymd_opt(2999, 12, 31).expect("a day of the calendar"),
);

/// Text that people must be able to read: not blank, not too long, and nothing that Postgres cannot store.
pub(super) fn check_text(
    field: &'static str,
    text: &str,
    chars_max: usize,
) -> Result<(), Rejection> {
    match text_fault(text, chars_max) {
        Some(fault) => Err(Rejection::Text { field, fault }),
        None if text.chars().all(is_unseen) => Err(Rejection::Text {
            field,
            fault: TextFault::Blank,
        }),
        None => Ok(()),
    }
}

/// The same of text that may be absent.
pub(super) fn check_optional_text(
    field: &'static str,
    text: Option<&str>,
    chars_max: usize,
) -> Result<(), Rejection> {
    text.map_or(Ok(()), |text| check_text(field, text, chars_max))
}

/// A key is short and can be said, typed and put into an address: letters, digits, `-`, `_` and `.`.
pub(super) fn check_key(key: Option<&str>) -> Result<(), Rejection> {
    let fits = |key: &str| {
        (1..=KEY_CHARS_MAX).contains(&key.len())
            && key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    if key.is_none_or(fits) {
        Ok(())
    } else {
        Err(Rejection::KeyMalformed)
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

pub(super) fn check_due_date(day: Option<NaiveDate>) -> Result<(), Rejection> {
    let (first, last) = DUE_DATES;
    if day.is_none_or(|day| (first..=last).contains(&day)) {
        Ok(())
    } else {
        Err(Rejection::DueDateOutOfRange)
    }
}

pub(super) fn check_metadata(metadata: &Metadata) -> Result<(), Rejection> {
    if metadata.len() > METADATA_KEYS_MAX {
        return Err(Rejection::TooManyMetadataKeys {
            pointer: "/metadata",
        });
    }
    for (name, value) in metadata {
        check_metadata_name("/metadata", name)?;
        if !is_metadata_value(value) {
            let pointer = format!("/metadata/{}", escape(name));
            return Err(Rejection::MetadataValue { pointer });
        }
    }
    Ok(())
}

pub(super) fn check_metadata_name(pointer: &'static str, name: &str) -> Result<(), Rejection> {
    if name.is_empty() || text_fault(name, METADATA_KEY_CHARS_MAX).is_some() {
        return Err(Rejection::MetadataKey { pointer });
    }
    Ok(())
}

pub(super) fn is_metadata_value(value: &Value) -> bool {
    match value {
        Value::String(text) => text_fault(text, METADATA_TEXT_CHARS_MAX).is_none(),
        // JSON has no infinities, so a number that was read is finite.
        Value::Number(_) | Value::Bool(_) => true,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// White space, control characters, and Unicode's format characters that take no place by themselves (of its category Cf:
/// soft hyphen, zero-width spaces and joiners, marks of direction, the byte order mark).
fn is_unseen(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
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
