//! What was read, for a person or as one line of JSON; and what of it is too far behind.

use std::fmt::Write;

use foldline_events::Position;
use serde_json::{Value, json};

use super::read::{Feeds, Lag, Progress, Reading, Relay, Worker};

/// Where a reaction is, is noted down now and then, so it may be further than it says by as much as this.
const NOTED_SECONDS_MAX: u64 = 30;

impl Reading {
    /// What lags, in words; nothing when everything has caught up. A view that leaves streams out has not, nor has a worker that
    /// gave jobs up. Versions that no reader sees do not count, nor do views that this build does not fold: nobody will fold
    /// them.
    pub(super) fn lags(&self, seconds_max: u64) -> Vec<String> {
        let mut lags = Vec::new();
        if let Relay::At {
            lag,
            topic,
            of_this_log,
            ..
        } = &self.relay
        {
            if !of_this_log {
                lags.push(format!("the relay to {topic} has carried another log"));
            } else if is_above(*lag, seconds_max) {
                lags.push(format!("the relay to {topic} is {} behind", words(*lag)));
            }
        }
        for progress in self.views.iter().filter(|view| view.active && view.known) {
            let Progress { view, lag, .. } = progress;
            if !progress.of_this_log {
                lags.push(format!("{view} was folded from another log"));
            } else if is_above(*lag, seconds_max) {
                let why = progress.why.as_ref().map(|why| format!(": {why}"));
                let (lag, why) = (words(*lag), why.unwrap_or_default());
                lags.push(format!("{view} is {lag} behind{why}"));
            }
            if progress.parked > 0 {
                let parked = progress.parked;
                lags.push(format!(
                    "{view} leaves out what waits in {parked} parked streams"
                ));
            }
        }
        if let Worker::Stands {
            standing, behind, ..
        } = &self.worker
        {
            for ((reaction, _), lag) in standing.reactions.iter().zip(behind) {
                if is_above(*lag, seconds_max.max(NOTED_SECONDS_MAX)) {
                    lags.push(format!("the reaction {reaction} is {} behind", words(*lag)));
                }
            }
            let seconds = standing.unbegun_seconds;
            if is_late(seconds, seconds_max) {
                lags.push(format!("a job has waited {seconds:.1} s for a worker"));
            }
            if standing.jobs.parked > 0 {
                lags.push(format!(
                    "{} jobs of the worker are parked",
                    standing.jobs.parked
                ));
            }
        }
        lags
    }
}

fn is_above(lag: Lag, seconds_max: u64) -> bool {
    is_late(lag.seconds, seconds_max)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a bound in seconds is far below 2^53"
)]
fn is_late(seconds: f64, seconds_max: u64) -> bool {
    seconds > seconds_max as f64
}

fn words(lag: Lag) -> String {
    format!("{} events, {:.1} s", lag.events, lag.seconds)
}

pub(super) fn to_json(reading: &Reading, lags: &[String]) -> Value {
    let log = &reading.log;
    json!({
        "status": if lags.is_empty() { "caughtUp" } else { "lagging" },
        "lagging": lags,
        "at": log.at,
        "log": {
            "cell": log.cell,
            "epoch": log.epoch,
            "head": log.position.to_string(),
            "recordedAt": log.recorded_at,
            "eventsPerSecond": log.events_per_second.map(tenths),
        },
        "relay": relay_to_json(&reading.relay, reading.feeds),
        "feeds": {
            "postgres": {"projecting": reading.feeds.postgres},
            "kafka": {"relaying": reading.feeds.relay, "offsets": reading.feeds.offsets},
        },
        "views": reading.views.iter().map(view_to_json).collect::<Vec<_>>(),
        "worker": worker_to_json(&reading.worker),
    })
}

