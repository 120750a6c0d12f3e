//! The whole way, from a real log through the Postgres feed to the rows.

use std::time::Duration;

use foldline_events::{Encoded, Position, Recorded};
use foldline_log::{
    Append, Expected, Feed, Log, LogOptions, NewEvent, Service, Verdict, Write, feed::PostgresFeed,
};
use foldline_projector::{
    CHANNEL, Error, Health, Projector, ProjectorOptions, Retention, Status, View,
    health::Phase,
    parking::desk::{self, Which},
};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    history::History,
    seeded::seeded,
    support::{Views, apply},
};

/// What the projector's sessions are called, so that a test can end them and no others.
pub const SESSIONS: &str = "projector under test";

/// How long anything may take to be folded; a fraction of a second, unless something is wrong.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Running {
    pub health: Health,
    stop: CancellationToken,
    ended: JoinHandle<Result<(), Error>>,
}

impl Running {
    pub async fn start(views: &Views) -> Self {
        Self::start_with(views, |_| {}).await
    }

    /// One that keeps rows of the past for so long.
    pub async fn start_keeping(views: &Views, retention: Retention) -> Self {
        Self::start_with(views, |options| options.retention = retention).await
    }

    /// One with other options.
    pub async fn start_with(views: &Views, change: impl FnOnce(&mut ProjectorOptions)) -> Self {
        let url = views.options().application_name(SESSIONS);
        let direct = url.clone().options([("role", "foldline_projector")]);
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .connect_with(direct.clone())
            .await
            .unwrap();
        let log = open(url, Service::Projector).await;
        let mut options = ProjectorOptions {
            direct,
            moved: watch::Sender::new(0),
            stall_retry: Duration::from_millis(100),
            long_log_events: ProjectorOptions::LONG_LOG_EVENTS,
            retention: Retention::new(),
            retention_interval: Duration::from_millis(50),
            proof_pause: None,
        };
        change(&mut options);
        let feed = Feed::Postgres(PostgresFeed::unassigned(log.clone()));
        let projector = Projector::new(pool, feed, log, options);
        let (health, stop) = (projector.health(), CancellationToken::new());
        Self {
            ended: tokio::spawn(projector.run(stop.clone())),
            health,
            stop,
        }
    }

