//! A batch on its way into the database: the arrays that `sql/append.sql` takes, and what its answer means.

use foldline_events::{Cursor, Position, Version, partition_of};
use sqlx::{
    Row,
    postgres::{PgArguments, PgRow},
    query::Query,
};
use uuid::Uuid;

use super::{TAG_SEPARATOR, identity::Identity};
use crate::{Append, Expected, NewEvent, Receipt, Verdict};

/// A batch as the arrays that `log.append` takes, in the order of its parameters.
#[derive(Default)]
pub(super) struct Columns<'a> {
    append_tenants: Vec<&'a str>,
    append_command_ids: Vec<Uuid>,
    append_input_hmacs: Vec<&'a [u8]>,
    append_streams: Vec<&'a str>,
    append_writes: Vec<i32>,
    append_last_offsets: Vec<i32>,
    append_partitions: Vec<Option<i16>>,
    write_appends: Vec<i32>,
    write_tenants: Vec<&'a str>,
    write_streams: Vec<&'a str>,
    write_expected: Vec<Option<i64>>,
    write_event_counts: Vec<i32>,
    write_last_offsets: Vec<i32>,
    guard_appends: Vec<i32>,
    guard_tenants: Vec<&'a str>,
    guard_tags: Vec<&'a str>,
    guard_types: Vec<&'a str>,
    guard_after: Vec<i64>,
    event_writes: Vec<i32>,
    event_numbers: Vec<i32>,
    event_partitions: Vec<i16>,
    event_ids: Vec<Uuid>,
    event_tenants: Vec<&'a str>,
    event_streams: Vec<&'a str>,
    event_types: Vec<&'a str>,
    event_schema_versions: Vec<i16>,
    event_payloads: Vec<&'a str>,
    event_tags: Vec<String>,
    event_actors: Vec<&'a str>,
    event_command_ids: Vec<Uuid>,
    event_correlation_ids: Vec<Uuid>,
    event_causation_ids: Vec<Uuid>,
    event_trace_contexts: Vec<Option<&'a str>>,
    event_occurred_at: Vec<chrono::DateTime<chrono::Utc>>,
    tag_offsets: Vec<i32>,
    tag_tenants: Vec<&'a str>,
    tag_tags: Vec<&'a str>,
    tag_types: Vec<&'a str>,
    /// Up to the last guard with several tags: `None` for those with one.
    guard_other_tags: Vec<Option<String>>,
}

impl<'a> Columns<'a> {
    pub(super) fn from(appends: impl IntoIterator<Item = &'a Append>) -> Self {
        let mut columns = Self::default();
        for append in appends {
            columns.add(append);
        }
        columns
    }

    fn add(&mut self, append: &'a Append) {
        let tenant = append.tenant.as_str();
        let append_number = number(self.append_tenants.len() + 1);
        for guard in &append.guards {
            let (tag, others) = guard
                .tags
                .split_first()
                .expect("a guard has a tag: it was checked");
            for event_type in &guard.event_types {
                if !others.is_empty() {
                    self.guard_other_tags.resize(self.guard_tags.len(), None);
                    self.guard_other_tags.push(Some(joined(others)));
                }
                self.guard_appends.push(append_number);
                self.guard_tenants.push(tenant);
                self.guard_tags.push(tag);
                self.guard_types.push(event_type);
                self.guard_after.push(guard.after);
            }
        }
        // The first stream with events is the one that the receipt speaks of.
        let mut answered: Option<(i32, &'a str)> = None;
        let mut partitions: Vec<i16> = Vec::with_capacity(append.writes.len());
        for write in &append.writes {
            let write_number = number(self.write_appends.len() + 1);
            self.write_appends.push(append_number);
            self.write_tenants.push(tenant);
            self.write_streams.push(&write.stream);
            self.write_expected.push(match write.expected {
                Expected::Any => None,
                Expected::Exists => Some(-1),
                Expected::NoStream => Some(0),
                Expected::Exactly(version) => Some(version),
            });
            self.write_event_counts.push(number(write.events.len()));
            if !write.events.is_empty() {
                answered.get_or_insert((write_number, &write.stream));
                let partition = partition_of(&append.tenant, &write.stream);
                partitions.push(partition);
                for (index, event) in write.events.iter().enumerate() {
                    self.event_writes.push(write_number);
                    self.event_numbers.push(number(index + 1));
                    self.event_partitions.push(partition);
                    self.event_streams.push(&write.stream);
                    self.add_event(append, event);
                }
            }
            self.write_last_offsets.push(number(self.event_ids.len()));
        }
        let (answered, stream) = answered.expect("an append has events: it was checked");
        self.append_tenants.push(tenant);
        self.append_command_ids.push(append.command_id);
        self.append_input_hmacs.push(&append.input_hmac);
        self.append_streams.push(stream);
        self.append_writes.push(answered);
        self.append_last_offsets.push(number(self.event_ids.len()));
        partitions.dedup();
        self.append_partitions.push(match partitions[..] {
            [partition] => Some(partition),
            _ => None,
        });
    }

    fn add_event(&mut self, append: &'a Append, event: &'a NewEvent) {
        let tenant = append.tenant.as_str();
        let encoded = &event.encoded;
        self.event_ids.push(event.id);
        self.event_tenants.push(tenant);
        self.event_types.push(encoded.event_type);
        self.event_schema_versions.push(encoded.schema_version);
        self.event_payloads.push(&encoded.payload);
        self.event_tags.push(joined(&encoded.tags));
        self.event_actors.push(&append.actor);
        self.event_command_ids.push(append.command_id);
        self.event_correlation_ids.push(append.correlation_id);
        self.event_causation_ids.push(append.causation_id);
        self.event_trace_contexts
            .push(append.trace_context.as_deref());
        self.event_occurred_at.push(event.occurred_at_kept());
        for (index, tag) in encoded.tags.iter().enumerate() {
            if !encoded.tags[..index].contains(tag) {
                self.tag_offsets.push(number(self.event_ids.len()));
                self.tag_tenants.push(tenant);
                self.tag_tags.push(tag);
                self.tag_types.push(encoded.event_type);
            }
        }
    }

    pub(super) fn query(&self, log: Identity) -> Query<'_, sqlx::Postgres, PgArguments> {
        sqlx::query(
            "select head, versions, refused_appends, refused_verdicts, refused_streams, refused_versions,
                 refused_positions, refused_partitions
             from log.append(
                 $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
                 $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40
             )",
        )
        .bind(log.segment_positions)
        .bind(&self.append_tenants)
        .bind(&self.append_command_ids)
        .bind(&self.append_input_hmacs)
        .bind(&self.append_streams)
        .bind(&self.append_writes)
        .bind(&self.append_last_offsets)
        .bind(&self.append_partitions)
        .bind(&self.write_appends)
        .bind(&self.write_tenants)
        .bind(&self.write_streams)
        .bind(&self.write_expected)
        .bind(&self.write_event_counts)
        .bind(&self.write_last_offsets)
        .bind(&self.guard_appends)
        .bind(&self.guard_tenants)
        .bind(&self.guard_tags)
        .bind(&self.guard_types)
        .bind(&self.guard_after)
        .bind(&self.event_writes)
        .bind(&self.event_numbers)
        .bind(&self.event_partitions)
        .bind(&self.event_ids)
        .bind(&self.event_tenants)
        .bind(&self.event_streams)
        .bind(&self.event_types)
        .bind(&self.event_schema_versions)
        .bind(&self.event_payloads)
        .bind(&self.event_tags)
        .bind(&self.event_actors)
        .bind(&self.event_command_ids)
        .bind(&self.event_correlation_ids)
        .bind(&self.event_causation_ids)
        .bind(&self.event_trace_contexts)
        .bind(&self.event_occurred_at)
        .bind(&self.tag_offsets)
        .bind(&self.tag_tenants)
        .bind(&self.tag_tags)
        .bind(&self.tag_types)
        .bind(&self.guard_other_tags)
    }

