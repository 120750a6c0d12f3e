//! Reactions: what follows from an event, as a command.
//!
//! A reaction sees recorded events, in order, and answers some of them with a command, to be given at once or at a later time.
//! It decides nothing: whether there is still anything to say is for the aggregate to judge when the command comes, so nothing
//! that was ordered need ever be called back. The command's id is made of the reaction's name and the event's id: an event that
//! is read again orders the same command, which does nothing twice.
//!
//! Nothing here runs when views are rebuilt or the log is replayed: reactions have a place in the log of their own. Each
//! context answers in a module of its own name. Read [`crate::worker`] for who reads the events and gives the commands.

mod tasks;

use chrono::{DateTime, Utc};
use foldline_domain::Command;
use foldline_events::{DecodeError, Event, Recorded};
use uuid::Uuid;

/// Under it lie the ids of what reactions order.
const ORDERS: Uuid = Uuid::from_u128(0x8d0e_0b1c_93f5_4e0a_b8de_51c7_2f64_0c2e);

/// A new one adds a variant, and the compiler then names every place that must learn of it. Its name is for ever: its place in
/// the log is kept under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reaction {
    NoteDueDayPassed,
    SuggestCompletion,
}

/// A command that follows from an event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ordered {
    pub(crate) command: Command,
    pub(crate) aggregate: Uuid,
    /// Not before then; at once, when absent.
    pub(crate) not_before: Option<DateTime<Utc>>,
}

impl Reaction {
    pub const ALL: [Self; 2] = [Self::NoteDueDayPassed, Self::SuggestCompletion];

    pub const fn name(self) -> &'static str {
        match self {
            Self::NoteDueDayPassed => "tasks.note_due_day_passed",
            Self::SuggestCompletion => "tasks.suggest_completion",
        }
    }

    /// The types of the events that it may answer.
    pub(crate) fn types(self) -> &'static [&'static str] {
        match self {
            Self::NoteDueDayPassed => &tasks::DUE,
            Self::SuggestCompletion => &tasks::STEPS,
        }
    }

    /// What it orders because of an event, if anything.
    ///
    /// # Errors
    /// For an event of its types that this build cannot read.
    pub(crate) fn answer(self, recorded: &Recorded) -> Result<Option<Ordered>, DecodeError> {
        if !self.types().contains(&recorded.event_type.as_str()) {
            return Ok(None);
        }
        let event = Event::decode(
            &recorded.event_type,
            recorded.schema_version,
            &recorded.payload,
        )?;
        let (Event::Task(event), Some(aggregate)) = (event, recorded.aggregate()) else {
            return Ok(None);
        };
        Ok(match self {
            Self::NoteDueDayPassed => tasks::due(recorded, &event, aggregate),
            Self::SuggestCompletion => Some(tasks::steps_may_be_done(aggregate)),
        })
    }

    /// The id of what it orders because of an event.
    pub(crate) fn order_id(self, event_id: Uuid) -> Uuid {
        Uuid::new_v5(&ORDERS, format!("{}/{event_id}", self.name()).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A release that names its orders otherwise would give every command anew that an older one has given.
    #[test]
    fn what_a_reaction_orders_has_one_id_for_ever() {
        let event = Uuid::from_u128(1);
        assert_eq!(
            Reaction::SuggestCompletion.order_id(event).to_string(),
            "53cb350a-6bc9-5041-8489-ac0e15f76fc7"
        );
        let other = Reaction::NoteDueDayPassed.order_id(event);
        assert_ne!(other, Reaction::SuggestCompletion.order_id(event));
    }
}
