//! What can go wrong with a local server, each said so that the person reading it knows what to do next.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

#[derive(Debug, Error)]
pub enum Error {
    #[error(
        "no PostgreSQL 15 or newer found: run `make postgres`, or `apt-get install postgresql`"
    )]
    PostgresMissing,

    #[error("no PostgreSQL {wanted} found: run `make postgres` (it brings 18 and 16)")]
    PostgresVersionMissing { wanted: u32 },

    #[error("Apache Kafka is not in the cache ({}): run `make kafka`", folder.display())]
    KafkaMissing { folder: PathBuf },

    #[error(
        "no Java 17 or newer found ({found}): run `make setup`, or `apt-get install openjdk-17-jre-headless`"
    )]
    JavaMissing { found: String },

    #[error("the cache can't be found: set HOME or XDG_CACHE_HOME")]
    CacheUnknown,

    #[error(
        "the data folder {} was made by PostgreSQL {found}, and PostgreSQL {wanted} can't read it: \
         start it with {found}, or choose another folder",
        data.display()
    )]
    WrongMajor {
        data: PathBuf,
        found: u32,
        wanted: u32,
    },

    #[error("the data folder {} is in use by process {pid}: stop that, or choose another folder", data.display())]
    FolderInUse { data: PathBuf, pid: String },

    #[error(
        "the data folder {} can't be reached by the user `{user}`, as which PostgreSQL runs when you are root: \
         run `chmod o+x {}`, or choose a folder such as /var/lib/foldline/NAME",
        data.display(),
        closed.display()
    )]
    FolderClosed {
        data: PathBuf,
        closed: PathBuf,
        user: String,
    },

    #[error("can't {action} {}", path.display())]
    Folder {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },

    #[error("port {port} is in use: stop what holds it, or choose another")]
    PortInUse { port: u16 },

    #[error("no free port found on 127.0.0.1")]
    NoFreePort,

    #[error("can't run {}", program.display())]
    Run { program: PathBuf, source: io::Error },

    #[error("{program} failed: {output}")]
    Failed {
        program: &'static str,
        output: String,
    },

    #[error("{program} did not start: {log}")]
    NotStarted { program: &'static str, log: String },

    #[error("{program} was not ready after {seconds} s: {log}")]
    NotReady {
        program: &'static str,
        seconds: u64,
        log: String,
    },

    #[error("{program} (process {pid}) could not be stopped")]
    NotStopped { program: &'static str, pid: i32 },
}

impl Error {
    pub(crate) fn folder(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Folder {
            action,
            path,
            source,
        }
    }

    pub(crate) fn run(program: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let program = program.into();
        move |source| Self::Run { program, source }
    }
}
