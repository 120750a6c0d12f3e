//! The rows of `task_view` as they are read and written: one statement each for however many.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use foldline_events::{
    Partition, Position, Version,
    tasks::{Metadata, Priority},
};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row as _, postgres::PgRow, types::Json};
use uuid::Uuid;

use super::VIEW;
use crate::{
    Error,
    keys::{Key, Keys},
};

pub(super) type Rows<'a> = BTreeMap<Key<'a>, Row>;

pub(super) struct Row {
    pub(super) project_id: Uuid,
    pub(super) title: String,
    pub(super) priority: String,
    pub(super) status: Status,
    pub(super) estimated_hundredths: Option<i64>,
    pub(super) actual_hundredths: Option<i64>,
    pub(super) assignee_id: Option<Uuid>,
    pub(super) labels: Vec<String>,
    pub(super) metadata: Metadata,
    pub(super) steps: Vec<Step>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) started_at: Option<DateTime<Utc>>,
    pub(super) completed_at: Option<DateTime<Utc>>,
    pub(super) cancelled_at: Option<DateTime<Utc>>,
    pub(super) updated_at: DateTime<Utc>,
    pub(super) version: Version,
    pub(super) position: Position,
    pub(super) partition: Partition,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(super) enum Status {
    Open,
    InProgress,
    Completed,
    Cancelled,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Step {
    pub(super) id: Uuid,
    pub(super) content: String,
    pub(super) completed_at: Option<DateTime<Utc>>,
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

pub(super) fn priority(priority: Priority) -> &'static str {
    match priority {
        Priority::Low => "low",
        Priority::Medium => "medium",
        Priority::High => "high",
        Priority::Critical => "critical",
    }
}

pub(super) async fn load<'a>(
    connection: &mut PgConnection,
    keys: &Keys<'a>,
) -> Result<Rows<'a>, Error> {
    if keys.is_empty() {
        return Ok(Rows::new());
    }
    let statement = VIEW.sql(
        "select
             k.number,
             r.project_id,
             r.title,
             r.priority,
             r.status,
             r.estimated_hundredths,
             r.actual_hundredths,
             r.assignee_id,
             r.labels,
             r.metadata,
             r.steps,
             r.created_at,
             r.started_at,
             r.completed_at,
             r.cancelled_at,
             r.updated_at,
             r.version,
             r.position,
             r.partition
         from unnest($1::text[], $2::uuid[]) with ordinality as k (tenant, task_id, number)
         join views.task_view_v{version} r
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

fn present(row: &PgRow) -> Result<Row, sqlx::Error> {
    Ok(Row {
        project_id: row.try_get("project_id")?,
        title: row.try_get("title")?,
        priority: row.try_get("priority")?,
        status: row.try_get("status")?,
        estimated_hundredths: row.try_get("estimated_hundredths")?,
        actual_hundredths: row.try_get("actual_hundredths")?,
        assignee_id: row.try_get("assignee_id")?,
        labels: row.try_get("labels")?,
        metadata: row.try_get::<Json<Metadata>, _>("metadata")?.0,
        steps: row.try_get::<Json<Vec<Step>>, _>("steps")?.0,
        created_at: row.try_get("created_at")?,
        started_at: row.try_get("started_at")?,
        completed_at: row.try_get("completed_at")?,
        cancelled_at: row.try_get("cancelled_at")?,
        updated_at: row.try_get("updated_at")?,
        version: row.try_get("version")?,
        position: row.try_get("position")?,
        partition: row.try_get("partition")?,
    })
}

// Arrays of arrays lose their shape in unnest, so labels travel as JSON.
const STORE: &str = "
    insert into views.task_view_v{version} as r (
        tenant, task_id, project_id, title, priority, status, estimated_hundredths, actual_hundredths, assignee_id,
        labels, metadata, steps, steps_total, steps_completed, created_at, started_at, completed_at, cancelled_at,
        updated_at, version, position, partition
    )
    select
        tenant, task_id, project_id, title, priority, status, estimated_hundredths, actual_hundredths, assignee_id,
        array(select jsonb_array_elements_text(labels)), metadata, steps, steps_total, steps_completed, created_at,
        started_at, completed_at, cancelled_at, updated_at, version, position, partition
    from unnest(
        $1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[],
        $9::uuid[], $10::jsonb[], $11::jsonb[], $12::jsonb[], $13::integer[], $14::integer[], $15::timestamptz[],
        $16::timestamptz[], $17::timestamptz[], $18::timestamptz[], $19::timestamptz[], $20::bigint[],
        $21::bigint[], $22::smallint[]
    ) as batch (
        tenant, task_id, project_id, title, priority, status, estimated_hundredths, actual_hundredths, assignee_id,
        labels, metadata, steps, steps_total, steps_completed, created_at, started_at, completed_at, cancelled_at,
        updated_at, version, position, partition
    )
    on conflict on constraint task_view_v{version}_pkey do update
    set project_id = excluded.project_id,
        title = excluded.title,
        priority = excluded.priority,
        status = excluded.status,
        estimated_hundredths = excluded.estimated_hundredths,
        actual_hundredths = excluded.actual_hundredths,
        assignee_id = excluded.assignee_id,
        labels = excluded.labels,
        metadata = excluded.metadata,
        steps = excluded.steps,
        steps_total = excluded.steps_total,
        steps_completed = excluded.steps_completed,
        started_at = excluded.started_at,
        completed_at = excluded.completed_at,
        cancelled_at = excluded.cancelled_at,
        updated_at = excluded.updated_at,
        version = excluded.version,
        position = excluded.position
";

pub(super) async fn store(connection: &mut PgConnection, rows: &Rows<'_>) -> Result<(), Error> {
    let keys: Keys = rows.keys().copied().collect();
    sqlx::query(VIEW.sql(STORE))
        .bind(keys.tenants())
        .bind(keys.ids())
        .bind(column(rows, |row| row.project_id))
        .bind(column(rows, |row| row.title.as_str()))
        .bind(column(rows, |row| row.priority.as_str()))
        .bind(column(rows, |row| row.status.as_str()))
        .bind(column(rows, |row| row.estimated_hundredths))
        .bind(column(rows, |row| row.actual_hundredths))
        .bind(column(rows, |row| row.assignee_id))
        .bind(column(rows, |row| Json(&row.labels)))
        .bind(column(rows, |row| Json(&row.metadata)))
        .bind(column(rows, |row| Json(&row.steps)))
        .bind(column(rows, |row| count(row.steps.iter())))
        .bind(column(rows, |row| {
            count(row.steps.iter().filter(|step| step.completed_at.is_some()))
        }))
        .bind(column(rows, |row| row.created_at))
        .bind(column(rows, |row| row.started_at))
        .bind(column(rows, |row| row.completed_at))
        .bind(column(rows, |row| row.cancelled_at))
        .bind(column(rows, |row| row.updated_at))
        .bind(column(rows, |row| row.version))
        .bind(column(rows, |row| row.position))
        .bind(column(rows, |row| row.partition))
        .execute(connection)
        .await
        .map_err(VIEW.rows_error())?;
    Ok(())
}

fn column<'r, T>(rows: &'r Rows<'_>, of: impl Fn(&'r Row) -> T) -> Vec<T> {
    rows.values().map(of).collect()
}

fn count<'s>(steps: impl Iterator<Item = &'s Step>) -> i32 {
    i32::try_from(steps.count()).expect("a task's steps are far fewer than 2^31")
}
