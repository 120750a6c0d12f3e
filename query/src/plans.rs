//! What Postgres does to answer: the plan of every statement, made as the query role under row-level security, over as
//! many tasks as a large tenant has.
//!
//! A filter that needs a sequential scan is correct in every other test. Here none may be: each table is entered by an
//! index, and by a condition on it.

use async_graphql::{InputType, Value as Input};
use chrono::{DateTime, NaiveDate};
use foldline_events::{
    PARTITIONS,
    tasks::{label_mark, metadata_mark},
};
use foldline_schema::testing::TestDatabase;
use serde_json::{Value, json};
use sqlx::{
    AssertSqlSafe, Connection, Execute, PgConnection, Postgres, QueryBuilder,
    postgres::PgConnectOptions,
};
use uuid::Uuid;

use crate::{
    as_reader,
    changes::{self, versions},
    dashboards::rows::{self, OF_ASSIGNEES, OF_PROJECTS, Owner},
    page::{
        List, Paging, Window,
        cursor::{Key, Kind, Order, Place},
        nested,
    },
    read::Scope,
    tasks::{history, live, project, task},
};

/// Of the tenant that asks; the others have a fifth of that together.
const TASKS: i32 = 100_000;
const TENANT: &str = "acme";
/// One of the others.
const SMALL: &str = "globex";
/// Of the present, and of a past position.
const SCOPES: [Scope<'static>; 2] = [Scope::new(TENANT, true), Scope::new(TENANT, false)];

/// One row per number from 1 to `$1`, with ids that are names of numbers.
const FILL: [&str; 11] = [
    "insert into views.project_view
         (tenant, project_id, name, archived, created_at, updated_at, version, position, partition)
     select $2, id(n), 'p', n % 10 = 0, to_timestamp(1750000000 + n), now(), 1, n, n % 32
     from generate_series(1, $1 / 100) as n",
    "insert into views.task_view
         (tenant, task_id, project_id, key, title, priority, priority_rank, status, due_date, due_rank, assignee_id,
          labels, metadata, steps, steps_total, steps_completed, comments_total, review_status, review_needed,
          created_by, created_at, updated_at, completed_at, deleted_at, version, position, partition)
     select
         $2, id(n), id(n % ($1 / 100) + 1), case when n % 3 = 0 then 'K-' || n end,
         'title', (array['low', 'medium', 'high', 'critical'])[n % 4 + 1], n % 4 + 1,
         (array['completed', 'open', 'in_progress', 'completed', 'blocked', 'completed', 'cancelled'])[n % 7 + 1],
         case when n % 5 > 0 then date '2025-01-01' + n % 500 end,
         case when n % 5 > 0 then date '2025-01-01' + n % 500 else date '9999-12-31' end,
         case when n % 11 > 0 then id(n % 97) end,
         '{}', '{}', '[]', 0, 0, 0, case when n % 50 = 0 then 'requested' else 'none' end, n % 50 = 0,
         'ada', to_timestamp(1750000000 + n * 60), to_timestamp(1750000000 + n * 90),
         case when n % 7 in (0, 3, 5) then to_timestamp(1750000000 + n * 80) end,
         case when n % 40 = 0 then now() end, 4, n, n % 32
     from generate_series(1, $1) as n",
    "insert into views.task_mark (tenant, mark, task_id, partition, position)
     select $2, id(n % 1000), id(n), n % 32, n
     from generate_series(1, $1) as n",
    "insert into views.task_comment (tenant, task_id, version, comment_id, text, author, created_at, position, partition)
     select $2, id(n), 2, id(n), 'text', 'ada', now(), n, n % 32
     from generate_series(1, $1) as n",
    "insert into views.task_history
         (tenant, task_id, version, position, event_id, event_type, schema_version, payload, actor, command_id,
          correlation_id, causation_id, occurred_at, recorded_at, partition)
     select $2, id(n), v, n, id, 'tasks.TaskStarted', 1, '{}', 'ada', id, id, id, now(), now(), n % 32
     from generate_series(1, $1) as n, generate_series(1, 2) as v, id(2 * n + v) as id",
    "insert into views.task_dashboard_v3
     select $2, owner, id(n), p, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, n
     from generate_series(1, $1 / 100) as n, generate_series(0, 3) as p, unnest(array['project', 'assignee']) as owner",
    "insert into views.task_dashboard_day_v3
     select $2, owner, id(n), date '2025-01-01' + d, n % 32, 1, 1, 1, n
     from generate_series(1, $1 / 100) as n, generate_series(0, 50) as d, unnest(array['project', 'assignee']) as owner",
    "insert into views.project_view_past_v4
     select project.*, position + 50 from views.project_view_v4 project where tenant = $2 and $1 > 0",
    "insert into views.task_view_past_v4
     select task.*, position + 50 from views.task_view_v4 task where tenant = $2 and $1 > 0",
    "insert into views.task_dashboard_task_v3
     select tenant, task_id, project_id, assignee_id, status, priority, null, null, due_date, created_at::date,
            completed_at::date, false, position, partition
     from views.task_view_v4 where tenant = $2 and $1 > 0",
    "insert into views.task_dashboard_task_past_v3
     select task.*, position + 50 from views.task_dashboard_task_v3 task where tenant = $2 and $1 > 0",
];

/// A mark on every so manieth task.
const MARK: &str = "insert into views.task_mark (tenant, mark, task_id, partition, position)
     select $2, $3, id(n), n % 32, n
     from generate_series(1, $1, $4) as n";

struct Explained {
    reader: PgConnection,
}

impl Explained {
    async fn new(tenant: &str) -> Self {
        let database = TestDatabase::prepared(|url| async move {
            let mut owner = PgConnection::connect(&url).await.unwrap();
            foldline_schema::migrate_view(&mut owner).await.unwrap();
            foldline_projector::install(&mut owner).await.unwrap();
            fill(&mut owner).await;
            owner.close().await.unwrap();
        });
        let options: PgConnectOptions = database.await.url.parse().unwrap();
        let mut reader = PgConnection::connect_with(&as_reader(options))
            .await
            .unwrap();
        let set = "select set_config('foldline.tenant', $1, false), set_config('plan_cache_mode', 'force_custom_plan', false),
             set_config('foldline.as_of', '50000', false)";
        sqlx::query(set)
            .bind(tenant)
            .execute(&mut reader)
            .await
            .unwrap();
        Self { reader }
    }

    /// The plan of a statement must enter every table by an index, with a condition on the tenant.
    async fn uses_indexes(&mut self, case: &str, statement: QueryBuilder<Postgres>) {
        let mut statement = statement;
        let text = format!("explain (format json) {}", statement.sql().as_str());
        let arguments = statement.build().take_arguments();
        let arguments = arguments.unwrap().unwrap_or_default();
        let plan: Value = sqlx::query_scalar_with(AssertSqlSafe(text), arguments)
            .fetch_one(&mut self.reader)
            .await
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        let faults = faults(&plan[0]["Plan"]);
        assert!(faults.is_empty(), "{case}: {faults:?} in {plan:#}");
    }
}

async fn fill(owner: &mut PgConnection) {
    let id = "create function id(n bigint) returns uuid language sql immutable return lpad(to_hex(n), 32, '0')::uuid";
    sqlx::raw_sql(id).execute(&mut *owner).await.unwrap();
    // The other tenants have the same projects, people, labels and facts.
    for (tenant, tasks) in [
        (TENANT, TASKS),
        (SMALL, TASKS / 10),
        ("initech", TASKS / 10),
    ] {
        for statement in FILL {
            let filling = sqlx::query(statement).bind(tasks).bind(tenant);
            filling.execute(&mut *owner).await.unwrap();
        }
        for (mark, every) in [
            (label_mark("common"), 3),
            (label_mark("rare"), 1_000),
            (metadata_mark("size", &json!(2)), 40),
        ] {
            let marking = sqlx::query(MARK).bind(tasks).bind(tenant);
            let marking = marking.bind(mark).bind(every);
            marking.execute(&mut *owner).await.unwrap();
        }
        let past = "insert into views.task_view_mark_past_v4
             select mark.*, position + 50 from views.task_view_mark_v4 mark where tenant = $1";
        let marking = sqlx::query(past).bind(tenant);
        marking.execute(&mut *owner).await.unwrap();
    }
    sqlx::raw_sql("analyze").execute(owner).await.unwrap();
}

/// Every node that reads a table otherwise than by a condition on an index of it.
fn faults(plan: &Value) -> Vec<String> {
    let kind = plan["Node Type"].as_str().unwrap();
    let by_index = matches!(kind, "Index Scan" | "Index Only Scan" | "Bitmap Index Scan");
    let found = if kind == "Seq Scan" {
        Some(format!("{kind} of {}", plan["Relation Name"]))
    } else if by_index && !plan["Index Cond"].to_string().contains("tenant") {
        Some(format!("{kind} of all of {}", plan["Index Name"]))
    } else {
        None
    };
    let below = plan["Plans"].as_array().into_iter().flatten();
    found.into_iter().chain(below.flat_map(faults)).collect()
}

fn filters() -> Vec<Value> {
    let at = "2025-08-01T00:00:00Z";
    vec![
        json!({}),
        json!({"projectId": id(7)}),
        json!({"status": ["OPEN"]}),
        json!({"status": ["OPEN", "IN_PROGRESS", "BLOCKED"]}),
        json!({"priority": ["CRITICAL"]}),
        json!({"priority": ["HIGH", "CRITICAL"]}),
        json!({"assigneeId": id(7)}),
        json!({"unassigned": true}),
        json!({"unassigned": false}),
        json!({"labels": ["common"]}),
        json!({"labels": ["rare"]}),
        json!({"labels": ["common", "rare"]}),
        json!({"metadata": {"size": 2}}),
        json!({"key": "K-9"}),
        json!({"dueBefore": "2025-02-01"}),
        json!({"dueAfter": "2026-02-01"}),
        json!({"overdueAt": "2025-01-10T00:00:00Z"}),
        json!({"overdueAt": "2027-01-01T00:00:00Z"}),
        json!({"createdBefore": at}),
        json!({"createdAfter": at}),
        json!({"updatedBefore": at}),
        json!({"updatedAfter": at}),
        json!({"completedBefore": at}),
        json!({"completedAfter": at}),
        json!({"aiReviewNeeded": true}),
        json!({"aiReviewNeeded": false}),
        json!({"deleted": true}),
        json!({"deleted": true, "projectId": id(7)}),
        json!({"projectId": id(7), "status": ["OPEN"], "labels": ["common"]}),
        json!({"assigneeId": id(7), "status": ["OPEN"], "dueBefore": "2025-09-01"}),
    ]
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn tasks(filter: &Value) -> task::Tasks {
    let filter = Input::from_json(filter.clone()).unwrap();
    let filter = task::FilterInput::parse(Some(filter)).unwrap();
    task::Tasks(filter.checked().unwrap())
}

fn project_filters() -> Vec<project::ProjectFilter> {
    let filters = [
        json!({}),
        json!({"archived": true}),
        json!({"archived": false}),
    ];
    let parsed = |filter| project::ProjectFilter::parse(Some(Input::from_json(filter).unwrap()));
    filters
        .into_iter()
        .map(|filter| parsed(filter).unwrap())
        .collect()
}

fn orders() -> Vec<Order> {
    let mut orders = Vec::new();
    for by in ["CREATED_AT", "UPDATED_AT", "DUE_DATE", "PRIORITY"] {
        for direction in ["ASC", "DESC"] {
            let order = Input::from_json(json!({"by": by, "direction": direction})).unwrap();
            orders.push(task::OrderInput::parse(Some(order)).unwrap().order());
        }
    }
    orders
}

/// The first page, the last, and the ones after and before a place in the middle.
fn windows(order: Order) -> Vec<Window> {
    let key = |(_, kind): &(&str, Kind)| match kind {
        Kind::Instant => Key::Instant(DateTime::from_timestamp(1_753_000_000, 0).unwrap()),
        Kind::Day => Key::Day(NaiveDate::from_ymd_opt(2025, 8, 1).unwrap()),
        Kind::Rank => Key::Rank(3),
        Kind::Number => Key::Number(2),
        Kind::Id => Key::Id(Uuid::nil()),
    };
    let middle = Some(order.write(&Place(order.by.iter().map(key).collect())));
    let pages = [
        Paging {
            first: Some(50),
            ..Paging::default()
        },
        Paging {
            last: Some(50),
            ..Paging::default()
        },
        Paging {
            first: Some(50),
            after: middle.clone(),
            ..Paging::default()
        },
        Paging {
            last: Some(50),
            before: middle,
            ..Paging::default()
        },
    ];
    pages
        .iter()
        .map(|page| page.window(order).unwrap())
        .collect()
}

/// Each of them, of the present and of the past.
fn scoped<T: Clone>(all: Vec<T>) -> impl Iterator<Item = (Scope<'static>, T)> {
    all.into_iter()
        .flat_map(|one| SCOPES.into_iter().map(move |scope| (scope, one.clone())))
}

#[tokio::test]
async fn every_list_of_tasks_with_every_filter_in_every_order_uses_an_index() {
    let mut explained = Explained::new(TENANT).await;
    for filter in filters() {
        let tasks = tasks(&filter);
        for (scope, order) in scoped(orders()) {
            for window in windows(order) {
                let case = format!("{filter} {window:?} {scope:?}");
                let rows = tasks.rows(scope, &window);
                explained.uses_indexes(&case, rows).await;
            }
        }
    }
}

#[tokio::test]
async fn every_count_for_one_tenant_among_others_uses_an_index() {
    // Whoever counts most of a table's rows is served best by reading all of it.
    let mut explained = Explained::new(SMALL).await;
    for filter in filters() {
        let case = format!("{filter} counted");
        explained
            .uses_indexes(&case, tasks(&filter).count(Scope::new(SMALL, true)))
            .await;
    }
    for filter in project_filters() {
        let projects = project::Projects(filter);
        explained
            .uses_indexes("projects counted", projects.count(Scope::new(SMALL, true)))
            .await;
    }
}

#[tokio::test]
async fn every_list_under_many_parents_uses_an_index() {
    let mut explained = Explained::new(TENANT).await;
    let parents: Vec<Uuid> = (1..=20).map(id).collect();
    for filter in filters() {
        let tasks = tasks(&filter);
        for (scope, order) in scoped(orders()) {
            for window in windows(order) {
                let case = format!("{filter} of projects {window:?} {scope:?}");
                let pages = nested::pages(scope, &parents, &tasks, &window);
                explained.uses_indexes(&case, pages).await;
            }
        }
        for scope in SCOPES {
            let counts = nested::counts(scope, &parents, &tasks);
            explained
                .uses_indexes(&format!("{filter} of projects counted {scope:?}"), counts)
                .await;
        }
    }
    for (scope, window) in scoped(windows(task::COMMENT_ORDER)) {
        let pages = nested::pages(scope, &parents, &task::CommentsOfTask, &window);
        explained.uses_indexes("comments", pages).await;
    }
    for (scope, window) in scoped(windows(history::ORDER)) {
        let pages = nested::pages(scope, &parents, &history::HistoryOfTask, &window);
        explained.uses_indexes("history", pages).await;
    }
    for scope in SCOPES {
        let counts = nested::counts(scope, &parents, &task::CommentsOfTask);
        explained.uses_indexes("comments counted", counts).await;
        let counts = nested::counts(scope, &parents, &history::HistoryOfTask);
        explained.uses_indexes("history counted", counts).await;
    }
}

#[tokio::test]
async fn every_list_of_projects_uses_an_index() {
    let mut explained = Explained::new(TENANT).await;
    for filter in project_filters() {
        let projects = project::Projects(filter);
        for (scope, window) in scoped(windows(project::ORDER)) {
            let case = format!("{filter:?} {window:?} {scope:?}");
            let rows = projects.rows(scope, &window);
            explained.uses_indexes(&case, rows).await;
        }
    }
}

/// The pages of a row's versions, and the walk back.
async fn versions_use_indexes<R: changes::Versioned>(explained: &mut Explained) {
    let scope = SCOPES[0];
    for until in [None, Some(50_000)] {
        let versions = versions::Versions::<R>::new(id(7), until);
        for window in windows(changes::ORDER) {
            let case = format!("{} {window:?} until {until:?}", R::VERSIONS);
            let rows = versions.rows(scope, &window);
            explained.uses_indexes(&case, rows).await;
        }
        let counts = versions.count(scope);
        explained.uses_indexes("versions counted", counts).await;
    }
    for rows in [1, 200] {
        let before = versions::before::<R>(scope, id(7), 50_000, rows);
        explained.uses_indexes("versions before", before).await;
    }
}

#[tokio::test]
async fn versions_of_a_task_and_of_a_project_use_an_index() {
    let mut explained = Explained::new(TENANT).await;
    versions_use_indexes::<task::Task>(&mut explained).await;
    versions_use_indexes::<project::Project>(&mut explained).await;
    let entry = |n| history::EntryOfTask {
        task: id(n),
        version: 1,
    };
    let wanted: Vec<_> = (1..=20).map(entry).collect();
    for scope in SCOPES {
        let entries = history::entries(scope, &wanted);
        explained.uses_indexes("events of versions", entries).await;
    }
}

#[tokio::test]
async fn every_loader_uses_an_index() {
    let mut explained = Explained::new(TENANT).await;
    let ids: Vec<Uuid> = (1..=20).map(id).collect();
    let keys: Vec<String> = (0..20).map(|n| format!("K-{n}")).collect();
    let day = |day| NaiveDate::from_ymd_opt(2025, 1, day).unwrap();
    let positions = vec![i64::from(TASKS) - 10; PARTITIONS as usize];
    let mut statements = Vec::new();
    for scope in SCOPES {
        statements.extend([
            ("tasks by id", task::loaders::by_ids(scope, ids.clone())),
            ("tasks by key", task::loaders::by_keys(scope, keys.clone())),
            ("projects by id", project::by_ids(scope, ids.clone())),
            (
                "changed tasks",
                live::changed_since(scope, ids[0], &positions),
            ),
            ("sums of projects", rows::of_projects(scope, ids.clone())),
            ("sums of assignees", rows::of_assignees(scope, ids.clone())),
            (
                "digest of a project",
                rows::digest(scope, Owner::Project(ids[0])),
            ),
            (
                "digest of an assignee",
                rows::digest(scope, Owner::Assignee(ids[0])),
            ),
        ]);
        for names in [OF_PROJECTS, OF_ASSIGNEES] {
            let (from, to) = (day(2), day(20));
            statements.push(("days", rows::days(scope, names, ids.clone(), (from, to))));
            statements.push(("overdue", rows::overdue(scope, names, ids.clone(), to)));
        }
    }
    for (case, statement) in statements {
        explained.uses_indexes(case, statement).await;
    }
}
