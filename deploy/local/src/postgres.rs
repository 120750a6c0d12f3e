//! A PostgreSQL that we run ourselves: initialised when its folder is new, taken over when it was left running.
//!
//! Owns the programs (`binaries`), the data folder (`cluster`), what a dead Foldline left behind (`orphan`) and the
//! server's settings (`settings`). Durability is never switched off: what was answered is on disk.

mod binaries;
mod cluster;
mod orphan;
mod settings;

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

pub use settings::CONNECTIONS_MAX;

use crate::account::Account;
use crate::folder::{DataFolder, Log};
use crate::process::{Launch, Lifetime, POLL, Process};
use crate::{Error, port};
use binaries::Binaries;
use cluster::Cluster;

const NAME: &str = "PostgreSQL";
const LOG: &str = "postgres.log";

/// Recovery after a crash replays what was written since the last checkpoint, which takes its time on a slow disk.
const READY_SECONDS_MAX: u64 = 300;

/// Another process may take a free port before PostgreSQL does; backends of a killed server take a moment to go.
const STARTS_MAX: usize = 20;
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// How often a server that is to be kept is looked at.
const KEEP_POLL: Duration = Duration::from_millis(200);

/// Fast (clients are cut off, all is written), then immediate (recovery at the next start), then by force.
const STOP: [(Signal, Duration); 3] = [
    (Signal::SIGINT, Duration::from_secs(60)),
    (Signal::SIGQUIT, Duration::from_secs(10)),
    (Signal::SIGKILL, Duration::from_secs(10)),
];

const KILL: [(Signal, Duration); 1] = [(Signal::SIGKILL, Duration::from_secs(10))];

#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Made when absent. Two servers need two folders.
    pub data: PathBuf,
    /// On 127.0.0.1; any free one when absent.
    pub port: Option<u16>,
    /// The major version; when absent, the one that made the data folder, or the first found.
    pub version: Option<u32>,
    /// Added to ours, over which they win.
    pub settings: Vec<(String, String)>,
    pub lifetime: Lifetime,
}

#[derive(Debug)]
pub struct PostgresServer {
    process: Process,
    port: u16,
    options: PostgresOptions,
    binaries: Binaries,
    cluster: Cluster,
    account: Option<Account>,
    /// Last: the folder is free when the server is gone.
    folder: DataFolder,
}

impl PostgresServer {
    /// Returns when the server answers queries with our password.
    pub async fn start(options: PostgresOptions) -> Result<Self, Error> {
        let folder = DataFolder::open(&options.data)?;
        let made_by = cluster::major_of(folder.path())?;
        if let (Some(wanted), Some(found)) = (options.version, made_by)
            && wanted != found
        {
            return Err(Error::WrongMajor {
                data: folder.path().to_owned(),
                found,
                wanted,
            });
        }
        let account = Account::for_cluster(&cluster::path_in(folder.path()));
        let binaries = Binaries::find(options.version.or(made_by), account.as_ref()).await?;
        let cluster = Cluster::open(&folder, &binaries, account.as_ref()).await?;
        let start = Start {
            folder: &folder,
            binaries: &binaries,
            cluster: &cluster,
            account: account.as_ref(),
        };
        let (process, port) = match orphan::take_over(&start, &options).await? {
            Some(adopted) => adopted,
            None => start.fresh(&options).await?,
        };
        tracing::info!(
            pid = process.pid(),
            port,
            version = binaries.version(),
            "postgres ready"
        );
        Ok(Self {
            process,
            port,
            options,
            binaries,
            cluster,
            account,
            folder,
        })
    }

    /// Waits until the server ends by itself, and starts it again where it was, each time; ends only when that fails.
    pub async fn keep(&mut self) -> Error {
        let options = PostgresOptions {
            port: Some(self.port),
            ..self.options.clone()
        };
        loop {
            while !self.process.has_ended() {
                sleep(KEEP_POLL).await;
            }
            tracing::warn!(
                pid = self.pid(),
                "postgres ended unasked; starting it again"
            );
            let start = Start {
                folder: &self.folder,
                binaries: &self.binaries,
                cluster: &self.cluster,
                account: self.account.as_ref(),
            };
            let revived = async {
                // What it wrote of itself may name a process that only looks alive.
                match orphan::take_over(&start, &options).await? {
                    Some(adopted) => Ok(adopted),
                    None => start.fresh(&options).await,
                }
            };
            match revived.await {
                Ok((process, _)) => self.process = process,
                Err(error) => return error,
            }
            tracing::info!(pid = self.pid(), "postgres ready again");
        }
    }

