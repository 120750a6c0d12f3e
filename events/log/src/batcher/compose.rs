//! Which of the waiting appends share the next batch.

use std::collections::HashSet;

use uuid::Uuid;

use super::{Request, cost::Cost, waiting::Waiting};
use crate::{Append, BYTES_PER_APPEND_MAX, EVENTS_PER_APPEND_MAX, SEEKS_PER_APPEND_MAX};

/// How many appends share a batch at most.
const BATCH_APPENDS_MAX: usize = 1_000;
/// How many events, bytes and looks of guards into the index of tags share a batch at most. One append may fill it alone.
const BATCH_EVENTS_MAX: usize = EVENTS_PER_APPEND_MAX;
const BATCH_BYTES_MAX: usize = BYTES_PER_APPEND_MAX;
const BATCH_SEEKS_MAX: usize = SEEKS_PER_APPEND_MAX;

/// What a whole batch is, in the unit of shares.
const WHOLE: usize = 1_000_000;

/// Takes the next batch from those waiting, in their turn, leaving behind each append that touches an earlier one, whether
/// that one is in the batch or was left behind itself.
pub(super) fn compose(waiting: &mut Waiting) -> Vec<Request> {
    let mut touched = Touched::default();
    let mut batch = Vec::new();
    let mut filled = Cost::default();
    for (turn, request) in waiting.in_turn() {
        let more = filled + request.cost;
        // The first always fits, unless a bound of appends outgrew that of batches; then it goes alone.
        if batch.len() >= BATCH_APPENDS_MAX || !(fits(more) || batch.is_empty()) {
            break;
        }
        let apart = touched.is_apart_from(&request.append);
        touched.add(&request.append);
        if apart {
            filled = more;
            batch.push(turn);
        } else {
            touched.guard(&request.append);
        }
    }
    waiting.take(&batch)
}

fn fits(cost: Cost) -> bool {
    cost.events <= BATCH_EVENTS_MAX
        && cost.bytes <= BATCH_BYTES_MAX
        && cost.seeks <= BATCH_SEEKS_MAX
}

