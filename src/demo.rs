//! `foldline demo`: made-up projects and tasks with everything that a task can go through, for newcomers, tests and
//! benchmarks.
//!
//! It makes lines of the shape of a history file, always the same for the same arguments, and sends them as
//! [`crate::import`] does. About one command in fifty is invalid; its line says with which code it must be rejected, and
//! any other verdict is an error. Nothing made here depends on a clock. Read [`world`] next for what is made of
//! all tasks together, then [`life`] for what happens to one.

mod change;
mod dice;
mod life;
mod line;
mod words;
mod world;
mod wrong;

use std::{
    io::{self, BufWriter, Write},
    process::ExitCode,
};

use anyhow::Context;
use chrono::NaiveDate;
use clap::Args;

use self::world::World;
use crate::import::{self, TargetArgs};

/// Of all that has happened, when nothing else is said. Fixed, so that the demo of tomorrow is that of today.
const UNTIL: NaiveDate = NaiveDate::from_ymd_opt(2026, 6, 30).expect("a day of the calendar");
/// More than anybody has looked at.
const TASKS_MAX: u32 = 10_000_000;
const TASKS: u32 = 500;
const SEED: u64 = 1;

#[derive(Args)]
pub struct DemoArgs {
    /// Other seeds make other projects and tasks, which may live beside these
    #[arg(long, default_value_t = SEED)]
    seed: u64,

    /// How many tasks are made
    #[arg(long, default_value_t = TASKS, value_parser = clap::value_parser!(u32).range(1..=i64::from(TASKS_MAX)))]
    tasks: u32,

    /// The last day on which anything happens; the first is a year before
    #[arg(long, value_name = "DAY", default_value_t = UNTIL)]
    until: NaiveDate,

    #[command(flatten)]
    target: TargetArgs,

    /// Print the commands, one a line, instead of sending them
    #[arg(long)]
    print: bool,

    /// Print the summary as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Everything that the lines depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scale {
    seed: u64,
    tasks: u32,
    until: NaiveDate,
}

impl Scale {
    /// Whether it is what a newcomer gets.
    fn is_usual(self) -> bool {
        self.seed == SEED && self.tasks == TASKS && self.until == UNTIL
    }
}

/// # Errors
/// When not everything could be sent. A verdict that is not as its line says makes the exit code 1.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let world = World::new(Scale {
        seed: args.seed,
        tasks: args.tasks,
        until: args.until,
    });
    if args.print {
        print(world).context("cannot print")?;
        return Ok(ExitCode::SUCCESS);
    }
    import::send(import::lines::made(world)?, &args.target, args.json).await
}

