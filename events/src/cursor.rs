//! The opaque token by which a client says "at least up to here".

use std::{fmt, str::FromStr};

use uuid::Uuid;

use crate::{PARTITIONS, Partition, Position};

/// A place in one incarnation of one log. Commands return it; queries, subscriptions and feeds accept it.
///
/// Written as `<epoch>.<position>` or `<epoch>.<position>.<partition>`, the epoch as 32 hexadecimal digits. Clients
/// must not take it apart: the form may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Names the cell and the log's incarnation; a restored log has another.
    pub epoch: Uuid,
    pub position: Position,
    /// Where there is one, a reader waits for this partition alone; without it, for the completed prefix.
    pub partition: Option<Partition>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a cursor: use one exactly as a command, a query or an event gave it")]
pub struct InvalidCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch.simple(), self.position)?;
        match self.partition {
            Some(partition) => write!(f, ".{partition}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(token: &str) -> Result<Self, Self::Err> {
        let mut parts = token.split('.');
        let epoch = parts.next().filter(|part| part.len() == 32);
        let position = parts.next();
        let partition = parts.next();
        if parts.next().is_some() {
            return Err(InvalidCursor);
        }
        let epoch = Uuid::try_parse(epoch.ok_or(InvalidCursor)?).map_err(|_| InvalidCursor)?;
        let position: Position = number(position.ok_or(InvalidCursor)?)?;
        let partition = partition.map(number::<Partition>).transpose()?;
        if partition.is_some_and(|partition| partition >= PARTITIONS) {
            return Err(InvalidCursor);
        }
        let cursor = Self {
            epoch,
            position,
            partition,
        };
        // A place has one spelling: tokens that are equal mean the same, and others do not.
        match cursor.to_string() == token {
            true => Ok(cursor),
            false => Err(InvalidCursor),
        }
    }
}

/// A decimal number without a sign.
fn number<N: FromStr>(text: &str) -> Result<N, InvalidCursor> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidCursor);
    }
    text.parse().map_err(|_| InvalidCursor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_survives_being_written(
            epoch in any::<u128>(),
            position in 0..i64::MAX,
            partition in prop::option::of(0..PARTITIONS),
        ) {
            let cursor = Cursor { epoch: Uuid::from_u128(epoch), position, partition };
            prop_assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = text.parse::<Cursor>();
        }
    }

    #[test]
    fn a_mangled_cursor_is_refused() {
        let epoch = Uuid::nil().simple().to_string();
        for bad in [
            String::new(),
            epoch.clone(),
            format!("{epoch}."),
            format!("{epoch}.-1"),
            format!("{epoch}.+1"),
            format!("{epoch}.1.32"),
            format!("{epoch}.1.2.3"),
            format!("{epoch}.01"),
            format!("{epoch}.1.02"),
            format!("{}.1", "A".repeat(32)),
            format!("{}.1", Uuid::nil()),
        ] {
            assert_eq!(bad.parse::<Cursor>(), Err(InvalidCursor), "{bad}");
        }
    }
}
