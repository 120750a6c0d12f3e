//! One struct of settings per role, read once from flags and environment. Every problem is reported, together.

mod jobs;
mod kafka;
mod log;
mod parked;
mod projecting;
mod rebuild;
mod replay;
mod retention;
mod status;
mod verify;
mod views;

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use clap::Args;
use foldline_command::worker::{COMMAND_ID_DAYS, COMMAND_ID_DAYS_MIN};
use foldline_events::Position;
use foldline_gate::Secret;
use foldline_log::KafkaOptions;
use sqlx::{ConnectOptions, postgres::PgConnectOptions};

pub use jobs::{JobsDiscardArgs, JobsListArgs, JobsRetryArgs};
use kafka::KafkaArgs;
pub use log::{NewEpochArgs, VerifyTopicArgs};
pub use parked::{ParkedListArgs, ParkedRetryArgs, ParkedShowArgs, ParkedSkip, ParkedSkipArgs};
pub use projecting::{Projecting, ProjectingArgs};
pub use rebuild::{InPlace, RebuildArgs, Rebuilding, Whole, WholeTask};
pub use replay::{ReplayArgs, ReplayConfig, ReplayFormat, Showing};
use retention::RetentionArgs;
pub use status::{StatusArgs, StatusConfig};
pub use verify::{VerifyArgs, VerifyConfig, Verifying};
pub use views::Views;
use views::ViewsArgs;

/// Where the log is.
#[derive(Args, Clone, Default)]
pub struct LogArgs {
    /// The log's database: `postgres://user:password@host/database`.
    #[arg(long, env = "LOG_URL", hide_env_values = true)]
    log_url: Option<String>,
    /// The same database without a pooler in between, for notifications and session locks.
    #[arg(long, env = "LOG_URL_DIRECT", hide_env_values = true)]
    log_url_direct: Option<String>,
}

/// Where the views are.
#[derive(Args, Clone, Default)]
pub struct ViewArgs {
    /// The views' database; it may be another server than the log's.
    #[arg(long, env = "VIEW_URL", hide_env_values = true)]
    view_url: Option<String>,
    /// The same database without a pooler in between, for notifications and session locks.
    #[arg(long, env = "VIEW_URL_DIRECT", hide_env_values = true)]
    view_url_direct: Option<String>,
}

/// One database for both.
#[derive(Args, Clone, Default)]
pub struct DatabaseArgs {
    /// One database for log and views, where LOG_URL or VIEW_URL is not given.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

/// The key of tokens and of command digests, the same for all services.
#[derive(Args, Clone, Default)]
pub struct SecretArgs {
    /// At least 32 bytes, best as 64 hexadecimal digits; the same for every service.
    #[arg(long, env = "FOLDLINE_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// A file that holds the secret.
    #[arg(long, env = "FOLDLINE_SECRET_FILE")]
    secret_file: Option<PathBuf>,
}

/// Where a role answers HTTP.
#[derive(Args, Clone)]
pub struct ListenArgs {
    /// Address and port; by default a port of the role's own, on the loopback only.
    #[arg(long, env = "FOLDLINE_LISTEN")]
    listen: Option<String>,
    /// Print one line of JSON on standard output when ready.
    #[arg(long)]
    pub json: bool,
    /// End when standard input does: for processes that another one keeps.
    #[arg(long)]
    pub end_with_input: bool,
}

/// Everything in one place: `up` and `up-kafka`.
#[derive(Args, Clone)]
pub struct UpArgs {
    /// The port that people open; 0 takes any free one.
    #[arg(long, env = "FOLDLINE_PORT", default_value_t = UP_PORT)]
    port: u16,
    /// Where data is kept; by default the user's data folder.
    #[arg(long, env = "FOLDLINE_DATA")]
    data: Option<PathBuf>,
    /// Print one line of JSON on standard output when ready, for scripts.
    #[arg(long)]
    pub json: bool,
    /// Run no worker: nothing follows from events, until one runs again.
    #[arg(long)]
    no_worker: bool,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    view: ViewArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    pub projecting: ProjectingArgs,
}

#[derive(Args, Clone)]
pub struct CommandArgs {
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    secret: SecretArgs,
    #[command(flatten)]
    pub listen: ListenArgs,
}

#[derive(Args, Clone)]
pub struct ProjectorArgs {
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    view: ViewArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
    /// Where events come from; by default Kafka when KAFKA_BROKERS is given.
    #[arg(long, env = "FOLDLINE_FEED", value_enum)]
    feed: Option<FeedKind>,
    #[command(flatten)]
    projecting: ProjectingArgs,
    #[command(flatten)]
    pub listen: ListenArgs,
}

#[derive(Args, Clone)]
pub struct QueryArgs {
    #[command(flatten)]
    view: ViewArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    secret: SecretArgs,
    /// The command service, to which mutations are handed: `http://host:port`.
    #[arg(long, env = "COMMAND_URL")]
    command_url: Option<String>,
    #[command(flatten)]
    pub listen: ListenArgs,
}

#[derive(Args, Clone)]
pub struct RelayArgs {
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    pub listen: ListenArgs,
}

#[derive(Args, Clone)]
pub struct WorkerArgs {
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    secret: SecretArgs,
    /// Where reactions begin that were never run on this log: after this position, 0 for all of it. By default at its head.
    #[arg(long, value_name = "POSITION", env = "FOLDLINE_REACTIONS_FROM", value_parser = clap::value_parser!(i64).range(0..))]
    from: Option<Position>,
    /// For how many days a command that is repeated under the same id gets its first answer.
    #[arg(
        long, value_name = "DAYS", env = "FOLDLINE_COMMAND_ID_DAYS", default_value_t = COMMAND_ID_DAYS,
        value_parser = clap::value_parser!(u16).range(i64::from(COMMAND_ID_DAYS_MIN)..)
    )]
    command_id_days: u16,
    #[command(flatten)]
    pub listen: ListenArgs,
}