    pub async fn until(&self, what: impl Fn(&Status) -> bool) -> Status {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let status = self.health.status();
                if what(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited
            .await
            .unwrap_or_else(|_| panic!("it never came to that: {:?}", self.health.status()))
    }

    pub async fn folded(&self, through: Position) {
        self.until(|status| {
            !status.views.is_empty() && status.views.iter().all(|view| view.position == through)
        })
        .await;
    }

    /// Until it waits for somebody who is to do what it says; whoever rolls out waits for that, too.
    pub async fn waits_for(&self, said: &str) {
        let waits =
            |status: &Status| matches!(&status.phase, Phase::Waiting(why) if why.contains(said));
        let status = self.until(waits).await;
        assert!(!status.is_ready());
    }

    pub async fn end(self) {
        self.stop.cancel();
        self.ended.await.unwrap().unwrap();
    }
}

pub async fn open(url: PgConnectOptions, service: Service) -> Log {
    let options = LogOptions {
        url,
        direct: None,
        service,
        connections_max: 2,
    };
    Log::open(options).await.unwrap()
}

pub async fn append(log: &Log, events: &[Recorded]) {
    for event in events {
        append_as(log, event, "").await;
    }
}

/// `type_suffix` makes an event type that nobody knows.
async fn append_as(log: &Log, event: &Recorded, type_suffix: &str) {
    let event_type = format!("{}{type_suffix}", event.event_type).leak();
    let encoded = Encoded {
        event_type,
        schema_version: event.schema_version,
        payload: event.payload.clone(),
        tags: event.tags.clone(),
    };
    let new = NewEvent::new(event.id, event.occurred_at, encoded);
    let expected = Expected::Exactly(event.version - 1);
    let writes = vec![Write::to(&event.stream, expected, vec![new])];
    let append = Append::new(event.tenant.clone(), event.id, &event.actor, writes);
    let verdict = log.append(append).await.unwrap();
    assert!(matches!(verdict, Verdict::Appended(_)), "{verdict:?}");
}

/// What a fresh replay of the history makes of it.
pub async fn replayed(history: &History) -> Vec<String> {
    let views = Views::new().await;
    apply(&mut views.writer().await, history.whole()).await;
    views.rows().await
}

#[tokio::test]
async fn what_is_appended_becomes_rows_and_is_announced() {
    let history = seeded(20, 300);
    let views = Views::new().await;
    let log = open(views.options(), Service::Command).await;
    let mut listener = PgListener::connect_with(&views.owner).await.unwrap();
    listener.listen(CHANNEL).await.unwrap();

    append(&log, &history.events[..150]).await;
    let running = Running::start(&views).await;
    running.folded(150).await;
    append(&log, &history.events[150..]).await;
    running.folded(history.head()).await;
    assert_eq!(views.rows().await, replayed(&history).await);

    tokio::time::timeout(PATIENCE, listener.recv())
        .await
        .unwrap()
        .unwrap();
    let status = running.health.status();
    assert!(status.is_ready() && status.committed_at.is_some() && status.stalled.is_empty());
    running.end().await;
}

#[tokio::test]
async fn sessions_ended_by_force_lose_and_double_nothing() {
    let history = seeded(21, 600);
    let views = Views::new().await;
    let log = open(views.options(), Service::Command).await;
    let running = Running::start(&views).await;
    for events in history.events.chunks(30) {
        append(&log, events).await;
        sqlx::query(
            "select pg_terminate_backend(pid)
             from pg_stat_activity
             where application_name = $1
                 and datname = current_database()",
        )
        .bind(SESSIONS)
        .execute(&views.owner)
        .await
        .unwrap();
    }
    running.folded(history.head()).await;
    assert_eq!(views.rows().await, replayed(&history).await);
    running.end().await;
}

/// A log in which every event at these places has a type of the future, and a projector that has folded the rest.
async fn folded_with_unknown(history: &History, unknown: &[&Recorded]) -> (Views, Running) {
    let views = Views::new().await;
    let log = open(views.options(), Service::Command).await;
    for event in &history.events {
        let is_unknown = unknown.iter().any(|of| of.position == event.position);
        append_as(&log, event, if is_unknown { "OfTheFuture" } else { "" }).await;
    }
    let running = Running::start(&views).await;
    running.folded(history.head()).await;
    (views, running)
}

/// The second events of some tasks.
fn of_tasks(history: &History, count: usize) -> Vec<&Recorded> {
    let fits = |event: &&Recorded| event.version == 2 && event.stream.starts_with("task-");
    history.events.iter().filter(fits).take(count).collect()
}

async fn become_readable(views: &Views, history: &History, unknown: &[&Recorded]) {
    for event in unknown {
        sqlx::query("update log.events set type = $1 where position = $2")
            .bind(&history.at(event.position).event_type)
            .bind(event.position)
            .execute(&views.owner)
            .await
            .unwrap();
    }
}

async fn ask_for_retry(views: &Views) {
    let mut desk = views.pool.acquire().await.unwrap();
    let at = desk::now(&mut desk).await.unwrap();
    let which = Which::default();
    while desk::ask(&mut desk, &which, at).await.unwrap() > 0 {}
    let tried = async {
        while desk::outcome(&mut desk, &which, at).await.unwrap().asked > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, tried).await.unwrap();
}

#[tokio::test]
async fn a_parked_stream_goes_on_in_order_once_its_event_can_be_read() {
    let history = seeded(23, 400);
    let unknown = of_tasks(&history, 3);
    let (views, running) = folded_with_unknown(&history, &unknown).await;
    let of_each = 3;
    assert_eq!(running.health.status().parked, unknown.len() * of_each);
    assert_ne!(views.rows().await, replayed(&history).await);

    // In vain, and nothing is lost by it.
    ask_for_retry(&views).await;
    assert_eq!(running.health.status().parked, unknown.len() * of_each);
    let attempts = "select min(attempts) from views.parked";
    assert_eq!(views.all::<i32>(attempts).await, [2]);

    become_readable(&views, &history, &unknown).await;
    ask_for_retry(&views).await;
    running.until(|status| status.parked == 0).await;
    assert_eq!(views.rows().await, replayed(&history).await);
    running.end().await;
}

#[tokio::test]
async fn a_newer_build_that_takes_over_goes_on_by_itself_with_what_an_older_one_parked() {
    let history = seeded(25, 300);
    let unknown = of_tasks(&history, 2);
    let (views, older) = folded_with_unknown(&history, &unknown).await;
    assert!(older.health.status().parked > 0);
    older.end().await;

    become_readable(&views, &history, &unknown).await;
    let newer = Running::start(&views).await;
    newer.folded(history.head()).await;
    newer.until(|status| status.parked == 0).await;
    assert_eq!(views.rows().await, replayed(&history).await);
    newer.end().await;
}

#[tokio::test]
async fn a_skipped_event_is_left_out_and_so_it_is_by_a_replay() {
    let history = seeded(26, 400);
    let unknown = of_tasks(&history, 1);
    let [skipped] = unknown.as_slice() else {
        panic!("the history has no task that goes on");
    };
    let (views, running) = folded_with_unknown(&history, &unknown).await;
    let mut desk = views.pool.acquire().await.unwrap();
    for view in [View::TaskView, View::TaskHistory, View::TaskDashboard] {
        let stream = (&skipped.tenant, skipped.stream.as_str());
        let said = ("nobody misses it", "ada");
        let another = desk::skip(&mut desk, stream, view, skipped.version + 1, said);
        assert!(!another.await.unwrap(), "it does not wait there");
        let this = desk::skip(&mut desk, stream, view, skipped.version, said);
        assert!(this.await.unwrap());
    }
    running.until(|status| status.parked == 0).await;
    let rows = views.rows().await;
    running.end().await;

    let begin_again = "truncate views.checkpoints, views.project_view_v4, views.task_view_v4,
         views.project_view_past_v4, views.task_view_past_v4, views.task_view_comment_v4, views.task_view_mark_v4,
         views.task_view_mark_past_v4, views.task_history_v3, views.task_dashboard_task_v3, views.task_dashboard_task_past_v3,
         views.task_dashboard_v3, views.task_dashboard_day_v3";
    sqlx::query(begin_again)
        .execute(&views.owner)
        .await
        .unwrap();
    let replaying = Running::start(&views).await;
    replaying.folded(history.head()).await;
    assert_eq!(replaying.health.status().parked, 0);
    assert_eq!(views.rows().await, rows);
    let folded = format!(
        "select count(*) from views.task_history where event_id = '{}'",
        skipped.id
    );
    assert_eq!(views.all::<i64>(&folded).await, [0]);
    replaying.end().await;
}

#[tokio::test]
async fn an_event_skipped_while_its_stream_is_being_tried_is_not_waited_for_again() {
    let history = seeded(28, 300);
    let unknown = of_tasks(&history, 1);
    let (views, running) = folded_with_unknown(&history, &unknown).await;
    let [waiting] = unknown.as_slice() else {
        panic!("the history has no task that goes on");
    };

    // The try has read what is left out, and waits for the checkpoint.
    let mut holding = views.owner.begin().await.unwrap();
    sqlx::query("select from views.checkpoints where partition = $1 for update")
        .bind(waiting.partition)
        .fetch_all(&mut *holding)
        .await
        .unwrap();
    let mut desk = views.pool.acquire().await.unwrap();
    let at = desk::now(&mut desk).await.unwrap();
    let asked = desk::ask(&mut desk, &Which::default(), at).await.unwrap();
    assert_eq!(asked, 3);
    let waits = format!(
        "select count(*)
         from pg_stat_activity
         where datname = current_database()
             and application_name = '{SESSIONS}'
             and wait_event_type = 'Lock'"
    );
    let is_trying = async {
        while views.all::<i64>(&waits).await == [0] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, is_trying).await.unwrap();
    for view in [View::TaskView, View::TaskHistory, View::TaskDashboard] {
        let stream = (&waiting.tenant, waiting.stream.as_str());
        let skip = desk::skip(&mut desk, stream, view, waiting.version, ("spoilt", "ada"));
        assert!(skip.await.unwrap());
    }
    holding.rollback().await.unwrap();

    running.until(|status| status.parked == 0).await;
    assert_eq!(
        views.all::<i64>("select count(*) from views.parked").await,
        [0]
    );
    running.end().await;
}

#[tokio::test]
async fn a_log_that_was_replaced_stops_the_projector() {
    let history = seeded(24, 50);
    for replace in [
        "update log.events set id = gen_random_uuid()",
        "update log.cell set epoch = gen_random_uuid()",
        "delete from log.events where position > 40",
    ] {
        let views = Views::new().await;
        let log = open(views.options(), Service::Command).await;
        append(&log, &history.events).await;
        let running = Running::start(&views).await;
        running.folded(history.head()).await;
        running.end().await;

        sqlx::query(replace).execute(&views.owner).await.unwrap();
        let again = Running::start(&views).await;
        let ended = tokio::time::timeout(PATIENCE, again.ended)
            .await
            .unwrap()
            .unwrap();
        let error = ended.unwrap_err();
        assert!(
            matches!(error, Error::AnotherLog(_) | Error::AnotherEpoch { .. }),
            "{replace}: {error:?}"
        );
        assert!(error.to_string().contains("foldline migrate"), "{error}");
    }
}

#[tokio::test]
async fn a_view_database_without_tables_stops_the_projector() {
    let views = Views::new().await;
    sqlx::query("drop table views.checkpoints")
        .execute(&views.owner)
        .await
        .unwrap();
    let running = Running::start(&views).await;
    let ended = tokio::time::timeout(PATIENCE, running.ended)
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(ended, Err(Error::NotMigrated(_))), "{ended:?}");

