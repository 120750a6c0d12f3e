//! `project_dashboard`: how many tasks a project has, in which status, and how their hours compare with the estimates.
//!
//! Each task's contribution is kept, so that a change adds only the difference to the partial row of its project and
//! partition; partial rows are never read here.

use std::collections::BTreeMap;

use foldline_events::{Event, Partition, Position, Tenant, Version, tasks::TaskEvent};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use uuid::Uuid;

use super::sums::{Sum, Sums};
use crate::{
    Error, Folded, View,
    keys::{Key, Keys},
};

pub(crate) const VERSION: i32 = 1;
pub(crate) const DDL: &str = include_str!("project_dashboard.sql");

const VIEW: View = View::ProjectDashboard;

/// What one task adds to its project.
#[derive(Debug, Clone)]
pub(super) struct Contribution {
    project_id: Uuid,
    pub(super) status: Status,
    pub(super) estimated_hundredths: Option<i64>,
    pub(super) actual_hundredths: Option<i64>,
    version: Version,
    position: Position,
    partition: Partition,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(super) enum Status {
    Open,
    InProgress,
    Completed,
    Cancelled,
}

type Contributions<'a> = BTreeMap<Key<'a>, Contribution>;

/// By project and partition, sorted like the keys of their rows: what is to be added, and up to which position.
type Differences<'a> = BTreeMap<(&'a Tenant, Uuid, Partition), (Sums, Position)>;

pub(crate) async fn fold(
    connection: &mut PgConnection,
    events: &[Folded<'_>],
) -> Result<(), Error> {
    let mut changing = Vec::new();
    for folded in events {
        match folded.event {
            Event::Task(event) if changes(event) => {
                changing.push((folded, folded.aggregate()?, event));
            }
            Event::Task(_) | Event::Project(_) => {}
        }
    }
    if changing.is_empty() {
        return Ok(());
    }

    // A stream that begins in this delivery adds nothing yet.
    let begun: Keys = changing
        .iter()
        .filter(|(folded, ..)| folded.recorded.version > 1)
        .map(|(folded, task, _)| (&folded.recorded.tenant, *task))
        .collect();
    let before = load(connection, &begun).await?;
    let mut after = before.clone();
    for (folded, task, event) in changing {
        let key = (&folded.recorded.tenant, task);
        let contribution = evolved(after.get(&key), folded, event)?;
        after.insert(key, contribution);
    }
    // What was loaded was loaded to be changed, so all of it is stored.
    store_contributions(connection, &after).await?;
    add_differences(connection, &differences(&before, &after)).await
}

/// Whether such an event changes what a task adds.
fn changes(event: &TaskEvent) -> bool {
    match event {
        TaskEvent::Created(_)
        | TaskEvent::Started(_)
        | TaskEvent::Completed(_)
        | TaskEvent::Reopened(_)
        | TaskEvent::Cancelled(_) => true,
        TaskEvent::Assigned(_)
        | TaskEvent::LabelAdded(_)
        | TaskEvent::StepAdded(_)
        | TaskEvent::StepCompleted(_) => false,
    }
}

fn evolved(
    before: Option<&Contribution>,
    folded: &Folded<'_>,
    event: &TaskEvent,
) -> Result<Contribution, Error> {
    let mut after = match (event, before) {
        (TaskEvent::Created(created), None) => Contribution {
            project_id: created.project_id,
            status: Status::Open,
            estimated_hundredths: created.estimated_hours.map(|hours| hours.hundredths()),
            actual_hundredths: None,
            version: 0,
            position: 0,
            partition: folded.recorded.partition,
        },
        (_, Some(before)) => before.clone(),
        (_, None) => return Err(folded.unfoldable("its task was not created before")),
    };
    match event {
        TaskEvent::Started(_) => after.status = Status::InProgress,
        TaskEvent::Completed(completed) => {
            after.status = Status::Completed;
            after.actual_hundredths = completed.actual_hours.map(|hours| hours.hundredths());
        }
        TaskEvent::Reopened(_) => {
            after.status = Status::Open;
            after.actual_hundredths = None;
        }
        TaskEvent::Cancelled(_) => after.status = Status::Cancelled,
        TaskEvent::Created(_)
        | TaskEvent::Assigned(_)
        | TaskEvent::LabelAdded(_)
        | TaskEvent::StepAdded(_)
        | TaskEvent::StepCompleted(_) => {}
    }
    after.version = folded.recorded.version;
    after.position = folded.recorded.position;
    Ok(after)
}

fn differences<'a>(before: &Contributions<'a>, after: &Contributions<'a>) -> Differences<'a> {
    let mut differences = Differences::new();
    for (key @ (tenant, _), now) in after {
        let mut change = |contribution: &Contribution, sums: Sums| {
            let partial = (*tenant, contribution.project_id, contribution.partition);
            let (difference, position) = differences.entry(partial).or_default();
            *difference += sums;
            *position = now.position.max(*position);
        };
        if let Some(then) = before.get(key) {
            change(then, -Sums::of(then));
        }
        change(now, Sums::of(now));
    }
    differences
}

async fn load<'a>(
    connection: &mut PgConnection,
    keys: &Keys<'a>,
) -> Result<Contributions<'a>, Error> {
    if keys.is_empty() {
        return Ok(Contributions::new());
    }
    let statement = VIEW.sql(
        "select
             k.number,
             r.project_id,
             r.status,
             r.estimated_hundredths,
             r.actual_hundredths,
             r.version,
             r.position,
             r.partition
         from unnest($1::text[], $2::uuid[]) with ordinality as k (tenant, task_id, number)
         join views.project_dashboard_task_v{version} r
             on r.tenant = k.tenant
             and r.task_id = k.task_id",
    );
    let found = sqlx::query(statement)
        .bind(keys.tenants())
        .bind(keys.ids())
        .fetch_all(connection)
        .await
        .map_err(VIEW.rows_error())?;
    found
        .into_iter()
        .map(|row| Ok((keys.numbered(row.try_get("number")?), present(&row)?)))
        .collect::<Result<_, sqlx::Error>>()
        .map_err(VIEW.rows_error())
}

