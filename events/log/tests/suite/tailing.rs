//! Many writers, one reader that follows, connections killed at random: nothing missed, doubled or out of order. And
//! the same check over a sequence column, to see it find what a sequence loses.

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use foldline_log::{Delivery, Feed, Log, Mark, Service, Start, feed::PostgresFeed};
use foldline_schema::testing::TestDatabase;
use rand::RngExt;
use sqlx::{PgConnection, Row};
use tokio::{process::Command, sync::oneshot, task::JoinHandle, time::Instant};

use crate::faults::PATIENCE;
use crate::store::{database, database_with_large_segments, open, owner};

const PROCESSES: usize = 3;
const APPENDERS_PER_PROCESS: usize = 11;

/// One event as a reader or a writer reports it: where, and which.
type Seen = (i64, String);

fn load_seconds() -> u64 {
    if std::env::var_os("FOLDLINE_SOAK").is_some() {
        60
    } else {
        4
    }
}

/// Says what is wrong between what writers were told and what a reader saw; `None` when nothing is.
fn complaint(acknowledged: &[Seen], read: &[Seen]) -> Option<String> {
    let unordered = read
        .windows(2)
        .filter(|pair| pair[0].0 >= pair[1].0)
        .count();
    let distinct: HashSet<&Seen> = read.iter().collect();
    let missed = acknowledged
        .iter()
        .filter(|seen| !distinct.contains(seen))
        .count();
    let doubled = read.len() - distinct.len();
    (missed + doubled + unordered > 0)
        .then(|| format!("{missed} missed, {doubled} doubled, {unordered} out of order"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tailing_reader_misses_nothing_of_32_appenders_in_3_processes_while_connections_are_killed()
 {
    let database = database_with_large_segments().await;
    let (stop, stopped) = oneshot::channel();
    let followed = open(&database, Service::Projector).await;
    let reader = tokio::spawn(tail(followed, stopped));
    let processes: Vec<_> = (0..PROCESSES)
        .map(|n| tokio::spawn(appenders(database.url.clone(), format!("load{n}"))))
        .collect();
    // To open a log whose connections are killed is an error, and not what this is about.
    all_append(&database).await;
    let killer = Killer::start(&database).await;
    let mut acknowledged = Vec::new();
    for process in processes {
        acknowledged.extend(process.await.unwrap());
    }
    killer.stop().await;
    let log = open(&database, Service::Projector).await;
    let head = log.head().await.unwrap().position;
    stop.send(head).unwrap();
    let read = reader.await.unwrap();

    assert_eq!(complaint(&acknowledged, &read), None);
    let positions: Vec<i64> = read.iter().map(|(position, _)| *position).collect();
    assert_eq!(positions, (1..=head).collect::<Vec<_>>());
    let distinct: HashSet<&Seen> = acknowledged.iter().collect();
    assert_eq!(
        distinct.len(),
        acknowledged.len(),
        "an event was acknowledged twice"
    );
    println!(
        "{} acknowledged, {head} in the log, all read in order",
        acknowledged.len()
    );
}

/// An example, as `make test` builds it beside the tests.
pub fn program(example: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let built = tests.ancestors().nth(2).unwrap();
    built.join("examples").join(example)
}

/// The program `examples/appenders.rs` as a process of its own.
async fn appenders(url: String, name: String) -> Vec<Seen> {
    let output = Command::new(program("appenders"))
        .args([
            &name,
            &APPENDERS_PER_PROCESS.to_string(),
            &load_seconds().to_string(),
        ])
        .env("LOG_URL", url)
        .stderr(Stdio::inherit())
        .output()
        .await
        .expect("`cargo test` builds the examples");
    assert!(output.status.success(), "the appenders of {name} failed");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines
        .lines()
        .map(|line| {
            let (position, id) = line.split_once(' ').unwrap();
            (position.parse().unwrap(), id.to_owned())
        })
        .collect()
}

/// Follows the log by the feed, coming back after every error, until it has read up to the position it is told.
async fn tail(log: Log, mut stopped: oneshot::Receiver<i64>) -> Vec<Seen> {
    let mut read: Vec<Seen> = Vec::new();
    let mut after = Mark::START;
    let mut until = None;
    let mut told = Instant::now();
    let mut feed = Feed::Postgres(PostgresFeed::new(log.clone()));
    while until.is_none_or(|until| after.position < until) {
        if until.is_none() {
            until = stopped.try_recv().ok();
            told = Instant::now();
        }
        assert!(
            told.elapsed() < PATIENCE,
            "still at {} of {until:?}",
            after.position
        );
        let next = tokio::time::timeout(Duration::from_millis(100), feed.next()).await;
        match next {
            Ok(Ok(Delivery::Assigned(partitions))) => {
                let starts: Vec<Start> = partitions
                    .into_iter()
                    .map(|partition| Start {
                        partition,
                        after,
                        offset: None,
                    })
                    .collect();
                if feed.start(&starts).await.is_err() {
                    feed = Feed::Postgres(PostgresFeed::new(log.clone()));
                }
            }
            Ok(Ok(Delivery::Slices(slices))) => {
                let mut events: BTreeMap<i64, String> = BTreeMap::new();
                for slice in slices {
                    after = slice.through;
                    events.extend(
                        slice
                            .events
                            .into_iter()
                            .map(|event| (event.position, event.id.to_string())),
                    );
                }
                read.extend(events);
            }
            Ok(Ok(Delivery::Revoked(_))) => unreachable!("the Postgres feed takes nothing away"),
            Ok(Err(_)) | Err(_) if until.is_none() => {}
            Ok(Err(error)) => eprintln!("reading again after: {error}"),
            Err(_) => {}
        }
    }
    read
}

/// Until each process has appended.
async fn all_append(database: &TestDatabase) {
    let mut owner = owner(database).await;
    let began = Instant::now();
    loop {
        let processes: i64 = sqlx::query_scalar(
            "select count(distinct split_part(stream, '-', 1))
             from log.streams",
        )
        .fetch_one(&mut owner)
        .await
        .unwrap();
        if usize::try_from(processes) == Ok(PROCESSES) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "only {processes} append");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Kills one connection after another, at random.
struct Killer {
    stop: oneshot::Sender<()>,
    killing: JoinHandle<()>,
}

impl Killer {
    async fn start(database: &TestDatabase) -> Self {
        let (stop, stopped) = oneshot::channel();
        let killing = tokio::spawn(kill_connections(owner(database).await, stopped));
        Self { stop, killing }
    }

    /// Returns when nothing is killed any more.
    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.killing.await.unwrap();
    }
}

async fn kill_connections(mut owner: PgConnection, mut stopped: oneshot::Receiver<()>) {
    loop {
        let pause = Duration::from_millis(rand::rng().random_range(50..400));
        if tokio::time::timeout(pause, &mut stopped).await.is_ok() {
            return;
        }
        sqlx::raw_sql(
            "select pg_terminate_backend(pid)
             from pg_stat_activity
             where datname = current_database()
               and pid <> pg_backend_pid()
             order by random()
             limit 1",
        )
        .execute(&mut owner)
        .await
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_check_finds_what_a_sequence_cursor_loses() {
    let database = database().await;
    let mut owner = owner(&database).await;
    sqlx::raw_sql("create table naive (position bigserial primary key, id text not null)")
        .execute(&mut owner)
        .await
        .unwrap();
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(34)
        .connect(&database.url)
        .await
        .unwrap();
    let until = Instant::now() + Duration::from_secs(load_seconds());
    let killer = Killer::start(&database).await;
    let writers: Vec<_> = (0..32)
        .map(|n| tokio::spawn(write_naively(pool.clone(), n, until)))
        .collect();

    let mut read: Vec<Seen> = Vec::new();
    let mut last = 0_i64;
    while Instant::now() < until + Duration::from_millis(500) {
        let statement = "select position, id from naive where position > $1 order by position";
        let found = sqlx::query(statement).bind(last).fetch_all(&pool).await;
        // Its connection was killed; the next statement gets another.
        let Ok(rows) = found else { continue };
        read.extend(rows.iter().map(|row| (row.get("position"), row.get("id"))));
        last = read.last().map_or(0, |(position, _)| *position);
    }
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    killer.stop().await;
    let complaint = complaint(&acknowledged, &read)
        .expect("a sequence cursor loses events, and the check sees it");
    println!(
        "of {} events by a sequence cursor: {complaint}",
        acknowledged.len()
    );
}

async fn write_naively(pool: sqlx::PgPool, writer: usize, until: Instant) -> Vec<Seen> {
    let mut acknowledged = Vec::new();
    let mut count = 0;
    while Instant::now() < until {
        count += 1;
        let id = format!("{writer}-{count}");
        // One whose connection was killed is not acknowledged, so nobody asks for it.
        if let Ok(position) = insert_naively(&pool, &id).await {
            acknowledged.push((position, id));
        }
    }
    acknowledged
}

async fn insert_naively(pool: &sqlx::PgPool, id: &str) -> sqlx::Result<i64> {
    let mut transaction = pool.begin().await?;
    let position = sqlx::query_scalar("insert into naive (id) values ($1) returning position")
        .bind(id)
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(position)
}
