//! The rows of `task_view` as they are read and written, those of the past too: one statement each for however many.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use foldline_events::{
    Hours, Partition, Position, Version,
    tasks::{Metadata, TaskCreated},
};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row as _, error::BoxDynError, postgres::PgRow, types::Json};
use uuid::Uuid;

use super::{Status, priority_name};
use crate::{
    Build, Error, Folded,
    keys::{Key, Keys},
    records::{Columns, Ended, Record},
};

/// Where tasks without a due date stand in lists by it: after every day that a due date may be.
const NO_DUE_DATE: NaiveDate =
    NaiveDate::from_ymd_opt(9999, 12, 31).expect("a day of the calendar");

pub(super) type Rows<'a> = BTreeMap<Key<'a>, Row>;

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) project_id: Uuid,
    pub(super) key: Option<String>,
    pub(super) title: String,
    pub(super) description: Option<String>,
    pub(super) priority: String,
    pub(super) status: Status,
    pub(super) blocked_reason: Option<String>,
    pub(super) estimated_hundredths: Option<i64>,
    pub(super) actual_hundredths: Option<i64>,
    pub(super) due_date: Option<NaiveDate>,
    pub(super) assignee_id: Option<Uuid>,
    pub(super) labels: Vec<String>,
    pub(super) metadata: Metadata,
    pub(super) steps: Vec<Step>,
    pub(super) comments_total: i32,
    pub(super) review_status: String,
    pub(super) review_needed: bool,
    pub(super) review_at: Option<DateTime<Utc>>,
    pub(super) review_summary: Option<String>,
    pub(super) created_by: String,
    pub(super) created_at: DateTime<Utc>,
    pub(super) started_at: Option<DateTime<Utc>>,
    pub(super) blocked_at: Option<DateTime<Utc>>,
    pub(super) completed_at: Option<DateTime<Utc>>,
    pub(super) cancelled_at: Option<DateTime<Utc>>,
    pub(super) deleted_at: Option<DateTime<Utc>>,
    pub(super) updated_at: DateTime<Utc>,
    pub(super) version: Version,
    pub(super) position: Position,
    pub(super) partition: Partition,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Step {
    pub(super) id: Uuid,
    pub(super) content: String,
    pub(super) completed_at: Option<DateTime<Utc>>,
}

impl Row {
    pub(super) fn created(folded: &Folded<'_>, created: &TaskCreated) -> Self {
        let at = folded.recorded.occurred_at;
        Self {
            project_id: created.project_id,
            key: created.key.clone(),
            title: created.title.clone(),
            description: created.description.clone(),
            priority: priority_name(created.priority).to_owned(),
            status: Status::Open,
            blocked_reason: None,
            estimated_hundredths: created.estimated_hours.map(Hours::hundredths),
            actual_hundredths: None,
            due_date: created.due_date,
            assignee_id: None,
            labels: Vec::new(),
            metadata: created.metadata.clone(),
            steps: Vec::new(),
            comments_total: 0,
            review_status: "none".to_owned(),
            review_needed: false,
            review_at: None,
            review_summary: None,
            created_by: folded.recorded.actor.clone(),
            created_at: at,
            started_at: None,
            blocked_at: None,
            completed_at: None,
            cancelled_at: None,
            deleted_at: None,
            updated_at: at,
            version: 0,
            position: 0,
            partition: folded.recorded.partition,
        }
    }

    /// How long its texts are, about.
    pub(super) fn bytes(&self) -> usize {
        const OF_A_STEP: usize = 120;
        const OF_A_FACT: usize = 20;
        let steps = self.steps.iter().map(|step| OF_A_STEP + step.content.len());
        let facts = self
            .metadata
            .iter()
            .map(|(name, value)| OF_A_FACT + name.len() + value.as_str().map_or(0, str::len));
        let texts = [
            &self.description,
            &self.blocked_reason,
            &self.review_summary,
        ];
        let texts = texts.into_iter().flatten().map(String::len);
        self.title.len()
            + steps.sum::<usize>()
            + facts.sum::<usize>()
            + texts.sum::<usize>()
            + self.labels.iter().map(String::len).sum::<usize>()
    }

    pub(super) fn estimate(&mut self, hours: Option<Hours>) {
        self.estimated_hundredths = hours.map(Hours::hundredths);
    }

    pub(super) fn review(&mut self, status: &str, summary: Option<String>, at: DateTime<Utc>) {
        status.clone_into(&mut self.review_status);
        self.review_summary = summary;
        self.review_at = Some(at);
    }
}

pub(super) async fn load<'a>(
    connection: &mut PgConnection,
    build: Build,
    keys: &Keys<'a>,
) -> Result<Rows<'a>, Error> {
    if keys.is_empty() {
        return Ok(Rows::new());
    }
    let statement = build.sql(
        "select k.number, r.*
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
        .map_err(build.rows_error())?;
    found
        .into_iter()
        .map(|row| Ok((keys.numbered(row.try_get("number")?), present(&row)?)))
        .collect::<Result<_, sqlx::Error>>()
        .map_err(build.rows_error())
}

