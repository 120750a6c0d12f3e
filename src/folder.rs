//! The data folder of `up` and `up-kafka`: the secret, and the embedded Postgres.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    pin::pin,
};

use anyhow::Context;
use foldline_gate::Secret;
use foldline_local::{
    Lifetime,
    postgres::{PostgresOptions, PostgresServer},
};
use rand::RngExt;
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::config::Database;

const SECRET_FILE: &str = "secret";
const SECRET_BYTES: usize = 32;

/// The database in the embedded Postgres.
const DATABASE: &str = "foldline";

pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder named, or the user's own; made when absent.
    pub fn open(named: Option<&Path>) -> anyhow::Result<Self> {
        let path = path(named)?;
        fs::create_dir_all(&path).with_context(|| {
            format!("cannot make the data folder {}; see --data", path.display())
        })?;
        Ok(Self { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn secret_file(&self) -> PathBuf {
        self.path.join(SECRET_FILE)
    }

    /// The secret of this installation; made at its first start, readable by its owner alone.
    pub fn secret(&self) -> anyhow::Result<Secret> {
        let file = self.secret_file();
        if !file.exists() {
            let bytes: [u8; SECRET_BYTES] = rand::rng().random();
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            write_new(&file, &digits)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        read_secret(&file)
    }

    /// The databases given, for log and views, or the embedded one, started.
    pub async fn databases(
        &self,
        given: Option<(Database, Database)>,
    ) -> anyhow::Result<(Databases, Embedded)> {
        match given {
            Some((log, view)) => Ok((Databases { log, view }, Embedded(None))),
            None => self.embedded().await,
        }
    }

    async fn embedded(&self) -> anyhow::Result<(Databases, Embedded)> {
        let options = PostgresOptions {
            data: self.path.join("postgres"),
            port: None,
            version: None,
            settings: vec![],
            lifetime: Lifetime::OutlivesUs,
        };
        let server = PostgresServer::start(options).await?;
        create_database(&server).await?;
        let database = Database::at(&server.url(DATABASE))
            .context("the embedded Postgres has a strange URL")?;
        let databases = Databases {
            log: database.clone(),
            view: database,
        };
        Ok((databases, Embedded(Some(server))))
    }
}

/// Where log and views are.
pub struct Databases {
    pub log: Database,
    pub view: Database,
}

/// The server behind them, when it is ours.
pub struct Embedded(Option<PostgresServer>);

impl Embedded {
    /// Runs `work` over the server, which is started again whenever it ends unasked, and stops it afterwards. When it
    /// cannot be started again, `shutdown` is cancelled, and that is the error.
    pub async fn under(
        mut self,
        work: impl Future<Output = anyhow::Result<()>>,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        let ended = {
            let kept = async {
                match &mut self.0 {
                    Some(server) => server.keep().await,
                    None => std::future::pending().await,
                }
            };
            let mut work = pin!(work);
            tokio::select! {
                ended = &mut work => ended,
                error = kept => {
                    shutdown.cancel();
                    if let Err(consequence) = work.await {
                        tracing::warn!(error = %consequence, "ended without its database");
                    }
                    Err(error).context("the embedded Postgres cannot be started again")
                }
            }
        };
        if let Some(server) = self.0 {
            let stopped = server.stop().await;
            return ended.and(stopped.context("cannot stop the embedded Postgres"));
        }
        ended
    }
}

/// The secret of a data folder that a `foldline up` has made.
pub fn existing_secret(named: Option<&Path>) -> anyhow::Result<Secret> {
    let file = path(named)?.join(SECRET_FILE);
    read_secret(&file).context("give FOLDLINE_SECRET, or the --data folder of a `foldline up`")
}

fn path(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => foldline_local::default_data_folder()?,
    };
    std::path::absolute(&path).with_context(|| format!("{} is not a path", path.display()))
}

fn read_secret(file: &Path) -> anyhow::Result<Secret> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Secret::from_text(&text).with_context(|| format!("{} holds no secret", file.display()))
}

fn write_new(file: &Path, text: &str) -> std::io::Result<()> {
    // Under another name until it is whole and on the disk: a machine that crashes leaves all of it or nothing.
    let partial = file.with_extension("partial");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut written = options.open(&partial)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    fs::rename(&partial, file)?;
    match file.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

async fn create_database(server: &PostgresServer) -> anyhow::Result<()> {
    let mut owner = PgConnection::connect(&server.url("postgres"))
        .await
        .context("cannot connect to the embedded Postgres")?;
    let present: bool =
        sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(DATABASE)
            .fetch_one(&mut owner)
            .await
            .context("cannot look for the database")?;
    if !present {
        sqlx::raw_sql("create database foldline")
            .execute(&mut owner)
            .await
            .context("cannot create the database")?;
    }
    owner.close().await.context("cannot close the connection")
}