#[derive(Args, Clone)]
pub struct MigrateArgs {
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    view: ViewArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    /// The name of the log's cell; it is part of the topic's name and cannot be changed later.
    #[arg(long, env = "FOLDLINE_CELL", default_value = "main")]
    pub cell: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum FeedKind {
    Postgres,
    Kafka,
}

/// A database, and how to reach it without a pooler.
#[derive(Clone)]
pub struct Database {
    pub url: PgConnectOptions,
    pub direct: PgConnectOptions,
}

impl Database {
    /// One URL for both ways.
    pub fn at(url: &str) -> Result<Self, sqlx::Error> {
        let url = PgConnectOptions::from_str(url)?;
        Ok(Self {
            direct: url.clone(),
            url,
        })
    }

    /// The URL again, with its password: to hand it to a process of ours.
    pub fn to_text(&self) -> String {
        self.url.to_url_lossy().to_string()
    }

    /// The direct URL again.
    pub fn direct_to_text(&self) -> String {
        self.direct.to_url_lossy().to_string()
    }
}

pub struct UpConfig {
    pub projecting: Projecting,
    pub listen: SocketAddr,
    pub data: Option<PathBuf>,
    /// Log and views, when they are not to be embedded.
    pub databases: Option<(Database, Database)>,
    /// When Kafka is not to be a local one. Only `up-kafka` needs any.
    pub kafka: Option<KafkaOptions>,
    pub worker: bool,
}

pub struct CommandConfig {
    pub log: Database,
    pub secret: Secret,
    pub listen: SocketAddr,
}

pub struct ProjectorConfig {
    pub log: Database,
    pub view: Database,
    pub feed: FeedConfig,
    pub projecting: Projecting,
    pub listen: SocketAddr,
}

pub enum FeedConfig {
    Postgres,
    Kafka(KafkaOptions),
}

pub struct QueryConfig {
    pub view: Database,
    pub secret: Secret,
    pub command_url: String,
    pub listen: SocketAddr,
}

pub struct RelayConfig {
    pub log: Database,
    pub kafka: KafkaOptions,
    pub listen: SocketAddr,
}

pub struct WorkerConfig {
    pub log: Database,
    pub secret: Secret,
    pub from: Option<Position>,
    pub command_id_days: u16,
    pub listen: SocketAddr,
}

pub struct MigrateConfig {
    pub log: Option<Database>,
    pub view: Option<Database>,
}

/// The ports on the loopback, when nothing else is said.
const UP_PORT: u16 = 8080;
const COMMAND_PORT: u16 = 8081;
const QUERY_PORT: u16 = 8082;
const PROJECTOR_PORT: u16 = 8083;
const RELAY_PORT: u16 = 8084;
const WORKER_PORT: u16 = 8085;

impl UpArgs {
    pub fn read(&self) -> anyhow::Result<UpConfig> {
        let mut problems = Problems::default();
        let given = self.database.database_url.is_some()
            || self.log.log_url.is_some()
            || self.view.view_url.is_some();
        let log = given.then(|| problems.note(self.log.read(&self.database)));
        let view = given.then(|| problems.note(self.view.read(&self.database)));
        let is_kafka_given = self.kafka.is_given();
        let kafka = is_kafka_given.then(|| problems.note(self.kafka.read()));
        let projecting = self.projecting.read(&mut problems);
        problems.report(|| {
            Some(UpConfig {
                projecting: projecting?,
                listen: SocketAddr::from(([127, 0, 0, 1], self.port)),
                data: self.data.clone(),
                databases: log.flatten().zip(view.flatten()),
                kafka: kafka.flatten(),
                worker: !self.no_worker,
            })
        })
    }
}

impl CommandArgs {
    pub fn read(&self) -> anyhow::Result<CommandConfig> {
        let mut problems = Problems::default();
        let log = problems.note(self.log.read(&self.database));
        let secret = problems.note(self.secret.read());
        let listen = problems.note(self.listen.read(COMMAND_PORT));
        problems.report(|| {
            Some(CommandConfig {
                log: log?,
                secret: secret?,
                listen: listen?,
            })
        })
    }
}

impl ProjectorArgs {
    pub fn read(&self) -> anyhow::Result<ProjectorConfig> {
        let mut problems = Problems::default();
        let log = problems.note(self.log.read(&self.database));
        let view = problems.note(self.view.read(&self.database));
        let has_brokers = self.kafka.is_given();
        let feed = match (self.feed, has_brokers) {
            (Some(FeedKind::Postgres), _) | (None, false) => Some(FeedConfig::Postgres),
            (Some(FeedKind::Kafka), _) | (None, true) => {
                problems.note(self.kafka.read()).map(FeedConfig::Kafka)
            }
        };
        let projecting = self.projecting.read(&mut problems);
        let listen = problems.note(self.listen.read(PROJECTOR_PORT));
        problems.report(|| {
            Some(ProjectorConfig {
                log: log?,
                view: view?,
                feed: feed?,
                projecting: projecting?,
                listen: listen?,
            })
        })
    }
}

impl QueryArgs {
    pub fn read(&self) -> anyhow::Result<QueryConfig> {
        let mut problems = Problems::default();
        let view = problems.note(self.view.read(&self.database));
        let secret = problems.note(self.secret.read());
        let command_url = problems.note(http_url(self.command_url.as_deref()));
        let listen = problems.note(self.listen.read(QUERY_PORT));
        problems.report(|| {
            Some(QueryConfig {
                view: view?,
                secret: secret?,
                command_url: command_url?,
                listen: listen?,
            })
        })
    }
}

impl RelayArgs {
    pub fn read(&self) -> anyhow::Result<RelayConfig> {
        let mut problems = Problems::default();
        let log = problems.note(self.log.read(&self.database));
        let kafka = problems.note(self.kafka.read());
        let listen = problems.note(self.listen.read(RELAY_PORT));
        problems.report(|| {
            Some(RelayConfig {
                log: log?,
                kafka: kafka?,
                listen: listen?,
            })
        })
    }
}

impl WorkerArgs {
    pub fn read(&self) -> anyhow::Result<WorkerConfig> {
        let mut problems = Problems::default();
        let log = problems.note(self.log.read(&self.database));
        let secret = problems.note(self.secret.read());
        let listen = problems.note(self.listen.read(WORKER_PORT));
        problems.report(|| {
            Some(WorkerConfig {
                log: log?,
                secret: secret?,
                from: self.from,
                command_id_days: self.command_id_days,
                listen: listen?,
            })
        })
    }
}

impl MigrateArgs {
    /// Whichever databases are given: the log and the views may be migrated apart.
    pub fn read(&self) -> anyhow::Result<MigrateConfig> {
        let mut problems = Problems::default();
        let shared = self.database.database_url.is_some();
        let log = (shared || self.log.log_url.is_some())
            .then(|| problems.note(self.log.read(&self.database)));
        let view = (shared || self.view.view_url.is_some())
            .then(|| problems.note(self.view.read(&self.database)));
        if log.is_none() && view.is_none() {
            problems.note::<()>(Err(
                "give LOG_URL, VIEW_URL, or DATABASE_URL for both".to_owned()
            ));
        }
        problems.report(|| {
            Some(MigrateConfig {
                log: log.flatten(),
                view: view.flatten(),
            })
        })
    }
}

impl LogArgs {
    /// Whether any database is named.
    pub fn is_given(&self, shared: &DatabaseArgs) -> bool {
        self.log_url.is_some() || shared.database_url.is_some()
    }

