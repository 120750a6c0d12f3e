//! What each mutation takes. Lengths and ranges are the domain's to judge (`foldline_domain::tasks::limits`).

pub mod projects;
pub mod tasks;

use async_graphql::{ID, InputObject, MaybeUndefined};
use chrono::{DateTime, Utc};
use foldline_events::Hours;
use uuid::Uuid;

use crate::{error::Error, scalars};

/// What every command may say beside its own values.
#[derive(Debug, InputObject)]
pub struct Said {
    /// Names this command, so that sending it again has no further effect. Made up when absent.
    pub command_id: Option<Uuid>,
    /// The version that it must have; the command is refused when it has another.
    pub expected_version: Option<scalars::Version>,
    /// When it happened, in business time; now, when absent.
    pub at: Option<DateTime<Utc>>,
}

/// The same of a command that creates: what is new has no version.
#[derive(Debug, InputObject)]
pub struct New {
    /// Names this command, so that sending it again has no further effect. Made up when absent.
    pub command_id: Option<Uuid>,
    /// When it happened, in business time; now, when absent.
    pub at: Option<DateTime<Utc>>,
}

/// Which project.
#[derive(Debug, InputObject)]
pub struct OnProject {
    /// The project: its node id or its plain UUID.
    pub id: ID,
    #[graphql(flatten)]
    pub said: Said,
}

/// Which task.
#[derive(Debug, InputObject)]
pub struct OnTask {
    /// The task: its node id or its plain UUID.
    pub id: ID,
    #[graphql(flatten)]
    pub said: Said,
}

/// Hours as the domain counts them; `field` names the input for the error.
pub fn hours(number: Option<f64>, field: &str) -> Result<Option<Hours>, Error> {
    let counted = number.map(|number| {
        Hours::from_number(number).ok_or_else(|| Error::BadInput {
            problem: format!("{field} must be a number with at most two decimals, not {number}"),
        })
    });
    counted.transpose()
}

/// A value that null takes away. Left out it would do so by an oversight, so it must be there.
pub fn stated<T>(value: MaybeUndefined<T>, field: &str) -> Result<Option<T>, Error> {
    match value {
        MaybeUndefined::Value(value) => Ok(Some(value)),
        MaybeUndefined::Null => Ok(None),
        MaybeUndefined::Undefined => Err(Error::BadInput {
            problem: format!("{field} must be given; null takes it away"),
        }),
    }
}
