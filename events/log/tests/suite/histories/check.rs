//! What the log in memory, as the model, cannot explain of a history.

use std::collections::HashMap;

use foldline_events::{Position, Recorded};
use foldline_log::{Error, MemoryLog, Verdict};
use uuid::Uuid;

use super::Call;
use crate::store::at;

/// Replays a history append by append and says what the model cannot explain:
///
/// - positions are 1 to n, times of recording never decrease, and each event is as the model records it (versions,
///   partition, everything that was sent), so that appends are whole and one after another;
/// - each recorded append was sent, and the model accepts it where it stands: versions expected, guards and command
///   id allowed it;
/// - of the calls that sent it at most one was told `Appended`, exactly one if no connection was killed, with the
///   model's receipt, and it lies between the heads that the caller saw; if none was, another was told that it is
///   known, or nobody knows;
/// - every other answer, refusals included, is the model's own answer in some state between the heads that the
///   caller saw before and after;
/// - no outcome is unknown if no connection was killed.
pub fn complaint(
    history: &[Recorded],
    calls: &[Call],
    epoch: Uuid,
    kills: usize,
) -> Option<String> {
    let model = MemoryLog::new(epoch, at);
    let senders = senders(calls);
    let mut unexplained: Vec<&Call> = calls.iter().filter(|call| needs_a_state(call)).collect();
    let mut appended = 0;
    let mut reached = 0;
    loop {
        unexplained.retain(|call| !explains(&model, reached, call));
        let Some(next) = usize::try_from(reached).ok().and_then(|it| history.get(it)) else {
            break;
        };
        let Some(of_append) = senders.get(&next.id) else {
            return Some(format!("nobody sent {next:?}"));
        };
        let verdict = model.append(&of_append[0].append);
        let Ok(Verdict::Appended(receipt)) = verdict else {
            return Some(format!(
                "recorded is {next:?}, but the model says {verdict:?}"
            ));
        };
        let end = receipt.cursor.position;
        if let Some(fault) = recorded_fault(history, &model.read(reached, usize::MAX).unwrap()) {
            return Some(fault);
        }
        let stored = Ok(Verdict::Appended(receipt));
        let told = of_append.iter().filter(|call| same(&call.answer, &stored));
        let told: Vec<_> = told.collect();
        let in_time = |call: &&&Call| call.before <= reached && end <= call.after;
        let doubtful = of_append.iter().any(|call| {
            matches!(
                call.answer,
                Ok(Verdict::Known(_))
                    | Err(Error::Unavailable {
                        is_unknown: true,
                        ..
                    })
            )
        });
        let is_told = told.len() == 1 || (told.is_empty() && kills > 0 && doubtful);
        if !is_told || !told.iter().all(in_time) {
            return Some(format!("stored is {stored:?}, and told was {of_append:?}"));
        }
        appended += told.len();
        reached = end;
    }
    let told = calls
        .iter()
        .filter(|call| matches!(call.answer, Ok(Verdict::Appended(_))));
    if told.count() != appended {
        return Some("somebody was told that an append is stored which is not".to_owned());
    }
    let unknown = |call: &&Call| matches!(call.answer, Err(Error::Unavailable { .. }));
    if kills == 0 && calls.iter().any(|call| unknown(&call)) {
        return Some("an outcome is unknown without need".to_owned());
    }
    unexplained.first().map(|call| {
        let now = model.decide(&call.append);
        format!("no state explains {call:?}; at the end it would be {now:?}")
    })
}

/// The calls that sent an append, by the id of its first event.
fn senders(calls: &[Call]) -> HashMap<Uuid, Vec<&Call>> {
    let mut senders: HashMap<Uuid, Vec<&Call>> = HashMap::new();
    for call in calls {
        let mut events = call.append.writes.iter().flat_map(|write| &write.events);
        // One that only checks is nothing that could be stored.
        if let Some(first) = events.next() {
            senders.entry(first.id).or_default().push(call);
        }
    }
    senders
}

/// Whether the answer is about a state of the log in which nothing was stored.
fn needs_a_state(call: &Call) -> bool {
    !matches!(
        call.answer,
        Ok(Verdict::Appended(_)) | Err(Error::Unavailable { .. })
    )
}

fn explains(model: &MemoryLog, reached: Position, call: &Call) -> bool {
    (call.before..=call.after).contains(&reached) && same(&call.answer, &model.decide(&call.append))
}

fn same(one: &Result<Verdict, Error>, other: &Result<Verdict, Error>) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => one == other,
        (Err(Error::Malformed(_)), Err(Error::Malformed(_))) => true,
        (
            Err(Error::BeyondHead { position, head }),
            Err(Error::BeyondHead {
                position: other_position,
                head: other_head,
            }),
        ) => position == other_position && head == other_head,
        _ => false,
    }
}

/// Compares what the model has just recorded, whose clock stands still, with what stands at the same positions.
fn recorded_fault(history: &[Recorded], modelled: &[Recorded]) -> Option<String> {
    for expected in modelled {
        let index = usize::try_from(expected.position - 1).unwrap();
        let Some(found) = history.get(index) else {
            return Some(format!("not recorded is {expected:?}"));
        };
        let expected = Recorded {
            recorded_at: found.recorded_at,
            ..expected.clone()
        };
        if *found != expected {
            return Some(format!("recorded is {found:?} in place of {expected:?}"));
        }
        let is_earlier = |before: &Recorded| found.recorded_at < before.recorded_at;
        if index > 0 && is_earlier(&history[index - 1]) {
            return Some(format!("recorded before its predecessor is {found:?}"));
        }
    }
    None
}
