//! A view database with its roles, and its rows as text.

use foldline_events::{PARTITIONS, Partition};
use foldline_log::Slice;
use foldline_projector::{Applied, Builds, Writer};
use foldline_schema::{SEGMENT_POSITIONS, testing::TestDatabase};
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use uuid::Uuid;

/// The log that the histories of these tests come from.
pub const EPOCH: Uuid = Uuid::from_u128(0xf01d);

/// Every table of the first build of each view, with the columns that its rows are sorted by.
pub const TABLES: [(&str, &str); 12] = [
    ("project_view_v4", "tenant, project_id"),
    ("project_view_past_v4", "tenant, project_id, position"),
    ("task_view_v4", "tenant, task_id"),
    ("task_view_past_v4", "tenant, task_id, position"),
    ("task_view_comment_v4", "tenant, task_id, version"),
    ("task_view_mark_v4", "tenant, mark, task_id"),
    ("task_view_mark_past_v4", "tenant, mark, task_id, position"),
    ("task_history_v3", "tenant, task_id, version"),
    ("task_dashboard_task_v3", "tenant, task_id"),
    ("task_dashboard_task_past_v3", "tenant, task_id, position"),
    ("task_dashboard_v3", "tenant, owner, owner_id, partition"),
    (
        "task_dashboard_day_v3",
        "tenant, owner, owner_id, day, partition",
    ),
];

pub struct Views {
    pub database: TestDatabase,
    /// Sees everything.
    pub owner: PgPool,
    /// As the role of the projector.
    pub pool: PgPool,
}

impl Views {
    pub async fn new() -> Self {
        let database = TestDatabase::prepared(prepare).await;
        let owner = pool(&database, "postgres").await;
        let pool = pool(&database, "foldline_projector").await;
        Self {
            database,
            owner,
            pool,
        }
    }

    pub fn options(&self) -> PgConnectOptions {
        self.database.url.parse().unwrap()
    }

    /// As the role of the query service, for one tenant or for none.
    pub async fn query(&self, tenant: Option<&str>) -> PgConnection {
        let mut connection = PgConnection::connect_with(&as_role(&self.database, "foldline_query"))
            .await
            .unwrap();
        sqlx::query("select set_config('foldline.as_of', '700', false)")
            .execute(&mut connection)
            .await
            .unwrap();
        if let Some(tenant) = tenant {
            sqlx::query("select set_config('foldline.tenant', $1, false)")
                .bind(tenant)
                .execute(&mut connection)
                .await
                .unwrap();
        }
        connection
    }

    /// A writer that holds nothing yet, of what comes from this log.
    pub async fn new_writer(&self, epoch: Uuid) -> Writer {
        let builds = Builds::shown(&self.pool).await.unwrap();
        Writer::new(self.pool.clone(), epoch, builds)
    }

    /// A writer that holds every partition.
    pub async fn writer(&self) -> Writer {
        let mut writer = self.new_writer(EPOCH).await;
        writer.take(&all_partitions()).await.unwrap();
        writer
    }

    /// All rows of the builds that readers see, and nothing of the checkpoints.
    pub async fn rows(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for (first, order) in TABLES {
            let (table, _) = first.rsplit_once("_v").unwrap();
            let version: Vec<i32> = self
                .all(&format!(
                    "select version from views.active where '{table}' = view or '{table}' ~ ('^' || view || '_')"
                ))
                .await;
            // The log gives events this time of its own.
            let row = "to_jsonb(t) - 'recorded_at'";
            let statement = format!(
                "select '{table} ' || ({row})::text from views.{table}_v{} t order by {order}",
                version[0]
            );
            let found: Vec<String> = self.all(&statement).await;
            rows.extend(found);
        }
        rows
    }

    /// The first column of a statement's rows.
    pub async fn all<T>(&self, statement: &str) -> Vec<T>
    where
        T: Send + Unpin + sqlx::Type<sqlx::Postgres> + for<'r> sqlx::Decode<'r, sqlx::Postgres>,
    {
        sqlx::query_scalar(AssertSqlSafe(statement.to_owned()))
            .fetch_all(&self.owner)
            .await
            .unwrap()
    }
}

/// Applies a delivery in which nothing may go wrong.
pub async fn apply(writer: &mut Writer, slices: Vec<Slice>) -> Applied {
    let applied = writer.apply(slices).await.unwrap();
    assert_eq!(applied.poisoned, []);
    assert_eq!(applied.lost, [] as [Partition; 0]);
    applied
}

pub fn all_partitions() -> Vec<Partition> {
    (0..PARTITIONS).collect()
}

async fn prepare(url: String) {
    let mut owner = PgConnection::connect(&url).await.unwrap();
    foldline_schema::migrate_log(&mut owner, "test", SEGMENT_POSITIONS)
        .await
        .unwrap();
    foldline_log::install(&mut owner).await.unwrap();
    foldline_schema::migrate_view(&mut owner).await.unwrap();
    foldline_projector::install(&mut owner).await.unwrap();
    // Safe to repeat.
    foldline_projector::install(&mut owner).await.unwrap();
    owner.close().await.unwrap();
}

async fn pool(database: &TestDatabase, role: &str) -> PgPool {
    let options = match role {
        "postgres" => database.url.parse().unwrap(),
        role => as_role(database, role),
    };
    PgPoolOptions::new()
        .max_connections(4)
        .connect_with(options)
        .await
        .unwrap()
}

fn as_role(database: &TestDatabase, role: &str) -> PgConnectOptions {
    let options: PgConnectOptions = database.url.parse().unwrap();
    options.options([("role", role)])
}

/// How much: little in `make test`, more in `make soak`.
pub fn sized<T>(small: T, large: T) -> T {
    match std::env::var_os("FOLDLINE_SOAK") {
        Some(_) => large,
        None => small,
    }
}