    /// What the database's answer says of each append; `None` of those that were neither stored nor refused, because
    /// others were refused.
    pub(super) fn verdicts(
        &self,
        answer: &PgRow,
        log: Identity,
    ) -> Result<Vec<Option<Verdict>>, sqlx::Error> {
        let refused: Option<Vec<i32>> = answer.try_get("refused_appends")?;
        match refused {
            None => self.receipts(answer, log),
            Some(refused) => self.refusals(answer, &refused, log),
        }
    }

    fn receipts(&self, answer: &PgRow, log: Identity) -> Result<Vec<Option<Verdict>>, sqlx::Error> {
        let head: Position = answer.try_get("head")?;
        let versions: Vec<Version> = answer.try_get("versions")?;
        let receipt = |index: usize| {
            let write = place(self.append_writes[index]);
            Receipt {
                stream: self.append_streams[index].to_owned(),
                version: versions[write] + i64::from(self.write_event_counts[write]),
                cursor: Cursor {
                    epoch: log.epoch,
                    position: head + i64::from(self.append_last_offsets[index]),
                    partition: self.append_partitions[index],
                },
            }
        };
        let appends = 0..self.append_tenants.len();
        Ok(appends
            .map(|index| Some(Verdict::Appended(receipt(index))))
            .collect())
    }

    fn refusals(
        &self,
        answer: &PgRow,
        refused: &[i32],
        log: Identity,
    ) -> Result<Vec<Option<Verdict>>, sqlx::Error> {
        let verdicts: Vec<String> = answer.try_get("refused_verdicts")?;
        let streams: Vec<Option<String>> = answer.try_get("refused_streams")?;
        let versions: Vec<Option<Version>> = answer.try_get("refused_versions")?;
        let positions: Vec<Option<Position>> = answer.try_get("refused_positions")?;
        let partitions: Vec<Option<i16>> = answer.try_get("refused_partitions")?;
        let mut all = vec![None; self.append_tenants.len()];
        for (index, append) in refused.iter().enumerate() {
            let stream = streams[index].clone().unwrap_or_default();
            let version = versions[index].unwrap_or_default();
            let position = positions[index].unwrap_or_default();
            let verdict = match verdicts[index].as_str() {
                "known" => Verdict::Known(Receipt {
                    stream,
                    version,
                    cursor: Cursor {
                        epoch: log.epoch,
                        position,
                        partition: partitions[index],
                    },
                }),
                "input_differs" => Verdict::InputDiffers,
                "conflict" => Verdict::Conflict { stream, version },
                "guarded" => Verdict::Guarded { by: position },
                other => {
                    let problem = format!("no such verdict: {other}");
                    return Err(sqlx::Error::Decode(problem.into()));
                }
            };
            all[place(*append)] = Some(verdict);
        }
        Ok(all)
    }
}

fn joined(tags: &[String]) -> String {
    tags.join(TAG_SEPARATOR.encode_utf8(&mut [0; 4]))
}

/// Arrays in the database are numbered from 1; batches are far too small to overflow.
fn number(count: usize) -> i32 {
    i32::try_from(count).expect("a batch has fewer than 2^31 elements")
}

/// The index here of a number there.
fn place(number: i32) -> usize {
    usize::try_from(number - 1).expect("numbers from the database begin at 1")
}
