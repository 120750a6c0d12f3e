//! The rows of `task_dashboard` as they are read and written: one statement each for however many.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use foldline_events::Position;
use sqlx::{PgConnection, Row as _, error::BoxDynError, postgres::PgRow};

use super::{
    Contribution, Contributions, Partial,
    sums::{Days, Sum, Sums},
};
use crate::{
    Build, Error,
    keys::{Key, Keys},
    records::{Columns, Record},
};

pub(super) async fn load<'a>(
    connection: &mut PgConnection,
    build: Build,
    keys: &Keys<'a>,
) -> Result<Contributions<'a>, Error> {
    if keys.is_empty() {
        return Ok(Contributions::new());
    }
    let statement = build.sql(
        "select k.number, r.*
         from unnest($1::text[], $2::uuid[]) with ordinality as k (tenant, task_id, number)
         join views.task_dashboard_task_v{version} r
             on r.tenant = k.tenant
             and r.task_id = k.task_id",
    );
    let found = sqlx::query(statement)
        .bind(keys.tenants())
        .bind(keys.ids())
        .fetch_all(connection)
        .await
        .map_err(build.rows_error())?;
    found
        .into_iter()
        .map(|row| Ok((keys.numbered(row.try_get("number")?), present(&row)?)))
        .collect::<Result<_, sqlx::Error>>()
        .map_err(build.rows_error())
}

fn present(row: &PgRow) -> Result<Contribution, sqlx::Error> {
    Ok(Contribution {
        project_id: row.try_get("project_id")?,
        assignee_id: row.try_get("assignee_id")?,
        status: row.try_get("status")?,
        priority: row.try_get("priority")?,
        estimated_hundredths: row.try_get("estimated_hundredths")?,
        actual_hundredths: row.try_get("actual_hundredths")?,
        due_date: row.try_get("due_date")?,
        created_on: row.try_get("created_on")?,
        completed_on: row.try_get("completed_on")?,
        deleted: row.try_get("deleted")?,
        position: row.try_get("position")?,
        partition: row.try_get("partition")?,
    })
}

const STORE: &str = "
    insert into views.task_dashboard_task_v{version} as r
    select *
    from unnest($1::views.task_dashboard_task_v{version}[])
    on conflict on constraint task_dashboard_task_v{version}_pkey do update
    set project_id = excluded.project_id,
        assignee_id = excluded.assignee_id,
        status = excluded.status,
        priority = excluded.priority,
        estimated_hundredths = excluded.estimated_hundredths,
        actual_hundredths = excluded.actual_hundredths,
        due_date = excluded.due_date,
        completed_on = excluded.completed_on,
        deleted = excluded.deleted,
        position = excluded.position
";

const STORE_PAST: &str = "
    insert into views.task_dashboard_task_past_v{version}
    select *
    from unnest($1::views.task_dashboard_task_past_v{version}[])
";

/// What a task adds.
struct Present<'t>(Key<'t>, &'t Contribution);

/// What a task added, until an event changed it.
pub(super) struct Past<'t> {
    pub(super) key: Key<'t>,
    pub(super) task: Contribution,
    pub(super) until: Position,
}

impl Record for Present<'_> {
    const TABLE: &'static str = "task_dashboard_task";

    fn write(&self, columns: &mut Columns<'_>) -> Result<(), BoxDynError> {
        let Self((tenant, id), task) = self;
        columns
            .encode(tenant.as_str())?
            .encode(*id)?
            .encode(task.project_id)?
            .encode(task.assignee_id)?
            .encode(task.status.as_str())?
            .encode(task.priority.as_str())?
            .encode(task.estimated_hundredths)?
            .encode(task.actual_hundredths)?
            .encode(task.due_date)?
            .encode(task.created_on)?
            .encode(task.completed_on)?
            .encode(task.deleted)?
            .encode(task.position)?
            .encode(task.partition)?;
        Ok(())
    }
}

impl Record for Past<'_> {
    const TABLE: &'static str = "task_dashboard_task_past";

    fn write(&self, columns: &mut Columns<'_>) -> Result<(), BoxDynError> {
        Present(self.key, &self.task).write(columns)?;
        columns.encode(self.until)?;
        Ok(())
    }
}

pub(super) async fn store(
    connection: &mut PgConnection,
    build: Build,
    tasks: &Contributions<'_>,
    past: &[Past<'_>],
) -> Result<(), Error> {
    let present: Vec<_> = tasks
        .iter()
        .map(|(key, task)| Present(*key, task))
        .collect();
    build.write(connection, STORE, &present).await?;
    build.write(connection, STORE_PAST, past).await
}

pub(super) async fn add_sums(
    connection: &mut PgConnection,
    build: Build,
    differences: &BTreeMap<Partial<'_>, (Sums, Position)>,
) -> Result<(), Error> {
    let rows: Vec<_> = differences
        .iter()
        .map(|(partial, (sums, position))| {
            AddedSums(Added {
                partial: *partial,
                day: None,
                parts: &sums.0,
                position: *position,
            })
        })
        .collect();
    let statement = statement("task_dashboard", &Sums::COLUMNS);
    build.write(connection, &statement, &rows).await
}

pub(super) async fn add_days(
    connection: &mut PgConnection,
    build: Build,
    differences: &BTreeMap<(Partial<'_>, NaiveDate), (Days, Position)>,
) -> Result<(), Error> {
    let rows: Vec<_> = differences
        .iter()
        .map(|((partial, day), (days, position))| {
            AddedDays(Added {
                partial: *partial,
                day: Some(*day),
                parts: &days.0,
                position: *position,
            })
        })
        .collect();
    let statement = statement("task_dashboard_day", &Days::COLUMNS);
    build.write(connection, &statement, &rows).await
}

/// What is added to one partial row.
struct Added<'a> {
    partial: Partial<'a>,
    /// Where the table has a row per day.
    day: Option<NaiveDate>,
    parts: &'a [Sum],
    position: Position,
}

struct AddedSums<'a>(Added<'a>);

struct AddedDays<'a>(Added<'a>);

impl Added<'_> {
    /// The columns of both tables, where the day, if there is one, comes after the owner.
    fn write(&self, columns: &mut Columns<'_>) -> Result<(), BoxDynError> {
        let (tenant, owner, partition) = self.partial;
        columns
            .encode(tenant.as_str())?
            .encode(owner.kind())?
            .encode(owner.id())?;
        if let Some(day) = self.day {
            columns.encode(day)?;
        }
        columns.encode(partition)?;
        for part in self.parts {
            columns.encode(i64::try_from(*part)?)?;
        }
        columns.encode(self.position)?;
        Ok(())
    }
}

impl Record for AddedSums<'_> {
    const TABLE: &'static str = "task_dashboard";

    fn write(&self, columns: &mut Columns<'_>) -> Result<(), BoxDynError> {
        self.0.write(columns)
    }
}

impl Record for AddedDays<'_> {
    const TABLE: &'static str = "task_dashboard_day";

    fn write(&self, columns: &mut Columns<'_>) -> Result<(), BoxDynError> {
        self.0.write(columns)
    }
}

/// Adds to the partial rows of a table; those that are not there begin so.
fn statement(table: &str, parts: &[&str]) -> String {
    let additions: Vec<String> = parts
        .iter()
        .map(|part| format!("{part} = r.{part} + excluded.{part}"))
        .collect();
    let additions = additions.join(", ");
    format!(
        "insert into views.{table}_v{{version}} as r
         select *
         from unnest($1::views.{table}_v{{version}}[])
         on conflict on constraint {table}_v{{version}}_pkey do update
         set {additions}, position = greatest(r.position, excluded.position)"
    )
}
