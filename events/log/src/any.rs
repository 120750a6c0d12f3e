//! One log of either kind: code that holds an [`AnyLog`] runs over Postgres, and in a test over memory.

use chrono::{DateTime, Utc};
use foldline_events::{Cursor, Position, Recorded, Tenant, Version};
use uuid::Uuid;

use crate::{Append, Error, Log, Mark, MemoryLog, Page, Selection, Verdict, Walk};

/// A log to append to and to read. Each operation is described at [`Log`]; those of [`MemoryLog`] answer the same.
/// Snapshots are none of them ([`Log::snapshot`]): a log in memory has nothing to save by a cache.
#[derive(Debug, Clone)]
pub enum AnyLog {
    /// In a database.
    Postgres(Log),
    /// In memory.
    Memory(MemoryLog),
}

impl AnyLog {
    /// See [`Log::epoch`].
    pub fn epoch(&self) -> Uuid {
        match self {
            Self::Postgres(log) => log.epoch(),
            Self::Memory(log) => log.epoch(),
        }
    }

    /// See [`Log::append`].
    ///
    /// # Errors
    /// As [`Log::append`], or as [`MemoryLog::append`].
    pub async fn append(&self, append: Append) -> Result<Verdict, Error> {
        match self {
            Self::Postgres(log) => log.append(append).await,
            Self::Memory(log) => log.append(&append),
        }
    }

    /// See [`Log::known`].
    ///
    /// # Errors
    /// As [`Log::known`]; none of the log in memory.
    pub async fn known(
        &self,
        tenant: &Tenant,
        command_id: Uuid,
        input_hmac: &[u8],
    ) -> Result<Option<Verdict>, Error> {
        match self {
            Self::Postgres(log) => log.known(tenant, command_id, input_hmac).await,
            Self::Memory(log) => Ok(log.known(tenant, command_id, input_hmac)),
        }
    }

    /// See [`Log::read`].
    ///
    /// # Errors
    /// As [`Log::read`], or as [`MemoryLog::read`].
    pub async fn read(&self, after: Position, limit: usize) -> Result<Vec<Recorded>, Error> {
        match self {
            Self::Postgres(log) => log.read(after, limit).await,
            Self::Memory(log) => log.read(after, limit),
        }
    }

    /// See [`Log::read_stream`].
    ///
    /// # Errors
    /// As [`Log::read_stream`]; none of the log in memory.
    pub async fn read_stream(
        &self,
        tenant: &Tenant,
        stream: &str,
        after: Version,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        match self {
            Self::Postgres(log) => log.read_stream(tenant, stream, after, limit).await,
            Self::Memory(log) => Ok(log.read_stream(tenant, stream, after, limit)),
        }
    }

    /// See [`Log::read_stream_backward`].
    ///
    /// # Errors
    /// As [`Log::read_stream_backward`]; none of the log in memory.
    pub async fn read_stream_backward(
        &self,
        tenant: &Tenant,
        stream: &str,
        before: Version,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        match self {
            Self::Postgres(log) => {
                let events = log.read_stream_backward(tenant, stream, before, limit);
                events.await
            }
            Self::Memory(log) => Ok(log.read_stream_backward(tenant, stream, before, limit)),
        }
    }

    /// See [`Log::streams_of`].
    ///
    /// # Errors
    /// As [`Log::streams_of`]; none of the log in memory.
    pub async fn streams_of(
        &self,
        tenant: &Tenant,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        match self {
            Self::Postgres(log) => log.streams_of(tenant, after, limit).await,
            Self::Memory(log) => Ok(log.streams_of(tenant, after, limit)),
        }
    }

    /// See [`Log::read_selected`].
    ///
    /// # Errors
    /// As [`Log::read_selected`], or as [`MemoryLog::read_selected`].
    pub async fn read_selected(
        &self,
        selection: &Selection,
        after: Position,
        limit: usize,
    ) -> Result<Page, Error> {
        match self {
            Self::Postgres(log) => log.read_selected(selection, after, limit).await,
            Self::Memory(log) => log.read_selected(selection, after, limit),
        }
    }

    /// See [`Log::read_selected_backward`].
    ///
    /// # Errors
    /// As [`Log::read_selected_backward`]; none of the log in memory.
    pub async fn read_selected_backward(
        &self,
        selection: &Selection,
        before: Position,
        limit: usize,
    ) -> Result<Page, Error> {
        match self {
            Self::Postgres(log) => {
                let page = log.read_selected_backward(selection, before, limit);
                page.await
            }
            Self::Memory(log) => Ok(log.read_selected_backward(selection, before, limit)),
        }
    }

    /// See [`Log::walk_stream`].
    pub fn walk_stream(&self, tenant: &Tenant, stream: &str, after: Version) -> Walk {
        match self {
            Self::Postgres(log) => log.walk_stream(tenant, stream, after),
            Self::Memory(log) => log.walk_stream(tenant, stream, after),
        }
    }

    /// See [`Log::walk_stream_backward`].
    pub fn walk_stream_backward(&self, tenant: &Tenant, stream: &str, before: Version) -> Walk {
        match self {
            Self::Postgres(log) => log.walk_stream_backward(tenant, stream, before),
            Self::Memory(log) => log.walk_stream_backward(tenant, stream, before),
        }
    }

    /// See [`Log::walk`].
    pub fn walk(&self, selection: &Selection, after: Position) -> Walk {
        match self {
            Self::Postgres(log) => log.walk(selection, after),
            Self::Memory(log) => log.walk(selection, after),
        }
    }

    /// See [`Log::position_of`].
    ///
    /// # Errors
    /// As [`Log::position_of`], or as [`MemoryLog::position_of`].
    pub async fn position_of(&self, cursor: &Cursor) -> Result<Position, Error> {
        match self {
            Self::Postgres(log) => log.position_of(cursor).await,
            Self::Memory(log) => log.position_of(cursor),
        }
    }

    /// See [`Log::head`].
    ///
    /// # Errors
    /// As [`Log::head`]; none of the log in memory.
    pub async fn head(&self) -> Result<Mark, Error> {
        match self {
            Self::Postgres(log) => log.head().await,
            Self::Memory(log) => Ok(log.head()),
        }
    }

    /// See [`Log::position_at`].
    ///
    /// # Errors
    /// As [`Log::position_at`]; none of the log in memory.
    pub async fn position_at(&self, instant: DateTime<Utc>) -> Result<Position, Error> {
        match self {
            Self::Postgres(log) => log.position_at(instant).await,
            Self::Memory(log) => Ok(log.position_at(instant)),
        }
    }
}