    pub fn read(&self, shared: &DatabaseArgs) -> Result<Database, String> {
        let given = Given {
            name: "LOG_URL",
            url: self.log_url.as_deref(),
            direct: self.log_url_direct.as_deref(),
        };
        given.read(shared)
    }
}

impl ViewArgs {
    fn read(&self, shared: &DatabaseArgs) -> Result<Database, String> {
        let given = Given {
            name: "VIEW_URL",
            url: self.view_url.as_deref(),
            direct: self.view_url_direct.as_deref(),
        };
        given.read(shared)
    }
}

struct Given<'a> {
    name: &'static str,
    url: Option<&'a str>,
    direct: Option<&'a str>,
}

impl Given<'_> {
    fn read(&self, shared: &DatabaseArgs) -> Result<Database, String> {
        let (name, url) = match (self.url, &shared.database_url) {
            (Some(url), _) => (self.name, url),
            (None, Some(url)) => ("DATABASE_URL", url.as_str()),
            (None, None) => return Err(format!("{} is not given (nor DATABASE_URL)", self.name)),
        };
        let url = database_url(name, url)?;
        let direct = match self.direct {
            Some(direct) => database_url(&format!("{}_DIRECT", self.name), direct)?,
            None => url.clone(),
        };
        Ok(Database { url, direct })
    }
}

