//! Many appends at once, as one request of many commands makes them: 1,000 on as many streams, answered before the next
//! 1,000 are sent. Beside it, in turns: `COPY` of the same rows into the same tables, each 1,000 a transaction, which is
//! as fast as PostgreSQL takes rows.

use std::{
    env, fs,
    time::{Duration, Instant},
};

use clap::Args;
use futures_util::future::try_join_all;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{
    database::{self, Database},
    report::{self, Figure},
    sample,
};

const APPENDS: usize = 1_000;

#[derive(Args)]
pub struct BulkArgs {
    /// How long each measurement takes
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How often both are measured
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

pub async fn run(args: BulkArgs) -> anyhow::Result<()> {
    let (mut appended, mut copied) = (Vec::new(), Vec::new());
    for run in 1..=args.runs {
        copied.push(copy(args.seconds).await?);
        appended.push(append(args.seconds).await?);
        eprintln!(
            "run {run}: COPY {:.0} events a second, appended {:.0}",
            copied[run - 1],
            appended[run - 1]
        );
    }
    let copied = Figure::new("COPY", "events/s", copied);
    let mut appended = Figure::new("foldline, 1,000 at once", "events/s", appended);
    appended.against("COPY", copied.median);
    report::publish("bulk", &[copied, appended])
}

async fn append(seconds: f64) -> anyhow::Result<f64> {
    let database = Database::with_log().await?;
    let log = database::open(&database.url()).await?;
    let began = Instant::now();
    let until = began + Duration::from_secs_f64(seconds);
    let mut events = 0;
    while Instant::now() < until {
        try_join_all((0..APPENDS).map(|_| log.append(sample::append()))).await?;
        events += APPENDS;
    }
    let rate = events as f64 / began.elapsed().as_secs_f64();
    drop(log);
    database.drop().await?;
    Ok(rate)
}

/// One table's rows as `COPY` reads them.
struct Copied {
    name: &'static str,
    rows: String,
}

async fn copy(seconds: f64) -> anyhow::Result<f64> {
    let database = Database::with_log().await?;
    let mut owner = PgConnection::connect(&database.url()).await?;
    // The server reads them itself, which spares it the network.
    let folder = env::temp_dir().join(format!("foldline-bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let began = Instant::now();
    let until = began + Duration::from_secs_f64(seconds);
    let mut head = 0;
    while Instant::now() < until {
        let tables = tables(head);
        let mut transaction = owner.begin().await?;
        for table in tables {
            let file = folder.join(table.name);
            fs::write(&file, table.rows)?;
            let copy = format!("copy log.{} from '{}'", table.name, file.display());
            sqlx::raw_sql(AssertSqlSafe(copy))
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        head += APPENDS;
    }
    let rate = head as f64 / began.elapsed().as_secs_f64();
    fs::remove_dir_all(&folder)?;
    owner.close().await?;
    database.drop().await?;
    Ok(rate)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is an edge")]
fn tables(head: usize) -> [Copied; 5] {
    let table = |name| Copied {
        name,
        rows: String::new(),
    };
    let mut tables = [
        table("events"),
        table("tags"),
        table("streams"),
        table("commands"),
        table("batches"),
    ];
    let now = chrono::Utc::now().to_rfc3339();
    for position in head + 1..=head + APPENDS {
        let append = sample::append();
        let (write, id) = (&append.writes[0], append.command_id);
        let event = &write.events[0].encoded;
        let (stream, payload) = (&write.stream, &event.payload);
        let (event_type, tags) = (event.event_type, event.tags.join(","));
        let [events, of_tags, streams, commands, _batches] = &mut tables;
        events.rows += &format!(
            "{position}\t7\t{id}\tbench\t{stream}\t1\t{event_type}\t1\t{payload}\t{{{tags}}}\tbench\t{id}\t{id}\t{id}\t\\N\t{now}\t{now}\n"
        );
        for tag in &event.tags {
            of_tags.rows += &format!("bench\t{tag}\t{event_type}\t{position}\n");
        }
        streams.rows += &format!("bench\t{stream}\t1\t{position}\n");
        let digest = "07".repeat(32);
        commands.rows +=
            &format!("bench\t{id}\t\\\\x{digest}\t{stream}\t1\t{position}\t7\t{now}\n");
    }
    tables[4].rows = format!("{}\t{now}\n", head + APPENDS);
    tables
}