fn present(row: &PgRow) -> Result<Contribution, sqlx::Error> {
    Ok(Contribution {
        project_id: row.try_get("project_id")?,
        status: row.try_get("status")?,
        estimated_hundredths: row.try_get("estimated_hundredths")?,
        actual_hundredths: row.try_get("actual_hundredths")?,
        version: row.try_get("version")?,
        position: row.try_get("position")?,
        partition: row.try_get("partition")?,
    })
}

async fn store_contributions(
    connection: &mut PgConnection,
    tasks: &Contributions<'_>,
) -> Result<(), Error> {
    let statement = VIEW.sql(
        "insert into views.project_dashboard_task_v{version} as r (
             tenant, task_id, project_id, status, estimated_hundredths, actual_hundredths, version, position, partition
         )
         select *
         from unnest(
             $1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
             $9::smallint[]
         )
         on conflict on constraint project_dashboard_task_v{version}_pkey do update
         set project_id = excluded.project_id,
             status = excluded.status,
             estimated_hundredths = excluded.estimated_hundredths,
             actual_hundredths = excluded.actual_hundredths,
             version = excluded.version,
             position = excluded.position",
    );
    let keys: Keys = tasks.keys().copied().collect();
    sqlx::query(statement)
        .bind(keys.tenants())
        .bind(keys.ids())
        .bind(column(tasks, |task| task.project_id))
        .bind(column(tasks, |task| task.status.as_str()))
        .bind(column(tasks, |task| task.estimated_hundredths))
        .bind(column(tasks, |task| task.actual_hundredths))
        .bind(column(tasks, |task| task.version))
        .bind(column(tasks, |task| task.position))
        .bind(column(tasks, |task| task.partition))
        .execute(connection)
        .await
        .map_err(VIEW.rows_error())?;
    Ok(())
}

const ADD: &str = "
    insert into views.project_dashboard_v{version} as r (
        tenant, project_id, partition, total, open, in_progress, completed, cancelled, estimated_hundredths,
        actual_hundredths, efficiency_count, efficiency_micros, position
    )
    select *
    from unnest(
        $1::text[], $2::uuid[], $3::smallint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
        $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[]
    )
    on conflict on constraint project_dashboard_v{version}_pkey do update
    set total = r.total + excluded.total,
        open = r.open + excluded.open,
        in_progress = r.in_progress + excluded.in_progress,
        completed = r.completed + excluded.completed,
        cancelled = r.cancelled + excluded.cancelled,
        estimated_hundredths = r.estimated_hundredths + excluded.estimated_hundredths,
        actual_hundredths = r.actual_hundredths + excluded.actual_hundredths,
        efficiency_count = r.efficiency_count + excluded.efficiency_count,
        efficiency_micros = r.efficiency_micros + excluded.efficiency_micros,
        position = excluded.position
";

async fn add_differences(
    connection: &mut PgConnection,
    differences: &Differences<'_>,
) -> Result<(), Error> {
    let of = |part: fn(&Sums) -> Sum| -> Result<Vec<i64>, Error> {
        let parts = differences.values().map(|(sums, _)| part(sums));
        parts
            .map(|part| i64::try_from(part).map_err(|error| sqlx::Error::Encode(error.into())))
            .collect::<Result<_, _>>()
            .map_err(VIEW.rows_error())
    };
    sqlx::query(VIEW.sql(ADD))
        .bind(
            differences
                .keys()
                .map(|(tenant, ..)| tenant.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(
            differences
                .keys()
                .map(|(_, project, _)| *project)
                .collect::<Vec<_>>(),
        )
        .bind(
            differences
                .keys()
                .map(|(.., partition)| *partition)
                .collect::<Vec<_>>(),
        )
        .bind(of(|sums| sums.total)?)
        .bind(of(|sums| sums.open)?)
        .bind(of(|sums| sums.in_progress)?)
        .bind(of(|sums| sums.completed)?)
        .bind(of(|sums| sums.cancelled)?)
        .bind(of(|sums| sums.estimated_hundredths)?)
        .bind(of(|sums| sums.actual_hundredths)?)
        .bind(of(|sums| sums.efficiency_count)?)
        .bind(of(|sums| sums.efficiency_micros)?)
        .bind(
            differences
                .values()
                .map(|(_, position)| *position)
                .collect::<Vec<_>>(),
        )
        .execute(connection)
        .await
        .map_err(VIEW.rows_error())?;
    Ok(())
}

fn column<T>(tasks: &Contributions<'_>, of: impl Fn(&Contribution) -> T) -> Vec<T> {
    tasks.values().map(of).collect()
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}