/// The URL itself is not repeated in the message: it holds a password.
fn database_url(name: &str, url: &str) -> Result<PgConnectOptions, String> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(format!("{name} does not begin with postgres://"));
    }
    PgConnectOptions::from_str(url)
        .map_err(|error| format!("{name} is not a database URL: {error}"))
}

impl SecretArgs {
    pub fn is_given(&self) -> bool {
        self.secret.is_some() || self.secret_file.is_some()
    }

    pub fn read(&self) -> Result<Secret, String> {
        let (name, text) = match (&self.secret, &self.secret_file) {
            (Some(secret), _) => ("FOLDLINE_SECRET".to_owned(), secret.clone()),
            (None, Some(file)) => {
                let name = format!("the secret's file {}", file.display());
                let text = std::fs::read_to_string(file)
                    .map_err(|error| format!("{name} cannot be read: {error}"))?;
                (name, text)
            }
            (None, None) => {
                return Err(
                    "FOLDLINE_SECRET is not given (nor FOLDLINE_SECRET_FILE); make one with `openssl rand -hex 32`"
                        .to_owned(),
                );
            }
        };
        Secret::from_text(&text).map_err(|error| format!("{name}: {error}"))
    }
}

impl ListenArgs {
    fn read(&self, port: u16) -> Result<SocketAddr, String> {
        match &self.listen {
            None => Ok(SocketAddr::from(([127, 0, 0, 1], port))),
            Some(address) => address.parse().map_err(|_| {
                format!(
                    "FOLDLINE_LISTEN {address:?} is not an address and port, such as 127.0.0.1:8080"
                )
            }),
        }
    }
}

fn http_url(given: Option<&str>) -> Result<String, String> {
    let url = given.ok_or("COMMAND_URL is not given; without it mutations have nowhere to go")?;
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(format!(
            "COMMAND_URL {url:?} does not begin with http:// or https://"
        ));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// Collects everything that is wrong, so that a person mends it in one go.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn note<T>(&mut self, read: Result<T, String>) -> Option<T> {
        read.map_err(|problem| self.0.push(problem)).ok()
    }

    fn report<T>(self, build: impl FnOnce() -> Option<T>) -> anyhow::Result<T> {
        match build() {
            Some(config) if self.0.is_empty() => Ok(config),
            _ => anyhow::bail!(
                "the configuration has problems:\n  - {}",
                self.0.join("\n  - ")
            ),
        }
    }
}