fn worker_to_json(worker: &Worker) -> Value {
    match worker {
        Worker::Hidden | Worker::None => Value::Null,
        Worker::Stands {
            standing,
            behind,
            running,
        } => {
            let reaction = |((name, position), lag): (&(String, Position), &Lag)| {
                json!({
                    "reaction": name,
                    "notedAt": position.to_string(),
                    "lagEvents": lag.events.to_string(),
                    "lagSeconds": tenths(lag.seconds),
                })
            };
            let reactions = standing.reactions.iter().zip(behind);
            json!({
                "running": running,
                "reactions": reactions.map(reaction).collect::<Vec<_>>(),
                "jobs": {
                    "waiting": standing.jobs.waiting,
                    "due": standing.jobs.due,
                    "parked": standing.jobs.parked,
                },
                "unbegunSeconds": tenths(standing.unbegun_seconds),
            })
        }
    }
}

fn relay_to_json(relay: &Relay, feeds: Feeds) -> Value {
    match relay {
        Relay::Hidden | Relay::None => Value::Null,
        Relay::At {
            topic,
            mark,
            moved_at,
            lag,
            of_this_log,
        } => json!({
            "topic": topic,
            "mark": mark.to_string(),
            "movedAt": moved_at,
            "running": feeds.relay,
            "ofThisLog": of_this_log,
            "lagEvents": lag.events.to_string(),
            "lagSeconds": tenths(lag.seconds),
        }),
    }
}

fn view_to_json(progress: &Progress) -> Value {
    let stalled: Vec<Value> = progress
        .stalled
        .iter()
        .map(|stalled| {
            json!({
                "partition": stalled.partition,
                "position": stalled.position.to_string(),
                "nextPosition": stalled.next.to_string(),
                "nextType": stalled.next_type,
                "seconds": tenths(stalled.seconds),
            })
        })
        .collect();
    json!({
        "view": progress.view,
        "version": progress.version,
        "active": progress.active,
        "known": progress.known,
        "ofThisLog": progress.of_this_log,
        "completedPrefix": progress.completed.to_string(),
        "movedAt": progress.moved_at,
        "lagEvents": progress.lag.events.to_string(),
        "lagSeconds": tenths(progress.lag.seconds),
        "why": progress.why,
        "stalled": stalled,
        "parked": progress.parked.to_string(),
    })
}

/// More digits only hide the number.
fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

pub(super) fn to_text(reading: &Reading, lags: &[String], seconds_max: u64) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_text(&mut text, reading, lags, seconds_max);
    text
}

fn write_text(
    text: &mut String,
    reading: &Reading,
    lags: &[String],
    seconds_max: u64,
) -> std::fmt::Result {
    let log = &reading.log;
    write!(text, "log      head {}", log.position)?;
    if let Some(rate) = log.events_per_second {
        write!(text, ", {rate:.1} events/s")?;
    }
    let at = log.at.format("%Y-%m-%d %H:%M:%S UTC");
    writeln!(text, ", cell {} ({at})", log.cell)?;
    writeln!(text, "epoch    {}", log.epoch)?;
    write_relay(text, &reading.relay, reading.feeds)?;
    writeln!(text, "feed     {}", feed(reading.feeds))?;
    write_worker(text, &reading.worker)?;
    writeln!(
        text,
        "\n{:<20} {:>7} {:>16} {:>13} {:>9}",
        "view", "version", "completed prefix", "events behind", "seconds"
    )?;
    for progress in &reading.views {
        let Progress {
            view,
            version,
            completed,
            lag,
            ..
        } = progress;
        writeln!(
            text,
            "{view:<20} {version:>7} {completed:>16} {:>13} {:>9.1}{}",
            lag.events,
            lag.seconds,
            remark(progress)
        )?;
    }
    write_stalled(text, &reading.views)?;
    write_parked(text, &reading.views)?;
    writeln!(text)?;
    if lags.is_empty() {
        return write!(
            text,
            "caught up: nothing is more than {seconds_max} s behind"
        );
    }
    write!(text, "lagging: {}", lags.join("; "))
}

fn write_relay(text: &mut String, relay: &Relay, feeds: Feeds) -> std::fmt::Result {
    match relay {
        Relay::Hidden => writeln!(
            text,
            "relay    hidden: the URL's user may not act as foldline_relay"
        ),
        Relay::None => writeln!(text, "relay    none: this log was never relayed"),
        Relay::At {
            topic, mark, lag, ..
        } => {
            let running = if feeds.relay {
                "running"
            } else {
                "not running"
            };
            writeln!(
                text,
                "relay    {topic} at {mark}, {} behind, {running}",
                words(*lag)
            )
        }
    }
}

