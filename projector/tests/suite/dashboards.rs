//! Sums are exact, and every partial row belongs to one partition.

use uuid::Uuid;

use crate::{
    history::{History, cancelled, completed, reopened, task_created},
    seeded::seeded,
    support::{TABLES, Views, apply},
};

/// The sums counted again from the task rows, by exact numeric arithmetic; `owner` is a column of theirs.
fn recount(owner: &str) -> String {
    format!(
        "select
             tenant,
             {owner},
             count(*) as total,
             count(*) filter (where status = 'open') as open,
             count(*) filter (where status = 'in_progress') as in_progress,
             count(*) filter (where status = 'blocked') as blocked,
             count(*) filter (where status = 'completed') as completed,
             count(*) filter (where status = 'cancelled') as cancelled,
             count(*) filter (where priority = 'low') as low,
             count(*) filter (where priority = 'medium') as medium,
             count(*) filter (where priority = 'high') as high,
             count(*) filter (where priority = 'critical') as critical,
             coalesce(sum(estimated_hundredths), 0)::bigint as estimated_hundredths,
             coalesce(sum(actual_hundredths), 0)::bigint as actual_hundredths,
             count(*) filter (where is_measured) as efficiency_count,
             coalesce(sum(floor(actual_hundredths * 1000000::numeric / nullif(estimated_hundredths, 0) + 0.5))
                 filter (where is_measured), 0)::bigint as efficiency_micros
         from views.task_view
         cross join lateral (
             select actual_hundredths is not null and estimated_hundredths > 0 as is_measured
         ) as of_task
         where deleted_at is null
             and {owner} is not null
         group by tenant, {owner}"
    )
}

/// The same of the days.
fn recount_days(owner: &str) -> String {
    let days = [
        ("created_at", "true", "1, 0, 0"),
        ("completed_at", "status = 'completed'", "0, 1, 0"),
        (
            "due_date",
            "status not in ('completed', 'cancelled')",
            "0, 0, 1",
        ),
    ];
    let parts = days.map(|(day, condition, parts)| {
        let day = match day {
            "due_date" => day.to_owned(),
            time => format!("({time} at time zone 'UTC')::date"),
        };
        format!(
            "select tenant, {owner}, {day} as day, {parts}
             from views.task_view
             where deleted_at is null and {owner} is not null and {day} is not null and {condition}"
        )
    });
    format!(
        "select tenant, {owner}, day, sum(created)::bigint, sum(completed)::bigint, sum(due)::bigint
         from ({}) as parts (tenant, {owner}, day, created, completed, due)
         group by tenant, {owner}, day",
        parts.join(" union all ")
    )
}

#[tokio::test]
async fn sums_and_days_equal_a_recount_of_the_tasks() {
    let history = seeded(4, 3_000);
    let views = Views::new().await;
    let mut writer = views.writer().await;
    for after in (0..history.head()).step_by(97) {
        apply(
            &mut writer,
            history.slices(after, (after + 97).min(history.head())),
        )
        .await;
    }
    for owner in ["project", "assignee"] {
        let id = format!("{owner}_id");
        let sums = format!(
            "select tenant, {id}, total, open, in_progress, blocked, completed, cancelled, low, medium, high,
                 critical, estimated_hundredths, actual_hundredths, efficiency_count, efficiency_micros
             from views.{owner}_dashboard
             where total <> 0"
        );
        let days = format!(
            "select tenant, {id}, day, created, completed, due
             from views.{owner}_dashboard_day
             where (created, completed, due) <> (0, 0, 0)"
        );
        for (stored, counted) in [(sums, recount(&id)), (days, recount_days(&id))] {
            for (one, other) in [(&stored, &counted), (&counted, &stored)] {
                let differing = format!("select count(*) from (({one}) except ({other})) as d");
                assert_eq!(views.all::<i64>(&differing).await, [0], "{one}");
            }
            let rows = format!("select count(*) from ({stored}) as s");
            assert!(views.all::<i64>(&rows).await[0] > 3, "{stored}");
        }
        let measured = format!("select sum(efficiency_count)::bigint from views.{owner}_dashboard");
        assert!(views.all::<i64>(&measured).await[0] > 5);
    }
    let gone = "select count(*) from views.task_view where deleted_at is not null";
    assert!(views.all::<i64>(gone).await[0] > 5);
}

#[tokio::test]
async fn efficiency_is_the_sum_of_ratios_rounded_half_up() {
    let project = Uuid::from_u128(1);
    let mut history = History::default();
    // 1/3 and 2/3, rounded each; one without estimate, one without actual hours and one estimated at 0 don't count.
    let tasks = [
        (Some(300), Some(100)),
        (Some(300), Some(200)),
        (None, Some(100)),
        (Some(100), None),
        (Some(0), Some(100)),
    ];
    for (n, (estimated, actual)) in (100..).zip(tasks) {
        let task = Uuid::from_u128(n);
        history.task("acme", task, task_created(project, "a task", estimated));
        history.task("acme", task, completed(actual));
    }
    // What is open again or cancelled counts with its estimate only.
    for (n, event) in [(200, reopened()), (201, cancelled())] {
        let task = Uuid::from_u128(n);
        history.task("acme", task, task_created(project, "a task", Some(1_000)));
        history.task("acme", task, completed(Some(1_000)));
        history.task("acme", task, event);
    }
    let views = Views::new().await;
    apply(&mut views.writer().await, history.whole()).await;
    for (column, expected) in [
        ("total", 7),
        ("open", 1),
        ("completed", 5),
        ("cancelled", 1),
        ("estimated_hundredths", 2_700),
        ("actual_hundredths", 500),
        ("efficiency_count", 2),
        ("efficiency_micros", 333_333 + 666_667),
    ] {
        let found: Vec<i64> = views
            .all(&format!("select {column} from views.project_dashboard"))
            .await;
        assert_eq!(found, [expected], "{column}");
    }
}

#[tokio::test]
async fn two_partitions_never_write_one_partial_row() {
    let history = seeded(5, 600);
    let views = Views::new().await;
    let mut writer = views.writer().await;
    for partition in crate::support::all_partitions() {
        let before: Vec<String> = views.all(&others(partition)).await;
        apply(
            &mut writer,
            vec![history.slice(partition, 0, history.head())],
        )
        .await;
        assert_eq!(
            views.all::<String>(&others(partition)).await,
            before,
            "partition {partition}"
        );
    }
    let spread = "select max(partials) from (
                      select count(*) as partials from views.task_dashboard_v3 group by tenant, owner, owner_id
                  ) as by_owner";
    assert!(
        views.all::<i64>(spread).await[0] > 3,
        "projects must lie in several partitions for this to say anything"
    );
}

/// Every row that is not of this partition.
fn others(partition: i16) -> String {
    let of = |table: &str| {
        format!("select to_jsonb(r)::text from views.{table} r where partition <> {partition}")
    };
    let tables = TABLES.map(|(table, _)| of(table));
    format!("{} order by 1", tables.join(" union all "))
}