    /// `postgres://…`, as the superuser, over the loopback.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{}:{}@127.0.0.1:{}/{database}",
            settings::SUPERUSER,
            self.cluster.password,
            self.port
        )
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// As PostgreSQL says it: `18.4`.
    pub fn version(&self) -> &str {
        self.binaries.version()
    }

    /// The folder of `psql` and its like, of the same version as the server.
    pub fn programs(&self) -> &Path {
        self.binaries.folder()
    }

    /// The folder of its unix socket.
    pub fn sockets(&self) -> &Path {
        &self.cluster.sockets
    }

    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    /// Ends its sessions and stops it in an orderly way. The folder can be used again afterwards.
    pub async fn stop(self) -> Result<(), Error> {
        self.process.stop(&STOP).await
    }

    /// Kills it as a crash would: what was committed is recovered at the next start.
    pub async fn kill(self) -> Result<(), Error> {
        self.process.stop(&KILL).await
    }
}

/// What a start has found out before there is a process.
struct Start<'a> {
    folder: &'a DataFolder,
    binaries: &'a Binaries,
    cluster: &'a Cluster,
    account: Option<&'a Account>,
}

/// Why a process that was started is not the server yet.
enum Refusal {
    PortTaken,
    /// A killed server's memory is still attached to by what is left of it.
    StillGoing(String),
    Failed(Error),
}

impl Start<'_> {
    async fn fresh(&self, options: &PostgresOptions) -> Result<(Process, u16), Error> {
        let mut last = String::new();
        for _ in 0..STARTS_MAX {
            let port = port::choose(options.port)?;
            match self.launch(options, port).await {
                Ok(process) => return Ok((process, port)),
                Err(Refusal::PortTaken) if options.port.is_some() => {
                    return Err(Error::PortInUse { port });
                }
                Err(Refusal::PortTaken) => {}
                Err(Refusal::StillGoing(log)) => {
                    last = log;
                    sleep(RETRY_AFTER).await;
                }
                Err(Refusal::Failed(error)) => return Err(error),
            }
        }
        Err(Error::NotStarted {
            program: NAME,
            log: last,
        })
    }

    async fn launch(&self, options: &PostgresOptions, port: u16) -> Result<Process, Refusal> {
        let log = self.folder.log(LOG).map_err(Refusal::Failed)?;
        let mut process = self
            .spawn(options, port, &log)
            .await
            .map_err(Refusal::Failed)?;
        let end = Instant::now() + Duration::from_secs(READY_SECONDS_MAX);
        loop {
            if process.has_ended() {
                return Err(refusal(&log));
            }
            if self
                .cluster
                .server()
                .is_some_and(|server| server.ready && server.pid == process.pid())
            {
                break;
            }
            if Instant::now() >= end {
                let error = Error::NotReady {
                    program: NAME,
                    seconds: READY_SECONDS_MAX,
                    log: log.tail(),
                };
                process.stop(&STOP).await.map_err(Refusal::Failed)?;
                return Err(Refusal::Failed(error));
            }
            sleep(POLL).await;
        }
        if let Err(answer) = self.cluster.check_answer(self.binaries, port).await {
            process.stop(&STOP).await.map_err(Refusal::Failed)?;
            return Err(Refusal::Failed(answer));
        }
        Ok(process.ready())
    }

    async fn spawn(
        &self,
        options: &PostgresOptions,
        port: u16,
        log: &Log,
    ) -> Result<Process, Error> {
        let launch = Launch {
            program: self.binaries.program("postgres"),
            arguments: settings::arguments(self.cluster, port, &options.settings),
            environment: settings::environment(),
            account: self.account,
            log: log.writer()?,
            lifetime: options.lifetime,
            death: Signal::SIGQUIT,
            cancel: Signal::SIGINT,
        };
        Process::spawn(NAME, launch).await
    }
}

fn refusal(log: &Log) -> Refusal {
    let said = log.since_start();
    if said.contains("Address already in use") {
        Refusal::PortTaken
    } else if said.contains("is still in use") {
        Refusal::StillGoing(log.tail())
    } else {
        Refusal::Failed(Error::NotStarted {
            program: NAME,
            log: log.tail(),
        })
    }
}
