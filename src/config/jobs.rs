//! Settings of `foldline jobs`.

use clap::{Args, ValueEnum};
use foldline_command::worker::desk::State;
use uuid::Uuid;

use super::{Database, DatabaseArgs, LogArgs, Problems};

/// How many jobs are listed when nothing else is said, and at most.
const LISTED: u32 = 100;
const LISTED_MAX: i64 = 100_000;

#[derive(Args, Clone)]
pub struct JobsListArgs {
    /// Only jobs that stand so.
    #[arg(long, value_enum)]
    state: Option<StateName>,
    /// At most so many, those first whose time comes first.
    #[arg(long, value_name = "COUNT", default_value_t = LISTED, value_parser = clap::value_parser!(u32).range(1..=LISTED_MAX))]
    pub max: u32,
    #[command(flatten)]
    jobs: JobsArgs,
    /// Print one line of JSON for each.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone)]
pub struct JobsRetryArgs {
    /// The parked job, as `list` names it.
    #[arg(required_unless_present = "all")]
    pub job: Option<Uuid>,
    /// Every job that is parked.
    #[arg(long, conflicts_with = "job")]
    all: bool,
    #[command(flatten)]
    jobs: JobsArgs,
}

#[derive(Args, Clone)]
pub struct JobsDiscardArgs {
    /// The parked job, as `list` names it.
    pub job: Uuid,
    #[command(flatten)]
    jobs: JobsArgs,
}

#[derive(Args, Clone)]
struct JobsArgs {
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StateName {
    /// Their time has not come.
    Waiting,
    /// Their time has come, or they are under way.
    Due,
    /// They were given up after their last try.
    Parked,
}

impl JobsArgs {
    fn read(&self) -> anyhow::Result<Database> {
        let mut problems = Problems::default();
        let log = problems.note(self.log.read(&self.database));
        problems.report(|| log)
    }
}

impl JobsListArgs {
    pub fn read(&self) -> anyhow::Result<Database> {
        self.jobs.read()
    }

    pub fn state(&self) -> Option<State> {
        self.state.map(|state| match state {
            StateName::Waiting => State::Waiting,
            StateName::Due => State::Due,
            StateName::Parked => State::Parked,
        })
    }
}

impl JobsRetryArgs {
    pub fn read(&self) -> anyhow::Result<Database> {
        self.jobs.read()
    }
}

impl JobsDiscardArgs {
    pub fn read(&self) -> anyhow::Result<Database> {
        self.jobs.read()
    }
}
