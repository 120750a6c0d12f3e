//! Which of the waiting appends share the next batch.

use std::collections::{HashMap, HashSet, VecDeque};

use foldline_events::Tenant;
use uuid::Uuid;

use super::Request;
use crate::{Append, NewEvent};

/// How many appends share a batch at most.
const BATCH_APPENDS_MAX: usize = 1_000;
/// How many events share a batch at most; one append may fill it alone.
const BATCH_EVENTS_MAX: usize = crate::EVENTS_PER_APPEND_MAX;
/// How many bytes of payload share a batch at most; one append may exceed it alone.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Takes the next batch from those waiting, in their order, leaving behind each append that touches an earlier one,
/// whether that one is in the batch or was left behind itself.
///
/// Where more wait than a batch holds, tenants take turns: one that floods makes others wait for a batch, not for all of its
/// appends.
pub(super) fn compose(waiting: &mut VecDeque<Request>) -> Vec<Request> {
    if waiting.len() > BATCH_APPENDS_MAX {
        take_turns(waiting);
    }
    let mut touched = Touched::default();
    let mut batch = Vec::new();
    let mut left = VecDeque::new();
    let (mut bytes, mut events) = (0, 0);
    while let Some(request) = waiting.pop_front() {
        let size = payload_bytes(&request.append);
        let more = events_of(&request.append).count();
        let full = batch.len() >= BATCH_APPENDS_MAX
            || (bytes + size > BATCH_BYTES_MAX && !batch.is_empty())
            || (events + more > BATCH_EVENTS_MAX && !batch.is_empty());
        if full {
            left.push_back(request);
            break;
        }
        let apart = touched.is_apart_from(&request.append);
        touched.add(&request.append);
        if apart {
            bytes += size;
            events += more;
            batch.push(request);
        } else {
            left.push_back(request);
        }
    }
    left.append(waiting);
    *waiting = left;
    batch
}

/// Puts the first append of each tenant first, then the second of each, and so on. Those of one tenant stay in their order,
/// and those of different tenants never touch each other.
fn take_turns(waiting: &mut VecDeque<Request>) {
    let mut of_tenant: HashMap<Tenant, usize> = HashMap::new();
    let mut turns: Vec<(usize, Request)> = Vec::with_capacity(waiting.len());
    for request in waiting.drain(..) {
        let turn = of_tenant.entry(request.append.tenant.clone()).or_default();
        *turn += 1;
        turns.push((*turn, request));
    }
    turns.sort_by_key(|(turn, _)| *turn);
    waiting.extend(turns.into_iter().map(|(_, request)| request));
}

fn events_of(append: &Append) -> impl Iterator<Item = &NewEvent> {
    append.writes.iter().flat_map(|write| &write.events)
}

fn payload_bytes(append: &Append) -> usize {
    let events = events_of(append);
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
        // Only an event that carries all of a guard's tags could be excluded. Here it is enough that each was written by
        // somebody, of whatever type: then an append waits once too often, and is never decided on too old a state.
        let guards_apart = append.guards.iter().all(|guard| {
            let mut tags = guard.tags.iter();
            tags.any(|tag| !self.tags_written.contains(&key(tag)))
        });
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
    use foldline_events::Encoded;
    use proptest::prelude::*;

    use super::*;
    use crate::{Expected, Guard, Write};

    /// An append by small numbers, so that they often meet.
    fn append(stream: u8, command: u8, tags: &[u8], guard: &[u8]) -> Append {
        let event = NewEvent {
            id: Uuid::nil(),
            encoded: Encoded {
                event_type: "test.Happened",
                schema_version: 1,
                payload: "{}".to_owned(),
                tags: tags.iter().map(u8::to_string).collect(),
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
            guards: match guard {
                [] => vec![],
                tags => vec![Guard {
                    tags: tags.iter().map(u8::to_string).collect(),
                    event_types: vec!["test.Happened".to_owned()],
                    after: 0,
                }],
            },
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
            || (later.guards.iter()).any(|guard| guard.tags.iter().all(|tag| tags.contains(tag)))
    }

    #[test]
    fn a_flood_of_one_tenant_makes_another_wait_for_one_batch_only() {
        let of_tenant = |tenant: &str, n: usize| Append {
            tenant: Tenant::parse(tenant).unwrap(),
            command_id: Uuid::from_u128(n as u128),
            writes: vec![Write {
                stream: n.to_string(),
                ..append(0, 0, &[], &[]).writes.remove(0)
            }],
            ..append(0, 0, &[], &[])
        };
        let flood = (0..3 * BATCH_APPENDS_MAX).map(|n| of_tenant("acme", n));
        let mut waiting: VecDeque<Request> = flood
            .chain([of_tenant("umbrella", 0), of_tenant("umbrella", 1)])
            .map(|append| Request::new(append).0)
            .collect();
        let batch = compose(&mut waiting);
        assert_eq!(batch.len(), BATCH_APPENDS_MAX);
        let of_other = batch
            .iter()
            .filter(|request| request.append.tenant.as_str() == "umbrella");
        assert_eq!(of_other.count(), 2);
        let of_flood: Vec<u128> = batch
            .iter()
            .filter(|request| request.append.tenant.as_str() == "acme")
            .map(|request| request.append.command_id.as_u128())
            .collect();
        assert!(of_flood.is_sorted(), "a tenant's appends changed places");
    }

    #[test]
    fn a_batch_is_bounded_in_events_and_one_append_may_fill_it_alone() {
        let with_events = |n: u8, events: usize| {
            let mut append = append(n, n, &[], &[]);
            let event = append.writes[0].events.remove(0);
            append.writes[0].events = vec![event; events];
            Request::new(append).0
        };
        let sizes = [BATCH_EVENTS_MAX, 1, BATCH_EVENTS_MAX - 1, 1];
        let mut waiting: VecDeque<Request> = (0..)
            .zip(sizes)
            .map(|(n, size)| with_events(n, size))
            .collect();
        let mut batches = Vec::new();
        while !waiting.is_empty() {
            batches.push(compose(&mut waiting).len());
        }
        assert_eq!(batches, [1, 2, 1]);
    }

    proptest! {
        #[test]
        fn batches_hold_every_append_once_and_behave_as_one_after_another(
            appends in prop::collection::vec(
                (0_u8..6, 0_u8..40, prop::collection::vec(0_u8..4, 0..3), prop::collection::vec(0_u8..4, 0..3)),
                0..40,
            ),
        ) {
            let appends: Vec<Append> = appends
                .into_iter()
                .map(|(stream, command, tags, guard)| append(stream, command, &tags, &guard))
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
