//! `COPY` of what a log holds into the five tables of another: as fast as PostgreSQL takes these very rows.

use std::{
    env,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use foldline_events::Position;
use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::database::Database;

/// How many events a transaction copies.
const TRANSACTION_EVENTS: i64 = 1_000;

/// The tables that an append writes, each with the column that says at which position.
const TABLES: [(&str, &str); 5] = [
    ("events", "position"),
    ("tags", "position"),
    ("streams", "last_position"),
    ("commands", "position"),
    ("batches", "last_position"),
];

/// A log's rows in files that the server reads itself, which spares it the network: for each transaction one of each table.
pub struct Copied {
    folder: PathBuf,
    transactions: i64,
    events: Position,
}

impl Copied {
    /// Writes the files, and waits until they are on the disk.
    #[expect(clippy::disallowed_methods, reason = "a benchmark is an edge")]
    pub async fn of(database: &Database) -> anyhow::Result<Self> {
        let mut owner = PgConnection::connect(&database.url()).await?;
        let events: Position = sqlx::query_scalar("select max(position) from log.events")
            .fetch_one(&mut owner)
            .await?;
        let folder = env::temp_dir().join(format!("foldline-bench-{}", Uuid::now_v7().simple()));
        fs::create_dir_all(&folder)?;
        let copied = Self {
            folder,
            transactions: (events + TRANSACTION_EVENTS - 1) / TRANSACTION_EVENTS,
            events,
        };
        for transaction in 0..copied.transactions {
            for (table, position) in TABLES {
                let after = transaction * TRANSACTION_EVENTS;
                let rows = format!(
                    "copy (
                         select *
                         from log.{table}
                         where {position} > {after} and {position} <= {after} + {TRANSACTION_EVENTS}
                     ) to stdout"
                );
                write(&mut owner, &rows, &copied.file(transaction, table)).await?;
            }
        }
        owner.close().await?;
        Ok(copied)
    }

    /// Into an empty log; events a second. Only the transactions are measured.
    pub async fn copy(&self) -> anyhow::Result<f64> {
        let database = Database::with_log().await?;
        let mut owner = PgConnection::connect(&database.url()).await?;
        let began = Instant::now();
        for transaction in 0..self.transactions {
            let mut copying = owner.begin().await?;
            for (table, _) in TABLES {
                let file = self.file(transaction, table);
                let copy = format!("copy log.{table} from '{}'", file.display());
                sqlx::raw_sql(AssertSqlSafe(copy))
                    .execute(&mut *copying)
                    .await?;
            }
            copying.commit().await?;
        }
        let seconds = began.elapsed().as_secs_f64();
        let there: Position = sqlx::query_scalar("select count(*) from log.events")
            .fetch_one(&mut owner)
            .await?;
        anyhow::ensure!(there == self.events, "{there} events were copied");
        owner.close().await?;
        database.drop().await?;
        Ok(self.events as f64 / seconds)
    }

    fn file(&self, transaction: i64, table: &str) -> PathBuf {
        self.folder.join(format!("{transaction}-{table}"))
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        // What stays is in the folder for what is temporary.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

async fn write(owner: &mut PgConnection, rows: &str, path: &Path) -> anyhow::Result<()> {
    let mut file = File::create(path)?;
    let mut copied = owner.copy_out_raw(rows).await?;
    while let Some(chunk) = copied.try_next().await? {
        file.write_all(&chunk)?;
    }
    Ok(file.sync_all()?)
}