/// How much of a batch an append takes, in millionths: of what it takes most of. By this tenants take turns.
pub(super) fn share(cost: Cost) -> u64 {
    let of = |part: usize, whole: usize| part * WHOLE / whole;
    let share = of(1, BATCH_APPENDS_MAX)
        .max(of(cost.events, BATCH_EVENTS_MAX))
        .max(of(cost.bytes, BATCH_BYTES_MAX))
        .max(of(cost.seeks, BATCH_SEEKS_MAX));
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// What the appends so far read or write, each by its tenant.
#[derive(Default)]
struct Touched<'a> {
    streams: HashSet<(&'a str, &'a str)>,
    commands: HashSet<(&'a str, Uuid)>,
    tags_written: HashSet<(&'a str, &'a str)>,
    /// The first tag of each guard of those left behind: an event that carries it would come before them, and may be what
    /// they exclude.
    tags_guarded: HashSet<(&'a str, &'a str)>,
}

impl<'a> Touched<'a> {
    fn is_apart_from(&self, append: &Append) -> bool {
        let tenant = append.tenant.as_str();
        let mut streams = append.writes.iter().map(|write| write.stream.as_str());
        // Only an event that carries all of a guard's tags could be excluded. Here it is enough that each was written by
        // somebody, of whatever type: then an append waits once too often, and is never decided on too old a state.
        let mut guards = append.guards.iter();
        let events = append.writes.iter().flat_map(|write| &write.events);
        let mut tags = events.flat_map(|event| &event.encoded.tags);
        !self.commands.contains(&(tenant, append.command_id))
            && streams.all(|stream| !self.streams.contains(&(tenant, stream)))
            && guards.all(|guard| {
                let mut tags = guard.tags.iter();
                tags.any(|tag| !self.tags_written.contains(&(tenant, tag.as_str())))
            })
            && tags.all(|tag| !self.tags_guarded.contains(&(tenant, tag.as_str())))
    }

    fn guard(&mut self, append: &'a Append) {
        let tenant = append.tenant.as_str();
        let first_tags = append.guards.iter().map(|guard| guard.tags[0].as_str());
        self.tags_guarded
            .extend(first_tags.map(|tag| (tenant, tag)));
    }

    fn add(&mut self, append: &'a Append) {
        let tenant = append.tenant.as_str();
        self.commands.insert((tenant, append.command_id));
        for write in &append.writes {
            self.streams.insert((tenant, &write.stream));
            for tag in write.events.iter().flat_map(|event| &event.encoded.tags) {
                self.tags_written.insert((tenant, tag));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use foldline_events::{Encoded, Tenant};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Expected, GUARD_SEEKS_MAX, Guard, NewEvent, PAYLOAD_BYTES_MAX, Write,
        batcher::{Places, admit},
    };

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

    fn of_tenant(tenant: &str, append: Append) -> Append {
        Append {
            tenant: Tenant::parse(tenant).unwrap(),
            ..append
        }
    }

    /// One that touches none with another number.
    fn numbered(tenant: &str, n: usize) -> Append {
        let mut append = of_tenant(tenant, append(0, 0, &[], &[]));
        append.command_id = Uuid::from_u128(n as u128);
        append.writes[0].stream = n.to_string();
        append
    }

    fn with_events(events: usize, mut append: Append) -> Append {
        let event = append.writes[0].events.remove(0);
        append.writes[0].events = vec![event; events];
        append
    }

    fn with_payloads(bytes: usize, append: Append) -> Append {
        let mut append = with_events(bytes.div_ceil(PAYLOAD_BYTES_MAX), append);
        for event in &mut append.writes[0].events {
            event.encoded.payload = "1".repeat(PAYLOAD_BYTES_MAX);
        }
        append
    }

    fn with_guard(types: usize, mut append: Append) -> Append {
        append.guards.push(Guard {
            tags: vec!["a:1".to_owned(), "b:1".to_owned()],
            event_types: (0..types).map(|n| n.to_string()).collect(),
            after: 0,
        });
        append
    }

    fn waiting(appends: impl IntoIterator<Item = Append>) -> Waiting {
        let mut waiting = Waiting::default();
        for append in appends {
            push(&mut waiting, append);
        }
        waiting
    }

    fn push(waiting: &mut Waiting, mut append: Append) {
        let cost = admit(&mut append).unwrap();
        let place = Places::default().take(&append.tenant, cost.bytes).unwrap();
        waiting.push(Request::new(append, cost, place).0);
    }

    fn batch(waiting: &mut Waiting) -> Vec<Append> {
        let batch = compose(waiting).into_iter();
        batch.map(|request| *request.append).collect()
    }

    fn count(batch: &[Append], tenant: &str) -> usize {
        let of_tenant = batch.iter().filter(|it| it.tenant.as_str() == tenant);
        of_tenant.count()
    }

    fn stream(append: &Append) -> &str {
        &append.writes[0].stream
    }

    /// Whether the earlier append would be refused for what the later one writes.
    fn excludes(earlier: &Append, later: &Append) -> bool {
        let tags = &later.writes[0].events[0].encoded.tags;
        earlier.tenant == later.tenant
            && (earlier.guards.iter()).any(|guard| guard.tags.iter().all(|tag| tags.contains(tag)))
    }

    /// Whether the later append may not be decided on the state before the earlier one.
    fn touches(earlier: &Append, later: &Append) -> bool {
        let tags = &earlier.writes[0].events[0].encoded.tags;
        earlier.tenant == later.tenant
            && (stream(earlier) == stream(later)
                || earlier.command_id == later.command_id
                || (later.guards.iter())
                    .any(|guard| guard.tags.iter().all(|tag| tags.contains(tag))))
    }

    #[test]
    fn a_flood_of_one_tenant_makes_another_wait_for_one_batch_only() {
        let flood = (0..3 * BATCH_APPENDS_MAX).map(|n| numbered("acme", n));
        let others = (0..2).map(|n| numbered("umbrella", n));
        let mut waiting = waiting(flood.chain(others));
        let batch = batch(&mut waiting);
        assert_eq!(batch.len(), BATCH_APPENDS_MAX);
        assert_eq!(count(&batch, "umbrella"), 2);
        let of_flood: Vec<u128> = batch
            .iter()
            .filter(|append| append.tenant.as_str() == "acme")
            .map(|append| append.command_id.as_u128())
            .collect();
        assert!(of_flood.is_sorted(), "a tenant's appends changed places");
    }

    /// Of a few appends that each fill a batch, and one small append of another tenant that came last.
    fn small_one_waits_for_one_batch_at_most(large: impl Fn(Append) -> Append) {
        let flood = (0..4).map(|n| large(numbered("acme", n)));
        let mut waiting = waiting(flood.chain([numbered("umbrella", 9)]));
        let first = batch(&mut waiting);
        let second = batch(&mut waiting);
        assert!(!waiting.is_empty(), "they were not too much for two");
        assert_eq!(count(&[first, second].concat(), "umbrella"), 1);
    }

    #[test]
    fn appends_with_many_events_do_not_hold_up_another_tenant() {
        small_one_waits_for_one_batch_at_most(|append| with_events(BATCH_EVENTS_MAX, append));
    }

    #[test]
    fn appends_with_large_payloads_do_not_hold_up_another_tenant() {
        small_one_waits_for_one_batch_at_most(|append| {
            with_payloads(BATCH_BYTES_MAX - PAYLOAD_BYTES_MAX, append)
        });
    }

    #[test]
    fn appends_with_costly_guards_do_not_hold_up_another_tenant() {
        small_one_waits_for_one_batch_at_most(|append| {
            with_guard(BATCH_SEEKS_MAX / GUARD_SEEKS_MAX, append)
        });
    }

    #[test]
    fn two_tenants_that_always_wait_get_equal_shares_however_large_their_appends_are() {
        const LARGE_EVENTS: usize = 100;
        let large = (0..100).map(|n| with_events(LARGE_EVENTS, numbered("acme", n)));
        let small = (0..4_000).map(|n| numbered("umbrella", n));
        let mut waiting = waiting(large.chain(small));
        let batches: Vec<Append> = (0..6).flat_map(|_| batch(&mut waiting)).collect();
        let of_large = count(&batches, "acme") * LARGE_EVENTS;
        let of_small = count(&batches, "umbrella");
        assert!(of_large + of_small > 5 * BATCH_EVENTS_MAX);
        assert!(
            of_large.abs_diff(of_small) <= LARGE_EVENTS,
            "{of_large} and {of_small} events"
        );
    }

    #[test]
    fn a_tenant_that_comes_later_gets_its_share_and_no_more() {
        let mut waiting = waiting((0..4_000).map(|n| numbered("acme", n)));
        batch(&mut waiting);
        for n in 0..2_000 {
            push(&mut waiting, numbered("umbrella", n));
        }
        assert_eq!(
            count(&batch(&mut waiting), "umbrella"),
            BATCH_APPENDS_MAX / 2
        );
    }

    #[test]
    fn a_large_append_gets_its_turn_however_many_small_ones_keep_coming() {
        const OTHERS: usize = 20;
        let mut waiting = waiting([with_events(BATCH_EVENTS_MAX, numbered("acme", 0))]);
        let mut n = 0;
        for round in 0.. {
            while waiting.len() <= 2 * BATCH_APPENDS_MAX {
                n += 1;
                push(&mut waiting, numbered(&format!("other-{}", n % OTHERS), n));
            }
            if count(&batch(&mut waiting), "acme") == 1 {
                break;
            }
            assert!(round <= OTHERS, "it waited for more than a batch of each");
        }
    }

    #[test]
    fn a_batch_is_bounded_in_events_and_one_append_may_fill_it_alone() {
        let sizes = [BATCH_EVENTS_MAX, 1, BATCH_EVENTS_MAX - 1, 1];
        assert_eq!(sizes_of_batches(sizes, with_events), [1, 2, 1]);
    }

    #[test]
    fn a_batch_is_bounded_in_bytes_and_one_append_may_fill_it_alone() {
        let all = BATCH_BYTES_MAX - PAYLOAD_BYTES_MAX;
        let half = (all - PAYLOAD_BYTES_MAX) / 2;
        let sizes = [all, half, half, all];
        assert_eq!(sizes_of_batches(sizes, with_payloads), [1, 2, 1]);
    }

    #[test]
    fn a_batch_is_bounded_in_what_its_guards_may_cost_and_one_append_may_fill_it_alone() {
        let all = BATCH_SEEKS_MAX / GUARD_SEEKS_MAX;
        let sizes = [all, 1, all - 1, 1];
        assert_eq!(sizes_of_batches(sizes, with_guard), [1, 2, 1]);
    }

    fn sizes_of_batches(sizes: [usize; 4], with: impl Fn(usize, Append) -> Append) -> Vec<usize> {
        let appends = (0..).zip(sizes);
        let mut waiting = waiting(appends.map(|(n, size)| with(size, numbered("acme", n))));
        let mut batches = Vec::new();
        while !waiting.is_empty() {
            batches.push(compose(&mut waiting).len());
        }
        batches
    }

    proptest! {
        #[test]
        fn batches_hold_every_append_once_and_behave_as_one_after_another(
            appends in prop::collection::vec(
                (
                    (0_u8..2, 0_u8..6, 0_u8..40),
                    prop::collection::vec(0_u8..4, 0..3),
                    prop::collection::vec(0_u8..4, 0..3),
                    prop::sample::select(vec![1, 1, 400]),
                ),
                0..40,
            ),
        ) {
            let appends: Vec<Append> = appends
                .into_iter()
                .map(|((tenant, stream, command), tags, guard, events)| {
                    let append = append(stream, command, &tags, &guard);
                    with_events(events, of_tenant(&tenant.to_string(), append))
                })
                .collect();
            // The actor says which is which.
            let numbered = appends.iter().enumerate().map(|(n, append)| Append {
                actor: n.to_string(),
                ..append.clone()
            });
            let mut waiting = waiting(numbered);
            let mut batches: Vec<Vec<usize>> = Vec::new();
            while !waiting.is_empty() {
                let batch = batch(&mut waiting);
                prop_assert!(!batch.is_empty(), "an empty batch would be written for ever");
                let numbers = batch.iter().map(|append| append.actor.parse().unwrap());
                batches.push(numbers.collect());
            }
            let batch_of = |append| batches.iter().position(|batch| batch.contains(&append)).unwrap();
            for earlier in 0..appends.len() {
                for later in earlier + 1..appends.len() {
                    let overtaken = excludes(&appends[earlier], &appends[later])
                        && batch_of(later) < batch_of(earlier);
                    prop_assert!(!overtaken, "one that came later stands in the way of one that came before");
                }
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
                    let (one, other) = (&appends[*earlier], &appends[*later]);
                    let same_stream = one.tenant == other.tenant && stream(one) == stream(other);
                    prop_assert!(!same_stream || earlier < later, "a stream's appends changed places");
                }
            }
            all.sort_unstable();
            prop_assert_eq!(all, (0..appends.len()).collect::<Vec<_>>());
        }
    }
}
