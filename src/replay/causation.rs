//! What led to what: the events of one correlation, each below the command that recorded it, and each command below what
//! caused it.
//!
//! The tree is made of what was recorded, whatever that says: a cause that is missing, or an effect of its own, leaves a command
//! at the top, and no event is lost.

use std::collections::{BTreeMap, HashMap, HashSet};

use foldline_events::Recorded;
use foldline_log::{Error, PAGE_EVENTS_MAX, Selection};
use serde::Serialize;
use uuid::Uuid;

use super::source::Source;

/// How many events are taken into a tree.
const CAUSATION_EVENTS_MAX: usize = 2_000;
/// How many bytes their payloads may take together.
const CAUSATION_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A line of the tree, below what stands before it with less depth.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) depth: usize,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    /// The command that recorded an event, its first, here without its payload.
    Command {
        first: Box<Recorded>,
        cause: Cause,
    },
    Event(Box<Recorded>),
}

/// What the causation id of a command names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Cause {
    /// Nothing before it.
    Itself,
    Event,
    Command,
    /// None of these events.
    Missing,
    /// What the command led to itself.
    Cycle,
}

/// What becomes of the payloads of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payloads {
    Kept,
    /// Nobody looks at them, so they need no room.
    Dropped,
}

/// The events of a correlation.
pub(super) struct Related {
    /// In order of position.
    pub(super) events: Vec<Recorded>,
    /// Whether there are more than are taken.
    pub(super) is_cut: bool,
}

/// All events with the correlation of an event or command, or with this correlation id.
///
/// # Errors
/// As of [`foldline_log::AnyLog::read_selected`].
pub(super) async fn related(
    source: &Source,
    id: Uuid,
    payloads: Payloads,
) -> Result<Related, Error> {
    let correlation_id = match source.find(id).await? {
        Some(found) => {
            let event = source.log.read(found.first - 1, 1).await?;
            event.first().map_or(id, |event| event.correlation_id)
        }
        None => id,
    };
    of_correlation(source, correlation_id, payloads).await
}

/// All events with a correlation id.
///
/// # Errors
/// As of [`foldline_log::AnyLog::read_selected`].
pub(super) async fn of_correlation(
    source: &Source,
    correlation_id: Uuid,
    payloads: Payloads,
) -> Result<Related, Error> {
    let selection = Selection {
        correlation_id: Some(correlation_id),
        ..source.of_tenant()
    };
    let (mut events, mut bytes, mut after) = (Vec::new(), 0, 0);
    loop {
        let wanted = (CAUSATION_EVENTS_MAX + 1 - events.len()).min(PAGE_EVENTS_MAX);
        let page = source.log.read_selected(&selection, after, wanted).await?;
        for mut event in page.events {
            match payloads {
                Payloads::Kept => bytes += event.payload.len(),
                Payloads::Dropped => event.payload = String::new(),
            }
            if events.len() == CAUSATION_EVENTS_MAX || bytes > CAUSATION_BYTES_MAX {
                let is_cut = true;
                return Ok(Related { events, is_cut });
            }
            events.push(event);
        }
        if page.through >= page.head {
            let is_cut = false;
            return Ok(Related { events, is_cut });
        }
        after = page.through;
    }
}

/// The events as a tree, causes above their effects, both in order of position.
pub(super) fn tree(events: &[Recorded]) -> Vec<Row> {
    let tree = Tree::of(events);
    let mut rows = Vec::new();
    let mut seen = HashSet::new();
    let tops = tree
        .order
        .iter()
        .filter_map(|command| match tree.cause(*command) {
            Cause::Event | Cause::Command => None,
            cause @ (Cause::Itself | Cause::Missing | Cause::Cycle) => Some((*command, cause)),
        });
    for (command, cause) in tops {
        tree.push_below(command, cause, &mut seen, &mut rows);
    }
    // Whoever is not below any of these is in a circle of causes, or below one.
    for command in &tree.order {
        if !seen.contains(command) {
            let top = tree.circle_above(*command);
            tree.push_below(top, Cause::Cycle, &mut seen, &mut rows);
        }
    }
    rows
}

