//! A batch on its way into the database: the arrays that `sql/append.sql` takes.

use foldline_events::partition_of;
use uuid::Uuid;

use super::TAG_SEPARATOR;
use crate::{Append, Expected};

/// A batch as the arrays that `log.append` takes, in the order of its parameters.
#[derive(Default)]
pub(super) struct Columns<'a> {
    tenants: Vec<&'a str>,
    command_ids: Vec<Uuid>,
    input_hmacs: Vec<&'a [u8]>,
    actors: Vec<&'a str>,
    correlation_ids: Vec<Uuid>,
    causation_ids: Vec<Uuid>,
    trace_contexts: Vec<Option<&'a str>>,
    write_appends: Vec<i32>,
    write_streams: Vec<&'a str>,
    write_partitions: Vec<i16>,
    write_expected: Vec<Option<i64>>,
    guard_appends: Vec<i32>,
    guard_tags: Vec<&'a str>,
    guard_types: Vec<String>,
    guard_after: Vec<i64>,
    event_writes: Vec<i32>,
    event_ids: Vec<Uuid>,
    event_types: Vec<&'a str>,
    event_schema_versions: Vec<i16>,
    event_payloads: Vec<&'a str>,
    event_tags: Vec<String>,
    event_occurred_at: Vec<chrono::DateTime<chrono::Utc>>,
}

impl<'a> Columns<'a> {
    pub(super) fn from(appends: &[&'a Append]) -> Self {
        let mut columns = Self::default();
        for append in appends {
            columns.add(append);
        }
        columns
    }

    fn add(&mut self, append: &'a Append) {
        self.tenants.push(append.tenant.as_str());
        self.command_ids.push(append.command_id);
        self.input_hmacs.push(&append.input_hmac);
        self.actors.push(&append.actor);
        self.correlation_ids.push(append.correlation_id);
        self.causation_ids.push(append.causation_id);
        self.trace_contexts.push(append.trace_context.as_deref());
        let append_number = number(self.tenants.len());
        for guard in &append.guards {
            self.guard_appends.push(append_number);
            self.guard_tags.push(&guard.tag);
            self.guard_types.push(guard.event_types.join(","));
            self.guard_after.push(guard.after);
        }
        for write in &append.writes {
            self.write_appends.push(append_number);
            self.write_streams.push(&write.stream);
            self.write_partitions
                .push(partition_of(&append.tenant, &write.stream));
            self.write_expected.push(match write.expected {
                Expected::Any => None,
                Expected::Exists => Some(-1),
                Expected::NoStream => Some(0),
                Expected::Exactly(version) => Some(version),
            });
            let write_number = number(self.write_appends.len());
            for event in &write.events {
                self.event_writes.push(write_number);
                self.event_ids.push(event.id);
                self.event_types.push(event.encoded.event_type);
                self.event_schema_versions
                    .push(event.encoded.schema_version);
                self.event_payloads.push(&event.encoded.payload);
                self.event_tags
                    .push(event.encoded.tags.join(&TAG_SEPARATOR.to_string()));
                self.event_occurred_at.push(event.occurred_at);
            }
        }
    }

    pub(super) fn query(
        &self,
    ) -> sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments> {
        sqlx::query(
            "select append, verdict, stream, version, position, partition
             from log.append(
                 $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22
             )",
        )
        .bind(&self.tenants)
        .bind(&self.command_ids)
        .bind(&self.input_hmacs)
        .bind(&self.actors)
        .bind(&self.correlation_ids)
        .bind(&self.causation_ids)
        .bind(&self.trace_contexts)
        .bind(&self.write_appends)
        .bind(&self.write_streams)
        .bind(&self.write_partitions)
        .bind(&self.write_expected)
        .bind(&self.guard_appends)
        .bind(&self.guard_tags)
        .bind(&self.guard_types)
        .bind(&self.guard_after)
        .bind(&self.event_writes)
        .bind(&self.event_ids)
        .bind(&self.event_types)
        .bind(&self.event_schema_versions)
        .bind(&self.event_payloads)
        .bind(&self.event_tags)
        .bind(&self.event_occurred_at)
    }
}

/// Arrays in the database are numbered from 1; batches are far too small to overflow.
fn number(count: usize) -> i32 {
    i32::try_from(count).expect("a batch has fewer than 2^31 elements")
}
