//! An import into an empty log, with recorded times of its own: all of it, or nothing.
//!
//! It is one transaction of the tables' owner, which holds the log's lock from its first batch on. An import that breaks
//! off leaves the log as empty as it was. Read `sql/append_offline.sql` for what is checked.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use foldline_events::{Position, Version, partition_of};
use sqlx::{Connection, PgConnection, Postgres, Transaction, postgres::PgConnectOptions};
use uuid::Uuid;

use crate::{
    Append, Error, Expected,
    batcher::{self, TAG_SEPARATOR},
    wake,
};

/// An append, and when it is to have been recorded. It has no guards, and its trace context is
/// dropped: it is of the import, not of what happened then.
#[derive(Debug, Clone)]
pub struct OfflineAppend {
    /// What is to be recorded.
    pub append: Append,
    /// Not before the append before it, and not in the future.
    pub recorded_at: DateTime<Utc>,
}

/// The connection of an import.
#[derive(Debug)]
pub struct Offline {
    connection: PgConnection,
}

/// What an import has written so far, and nobody sees before [`OfflineImport::commit`].
#[derive(Debug)]
pub struct OfflineImport<'a> {
    transaction: Transaction<'a, Postgres>,
    head: Position,
    versions: Versions,
}

impl Offline {
    /// Connects as whoever the options name: the owner of the log's tables.
    ///
    /// # Errors
    /// [`Error::Connect`].
    pub async fn connect(options: &PgConnectOptions) -> Result<Self, Error> {
        let connection = PgConnection::connect_with(options)
            .await
            .map_err(Error::Connect)?;
        Ok(Self { connection })
    }

    /// Begins the one import that this log may have. A log that is not empty is refused here already; were it written
    /// in between, by the first batch.
    ///
    /// # Errors
    /// [`Error::NotEmpty`] when the log has events, [`Error::NotMigrated`] when there is none, [`Error::Read`] when it cannot be
    /// looked at, as without the rights to.
    pub async fn begin(&mut self) -> Result<OfflineImport<'_>, Error> {
        let head: Position =
            sqlx::query_scalar("select coalesce(max(position), 0) from log.events")
                .fetch_one(&mut self.connection)
                .await
                .map_err(Error::reading)?;
        if head > 0 {
            return Err(Error::NotEmpty { head });
        }
        let transaction = self.connection.begin().await.map_err(Error::Connect)?;
        Ok(OfflineImport {
            transaction,
            head,
            versions: Versions::default(),
        })
    }
}

impl OfflineImport<'_> {
    /// Appends, one after another; several may write the same stream. An error ends the import.
    ///
    /// # Errors
    /// [`Error::Malformed`] for an append that breaks a rule or has a guard, [`Error::Refused`] when the database does not take it.
    /// Nothing of the import is stored then.
    pub async fn append(&mut self, appends: &[OfflineAppend]) -> Result<(), Error> {
        for OfflineAppend { append, .. } in appends {
            batcher::check_unguarded(append)?;
        }
        if appends.is_empty() {
            return Ok(());
        }
        let columns = Columns::from(appends, &mut self.versions)?;
        self.head = columns
            .query(self.head)
            .fetch_one(&mut *self.transaction)
            .await
            .map_err(Error::Refused)?;
        Ok(())
    }

    /// Makes it all visible at once, and wakes whoever reads. Returns the head.
    ///
    /// # Errors
    /// [`Error::Refused`]. Where the connection broke while it was being said, look at the head: all is stored, or nothing.
    pub async fn commit(mut self) -> Result<Position, Error> {
        // Nobody else writes now, so the instance-wide lock that this takes across the flush is in nobody's way.
        sqlx::query("select pg_notify($1, '')")
            .bind(wake::CHANNEL)
            .execute(&mut *self.transaction)
            .await
            .map_err(Error::Refused)?;
        self.transaction.commit().await.map_err(Error::Refused)?;
        Ok(self.head)
    }
}

/// Of every stream written so far, by tenant and name.
type Versions = HashMap<(String, String), Version>;