struct Tree<'a> {
    commands: HashMap<Uuid, Vec<&'a Recorded>>,
    /// The commands by their first positions.
    order: Vec<Uuid>,
    /// By the id of an event, who recorded it.
    recorded_by: HashMap<Uuid, Uuid>,
    /// By the id of a command or an event, the commands that it caused.
    effects: BTreeMap<Uuid, Vec<Uuid>>,
}

impl<'a> Tree<'a> {
    fn of(events: &'a [Recorded]) -> Self {
        let mut tree = Self {
            commands: HashMap::new(),
            order: Vec::new(),
            recorded_by: HashMap::new(),
            effects: BTreeMap::new(),
        };
        for event in events {
            let of_command = tree.commands.entry(event.command_id).or_default();
            if of_command.is_empty() {
                tree.order.push(event.command_id);
                let effects = tree.effects.entry(event.causation_id).or_default();
                effects.push(event.command_id);
            }
            of_command.push(event);
            tree.recorded_by.insert(event.id, event.command_id);
        }
        tree
    }

    fn cause(&self, command: Uuid) -> Cause {
        let causation_id = self.first(command).causation_id;
        if causation_id == command {
            Cause::Itself
        } else if self.recorded_by.get(&causation_id) == Some(&command) {
            Cause::Cycle
        } else if self.recorded_by.contains_key(&causation_id) {
            Cause::Event
        } else if self.commands.contains_key(&causation_id) {
            Cause::Command
        } else {
            Cause::Missing
        }
    }

    /// Of the causes of a command, one after the other, the first that comes again.
    fn circle_above(&self, command: Uuid) -> Uuid {
        let (mut passed, mut at) = (HashSet::new(), command);
        while passed.insert(at) {
            let causation_id = self.first(at).causation_id;
            let by_event = self.recorded_by.get(&causation_id).copied();
            let by_command = || self.commands.contains_key(&causation_id);
            match by_event.or_else(|| by_command().then_some(causation_id)) {
                Some(cause) => at = cause,
                None => break,
            }
        }
        at
    }

    fn first(&self, command: Uuid) -> &'a Recorded {
        self.commands[&command][0]
    }

    /// A command with its events, and below each what it caused. It keeps its own stack: chains of causes may be long.
    fn push_below(
        &self,
        command: Uuid,
        cause: Cause,
        seen: &mut HashSet<Uuid>,
        rows: &mut Vec<Row>,
    ) {
        enum Next<'a> {
            Command(Uuid, Cause, usize),
            Event(&'a Recorded, usize),
        }
        let mut stack = vec![Next::Command(command, cause, 0)];
        while let Some(next) = stack.pop() {
            match next {
                Next::Command(command, cause, depth) => {
                    if !seen.insert(command) {
                        continue;
                    }
                    let first = Box::new(without_payload(self.first(command)));
                    let what = What::Command { first, cause };
                    rows.push(Row { depth, what });
                    let caused = self.caused_by(command, command).rev();
                    stack.extend(caused.map(|it| Next::Command(it, Cause::Command, depth + 1)));
                    let events = self.commands[&command].iter().rev();
                    stack.extend(events.map(|event| Next::Event(event, depth + 1)));
                }
                Next::Event(event, depth) => {
                    let what = What::Event(Box::new(event.clone()));
                    rows.push(Row { depth, what });
                    let caused = self.caused_by(event.id, event.command_id).rev();
                    stack.extend(caused.map(|it| Next::Command(it, Cause::Event, depth + 1)));
                }
            }
        }
    }

    /// The commands that a command or an event caused, but itself.
    fn caused_by(&self, id: Uuid, itself: Uuid) -> impl DoubleEndedIterator<Item = Uuid> {
        let effects = self.effects.get(&id).into_iter().flatten();
        effects.copied().filter(move |effect| *effect != itself)
    }
}