fn present(row: &PgRow) -> Result<Row, sqlx::Error> {
    Ok(Row {
        project_id: row.try_get("project_id")?,
        key: row.try_get("key")?,
        title: row.try_get("title")?,
        description: row.try_get("description")?,
        priority: row.try_get("priority")?,
        status: row.try_get("status")?,
        blocked_reason: row.try_get("blocked_reason")?,
        estimated_hundredths: row.try_get("estimated_hundredths")?,
        actual_hundredths: row.try_get("actual_hundredths")?,
        due_date: row.try_get("due_date")?,
        assignee_id: row.try_get("assignee_id")?,
        labels: row.try_get("labels")?,
        metadata: row.try_get::<Json<Metadata>, _>("metadata")?.0,
        steps: row.try_get::<Json<Vec<Step>>, _>("steps")?.0,
        comments_total: row.try_get("comments_total")?,
        review_status: row.try_get("review_status")?,
        review_needed: row.try_get("review_needed")?,
        review_at: row.try_get("review_at")?,
        review_summary: row.try_get("review_summary")?,
        created_by: row.try_get("created_by")?,
        created_at: row.try_get("created_at")?,
        started_at: row.try_get("started_at")?,
        blocked_at: row.try_get("blocked_at")?,
        completed_at: row.try_get("completed_at")?,
        cancelled_at: row.try_get("cancelled_at")?,
        deleted_at: row.try_get("deleted_at")?,
        updated_at: row.try_get("updated_at")?,
        version: row.try_get("version")?,
        position: row.try_get("position")?,
        partition: row.try_get("partition")?,
    })
}

const STORE: &str = "
    insert into views.task_view_v{version} as r
    select *
    from unnest($1::views.task_view_v{version}[])
    on conflict on constraint task_view_v{version}_pkey do update
    set project_id = excluded.project_id,
        key = excluded.key,
        title = excluded.title,
        description = excluded.description,
        priority = excluded.priority,
        priority_rank = excluded.priority_rank,
        status = excluded.status,
        blocked_reason = excluded.blocked_reason,
        estimated_hundredths = excluded.estimated_hundredths,
        actual_hundredths = excluded.actual_hundredths,
        due_date = excluded.due_date,
        due_rank = excluded.due_rank,
        assignee_id = excluded.assignee_id,
        labels = excluded.labels,
        metadata = excluded.metadata,
        steps = excluded.steps,
        steps_total = excluded.steps_total,
        steps_completed = excluded.steps_completed,
        comments_total = excluded.comments_total,
        review_status = excluded.review_status,
        review_needed = excluded.review_needed,
        review_at = excluded.review_at,
        review_summary = excluded.review_summary,
        started_at = excluded.started_at,
        blocked_at = excluded.blocked_at,
        completed_at = excluded.completed_at,
        cancelled_at = excluded.cancelled_at,
        deleted_at = excluded.deleted_at,
        updated_at = excluded.updated_at,
        version = excluded.version,
        position = excluded.position
";

const STORE_PAST: &str = "
    insert into views.task_view_past_v{version}
    select *
    from unnest($1::views.task_view_past_v{version}[])
";

/// A row as it is.
struct Present<'r>(Key<'r>, &'r Row);

/// A row as it was, until an event changed it.
pub(super) struct Past<'r> {
    pub(super) key: Key<'r>,
    pub(super) row: Row,
    pub(super) until: Position,
}

impl Record for Present<'_> {
    const TABLE: &'static str = "task_view";

    fn write(&self, columns: &mut Columns<'_>) -> Result<(), BoxDynError> {
        let Self((tenant, task), row) = self;
        columns
            .encode(tenant.as_str())?
            .encode(*task)?
            .encode(row.project_id)?
            .encode(row.key.as_deref())?
            .encode(row.title.as_str())?
            .encode(row.description.as_deref())?
            .encode(row.priority.as_str())?
            .encode(rank(&row.priority))?
            .encode(row.status.as_str())?
            .encode(row.blocked_reason.as_deref())?
            .encode(row.estimated_hundredths)?
            .encode(row.actual_hundredths)?
            .encode(row.due_date)?
            .encode(row.due_date.unwrap_or(NO_DUE_DATE))?
            .encode(row.assignee_id)?
            .encode(row.labels.as_slice())?
            .encode(Json(&row.metadata))?
            .encode(Json(&row.steps))?
            .encode(count(row.steps.iter()))?
            .encode(done(&row.steps))?
            .encode(row.comments_total)?
            .encode(row.review_status.as_str())?
            .encode(row.review_needed)?
            .encode(row.review_at)?
            .encode(row.review_summary.as_deref())?
            .encode(row.created_by.as_str())?
            .encode(row.created_at)?
            .encode(row.started_at)?
            .encode(row.blocked_at)?
            .encode(row.completed_at)?
            .encode(row.cancelled_at)?
            .encode(row.deleted_at)?
            .encode(row.updated_at)?
            .encode(row.version)?
            .encode(row.position)?
            .encode(row.partition)?;
        Ok(())
    }
}

impl Record for Past<'_> {
    const TABLE: &'static str = "task_view_past";

    fn write(&self, columns: &mut Columns<'_>) -> Result<(), BoxDynError> {
        Present(self.key, &self.row).write(columns)?;
        columns.encode(self.until)?;
        Ok(())
    }
}

pub(super) fn ended<'r>(build: Build) -> Ended<Past<'r>> {
    Ended::new(build, STORE_PAST)
}

pub(super) async fn store(
    connection: &mut PgConnection,
    build: Build,
    rows: &Rows<'_>,
) -> Result<(), Error> {
    let present: Vec<_> = rows.iter().map(|(key, row)| Present(*key, row)).collect();
    build.write(connection, STORE, &present).await
}

/// Where a priority stands among them.
fn rank(priority: &str) -> i16 {
    match priority {
        "low" => 1,
        "medium" => 2,
        "high" => 3,
        _ => 4,
    }
}

fn done(steps: &[Step]) -> i32 {
    count(steps.iter().filter(|step| step.completed_at.is_some()))
}

fn count<'s>(steps: impl Iterator<Item = &'s Step>) -> i32 {
    i32::try_from(steps.count()).expect("a task's steps are far fewer than 2^31")
}
