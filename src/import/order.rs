//! The order in time of commands that were read from a file: what an import into an empty log records them in.
//!
//! A file is in order stream by stream, and need not be so across streams. So commands are sorted by when they happened,
//! and three things stay as they are: a stream's own order, the order of commands that happened at the same time, and
//! that nothing comes before the first command of a project that it refers to. What would have to wait for that is
//! recorded as late as what it waits for.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::window::Pending;

/// A command, and when it is recorded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dated {
    pub(super) recorded_at: DateTime<Utc>,
    pub(super) command: Pending,
}

/// Sorts commands that are in the order of their file. What says no time, or one that is yet to come, happens `now`.
pub(super) fn in_time(commands: Vec<Pending>, now: DateTime<Utc>) -> Vec<Dated> {
    let first_of = firsts(&commands, now);
    let mut latest: HashMap<Uuid, DateTime<Utc>> = HashMap::new();
    let mut dated: Vec<(Place, Dated)> = Vec::with_capacity(commands.len());
    for command in commands {
        let mut recorded_at = command.at.unwrap_or(now).min(now);
        let project = command.project.and_then(|project| first_of.get(&project));
        recorded_at = recorded_at.max(project.copied().unwrap_or(recorded_at));
        let is_first = !latest.contains_key(&command.aggregate);
        let own = latest.entry(command.aggregate).or_insert(recorded_at);
        recorded_at = recorded_at.max(*own);
        *own = recorded_at;
        let place = match is_first && first_of.contains_key(&command.aggregate) {
            true => Place::Begins,
            false => Place::Follows,
        };
        let command = Dated {
            recorded_at,
            command,
        };
        dated.push((place, command));
    }
    // A stable sort: what is equal stays in the file's order.
    dated.sort_by_key(|(place, dated)| (dated.recorded_at, *place));
    dated.into_iter().map(|(_, dated)| dated).collect()
}

/// At one and the same time, a project begins before anything refers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Begins,
    Follows,
}

/// When the first command of each project happened that others refer to.
fn firsts(commands: &[Pending], now: DateTime<Utc>) -> HashMap<Uuid, DateTime<Utc>> {
    let referred = commands.iter().filter_map(|command| command.project);
    let mut first: HashMap<Uuid, Option<DateTime<Utc>>> =
        referred.map(|project| (project, None)).collect();
    for command in commands {
        if let Some(first @ None) = first.get_mut(&command.aggregate) {
            *first = Some(command.at.unwrap_or(now).min(now));
        }
    }
    let known = first.into_iter();
    known
        .filter_map(|(project, at)| at.map(|at| (project, at)))
        .collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    fn time(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    fn on(line: u64, stream: u128, minute: i64) -> Pending {
        Pending {
            line,
            aggregate: Uuid::from_u128(stream),
            at: Some(time(minute)),
            ..Pending::default()
        }
    }

    fn in_project(line: u64, stream: u128, minute: i64, project: u128) -> Pending {
        Pending {
            project: Some(Uuid::from_u128(project)),
            ..on(line, stream, minute)
        }
    }

    /// Lines in their order, and the minutes at which they are recorded.
    fn sorted(commands: Vec<Pending>) -> Vec<(u64, i64)> {
        let minute = |at: DateTime<Utc>| (at - DateTime::UNIX_EPOCH).num_minutes();
        in_time(commands, time(1_000))
            .iter()
            .map(|dated| (dated.command.line, minute(dated.recorded_at)))
            .collect()
    }

    #[test]
    fn streams_are_merged_in_time_and_what_is_equal_keeps_its_order() {
        let commands = vec![on(1, 1, 5), on(2, 1, 9), on(3, 2, 1), on(4, 3, 5)];
        assert_eq!(sorted(commands), [(3, 1), (1, 5), (4, 5), (2, 9)]);
    }

    #[test]
    fn a_stream_keeps_its_order_when_its_times_go_backwards() {
        let commands = vec![on(1, 1, 5), on(2, 1, 3), on(3, 1, 7), on(4, 2, 4)];
        assert_eq!(sorted(commands), [(4, 4), (1, 5), (2, 5), (3, 7)]);
    }

    #[test]
    fn nothing_goes_before_the_project_that_it_refers_to() {
        let late = vec![in_project(1, 10, 2, 1), on(2, 1, 4), on(3, 10, 3)];
        assert_eq!(sorted(late), [(2, 4), (1, 4), (3, 4)]);
        let elsewhere = vec![in_project(1, 10, 2, 77)];
        assert_eq!(sorted(elsewhere), [(1, 2)]);
        let archived_later = vec![on(1, 1, 1), in_project(2, 10, 5, 1), on(3, 1, 5)];
        assert_eq!(sorted(archived_later), [(1, 1), (2, 5), (3, 5)]);
    }

    #[test]
    fn nothing_is_recorded_in_the_future() {
        let undated = Pending {
            at: None,
            ..on(1, 1, 0)
        };
        let commands = vec![undated, on(2, 2, 2_000), on(3, 3, 999)];
        assert_eq!(sorted(commands), [(3, 999), (1, 1_000), (2, 1_000)]);
    }

    #[test]
    fn time_never_runs_backwards_and_every_stream_keeps_its_order() {
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let commands: Vec<Pending> = (1..=100)
                .map(|line| match random.random_range(0..4) {
                    0 => on(line, random.random_range(0..4), random.random_range(0..50)),
                    1 => {
                        let (task, project) =
                            (random.random_range(10..30), random.random_range(0..4));
                        in_project(line, task, random.random_range(0..50), project)
                    }
                    _ => on(
                        line,
                        random.random_range(10..30),
                        random.random_range(0..50),
                    ),
                })
                .collect();
            let sorted = in_time(commands.clone(), time(1_000));
            assert_eq!(sorted.len(), commands.len());
            assert!(sorted.is_sorted_by_key(|dated| dated.recorded_at));
            for stream in (0..30).map(Uuid::from_u128) {
                let lines: Vec<u64> = (sorted.iter())
                    .filter(|dated| dated.command.aggregate == stream)
                    .map(|dated| dated.command.line)
                    .collect();
                assert!(lines.is_sorted(), "seed {seed}: {lines:?}");
                let first = sorted
                    .iter()
                    .position(|dated| dated.command.aggregate == stream);
                let referring = sorted
                    .iter()
                    .position(|dated| dated.command.project == Some(stream));
                if let (Some(first), Some(referring)) = (first, referring) {
                    assert!(first < referring, "seed {seed}: before its project");
                }
            }
        }
    }
}
