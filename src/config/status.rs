//! Settings of `foldline status`.

use std::path::PathBuf;

use clap::Args;

use super::{Database, DatabaseArgs, LogArgs, Problems, ViewArgs};

/// How far behind something may be, when nothing else is said.
const LAG_SECONDS: u32 = 10;

#[derive(Args, Clone)]
pub struct StatusArgs {
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    view: ViewArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    /// The data folder of a running `foldline up`, when no database is given; by default the user's data folder.
    #[arg(long, env = "FOLDLINE_DATA")]
    data: Option<PathBuf>,
    /// How far behind the log something may be without counting as lagging.
    #[arg(long, value_name = "SECONDS", default_value_t = LAG_SECONDS)]
    lag_max: u32,
    /// Look every 2 s, until Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// Print one line of JSON; with --watch, one each time.
    #[arg(long)]
    pub json: bool,
}

pub struct StatusConfig {
    /// When they are not those of the data folder.
    pub databases: Option<(Database, Database)>,
    pub data: Option<PathBuf>,
    pub lag_seconds_max: u64,
    pub watch: bool,
    pub as_json: bool,
}

impl StatusArgs {
    pub fn read(&self) -> anyhow::Result<StatusConfig> {
        let mut problems = Problems::default();
        let given = self.database.database_url.is_some()
            || self.log.log_url.is_some()
            || self.view.view_url.is_some();
        let log = given.then(|| problems.note(self.log.read(&self.database)));
        let view = given.then(|| problems.note(self.view.read(&self.database)));
        problems.report(|| {
            Some(StatusConfig {
                databases: log.flatten().zip(view.flatten()),
                data: self.data.clone(),
                lag_seconds_max: u64::from(self.lag_max),
                watch: self.watch,
                as_json: self.json,
            })
        })
    }
}