    // Rows are written as values of their table's type: what is missing is missed before the statement is.
    for table in ["project_view_v4", "task_view_past_v4"] {
        let views = Views::new().await;
        let drop = format!("drop table views.{table} cascade");
        sqlx::query(sqlx::AssertSqlSafe(drop))
            .execute(&views.owner)
            .await
            .unwrap();
        let folded = views.writer().await.apply(seeded(30, 100).whole()).await;
        assert!(
            matches!(folded, Err(Error::NotMigrated(_))),
            "{table}: {folded:?}"
        );
    }
}

#[tokio::test]
async fn how_far_behind_every_partition_is_is_told_while_nothing_is_folded() {
    let history = seeded(28, 300);
    let views = Views::new().await;
    let log = open(views.options(), Service::Command).await;
    append(&log, &history.events[..200]).await;
    let running = Running::start(&views).await;
    running.folded(200).await;
    running
        .until(|status| status.head == Some(200) && status.behind.is_empty())
        .await;

    // Whoever holds the checkpoints keeps the projector from getting on, even over events that no view folds.
    let mut held = views.owner.begin().await.unwrap();
    sqlx::query("lock table views.checkpoints")
        .execute(&mut *held)
        .await
        .unwrap();
    append(&log, &history.events[200..]).await;
    let behind = running
        .until(|status| status.head == Some(history.head()) && !status.behind.is_empty())
        .await
        .behind;
    let of_view = |view: &str| -> i64 {
        let of_view = behind.iter().filter(|behind| behind.view == view);
        of_view.map(|behind| behind.events).sum()
    };
    for view in View::ALL {
        assert_eq!(of_view(view.name()), history.head() - 200, "{view}");
    }
    for one in &behind {
        let of_partition = history.events[200..]
            .iter()
            .filter(|event| event.partition == one.partition);
        assert_eq!(one.events, of_partition.count() as i64, "{one:?}");
        assert!(one.seconds > 0.0, "{one:?}");
    }
    held.rollback().await.unwrap();
    running.folded(history.head()).await;
    running.until(|status| status.behind.is_empty()).await;
    running.end().await;
}