fn write_worker(text: &mut String, worker: &Worker) -> std::fmt::Result {
    match worker {
        Worker::Hidden => writeln!(
            text,
            "worker   hidden: the URL's user may not act as foldline_worker"
        ),
        Worker::None => writeln!(text, "worker   none: no worker was ever run"),
        Worker::Stands {
            standing, running, ..
        } => {
            let running = if *running { "running" } else { "not running" };
            let jobs = standing.jobs;
            writeln!(
                text,
                "worker   {running}; jobs: {} wait for their time, {} are due, {} parked",
                jobs.waiting, jobs.due, jobs.parked
            )
        }
    }
}

fn feed(feeds: Feeds) -> &'static str {
    match (feeds.postgres, feeds.offsets) {
        (true, _) => "Postgres: a projector reads the log",
        (false, true) => "Kafka: views were folded with offsets; its group knows who reads",
        (false, false) => "none: no projector reads the log",
    }
}

/// What is special about a version of a view.
fn remark(progress: &Progress) -> &'static str {
    match progress {
        Progress { known: false, .. } => "  (not of this build)",
        Progress { active: false, .. } => "  (not shown to readers)",
        Progress {
            of_this_log: false, ..
        } => "  (of another log)",
        Progress { .. } => "",
    }
}

fn write_stalled(text: &mut String, views: &[Progress]) -> std::fmt::Result {
    for progress in views {
        for stalled in &progress.stalled {
            writeln!(
                text,
                "stalled: partition {} of {} version {} stands at {} for {:.0} s, before {} at {}",
                stalled.partition,
                progress.view,
                progress.version,
                stalled.position,
                stalled.seconds,
                stalled.next_type,
                stalled.next
            )?;
        }
    }
    Ok(())
}

