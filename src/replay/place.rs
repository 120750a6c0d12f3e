//! What people call places in the log.

use std::str::FromStr;

use anyhow::anyhow;
use uuid::Uuid;

use crate::changes::Moment;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Moment(Moment),
    /// Of an event or of a command.
    Id(Uuid),
}

impl FromStr for Place {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if let Ok(id) = Uuid::try_parse(text) {
            return Ok(Self::Id(id));
        }
        text.parse().map(Self::Moment).map_err(|_| {
            anyhow!(
                "neither a position, such as 4711, nor a recorded time, such as 2026-03-01T12:00:00Z, nor the UUID of \
                 an event or a command"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_position_a_time_or_an_id() {
        let read = |text: &str| text.parse::<Place>().ok();
        assert_eq!(read("7"), Some(Place::Moment(Moment::Position(7))));
        let time = "2026-03-01T12:00:00Z";
        let at = Moment::RecordedAt(time.parse().unwrap());
        assert_eq!(read(time), Some(Place::Moment(at)));
        let id = Uuid::from_u128(7);
        assert_eq!(read(&id.to_string()), Some(Place::Id(id)));
        for nothing in ["", "-1", "task-7", "now", "99999999999999999999"] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
    }
}
