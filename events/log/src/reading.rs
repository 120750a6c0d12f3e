//! Reading over the connections of the pool, each for a bounded time.
//!
//! The database bounds its own part of it. What it cannot bound is a network that swallows everything: then a reader would
//! wait until the system gives the connection up, which takes minutes, or for ever.

use std::{io, time::Duration};

use sqlx::{PgConnection, Postgres, pool::PoolConnection};

use crate::{Error, store::Inner};

/// How long one read may take. Above what the database gives a statement itself, so that a dead network is told from a slow
/// server.
const READ_TIMEOUT_MS: u64 = 12_000;

impl Inner {
    /// Reads over a connection of the pool.
    ///
    /// # Errors
    /// [`Error::AnotherLog`] or [`Error::AnotherEpoch`] once the log was found to be another; else [`Error::reading`]'s.
    pub(crate) async fn read<T>(
        &self,
        read: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Error> {
        let mut connection = self.connection().await?;
        let read = in_time(read(connection.get())).await?;
        connection.give_back();
        read.map_err(Error::reading)
    }

    pub(crate) async fn connection(&self) -> Result<Connection, Error> {
        self.seen.check()?;
        match self.pool.acquire().await {
            Ok(connection) => Ok(Connection(Some(connection))),
            // What was wrong with a new connection the pool does not say.
            Err(error) => {
                self.seen.check()?;
                Err(Error::reading(self.seen.take_trouble().unwrap_or(error)))
            }
        }
    }
}

/// A connection of the pool while something is read over it. One that is not given back is closed: whoever had it next would
/// wait for the rest of an answer that nobody takes.
pub(crate) struct Connection(Option<PoolConnection<Postgres>>);

impl Connection {
    pub(crate) fn get(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect("there until it is given back")
    }

    pub(crate) fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(mut connection) = self.0.take() {
            connection.close_on_drop();
        }
    }
}

/// Ends a read that takes longer than any may.
pub(crate) async fn in_time<T>(reading: impl Future<Output = T>) -> Result<T, Error> {
    let timeout = Duration::from_millis(READ_TIMEOUT_MS);
    let late = |_elapsed| Error::Read(sqlx::Error::Io(io::ErrorKind::TimedOut.into()));
    tokio::time::timeout(timeout, reading).await.map_err(late)
}
