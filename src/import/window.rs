//! Which commands may be sent: the order that an import keeps.
//!
//! The service keeps the order of a request, and two requests have none. So a command is sent when every earlier one
//! that it depends on was answered, or goes before it in the same request. It depends on those of its own stream and
//! on those that write the project it refers to; and a command on a project depends on those that refer to the
//! project, so that a task created before an archival stays before it. And it depends on those that concern the same key
//! of a task, so that a key that is given back is free for the next. Everything else goes in any order.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::Hash,
};

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// How many commands wait at most.
pub(super) const WINDOW_COMMANDS_MAX: usize = 20_000;
/// How many bytes of commands wait before no more is read.
const WINDOW_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How many bytes of commands go in one request; the service takes twice as many.
const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How many tasks' keys are remembered, so that it is known which one a task gives back. Beyond it all are forgotten:
/// then a key that changes hands may be asked for too early, and the command be rejected.
const KEYED_TASKS_MAX: usize = 1_000_000;

/// A command that was not answered yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Pending {
    /// Where it stands in the file, from 1.
    pub(super) line: u64,
    /// As it is written there.
    pub(super) text: String,
    /// Names its stream. The kind is not looked at: a task with a project's id would only wait needlessly.
    pub(super) aggregate: Uuid,
    /// When it happened.
    pub(super) at: Option<DateTime<Utc>>,
    /// The project it refers to without writing it.
    pub(super) project: Option<Uuid>,
    /// Whether it says which key its task has.
    pub(super) sets_key: bool,
    /// The key that it names; once it waits in the window, also those that the task may give back by it.
    pub(super) keys: Vec<String>,
    /// The code with which it must be rejected.
    pub(super) expect: Option<String>,
}

/// Commands in file order, from the first that was not sent yet.
#[derive(Debug, Default)]
pub(super) struct Window {
    waiting: VecDeque<Pending>,
    waiting_bytes: usize,
    /// Streams of commands on their way; each in one request alone.
    written: HashSet<Uuid>,
    /// Projects that commands on their way refer to, and how many do.
    referred: HashMap<Uuid, usize>,
    /// Keys that commands on their way concern, and how many do.
    keyed: HashMap<String, usize>,
    /// The keys that the commands so far may have given to each task.
    keys_of: HashMap<Uuid, Vec<String>>,
}

impl Window {
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < WINDOW_COMMANDS_MAX && self.waiting_bytes < WINDOW_BYTES_MAX
    }

    pub(super) fn push(&mut self, mut command: Pending) {
        self.waiting_bytes += command.text.len();
        if command.sets_key {
            self.concern_earlier_keys(&mut command);
        }
        self.waiting.push_back(command);
    }

    /// Whether an earlier command gave the task its key is known, and whether it was accepted is not: so every key that
    /// the task may have is concerned.
    fn concern_earlier_keys(&mut self, command: &mut Pending) {
        if self.keys_of.len() >= KEYED_TASKS_MAX {
            self.keys_of.clear();
        }
        let known = self.keys_of.entry(command.aggregate).or_default();
        for key in &command.keys {
            if !known.contains(key) {
                known.push(key.clone());
            }
        }
        command.keys.clone_from(known);
    }

    /// The next request: at most so many commands that may be sent now, in file order.
    pub(super) fn take(&mut self, commands_max: usize) -> Vec<Pending> {
        let mut taken: Vec<Pending> = Vec::new();
        let mut bytes = 0;
        let mut left = VecDeque::new();
        let (mut left_written, mut left_referred) = (HashSet::new(), HashSet::new());
        let mut left_keyed: HashSet<String> = HashSet::new();
        while taken.len() < commands_max
            && let Some(command) = self.waiting.pop_front()
        {
            let fits = taken.is_empty() || bytes + command.text.len() <= REQUEST_BYTES_MAX;
            let stream = command.aggregate;
            let is_ready = fits
                && !left_written.contains(&stream)
                && !left_referred.contains(&stream)
                && !self.written.contains(&stream)
                && !self.referred.contains_key(&stream)
                && command.project.is_none_or(|project| {
                    !left_written.contains(&project) && !self.written.contains(&project)
                })
                && command
                    .keys
                    .iter()
                    .all(|key| !left_keyed.contains(key) && !self.keyed.contains_key(key));
            if is_ready {
                bytes += command.text.len();
                taken.push(command);
            } else {
                left_written.insert(stream);
                left_referred.extend(command.project);
                left_keyed.extend(command.keys.iter().cloned());
                left.push_back(command);
            }
            if !fits {
                break;
            }
        }
        left.append(&mut self.waiting);
        self.waiting = left;
        self.waiting_bytes -= bytes;
        for command in &taken {
            self.written.insert(command.aggregate);
            if let Some(project) = command.project {
                *self.referred.entry(project).or_default() += 1;
            }
            for key in &command.keys {
                *self.keyed.entry(key.clone()).or_default() += 1;
            }
        }
        taken
    }

    /// What was taken together has been answered.
    pub(super) fn answered(&mut self, commands: &[Pending]) {
        for command in commands {
            self.written.remove(&command.aggregate);
            if let Some(project) = &command.project {
                one_less(&mut self.referred, project);
            }
            for key in &command.keys {
                one_less(&mut self.keyed, key);
            }
        }
    }
}

