//! What GraphQL has no type for. Numbers that outgrow its `Int` (32 bits) and a browser's numbers (53 bits) travel as
//! decimal strings, days as ISO dates.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{DateTime, Datelike, NaiveDate, Utc};

use crate::error::Error;

/// Postgres knows fewer years than we do.
const YEARS: std::ops::RangeInclusive<i32> = 1..=9_999;

/// A place in the log: a whole number from 1, written as a string of decimal digits because it outgrows `Int` and
/// the numbers of browsers. Of two positions of one epoch the larger is the later; 0 is before the first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position(pub i64);

/// How many events a project or task has had: a whole number from 1, written as a string of decimal digits because it
/// outgrows `Int`. As an argument, an integer is accepted too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(pub i64);

/// A place in the log: a whole number from 1, written as a string of decimal digits because it outgrows `Int` and the
/// numbers of browsers. Of two positions of one epoch the larger is the later; 0 is before the first event.
#[Scalar(name = "Position")]
impl ScalarType for Position {
    fn parse(value: Value) -> InputValueResult<Self> {
        whole_number(&value)
            .map(Self)
            .ok_or_else(|| InputValueError::custom("expected a string of decimal digits"))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// How many events a project or task has had: a whole number from 1, written as a string of decimal digits because it
/// outgrows `Int`. As an argument, an integer is accepted too.
#[Scalar(name = "Version")]
impl ScalarType for Version {
    fn parse(value: Value) -> InputValueResult<Self> {
        whole_number(&value)
            .map(Self)
            .ok_or_else(|| InputValueError::custom("expected a string of decimal digits"))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// A day of the calendar in UTC, written as in ISO 8601: `2026-03-01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct Day(pub NaiveDate);

/// A day of the calendar in UTC, written as in ISO 8601: `2026-03-01`. Years have four digits.
#[Scalar(name = "Date")]
impl ScalarType for Day {
    fn parse(value: Value) -> InputValueResult<Self> {
        let read = |text: &str| {
            let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
            // Every day has one spelling.
            let plain = YEARS.contains(&day.year()) && day.to_string() == text;
            plain.then_some(Self(day))
        };
        if let Value::String(text) = &value
            && let Some(day) = read(text)
        {
            return Ok(day);
        }
        Err(InputValueError::custom(
            "expected a day as year-month-day, such as 2026-03-01",
        ))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// An instant that Postgres knows, too; `field` is what the error speaks of.
pub fn known_instant(field: &str, at: DateTime<Utc>) -> Result<DateTime<Utc>, Error> {
    match YEARS.contains(&at.year()) {
        true => Ok(at),
        false => Err(Error::BadInput {
            problem: format!("{field} must lie in the years 1 to 9999"),
        }),
    }
}

fn whole_number(value: &Value) -> Option<i64> {
    if let Value::Number(number) = value {
        return number.as_i64().filter(|number| *number >= 0);
    }
    let Value::String(text) = value else {
        return None;
    };
    // No sign and no spaces, so that every number has one spelling.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_a_string_of_digits_and_nothing_else() {
        let large = i64::MAX.to_string();
        assert_eq!(
            Position::parse(Value::from(large.clone())).unwrap(),
            Position(i64::MAX)
        );
        assert_eq!(Position(i64::MAX).to_value(), Value::from(large));
        for bad in ["", "-1", "+1", " 1", "1.0", "9223372036854775808"] {
            assert!(Position::parse(Value::from(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_day_has_one_spelling() {
        let day = Day::parse(Value::from("2024-02-29")).unwrap();
        assert_eq!(day.to_value(), Value::from("2024-02-29"));
        for bad in [
            "",
            "2023-02-29",
            "2024-2-29",
            "+12024-01-01",
            "0000-01-01",
            "20240229",
        ] {
            assert!(Day::parse(Value::from(bad)).is_err(), "{bad:?}");
        }
    }
}
