//! An append that nobody else waits beside, on its way into the database: `sql/append_one.sql`.

use foldline_events::{Cursor, Position, partition_of};
use sqlx::PgConnection;

use super::identity::Identity;
use crate::{Append, Expected, NewEvent, Receipt, Verdict, Write};

/// One event for one stream whose version is known.
pub(super) struct Lone<'a> {
    append: &'a Append,
    write: &'a Write,
    expected: i64,
    event: &'a NewEvent,
}

impl<'a> Lone<'a> {
    /// `None` for what only the general way can append.
    pub(super) fn from(append: &'a Append) -> Option<Self> {
        let [write] = &append.writes[..] else {
            return None;
        };
        let [event] = &write.events[..] else {
            return None;
        };
        let tags = &event.encoded.tags;
        if tags
            .iter()
            .enumerate()
            .any(|(index, tag)| tags[..index].contains(tag))
        {
            return None;
        }
        let expected = match write.expected {
            Expected::Any | Expected::Exists => return None,
            Expected::NoStream => 0,
            Expected::Exactly(version) => version,
        };
        Some(Self {
            append,
            write,
            expected,
            event,
        })
    }

    /// `None` when something stands in the way; the general way says what.
    pub(super) async fn execute(
        &self,
        connection: &mut PgConnection,
        log: Identity,
    ) -> Result<Option<Verdict>, sqlx::Error> {
        let (append, encoded) = (self.append, &self.event.encoded);
        // Of a guard with several tags the first is enough: while no event carries it, none carries them all; and when one
        // does, the general way looks at the others.
        let guards = append.guards.iter().flat_map(|guard| {
            let types = guard.event_types.iter();
            types.map(move |event_type| (guard.tags[0].as_str(), event_type.as_str(), guard.after))
        });
        let (mut guard_tags, mut guard_types, mut guard_after) = (vec![], vec![], vec![]);
        for (tag, event_type, after) in guards {
            guard_tags.push(tag);
            guard_types.push(event_type);
            guard_after.push(after);
        }
        let partition = partition_of(&append.tenant, &self.write.stream);
        let position: Option<Position> = sqlx::query_scalar(
            "select log.append_one(
                 $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20
             )",
        )
        .bind(log.segment_positions)
        .bind(append.tenant.as_str())
        .bind(append.command_id)
        .bind(&append.input_hmac)
        .bind(&self.write.stream)
        .bind(self.expected)
        .bind(&guard_tags)
        .bind(&guard_types)
        .bind(&guard_after)
        .bind(partition)
        .bind(self.event.id)
        .bind(encoded.event_type)
        .bind(encoded.schema_version)
        .bind(&encoded.payload)
        .bind(&encoded.tags)
        .bind(&append.actor)
        .bind(append.correlation_id)
        .bind(append.causation_id)
        .bind(&append.trace_context)
        .bind(self.event.occurred_at_kept())
        .fetch_one(connection)
        .await?;
        Ok(position.map(|position| {
            Verdict::Appended(Receipt {
                stream: self.write.stream.clone(),
                version: self.expected + 1,
                cursor: Cursor {
                    epoch: log.epoch,
                    position,
                    partition: Some(partition),
                },
            })
        }))
    }
}
