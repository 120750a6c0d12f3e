//! Settings of `foldline log`.

use std::path::PathBuf;

use clap::Args;
use foldline_events::Position;
use foldline_log::{KafkaOptions, topic::Range};

use super::{Database, DatabaseArgs, KafkaArgs, LogArgs, Problems};

#[derive(Args, Clone)]
pub struct VerifyTopicArgs {
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
    /// The first position to compare. Without it all that the topic may still have; then events that retention has
    /// removed from its beginning are counted and not missed.
    #[arg(long, value_name = "POSITION")]
    from: Option<Position>,
    /// The last position to compare; without it the relay's mark.
    #[arg(long, value_name = "POSITION")]
    to: Option<Position>,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone)]
pub struct NewEpochArgs {
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    /// The data folder of an `up` that does not run; its PostgreSQL is started for this
    #[arg(long, env = "FOLDLINE_DATA", value_name = "FOLDER")]
    pub data: Option<PathBuf>,
}

pub struct VerifyTopicConfig {
    pub log: Database,
    pub kafka: KafkaOptions,
    pub range: Range,
}

impl VerifyTopicArgs {
    pub fn read(&self) -> anyhow::Result<VerifyTopicConfig> {
        let mut problems = Problems::default();
        let log = problems.note(self.log.read(&self.database));
        let kafka = problems.note(self.kafka.read());
        let (from, to) = (self.from, self.to);
        if from.is_some_and(|from| from < 1) {
            problems.note::<()>(Err("--from: positions begin at 1".to_owned()));
        }
        if to.is_some_and(|to| to < from.unwrap_or(1)) {
            problems.note::<()>(Err("--to lies before --from".to_owned()));
        }
        problems.report(|| {
            Some(VerifyTopicConfig {
                log: log?,
                kafka: kafka?,
                range: Range { from, to },
            })
        })
    }
}

impl NewEpochArgs {
    /// The log's database; `None` when that of the data folder is meant.
    pub fn read(&self) -> anyhow::Result<Option<Database>> {
        if self.data.is_some() && !self.log.is_given(&self.database) {
            return Ok(None);
        }
        let mut problems = Problems::default();
        let log = problems.note(self.log.read(&self.database));
        problems.report(|| log.map(Some))
    }
}
