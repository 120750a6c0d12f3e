//! Places in a list, and how cursors spell them.
//!
//! A cursor is base64 (RFC 4648, URL-safe alphabet, unpadded) of the order's name, its direction, and the values,
//! separated by `|`. Clients must treat it as opaque.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

/// The longest cursor that is looked at, in bytes: ours have at most 120.
const CURSOR_BYTES_MAX: usize = 256;
/// How a day is spelled in a cursor.
const DAY: &str = "%Y-%m-%d";

/// How a list is ordered: by every one of these columns in the same direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Order {
    /// Stands in the list's cursors; lists of another order refuse them.
    pub name: &'static str,
    /// The columns with what they hold. No two rows of the list are equal in all of them.
    pub by: &'static [(&'static str, Kind)],
    pub descending: bool,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Instant,
    Day,
    Rank,
    Number,
    Id,
}

/// What a row holds in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    Instant(DateTime<Utc>),
    Day(NaiveDate),
    Rank(i16),
    Number(i64),
    Id(Uuid),
}

/// Where a row stands in its list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place(pub Vec<Key>);

/// Why text is not a cursor of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("is not a cursor of an edge or a pageInfo")]
    Cursor,
    #[error("is a cursor of a list in another order")]
    Order,
}

impl Order {
    /// The columns, for a row comparison.
    pub fn columns(&self) -> String {
        let names: Vec<&str> = self.by.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }

    /// The columns with their direction, for `order by`.
    pub fn columns_towards(&self, ascending: bool) -> String {
        let direction = if ascending { "asc" } else { "desc" };
        let named = |(name, _): &(&str, Kind)| format!("{name} {direction}");
        let columns: Vec<String> = self.by.iter().map(named).collect();
        columns.join(", ")
    }

    pub fn write(&self, place: &Place) -> String {
        let keys = place.0.iter().map(|key| key.written());
        let parts: Vec<String> = [self.head()].into_iter().chain(keys).collect();
        URL_SAFE_NO_PAD.encode(parts.join("|"))
    }

    pub fn read(&self, cursor: &str) -> Result<Place, Wrong> {
        if cursor.len() > CURSOR_BYTES_MAX {
            return Err(Wrong::Cursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| Wrong::Cursor)?;
        let text = String::from_utf8(bytes).map_err(|_| Wrong::Cursor)?;
        let (head, keys) = text.split_once('|').ok_or(Wrong::Cursor)?;
        if head != self.head() {
            return Err(Wrong::Order);
        }
        let keys: Vec<&str> = keys.split('|').collect();
        if keys.len() != self.by.len() {
            return Err(Wrong::Cursor);
        }
        let read = self
            .by
            .iter()
            .zip(keys)
            .map(|((_, kind), key)| kind.read(key));
        read.collect::<Option<Vec<Key>>>()
            .map(Place)
            .ok_or(Wrong::Cursor)
    }

    fn head(&self) -> String {
        let direction = if self.descending { "desc" } else { "asc" };
        format!("{}.{direction}", self.name)
    }
}

impl Kind {
    fn read(self, text: &str) -> Option<Key> {
        Some(match self {
            Self::Instant => Key::Instant(DateTime::from_timestamp_micros(text.parse().ok()?)?),
            Self::Day => Key::Day(NaiveDate::parse_from_str(text, DAY).ok()?),
            Self::Rank => Key::Rank(text.parse().ok()?),
            Self::Number => Key::Number(text.parse().ok()?),
            Self::Id => Key::Id(Uuid::try_parse(text).ok()?),
        })
    }
}

impl Key {
    fn written(self) -> String {
        match self {
            Self::Instant(at) => at.timestamp_micros().to_string(),
            Self::Day(day) => day.format(DAY).to_string(),
            Self::Rank(rank) => rank.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Id(id) => id.simple().to_string(),
        }
    }

    fn push_to(self, query: &mut QueryBuilder<Postgres>) {
        match self {
            Self::Instant(at) => query.push_bind(at),
            Self::Day(day) => query.push_bind(day),
            Self::Rank(rank) => query.push_bind(rank),
            Self::Number(number) => query.push_bind(number),
            Self::Id(id) => query.push_bind(id),
        };
    }
}

impl Place {
    /// Appends the values, for a row comparison.
    pub fn push_to(&self, query: &mut QueryBuilder<Postgres>) {
        for (index, key) in self.0.iter().enumerate() {
            query.push(if index == 0 { " (" } else { ", " });
            key.push_to(query);
        }
        query.push(")");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: Order = Order {
        name: "all",
        by: &[
            ("at", Kind::Instant),
            ("day", Kind::Day),
            ("rank", Kind::Rank),
            ("number", Kind::Number),
            ("id", Kind::Id),
        ],
        descending: false,
    };

    fn place() -> Place {
        Place(vec![
            Key::Instant(DateTime::from_timestamp_micros(-1_700_000_000_123_456).unwrap()),
            Key::Day(NaiveDate::from_ymd_opt(9999, 12, 31).unwrap()),
            Key::Rank(4),
            Key::Number(i64::MAX),
            Key::Id(Uuid::from_u128(9)),
        ])
    }

    #[test]
    fn a_cursor_survives_being_written() {
        let cursor = ORDER.write(&place());
        assert_eq!(ORDER.read(&cursor), Ok(place()));
        assert!(cursor.len() < CURSOR_BYTES_MAX);
    }

    #[test]
    fn a_cursor_of_another_order_or_direction_is_refused() {
        let cursor = ORDER.write(&place());
        let turned = Order {
            descending: true,
            ..ORDER
        };
        let other = Order {
            name: "other",
            ..ORDER
        };
        assert_eq!(turned.read(&cursor), Err(Wrong::Order));
        assert_eq!(other.read(&cursor), Err(Wrong::Order));
    }

    #[test]
    fn a_cursor_that_nobody_wrote_is_refused() {
        for text in [
            "",
            "all.asc",
            "all.asc|1",
            "all.asc|1|2|3|4|5",
            "all.asc|1||||",
        ] {
            let cursor = URL_SAFE_NO_PAD.encode(text);
            assert_eq!(ORDER.read(&cursor), Err(Wrong::Cursor), "{text}");
        }
        assert_eq!(ORDER.read(&"A".repeat(1_000)), Err(Wrong::Cursor));
    }
}