fn without_payload(event: &Recorded) -> Recorded {
    Recorded {
        payload: String::new(),
        tags: vec![],
        trace_context: None,
        tenant: event.tenant.clone(),
        stream: event.stream.clone(),
        event_type: event.event_type.clone(),
        actor: event.actor.clone(),
        ..*event
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::testing::{command, log, recorded, source, task_renamed, tenant};

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    /// The event at a position, with this as its id too, of a command that something caused.
    fn event(position: i64, command: u128, cause: u128) -> Recorded {
        Recorded {
            command_id: id(command),
            causation_id: id(cause),
            ..recorded(position, "task-1", position)
        }
    }

    /// Depth and name of each row.
    fn lines(events: &[Recorded]) -> Vec<String> {
        let rows = tree(events).into_iter();
        rows.map(|row| {
            let indent = "-".repeat(row.depth);
            match row.what {
                What::Command { first, cause } => {
                    format!("{indent}command {} {cause:?}", first.command_id.as_u128())
                }
                What::Event(event) => format!("{indent}{}", event.position),
            }
        })
        .collect()
    }

    #[test]
    fn effects_stand_below_what_caused_them_in_order_of_position() {
        let events = [
            event(1, 101, 101),
            event(2, 101, 101),
            event(3, 102, 2),
            event(4, 103, 101),
            event(5, 104, 1),
            event(6, 105, 3),
        ];
        let expected = [
            "command 101 Itself",
            "-1",
            "--command 104 Event",
            "---5",
            "-2",
            "--command 102 Event",
            "---3",
            "----command 105 Event",
            "-----6",
            "-command 103 Command",
            "--4",
        ];
        assert_eq!(lines(&events), expected);
    }

    #[test]
    fn orphans_and_circles_are_shown_once_at_the_top_and_nothing_is_lost() {
        let events = [
            event(1, 101, 999),
            event(2, 102, 3),
            event(3, 103, 2),
            event(4, 104, 4),
            event(5, 105, 4),
        ];
        let expected = [
            "command 101 Missing",
            "-1",
            "command 104 Cycle",
            "-4",
            "--command 105 Event",
            "---5",
            "command 102 Cycle",
            "-2",
            "--command 103 Event",
            "---3",
        ];
        assert_eq!(lines(&events), expected);
    }

    #[test]
    fn what_a_circle_caused_stands_below_it_and_is_not_told_to_be_one() {
        let events = [
            event(1, 101, 2),
            event(2, 102, 4),
            event(3, 103, 2),
            event(4, 104, 3),
        ];
        let expected = [
            "command 102 Cycle",
            "-2",
            "--command 101 Event",
            "---1",
            "--command 103 Event",
            "---3",
            "----command 104 Event",
            "-----4",
        ];
        assert_eq!(lines(&events), expected);
    }

    #[tokio::test]
    async fn payloads_that_are_kept_are_bounded_together_and_those_that_are_not_shown_are_dropped()
    {
        const EACH_BYTES: usize = 200 * 1024;
        let log = log();
        for _ in 0..9 {
            let renamed = vec![task_renamed(&"x".repeat(EACH_BYTES)); 10];
            let mut append = command(&tenant(), 10, renamed);
            append.correlation_id = id(7);
            log.append(&append).unwrap();
        }
        let source = source(&log, None);
        for (payloads, events, is_cut) in
            [(Payloads::Kept, 81, true), (Payloads::Dropped, 90, false)]
        {
            let related = of_correlation(&source, id(7), payloads);
            let related = related.await.unwrap();
            assert_eq!((related.events.len(), related.is_cut), (events, is_cut));
        }
    }

    #[test]
    fn a_chain_as_long_as_a_tree_may_be_is_shown() {
        let chain = i64::try_from(CAUSATION_EVENTS_MAX).unwrap();
        let events: Vec<Recorded> = (1..=chain)
            .map(|n| {
                event(
                    n,
                    10_000 + n.unsigned_abs() as u128,
                    (n.unsigned_abs() as u128 - 1).max(1),
                )
            })
            .collect();
        assert_eq!(tree(&events).len(), 2 * events.len());
    }
}
