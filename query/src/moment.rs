//! As of when a field answers: the present, a past position, or one that all fields of a request share.
//!
//! Every view has, beside the rows of the present, those that they replaced, each with the positions between which it held.
//! As of a past position they are read together, through the SQL views whose names end in `_at`; a transaction says
//! which position it means. So what was true then is answered whatever happened since, and by any number of reads; only a parked
//! stream that goes on brings what was missing before.

use std::sync::Arc;

use async_graphql::{Enum, OneofObject, dataloader::DataLoader};
use chrono::{DateTime, Utc};
use foldline_events::{Cursor, Position};

use crate::{
    error::Error,
    read::{Loaders, Reader},
    scalars::{self, known_instant},
};

/// A moment of the past.
#[derive(Debug, Clone, Copy, OneofObject)]
pub enum AsOf {
    /// When the log ended at this position: the answer holds the events up to it, and none after it. Positions are of the
    /// present epoch: after the log was restored, one that was noted before may mean other events.
    Position(scalars::Position),
    /// When it was this instant by the clock of the log, which gives every event its `recordedAt`: the answer holds the events
    /// recorded up to it, and none after it. Not in the future; where nothing was recorded later, only once the views saw the log's
    /// end some time after it, half a minute as a rule. What changes with time alone, such as `overdue`, is computed for this
    /// instant where none is given.
    RecordedAt(DateTime<Utc>),
}

/// What the fields of one request have to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum Consistency {
    /// Each shows the newest that it finds, so of two fields one may hold an event that the other does not.
    Latest,
    /// All fields of the request that say so show the same moment: everything up to one position but what is parked, and
    /// nothing after it. It is the completed prefix of when the first of them was read, and
    /// `extensions.foldline.snapshot` says which.
    Snapshot,
}

/// The arguments of a field that say as of when it is to answer.
#[derive(Debug, Clone, Default)]
pub struct When {
    at_least: Option<String>,
    as_of: Option<AsOf>,
    consistency: Option<Consistency>,
}

/// The same, checked.
#[derive(Debug, Clone, Copy)]
pub enum Wanted {
    Present,
    Past(Position),
    PastTime(DateTime<Utc>),
    Snapshot,
}

/// The moment that a reader reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Present,
    Past(Position),
}

/// What one field of an operation reads, with everything below it.
pub struct Sight {
    pub reader: Reader,
    pub loaders: DataLoader<Loaders>,
}

impl When {
    pub fn new(
        at_least: Option<String>,
        as_of: Option<AsOf>,
        consistency: Option<Consistency>,
    ) -> Self {
        Self {
            at_least,
            as_of,
            consistency,
        }
    }

    /// Of the present, after a cursor.
    pub fn at_least(cursor: Option<String>) -> Self {
        Self {
            at_least: cursor,
            ..Self::default()
        }
    }

    pub fn wanted(&self) -> Result<Wanted, Error> {
        match (self.as_of, self.consistency) {
            (Some(AsOf::Position(position)), None | Some(Consistency::Latest)) => {
                Ok(Wanted::Past(position.0))
            }
            (Some(AsOf::RecordedAt(at)), None | Some(Consistency::Latest)) => {
                Ok(Wanted::PastTime(known_instant("asOf.recordedAt", at)?))
            }
            (None, None | Some(Consistency::Latest)) => Ok(Wanted::Present),
            (None, Some(Consistency::Snapshot)) => Ok(Wanted::Snapshot),
            (Some(_), Some(Consistency::Snapshot)) => Err(Error::BadInput {
                problem: "give asOf or consistency: SNAPSHOT, not both: fields with the same asOf show the same moment \
                          by themselves"
                    .to_owned(),
            }),
        }
    }

    pub fn cursor(&self) -> Result<Option<Cursor>, Error> {
        let parse = |token: &String| token.parse().map_err(|_| Error::BadCursor);
        self.at_least.as_ref().map(parse).transpose()
    }
}

impl Sight {
    pub fn new(reader: Reader) -> Arc<Self> {
        let loaders = Loaders {
            reader: reader.clone(),
        };
        Arc::new(Self {
            reader,
            loaders: DataLoader::new(loaders, tokio::spawn),
        })
    }
}