fn write_parked(text: &mut String, views: &[Progress]) -> std::fmt::Result {
    for progress in views.iter().filter(|progress| progress.parked > 0) {
        writeln!(
            text,
            "parked: {} streams in {} version {} wait at an event that it cannot fold; `foldline parked list` says which",
            progress.parked, progress.view, progress.version
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use foldline_command::worker::{Counts, desk::Standing};
    use uuid::Uuid;

    use super::*;
    use crate::status::read::{LogHead, Stalled};

    fn view(name: &str, seconds: f64) -> Progress {
        Progress {
            view: name.to_owned(),
            version: 1,
            active: true,
            known: true,
            of_this_log: true,
            completed: 9_007_199_254_740_993,
            moved_at: None,
            lag: Lag { events: 3, seconds },
            why: None,
            stalled: Vec::new(),
            parked: 0,
        }
    }

    fn reading(views: Vec<Progress>) -> Reading {
        Reading {
            log: LogHead {
                cell: "main".to_owned(),
                epoch: Uuid::nil(),
                position: 9_007_199_254_740_996,
                at: DateTime::UNIX_EPOCH,
                recorded_at: None,
                events_per_second: Some(12.34),
            },
            relay: Relay::None,
            feeds: Feeds {
                postgres: true,
                relay: false,
                offsets: false,
            },
            views,
            worker: Worker::None,
        }
    }

    #[test]
    fn what_is_beyond_the_bound_lags() {
        let caught_up = reading(vec![view("task_view", 9.9)]);
        assert_eq!(caught_up.lags(10), [""; 0]);
        let behind = reading(vec![view("project_view", 0.0), view("task_view", 10.1)]);
        assert_eq!(behind.lags(10), ["task_view is 3 events, 10.1 s behind"]);
        let mut failing = view("task_view", 10.1);
        failing.why = Some("the disk is full".to_owned());
        let lags = reading(vec![failing]).lags(10);
        assert_eq!(
            lags,
            ["task_view is 3 events, 10.1 s behind: the disk is full"]
        );
        let mut relayed = reading(Vec::new());
        relayed.relay = Relay::At {
            topic: "foldline.main.events".to_owned(),
            mark: 1,
            moved_at: DateTime::UNIX_EPOCH,
            of_this_log: true,
            lag: Lag {
                events: 1,
                seconds: 11.0,
            },
        };
        assert_eq!(relayed.lags(10).len(), 1);
    }

    #[test]
    fn what_nobody_reads_or_folds_does_not_lag() {
        let mut replaced = view("task_view", 1e6);
        replaced.active = false;
        let mut foreign = view("project_dashboard", 1e6);
        foreign.known = false;
        assert_eq!(reading(vec![replaced, foreign]).lags(10), [""; 0]);
    }

    #[test]
    fn views_of_another_log_lag_however_far_they_are() {
        let mut other = view("task_view", 0.0);
        other.of_this_log = false;
        let lags = reading(vec![other]).lags(10);
        assert_eq!(lags, ["task_view was folded from another log"]);
    }

    #[test]
    fn positions_are_strings_in_json() {
        let shown = to_json(&reading(vec![view("task_view", 0.04)]), &[]);
        assert_eq!(shown["status"], "caughtUp");
        assert_eq!(shown["log"]["head"], "9007199254740996");
        assert_eq!(shown["log"]["eventsPerSecond"], 12.3);
        let view = &shown["views"][0];
        assert_eq!(view["completedPrefix"], "9007199254740993");
        assert_eq!(view["lagEvents"], "3");
        assert_eq!(view["lagSeconds"], 0.0);
    }

    #[test]
    fn a_stalled_partition_is_told_with_the_event_that_it_stands_before() {
        let mut standing = view("task_view", 60.0);
        standing.stalled.push(Stalled {
            partition: 7,
            position: 41,
            next: 43,
            next_type: "tasks.TaskPainted".to_owned(),
            seconds: 60.0,
        });
        let text = to_text(&reading(vec![standing]), &["task_view".to_owned()], 10);
        assert!(text.contains("partition 7 of task_view"), "{text}");
        assert!(text.contains("before tasks.TaskPainted at 43"), "{text}");
        assert!(text.contains("lagging: task_view"), "{text}");
    }

    #[test]
    fn a_view_that_leaves_parked_streams_out_has_not_caught_up() {
        let mut leaving_out = view("task_view", 0.0);
        leaving_out.parked = 2;
        let reading = reading(vec![leaving_out, view("project_view", 0.0)]);
        let lags = reading.lags(10);
        assert_eq!(
            lags,
            ["task_view leaves out what waits in 2 parked streams"]
        );
        let text = to_text(&reading, &lags, 10);
        assert!(
            text.contains("parked: 2 streams in task_view version 1"),
            "{text}"
        );
        assert_eq!(to_json(&reading, &lags)["views"][0]["parked"], "2");
    }

    #[test]
    fn a_job_that_nobody_begins_lags_and_so_does_one_that_was_given_up() {
        let standing = |unbegun_seconds, parked, behind_seconds| Worker::Stands {
            standing: Standing {
                reactions: vec![("tasks.suggest_completion".to_owned(), 9_007_199_254_740_993)],
                jobs: Counts {
                    waiting: 1,
                    due: 2,
                    parked,
                },
                unbegun_seconds,
            },
            behind: vec![Lag {
                events: 7,
                seconds: behind_seconds,
            }],
            running: false,
        };
        let mut read = reading(Vec::new());
        read.worker = standing(9.9, 0, 29.9);
        assert_eq!(read.lags(10), [""; 0]);
        read.worker = standing(10.1, 3, 30.1);
        let lags = read.lags(10);
        assert_eq!(
            lags,
            [
                "the reaction tasks.suggest_completion is 7 events, 30.1 s behind",
                "a job has waited 10.1 s for a worker",
                "3 jobs of the worker are parked"
            ]
        );
        let text = to_text(&read, &lags, 10);
        assert!(
            text.contains("not running; jobs: 1 wait for their time, 2 are due, 3 parked"),
            "{text}"
        );
        let worker = &to_json(&read, &lags)["worker"];
        assert_eq!(worker["reactions"][0]["notedAt"], "9007199254740993");
        assert_eq!(worker["unbegunSeconds"], 10.1);
    }
}