/// A batch as the arrays that `log.append_offline` takes, in the order of its parameters.
#[derive(Default)]
struct Columns<'a> {
    tenants: Vec<&'a str>,
    command_ids: Vec<Uuid>,
    input_hmacs: Vec<&'a [u8]>,
    actors: Vec<&'a str>,
    correlation_ids: Vec<Uuid>,
    causation_ids: Vec<Uuid>,
    recorded_at: Vec<DateTime<Utc>>,
    event_commands: Vec<i32>,
    event_writes: Vec<i32>,
    event_streams: Vec<&'a str>,
    event_partitions: Vec<i16>,
    event_versions: Vec<Version>,
    event_ids: Vec<Uuid>,
    event_types: Vec<&'a str>,
    event_schema_versions: Vec<i16>,
    event_payloads: Vec<&'a str>,
    event_tags: Vec<String>,
    event_occurred_at: Vec<DateTime<Utc>>,
}

impl<'a> Columns<'a> {
    fn from(appends: &'a [OfflineAppend], versions: &mut Versions) -> Result<Self, Error> {
        let mut columns = Self::default();
        for append in appends {
            columns.add(append, versions)?;
        }
        Ok(columns)
    }

    fn add(&mut self, offline: &'a OfflineAppend, versions: &mut Versions) -> Result<(), Error> {
        let append = &offline.append;
        self.tenants.push(append.tenant.as_str());
        self.command_ids.push(append.command_id);
        self.input_hmacs.push(&append.input_hmac);
        self.actors.push(&append.actor);
        self.correlation_ids.push(append.correlation_id);
        self.causation_ids.push(append.causation_id);
        self.recorded_at.push(offline.recorded_at);
        let command = number(self.tenants.len());
        for (index, write) in append.writes.iter().enumerate() {
            let partition = partition_of(&append.tenant, &write.stream);
            let key = (append.tenant.as_str().to_owned(), write.stream.clone());
            let known = versions.entry(key).or_default();
            let mut version = match write.expected {
                Expected::Any => *known,
                Expected::NoStream => 0,
                Expected::Exactly(version) => version,
                Expected::Exists if *known == 0 => {
                    let what = format!("there is no stream {} yet", write.stream);
                    return Err(Error::Malformed(what));
                }
                Expected::Exists => *known,
            };
            for event in &write.events {
                version += 1;
                self.event_commands.push(command);
                self.event_writes.push(number(index));
                self.event_streams.push(&write.stream);
                self.event_partitions.push(partition);
                self.event_versions.push(version);
                self.event_ids.push(event.id);
                self.event_types.push(event.encoded.event_type);
                self.event_schema_versions
                    .push(event.encoded.schema_version);
                self.event_payloads.push(&event.encoded.payload);
                self.event_tags
                    .push(event.encoded.tags.join(&TAG_SEPARATOR.to_string()));
                self.event_occurred_at.push(event.occurred_at_kept());
            }
            *known = version;
        }
        Ok(())
    }

    fn query(
        &self,
        after: Position,
    ) -> sqlx::query::QueryScalar<'_, Postgres, Position, sqlx::postgres::PgArguments> {
        sqlx::query_scalar(
            "select log.append_offline(
                 $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19
             )",
        )
        .bind(after)
        .bind(&self.tenants)
        .bind(&self.command_ids)
        .bind(&self.input_hmacs)
        .bind(&self.actors)
        .bind(&self.correlation_ids)
        .bind(&self.causation_ids)
        .bind(&self.recorded_at)
        .bind(&self.event_commands)
        .bind(&self.event_writes)
        .bind(&self.event_streams)
        .bind(&self.event_partitions)
        .bind(&self.event_versions)
        .bind(&self.event_ids)
        .bind(&self.event_types)
        .bind(&self.event_schema_versions)
        .bind(&self.event_payloads)
        .bind(&self.event_tags)
        .bind(&self.event_occurred_at)
    }
}

/// Batches are far too small to overflow.
fn number(count: usize) -> i32 {
    i32::try_from(count).expect("a batch has fewer than 2^31 elements")
}
