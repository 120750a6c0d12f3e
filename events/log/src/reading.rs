//! Reading over the connections of the pool, each for a bounded time; what commands read, no tenant over more than its share of
//! them.
//!
//! The database bounds its own part of it. What it cannot bound is a network that swallows everything: then a reader would
//! wait until the system gives the connection up, which takes minutes, or for ever.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use foldline_events::Tenant;
use sqlx::{PgConnection, Postgres, pool::PoolConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    Error, Full,
    store::{ACQUIRE_TIMEOUT_MS, Inner},
};

/// How long one read may take. Above what the database gives a statement itself, so that a dead network is told from a slow
/// server.
const READ_TIMEOUT_MS: u64 = 12_000;

/// How many reads of one tenant may wait for its share; those beyond are turned away at once.
const READS_WAITING_MAX: usize = 2_048;

/// The pool gives connections to whoever came first. So that nobody waits behind a flood of another tenant's reads, each has at
/// most half of the connections at a time, and waits for those by itself.
#[derive(Debug)]
pub(crate) struct Shares {
    connections: usize,
    of: Mutex<HashMap<Tenant, Weak<OfTenant>>>,
}

#[derive(Debug)]
struct OfTenant {
    reading: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// A tenant may read over one connection while it holds this.
#[derive(Debug)]
pub(crate) struct Share {
    _of_tenant: Arc<OfTenant>,
    _reading: OwnedSemaphorePermit,
}

impl Shares {
    pub(crate) fn of(connections_max: u32) -> Self {
        let connections = usize::try_from(connections_max).unwrap_or(usize::MAX);
        Self {
            connections: (connections / 2).max(1),
            of: Mutex::default(),
        }
    }

    fn of_tenant(&self, tenant: &Tenant) -> Arc<OfTenant> {
        // Nothing panics while it holds the lock.
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let known = of.get(tenant).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            // Some tenants read nothing any more.
            of.retain(|_, share| share.strong_count() > 0);
            let share = Arc::new(OfTenant {
                reading: Arc::new(Semaphore::new(self.connections)),
                waiting: Arc::new(Semaphore::new(READS_WAITING_MAX)),
            });
            of.insert(tenant.clone(), Arc::downgrade(&share));
            share
        })
    }
}

impl Inner {
    /// Waits until a tenant may read.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when too many of its reads are waiting, or this has waited for too long.
    pub(crate) async fn share(&self, tenant: &Tenant) -> Result<Share, Error> {
        let full = || {
            metrics::counter!("foldline_log_reads_turned_away_total").increment(1);
            Error::Overloaded {
                tenant: tenant.clone(),
                full: Full::ReadsOfTenant,
            }
        };
        let of_tenant = self.shares.of_tenant(tenant);
        let waiting = of_tenant.waiting.clone().try_acquire_owned();
        let _waiting = waiting.map_err(|_none| full())?;
        let reading = of_tenant.reading.clone().acquire_owned();
        let wait = Duration::from_millis(ACQUIRE_TIMEOUT_MS);
        match tokio::time::timeout(wait, reading).await {
            Ok(Ok(reading)) => Ok(Share {
                _of_tenant: of_tenant,
                _reading: reading,
            }),
            Ok(Err(_)) | Err(_) => Err(full()),
        }
    }

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