fn one_less<K: Hash + Eq>(counts: &mut HashMap<K, usize>, of: &K) {
    if let Some(count) = counts.get_mut(of) {
        *count -= 1;
        if *count == 0 {
            counts.remove(of);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    fn on(line: u64, aggregate: u128) -> Pending {
        Pending {
            line,
            text: "{}".to_owned(),
            aggregate: Uuid::from_u128(aggregate),
            ..Pending::default()
        }
    }

    /// `None` gives the task's key back.
    fn sets_key(line: u64, task: u128, key: Option<u128>) -> Pending {
        Pending {
            sets_key: true,
            keys: key.map(|key| format!("K-{key}")).into_iter().collect(),
            ..on(line, task)
        }
    }

    fn task_in(line: u64, task: u128, project: u128) -> Pending {
        Pending {
            project: Some(Uuid::from_u128(project)),
            ..on(line, task)
        }
    }

    fn window(commands: &[Pending]) -> Window {
        let mut window = Window::default();
        for command in commands {
            window.push(command.clone());
        }
        window
    }

    fn lines(commands: &[Pending]) -> Vec<u64> {
        commands.iter().map(|command| command.line).collect()
    }

    #[test]
    fn a_stream_is_never_in_two_requests_at_once() {
        let mut window = window(&[on(1, 1), on(2, 2), on(3, 1), on(4, 3)]);
        let first = window.take(2);
        assert_eq!(lines(&first), [1, 2]);
        assert_eq!(lines(&window.take(2)), [4]);
        assert!(window.take(2).is_empty());
        window.answered(&first);
        assert_eq!(lines(&window.take(2)), [3]);
    }

    #[test]
    fn a_stream_may_be_in_one_request_many_times() {
        let mut window = window(&[on(1, 1), on(2, 1), on(3, 1)]);
        assert_eq!(lines(&window.take(9)), [1, 2, 3]);
    }

    #[test]
    fn a_task_waits_for_its_project_to_be_answered() {
        let mut window = window(&[on(1, 1), task_in(2, 10, 1), on(3, 10), on(4, 2)]);
        let project = window.take(1);
        assert_eq!(lines(&window.take(9)), [4]);
        window.answered(&project);
        assert_eq!(lines(&window.take(9)), [2, 3]);
    }

    #[test]
    fn a_command_on_a_project_waits_for_the_tasks_before_it() {
        let mut window = window(&[task_in(1, 10, 1), task_in(2, 11, 1), on(3, 1)]);
        let (first, second) = (window.take(1), window.take(1));
        window.answered(&first);
        assert!(window.take(9).is_empty());
        window.answered(&second);
        assert_eq!(lines(&window.take(9)), [3]);
    }

    #[test]
    fn a_key_that_is_given_back_is_taken_only_after_that() {
        let mut window = window(&[
            sets_key(1, 10, Some(7)),
            sets_key(2, 10, None),
            sets_key(3, 11, Some(7)),
            sets_key(4, 12, Some(8)),
        ]);
        let first = window.take(2);
        assert_eq!(lines(&first), [1, 2]);
        assert_eq!(lines(&window.take(9)), [4]);
        window.answered(&first);
        assert_eq!(lines(&window.take(9)), [3]);
    }

    #[test]
    fn a_request_has_bounded_bytes() {
        let heavy = |line: u64| Pending {
            text: "x".repeat(REQUEST_BYTES_MAX / 2),
            ..on(line, u128::from(line))
        };
        let mut window = window(&[heavy(1), heavy(2), heavy(3), on(4, 4)]);
        assert_eq!(lines(&window.take(9)), [1, 2]);
        assert_eq!(lines(&window.take(9)), [3, 4]);
        assert_eq!(window.waiting_bytes, 0);
    }

    /// Lines that must have been answered, or go in the same request, before `command`.
    fn needed<'a>(
        all: &'a [Pending],
        command: &'a Pending,
    ) -> impl Iterator<Item = &'a Pending> + 'a {
        let keys = keys_until(all, command);
        all.iter().filter(move |earlier| {
            earlier.line < command.line
                && (earlier.aggregate == command.aggregate
                    || Some(earlier.aggregate) == command.project
                    || earlier.project == Some(command.aggregate)
                    || keys_until(all, earlier)
                        .iter()
                        .any(|key| keys.contains(key)))
        })
    }

    /// The keys that a line's task may have had, up to that line, when it sets one.
    fn keys_until(all: &[Pending], line: &Pending) -> Vec<String> {
        let is_before = |it: &&Pending| it.aggregate == line.aggregate && it.line <= line.line;
        let keys = all.iter().filter(is_before).flat_map(|it| it.keys.clone());
        keys.filter(|_| line.sets_key).collect()
    }

    #[test]
    fn whatever_the_answers_order_everything_is_sent_once_and_after_what_it_needs() {
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let all: Vec<Pending> = (1..=120)
                .map(|line| match random.random_range(0..6) {
                    4 => sets_key(line, random.random_range(10..30), None),
                    5 => {
                        let key = Some(random.random_range(0..5));
                        sets_key(line, random.random_range(10..30), key)
                    }
                    0 => on(line, random.random_range(0..4)),
                    1 => task_in(line, random.random_range(10..30), random.random_range(0..4)),
                    _ => on(line, random.random_range(10..30)),
                })
                .collect();
            let mut window = window(&all);
            let mut in_flight: Vec<Vec<Pending>> = Vec::new();
            let mut answered: HashSet<u64> = HashSet::new();
            while answered.len() < all.len() {
                let request = window.take(random.random_range(1..12));
                for (index, command) in request.iter().enumerate() {
                    let command = &all[usize::try_from(command.line - 1).unwrap()];
                    for need in needed(&all, command) {
                        let goes_before = (request[..index].iter()).any(|it| it.line == need.line);
                        assert!(
                            answered.contains(&need.line) || goes_before,
                            "seed {seed}: {} went without {}",
                            command.line,
                            need.line
                        );
                    }
                }
                if !request.is_empty() {
                    in_flight.push(request);
                }
                if !in_flight.is_empty() && random.random_bool(0.5) {
                    let chosen = random.random_range(0..in_flight.len());
                    let request = in_flight.swap_remove(chosen);
                    window.answered(&request);
                    for command in request {
                        assert!(answered.insert(command.line), "seed {seed}: sent twice");
                    }
                }
            }
        }
    }
}