#[tokio::test]
async fn while_nothing_can_be_written_every_partition_that_is_behind_says_why() {
    let history = seeded(29, 200);
    let views = Views::new().await;
    let log = open(views.options(), Service::Command).await;
    append(&log, &history.events[..100]).await;
    let running = Running::start(&views).await;
    running.folded(100).await;

    let full = "create function views.is_full() returns trigger language plpgsql as
         $$ begin raise exception 'the disk of the test is full' using errcode = 'disk_full'; end $$;
         create trigger is_full before insert or update on views.task_history_v3 execute function views.is_full()";
    sqlx::raw_sql(full).execute(&views.owner).await.unwrap();
    append(&log, &history.events[100..]).await;
    let why = "select distinct stalled_reason || ': ' || stalled_why
         from views.lag
         where events > 0
             and stalled_since is not null";
    let is_told = async {
        loop {
            let told = views.all::<String>(why).await;
            if let [told] = told.as_slice() {
                assert!(
                    told.starts_with("failing: ") && told.contains("the disk of the test"),
                    "{told}"
                );
                return;
            }
            assert!(told.is_empty(), "{told:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, is_told).await.unwrap();

    sqlx::raw_sql("drop trigger is_full on views.task_history_v3")
        .execute(&views.owner)
        .await
        .unwrap();
    running.folded(history.head()).await;
    let stalled = "select count(*) from views.lag where stalled_since is not null";
    let has_ended = async {
        while views.all::<i64>(stalled).await != [0] {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, has_ended).await.unwrap();
    running.end().await;
}

/// As a crash leaves it that takes all commits of a partition back.
#[tokio::test]
async fn what_a_crash_of_the_view_server_takes_back_is_folded_again_though_nothing_is_appended() {
    let history = seeded(29, 300);
    let views = Views::new().await;
    let log = open(views.options(), Service::Command).await;
    append(&log, &history.events).await;
    let running = Running::start(&views).await;
    running.folded(history.head()).await;

    let partition = history.events[0].partition;
    let tables: Vec<String> = views
        .all(
            "select c.relname::text
             from pg_class c
             join pg_attribute a on a.attrelid = c.oid and a.attname = 'partition'
             where c.relnamespace = 'views'::regnamespace
                 and c.relkind = 'r'
                 and c.relname ~ '_v[0-9]+$'",
        )
        .await;
    assert_eq!(tables.len(), 12);
    let mut lost = String::new();
    for table in tables {
        lost.push_str(&format!(
            "delete from views.{table} where partition = {partition};"
        ));
    }
    lost.push_str(&format!(
        "update views.checkpoints set position = 0, event_id = '{}', kafka_offset = null where partition = {partition};",
        uuid::Uuid::nil()
    ));
    sqlx::raw_sql(sqlx::AssertSqlSafe(lost))
        .execute(&views.owner)
        .await
        .unwrap();
    let rows = replayed(&history).await;
    let again = tokio::time::timeout(PATIENCE, async {
        while views.rows().await != rows {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    again.await.expect("it is folded again");
    running.end().await;
}
