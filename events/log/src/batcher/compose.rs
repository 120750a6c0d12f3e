//! Which of the waiting appends share the next batch.

use std::collections::{HashSet, VecDeque};

use uuid::Uuid;

use super::Request;
use crate::Append;

/// How many appends share a batch at most.
const BATCH_APPENDS_MAX: usize = 1_000;
/// How many bytes of payload share a batch at most; one append may exceed it alone.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Takes the next batch from those waiting, in their order, leaving behind each append that touches an earlier one,
/// whether that one is in the batch or was left behind itself.
pub(super) fn compose(waiting: &mut VecDeque<Request>) -> Vec<Request> {
    let mut touched = Touched::default();
    let mut batch = Vec::new();
    let mut left = VecDeque::new();
    let mut bytes = 0;
    while let Some(request) = waiting.pop_front() {
        let size = payload_bytes(&request.append);
        let full = batch.len() >= BATCH_APPENDS_MAX
            || (bytes + size > BATCH_BYTES_MAX && !batch.is_empty());
        if full {
            left.push_back(request);
            break;
        }
        let apart = touched.is_apart_from(&request.append);
        touched.add(&request.append);
        if apart {
            bytes += size;
            batch.push(request);
        } else {
            left.push_back(request);
        }
    }
    left.append(waiting);
    *waiting = left;
    batch
}

fn payload_bytes(append: &Append) -> usize {
    let events = append.writes.iter().flat_map(|write| &write.events);
    events.map(|event| event.encoded.payload.len()).sum()
}

/// What the appends so far read or write; each key with its tenant and kind.
#[derive(Default)]
struct Touched {
    streams_and_commands: HashSet<(String, String)>,
    tags_written: HashSet<(String, String)>,
}

impl Touched {
    fn is_apart_from(&self, append: &Append) -> bool {
        let tenant = append.tenant.as_str();
        let key = |name: &str| (tenant.to_owned(), name.to_owned());
        let streams_apart = append
            .writes
            .iter()
            .all(|write| !self.streams_and_commands.contains(&key(&write.stream)));
        let command_apart = !self
            .streams_and_commands
            .contains(&key(&command_key(append.command_id)));
        let guards_apart = append
            .guards
            .iter()
            .all(|guard| !self.tags_written.contains(&key(&guard.tag)));
        streams_apart && command_apart && guards_apart
    }

    fn add(&mut self, append: &Append) {
        let tenant = append.tenant.as_str();
        let key = |name: &str| (tenant.to_owned(), name.to_owned());
        self.streams_and_commands
            .insert(key(&command_key(append.command_id)));
        for write in &append.writes {
            self.streams_and_commands.insert(key(&write.stream));
            for tag in write.events.iter().flat_map(|event| &event.encoded.tags) {
                self.tags_written.insert(key(tag));
            }
        }
    }
}

/// A colon cannot begin a stream's name, so the two kinds of key never meet.
fn command_key(command_id: Uuid) -> String {
    format!(":{}", command_id.simple())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use foldline_events::{Encoded, Tenant};
    use proptest::prelude::*;

    use super::*;
    use crate::{Expected, Guard, NewEvent, Write};

    /// An append by small numbers, so that they often meet.
    fn append(stream: u8, command: u8, tag: Option<u8>, guard: Option<u8>) -> Append {
        let event = NewEvent {
            id: Uuid::nil(),
            encoded: Encoded {
                event_type: "test.Happened",
                schema_version: 1,
                payload: "{}".to_owned(),
                tags: tag.map(|tag| tag.to_string()).into_iter().collect(),
            },
            occurred_at: DateTime::UNIX_EPOCH,
        };
        Append {
            tenant: Tenant::parse("acme").unwrap(),
            command_id: Uuid::from_u128(command.into()),
            input_hmac: vec![],
            actor: String::new(),
            correlation_id: Uuid::nil(),
            causation_id: Uuid::nil(),
            trace_context: None,
            writes: vec![Write {
                stream: stream.to_string(),
                expected: Expected::Any,
                events: vec![event],
            }],
            guards: guard
                .map(|guard| Guard {
                    tag: guard.to_string(),
                    event_types: vec!["test.Happened".to_owned()],
                    after: 0,
                })
                .into_iter()
                .collect(),
        }
    }

    fn stream(append: &Append) -> &str {
        &append.writes[0].stream
    }

    /// Whether the later append may not be decided on the state before the earlier one.
    fn touches(earlier: &Append, later: &Append) -> bool {
        let tags = &earlier.writes[0].events[0].encoded.tags;
        stream(earlier) == stream(later)
            || earlier.command_id == later.command_id
            || later.guards.iter().any(|guard| tags.contains(&guard.tag))
    }

    proptest! {
        #[test]
        fn batches_hold_every_append_once_and_behave_as_one_after_another(
            appends in prop::collection::vec(
                (0_u8..6, 0_u8..40, prop::option::of(0_u8..4), prop::option::of(0_u8..4)),
                0..40,
            ),
        ) {
            let appends: Vec<Append> = appends
                .into_iter()
                .map(|(stream, command, tag, guard)| append(stream, command, tag, guard))
                .collect();
            // The actor says which is which.
            let mut waiting: VecDeque<Request> = VecDeque::new();
            for (n, append) in appends.iter().enumerate() {
                let numbered = Append { actor: n.to_string(), ..append.clone() };
                waiting.push_back(Request::new(numbered).0);
            }
            let mut batches: Vec<Vec<usize>> = Vec::new();
            while !waiting.is_empty() {
                let batch = compose(&mut waiting);
                prop_assert!(!batch.is_empty(), "an empty batch would be written for ever");
                let numbers = batch.iter().map(|request| request.append.actor.parse().unwrap());
                batches.push(numbers.collect());
            }
            let mut all: Vec<usize> = batches.iter().flatten().copied().collect();
            for batch in &batches {
                for (index, later) in batch.iter().enumerate() {
                    for earlier in &batch[..index] {
                        prop_assert!(!touches(&appends[*earlier], &appends[*later]));
                    }
                }
            }
            for (index, later) in all.iter().enumerate() {
                for earlier in &all[..index] {
                    let same_stream = stream(&appends[*earlier]) == stream(&appends[*later]);
                    prop_assert!(!same_stream || earlier < later, "a stream's appends changed places");
                }
            }
            all.sort_unstable();
            prop_assert_eq!(all, (0..appends.len()).collect::<Vec<_>>());
        }
    }
}
