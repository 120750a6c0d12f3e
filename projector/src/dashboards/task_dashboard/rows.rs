//! The rows of `task_dashboard` as they are read and written: one statement each for however many.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use foldline_events::Position;
use sqlx::{PgConnection, Row as _, postgres::PgRow};

use super::{
    Contribution, Contributions, Partial, VIEW,
    sums::{Days, Sum, Sums},
};
use crate::{Error, keys::Keys};

pub(super) async fn load<'a>(
    connection: &mut PgConnection,
    keys: &Keys<'a>,
) -> Result<Contributions<'a>, Error> {
    if keys.is_empty() {
        return Ok(Contributions::new());
    }
    let statement = VIEW.sql(
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

pub(super) async fn store(
    connection: &mut PgConnection,
    tasks: &Contributions<'_>,
) -> Result<(), Error> {
    let statement = VIEW.sql(
        "insert into views.task_dashboard_task_v{version} as r (
             tenant, task_id, project_id, assignee_id, status, priority, estimated_hundredths, actual_hundredths,
             due_date, created_on, completed_on, deleted, position, partition
         )
         select *
         from unnest(
             $1::text[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::bigint[], $8::bigint[],
             $9::date[], $10::date[], $11::date[], $12::boolean[], $13::bigint[], $14::smallint[]
         )
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
             position = excluded.position",
    );
    let keys: Keys = tasks.keys().copied().collect();
    sqlx::query(statement)
        .bind(keys.tenants())
        .bind(keys.ids())
        .bind(column(tasks, |task| task.project_id))
        .bind(column(tasks, |task| task.assignee_id))
        .bind(column(tasks, |task| task.status.as_str()))
        .bind(column(tasks, |task| task.priority.as_str()))
        .bind(column(tasks, |task| task.estimated_hundredths))
        .bind(column(tasks, |task| task.actual_hundredths))
        .bind(column(tasks, |task| task.due_date))
        .bind(column(tasks, |task| task.created_on))
        .bind(column(tasks, |task| task.completed_on))
        .bind(column(tasks, |task| task.deleted))
        .bind(column(tasks, |task| task.position))
        .bind(column(tasks, |task| task.partition))
        .execute(connection)
        .await
        .map_err(VIEW.rows_error())?;
    Ok(())
}

fn column<'t, T>(tasks: &'t Contributions<'_>, of: impl Fn(&'t Contribution) -> T) -> Vec<T> {
    tasks.values().map(of).collect()
}

pub(super) async fn add_sums(
    connection: &mut PgConnection,
    differences: &BTreeMap<Partial<'_>, (Sums, Position)>,
) -> Result<(), Error> {
    let rows: Vec<Added<'_>> = differences
        .iter()
        .map(|(partial, (sums, position))| Added {
            partial: *partial,
            day: None,
            parts: &sums.0,
            position: *position,
        })
        .collect();
    add(connection, "task_dashboard", &Sums::COLUMNS, &rows).await
}

pub(super) async fn add_days(
    connection: &mut PgConnection,
    differences: &BTreeMap<(Partial<'_>, NaiveDate), (Days, Position)>,
) -> Result<(), Error> {
    let rows: Vec<Added<'_>> = differences
        .iter()
        .map(|((partial, day), (days, position))| Added {
            partial: *partial,
            day: Some(*day),
            parts: &days.0,
            position: *position,
        })
        .collect();
    add(connection, "task_dashboard_day", &Days::COLUMNS, &rows).await
}

/// What is added to one partial row.
struct Added<'a> {
    partial: Partial<'a>,
    /// Where the table has a row per day.
    day: Option<NaiveDate>,
    parts: &'a [Sum],
    position: Position,
}

/// Adds to the partial rows of a table; those that are not there begin so.
async fn add(
    connection: &mut PgConnection,
    table: &str,
    parts: &[&str],
    rows: &[Added<'_>],
) -> Result<(), Error> {
    let Some(first) = rows.first() else {
        return Ok(());
    };
    let statement = statement(table, first.day.is_some(), parts);
    let mut query = sqlx::query(VIEW.sql(&statement))
        .bind(column_of(rows, |(tenant, ..)| tenant.as_str()))
        .bind(column_of(rows, |(_, owner, _)| owner.kind()))
        .bind(column_of(rows, |(_, owner, _)| owner.id()))
        .bind(column_of(rows, |(.., partition)| *partition))
        .bind(rows.iter().map(|row| row.position).collect::<Vec<_>>());
    for part in 0..parts.len() {
        let column = rows.iter().map(|row| i64::try_from(row.parts[part]));
        let column: Result<Vec<i64>, _> = column.collect();
        let column = column
            .map_err(|error| sqlx::Error::Encode(error.into()))
            .map_err(VIEW.rows_error())?;
        query = query.bind(column);
    }
    if first.day.is_some() {
        query = query.bind(rows.iter().map(|row| row.day).collect::<Vec<_>>());
    }
    query.execute(connection).await.map_err(VIEW.rows_error())?;
    Ok(())
}

/// The keys are the first four arguments, then come the position, the parts, and the day where there is one.
fn statement(table: &str, by_day: bool, parts: &[&str]) -> String {
    let day = if by_day { ", day" } else { "" };
    let days = if by_day {
        format!(", ${}::date[]", parts.len() + 6)
    } else {
        String::new()
    };
    let columns = parts.join(", ");
    let arguments: Vec<String> = (0..parts.len())
        .map(|part| format!("${}::bigint[]", part + 6))
        .collect();
    let arguments = arguments.join(", ");
    let additions: Vec<String> = parts
        .iter()
        .map(|part| format!("{part} = r.{part} + excluded.{part}"))
        .collect();
    let additions = additions.join(", ");
    format!(
        "insert into views.{table}_v{{version}} as r (
             tenant, owner, owner_id, partition, position, {columns}{day}
         )
         select *
         from unnest(
             $1::text[], $2::text[], $3::uuid[], $4::smallint[], $5::bigint[], {arguments}{days}
         )
         on conflict on constraint {table}_v{{version}}_pkey do update
         set {additions}, position = greatest(r.position, excluded.position)"
    )
}

fn column_of<'a, T>(rows: &'a [Added<'_>], of: impl Fn(&'a Partial<'_>) -> T) -> Vec<T> {
    rows.iter().map(|row| of(&row.partial)).collect()
}
