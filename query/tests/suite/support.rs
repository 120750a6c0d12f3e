//! A service of its own for each test, and rows for it to serve.

use std::{sync::Once, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use foldline_command::Handler;
use foldline_events::{Cursor, PARTITIONS, Partition, Position, Tenant, partition_of, tasks};
use foldline_gate::{Gate, Role, Secret};
use foldline_log::{Log, LogOptions, Service};
use foldline_query::{Commands, Limits, QueryOptions, QueryState, Wakes, as_reader, router};
use foldline_schema::testing::TestDatabase;
use serde_json::{Value, json};
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

pub const EPOCH: Uuid = Uuid::from_u128(0xe0);
/// The views that are read.
pub const VIEWS: [&str; 4] = [
    "project_view",
    "task_view",
    "task_history",
    "task_dashboard",
];
const SEGMENT_POSITIONS: i64 = 100_000;

pub struct Fixture {
    pub address: String,
    /// As the tables' owner.
    pub owner: PgPool,
    pub state: QueryState,
    pub handler: Handler,
    pub wake: watch::Sender<u64>,
    pub database: PgConnectOptions,
    pub closed: CancellationToken,
    _ends: DropGuard,
}

pub fn tenant(id: &str) -> Tenant {
    Tenant::parse(id).unwrap()
}

fn secret() -> Secret {
    Secret::from_bytes(vec![7; 32]).unwrap()
}

pub fn gate() -> Gate {
    Gate::new(&secret())
}

#[expect(clippy::disallowed_methods, reason = "a test is an edge")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// The larger of two sizes in `make soak`, the smaller in `make test`.
pub fn sized<T>(small: T, large: T) -> T {
    match std::env::var_os("FOLDLINE_SOAK") {
        Some(_) => large,
        None => small,
    }
}

#[expect(clippy::disallowed_methods, reason = "a test is an edge")]
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

pub fn token_for(tenant: &str, role: Role, lifetime: TimeDelta) -> String {
    gate()
        .issue(&self::tenant(tenant), "ada", role, lifetime, now())
        .unwrap()
}

pub fn token(tenant: &str) -> String {
    token_for(tenant, Role::Member, TimeDelta::hours(1))
}

async fn migrated() -> TestDatabase {
    TestDatabase::prepared(|url| async move {
        let mut owner = PgConnection::connect(&url).await.unwrap();
        foldline_schema::migrate_log(&mut owner, "main", SEGMENT_POSITIONS)
            .await
            .unwrap();
        foldline_schema::migrate_view(&mut owner).await.unwrap();
        foldline_log::install(&mut owner).await.unwrap();
        foldline_projector::install(&mut owner).await.unwrap();
        owner.close().await.unwrap();
    })
    .await
}

pub async fn fixture() -> Fixture {
    fixture_with(Limits::default()).await
}

/// The service hears of folded events in process, over `Fixture::wake`.
pub async fn fixture_with(limits: Limits) -> Fixture {
    start(limits, Hears::InProcess).await
}

pub enum Hears {
    InProcess,
    Notifications,
}

pub async fn start(limits: Limits, hears: Hears) -> Fixture {
    static TLS: Once = Once::new();
    TLS.call_once(|| {
        rustls::crypto::ring::default_provider()
            .install_default()
            .unwrap()
    });

    let database: PgConnectOptions = migrated().await.url.parse().unwrap();
    let pool = |options: PgConnectOptions| {
        PgPoolOptions::new()
            .max_connections(5)
            .connect_with(options)
    };
    let owner = pool(database.clone()).await.unwrap();
    let log = Log::open(LogOptions {
        url: database.clone(),
        direct: None,
        service: Service::Command,
        connections_max: 2,
    })
    .await
    .unwrap();
    let handler = Handler::new(log, &secret(), &foldline_command::Options::default());
    let closed = CancellationToken::new();
    let (wake, woken) = watch::channel(0);
    let state = QueryState::open(QueryOptions {
        views: pool(as_reader(database.clone())).await.unwrap(),
        wakes: match hears {
            Hears::InProcess => Wakes::InProcess(woken),
            Hears::Notifications => Wakes::Listen(database.clone()),
        },
        gate: gate(),
        commands: Commands::InProcess(handler.clone()),
        limits,
        closed: closed.clone(),
    })
    .await
    .unwrap();
    Fixture {
        address: serve(router(state.clone())).await,
        owner,
        state,
        handler,
        wake,
        database,
        closed: closed.clone(),
        _ends: closed.drop_guard(),
    }
}

/// Serves routes on a free port of the loopback interface; gives its authority.
pub async fn serve(routes: axum::Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

impl Fixture {
    pub fn url(&self) -> String {
        format!("http://{}/graphql", self.address)
    }

    /// As a member of `acme`.
    pub async fn ask(&self, query: &str, variables: Value) -> Value {
        self.ask_as(&token("acme"), query, variables).await
    }

    pub async fn ask_as(&self, token: &str, query: &str, variables: Value) -> Value {
        let response = reqwest::Client::new()
            .post(self.url())
            .bearer_auth(token)
            .json(&json!({"query": query, "variables": variables}))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        response.json().await.unwrap()
    }

    /// The data of an answer without errors.
    pub async fn data(&self, query: &str, variables: Value) -> Value {
        let answer = self.ask(query, variables).await;
        assert_eq!(answer.get("errors"), None, "{answer:#}");
        answer["data"].clone()
    }

    /// The code of an answer's first error.
    pub async fn code(&self, query: &str, variables: Value) -> String {
        let answer = self.ask(query, variables).await;
        let code = answer["errors"][0]["extensions"]["code"].as_str();
        code.unwrap_or_else(|| panic!("no code in {answer:#}"))
            .to_owned()
    }

    pub async fn project(
        &self,
        of: &str,
        id: Uuid,
        name: &str,
        created_s: i64,
        position: Position,
    ) {
        let partition = partition_of(&tenant(of), &tasks::project_stream(id));
        sqlx::query(
            "insert into views.project_view
                 (tenant, project_id, name, archived, created_at, updated_at, version, position, partition)
             values ($1, $2, $3, false, $4, $4, 1, $5, $6)",
        )
        .bind(of)
        .bind(id)
        .bind(name)
        .bind(DateTime::from_timestamp(created_s, 0))
        .bind(position)
        .bind(partition)
        .execute(&self.owner)
        .await
        .unwrap();
    }

    pub async fn task(
        &self,
        of: &str,
        id: Uuid,
        project: Uuid,
        created_s: i64,
        position: Position,
    ) {
        let partition = partition_of(&tenant(of), &tasks::task_stream(id));
        sqlx::query(
            r#"insert into views.task_view
                 (tenant, task_id, project_id, title, priority, priority_rank, status, estimated_hundredths, due_rank,
                  labels, metadata, steps, steps_total, steps_completed, comments_total, review_status, review_needed,
                  created_by, created_at, updated_at, version, position, partition)
             values ($1, $2, $3, 'Write', 'high', 3, 'open', 150, '9999-12-31', '{a,b}', '{"k": 1}',
                  '[{"id": "00000000-0000-0000-0000-000000000001", "content": "first", "completedAt": null}]',
                  1, 0, 0, 'none', false, 'ada', $4, $4, 1, $5, $6)"#,
        )
        .bind(of)
        .bind(id)
        .bind(project)
        .bind(DateTime::from_timestamp(created_s, 0))
        .bind(position)
        .bind(partition)
        .execute(&self.owner)
        .await
        .unwrap();
    }

    pub async fn dashboard(&self, of: &str, project: Uuid, partition: Partition, completed: i64) {
        let version: i32 =
            sqlx::query_scalar("select version from views.active where view = 'task_dashboard'")
                .fetch_one(&self.owner)
                .await
                .unwrap();
        sqlx::query(AssertSqlSafe(format!(
            "insert into views.task_dashboard_v{version}
                 (tenant, owner, owner_id, partition, total, open, in_progress, blocked, completed, cancelled,
                  low, medium, high, critical, estimated_hundredths, actual_hundredths, efficiency_count,
                  efficiency_micros, position)
             values ($1, 'project', $2, $3, $4 + 1, 1, 0, 0, $4, 0, 0, $4, 1, 0, 250, 125, $4, $4 * 500000, 9)"
        )))
        .bind(of)
        .bind(project)
        .bind(partition)
        .bind(completed)
        .execute(&self.owner)
        .await
        .unwrap();
    }

    /// Moves one partition of a view.
    pub async fn fold(&self, view: &str, partition: Partition, position: Position) {
        sqlx::query(
            "insert into views.checkpoints
                 (view, version, partition, epoch, position, event_id, fence, moved_at)
             select $1, version, $2, $3, $4, $3, 1, now()
             from views.active
             where view = $1
             on conflict on constraint checkpoints_pkey do update set position = excluded.position",
        )
        .bind(view)
        .bind(partition)
        .bind(EPOCH)
        .bind(position)
        .execute(&self.owner)
        .await
        .unwrap();
        self.wake.send_modify(|count| *count += 1);
    }

    /// Lets a stream wait in a view, at its event at a position.
    pub async fn park(&self, of: &str, view: &str, stream: &str, position: Position) {
        sqlx::query(
            "insert into views.parked (
                 view, view_version, tenant, stream, partition, position, version, event_id, event_type, schema_version,
                 needs_newer_build, why
             )
             select $1, version, $2, $3, $4, $5, 1, $6, 'tasks.Unheard', 1, true, 'of the future'
             from views.active
             where view = $1",
        )
        .bind(view)
        .bind(of)
        .bind(stream)
        .bind(partition_of(&tenant(of), stream))
        .bind(position)
        .bind(EPOCH)
        .execute(&self.owner)
        .await
        .unwrap();
        self.wake();
    }

    /// As a projector in the same process does after a commit.
    pub fn wake(&self) {
        self.wake.send_modify(|count| *count += 1);
    }

    pub async fn fold_all(&self, position: Position) {
        self.fold_all_but(position, None).await;
    }

    /// Moves every partition of every view, the dashboard's last, but leaves one where it is.
    pub async fn fold_all_but(&self, position: Position, left: Option<(&str, Partition)>) {
        for view in VIEWS {
            for partition in (0..PARTITIONS).filter(|partition| left != Some((view, *partition))) {
                self.fold(view, partition, position).await;
            }
        }
    }
}

pub fn cursor(position: Position, partition: Option<Partition>) -> String {
    Cursor {
        epoch: EPOCH,
        position,
        partition,
    }
    .to_string()
}

pub async fn within<T>(seconds: u64, what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(seconds), what)
        .await
        .expect("it happens in time")
}