fn print(lines: impl Iterator<Item = String>) -> io::Result<()> {
    let mut output = BufWriter::new(io::stdout().lock());
    for line in lines {
        match writeln!(output, "{line}") {
            // Whoever read has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
    match output.flush() {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        flushed => flushed,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, HashMap};

    use chrono::{DateTime, TimeDelta, Utc};
    use foldline_command::{Decided, Offline};
    use foldline_events::Tenant;
    use foldline_gate::{Caller, Role, Secret};
    use serde_json::Value;

    use super::*;

    fn scale(seed: u64, tasks: u32) -> Scale {
        Scale {
            seed,
            tasks,
            until: UNTIL,
        }
    }

    /// The rules, without any server.
    fn rules() -> Offline {
        let caller = Caller {
            tenant: Tenant::parse("acme").unwrap(),
            actor: "demo".to_owned(),
            role: Role::Admin,
            expires_at: DateTime::UNIX_EPOCH,
        };
        Offline::new(&Secret::from_bytes(vec![7; 32]).unwrap(), caller)
    }

    fn end() -> DateTime<Utc> {
        UNTIL.and_hms_opt(23, 59, 59).unwrap().and_utc()
    }

    /// A line as the service takes it, and the code that it expects.
    fn taken(line: &str) -> (String, Option<String>) {
        let mut fields: Value = serde_json::from_str(line).unwrap();
        let expect = fields.as_object_mut().unwrap().remove("expect");
        let expect = expect.map(|code| code.as_str().unwrap().to_owned());
        (fields.to_string(), expect)
    }

    /// What became of each line: the code of its rejection, or how it was accepted.
    fn verdicts(rules: &mut Offline, lines: &[String]) -> Vec<String> {
        let decide = |line: &String| match rules.decide(&taken(line).0, end()) {
            Decided::Record(_) => "recorded".to_owned(),
            Decided::Known => "known".to_owned(),
            Decided::Unchanged => "unchanged".to_owned(),
            Decided::Rejected(problem) => problem.code,
        };
        lines.iter().map(decide).collect()
    }

    #[test]
    fn the_same_arguments_make_the_same_lines_and_others_share_none() {
        let made = |scale| World::new(scale).collect::<Vec<String>>();
        let lines = made(scale(7, 60));
        assert_eq!(lines, made(scale(7, 60)));
        let others = [
            scale(8, 60),
            scale(7, 61),
            Scale {
                until: UNTIL - TimeDelta::days(1),
                ..scale(7, 60)
            },
        ];
        let ids = |lines: &[String]| -> BTreeSet<String> {
            let id = |line: &String| line.split('"').nth(3).unwrap().to_owned();
            lines.iter().map(id).collect()
        };
        for other in others {
            assert!(ids(&lines).is_disjoint(&ids(&made(other))), "{other:?}");
        }
    }

    #[test]
    fn every_command_gets_the_verdict_that_its_line_says_and_the_same_when_repeated() {
        for (seed, tasks) in [(1, 500), (2, 1), (3, 700), (4, 2_300)] {
            let lines: Vec<String> = World::new(scale(seed, tasks)).collect();
            let mut rules = rules();
            let first = verdicts(&mut rules, &lines);
            for (line, verdict) in lines.iter().zip(&first) {
                let expected = taken(line).1.unwrap_or_else(|| "recorded".to_owned());
                assert_eq!(*verdict, expected, "seed {seed}: {line}");
            }
            let again = verdicts(&mut rules, &lines);
            for ((line, first), again) in lines.iter().zip(&first).zip(&again) {
                let expected = if first == "recorded" { "known" } else { first };
                assert_eq!(again, expected, "seed {seed}, repeated: {line}");
            }
        }
    }

    #[test]
    fn it_has_everything_that_a_task_can_go_through_and_one_in_fifty_is_invalid() {
        let lines: Vec<String> = World::new(scale(1, 2_000)).collect();
        let mut types: BTreeMap<String, usize> = BTreeMap::new();
        let mut codes: BTreeMap<String, usize> = BTreeMap::new();
        for line in &lines {
            let fields: Value = serde_json::from_str(line).unwrap();
            match fields.get("expect") {
                Some(code) => *codes.entry(code.to_string()).or_default() += 1,
                None => *types.entry(fields["type"].to_string()).or_default() += 1,
            }
        }
        let known = foldline_domain::tasks::COMMAND_TYPES;
        let seen: BTreeSet<&str> = types.keys().map(|kind| kind.trim_matches('"')).collect();
        let missing: Vec<&&str> = known.iter().filter(|kind| !seen.contains(**kind)).collect();
        assert_eq!(missing, [&""; 0]);
        assert!(codes.len() >= 30, "{codes:?}");
        let invalid: usize = codes.values().sum();
        let share = invalid * 1_000 / lines.len();
        assert!(
            (15..=25).contains(&share),
            "{invalid} of {} are invalid",
            lines.len()
        );
    }

    #[test]
    fn nothing_happens_after_the_last_day_and_every_stream_is_in_order() {
        let mut latest: HashMap<String, DateTime<Utc>> = HashMap::new();
        for line in World::new(scale(5, 1_500)) {
            let fields: Value = serde_json::from_str(&line).unwrap();
            let at: DateTime<Utc> = fields["at"].as_str().unwrap().parse().unwrap();
            assert!(at <= end(), "{line}");
            if fields["expect"] == "OCCURRED_AT_OUT_OF_RANGE" {
                continue;
            }
            let stream = fields["aggregate"].to_string();
            if let Some(before) = latest.insert(stream, at) {
                assert!(before <= at, "{line}");
            }
        }
    }
}
