//! The comments of tasks: written once, never changed.

use chrono::{DateTime, Utc};
use foldline_events::{Partition, Tenant, Version, tasks::TaskCommentAdded};
use sqlx::PgConnection;
use uuid::Uuid;

use super::VIEW;
use crate::{Error, Folded};

pub(super) struct Comment<'a> {
    tenant: &'a Tenant,
    task_id: Uuid,
    version: Version,
    comment_id: Uuid,
    text: &'a str,
    author: &'a str,
    created_at: DateTime<Utc>,
    partition: Partition,
}

impl<'a> Comment<'a> {
    pub(super) fn added(folded: &Folded<'a>, task_id: Uuid, added: &'a TaskCommentAdded) -> Self {
        Self {
            tenant: &folded.recorded.tenant,
            task_id,
            version: folded.recorded.version,
            comment_id: added.comment_id,
            text: &added.text,
            author: &folded.recorded.actor,
            created_at: folded.recorded.occurred_at,
            partition: folded.recorded.partition,
        }
    }
}

pub(super) async fn store(
    connection: &mut PgConnection,
    comments: &[Comment<'_>],
) -> Result<(), Error> {
    if comments.is_empty() {
        return Ok(());
    }
    let statement = VIEW.sql(
        "insert into views.task_view_comment_v{version} (
             tenant, task_id, version, comment_id, text, author, created_at, partition
         )
         select *
         from unnest(
             $1::text[], $2::uuid[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::timestamptz[],
             $8::smallint[]
         )",
    );
    sqlx::query(statement)
        .bind(column(comments, |comment| comment.tenant.as_str()))
        .bind(column(comments, |comment| comment.task_id))
        .bind(column(comments, |comment| comment.version))
        .bind(column(comments, |comment| comment.comment_id))
        .bind(column(comments, |comment| comment.text))
        .bind(column(comments, |comment| comment.author))
        .bind(column(comments, |comment| comment.created_at))
        .bind(column(comments, |comment| comment.partition))
        .execute(connection)
        .await
        .map_err(VIEW.rows_error())?;
    Ok(())
}

fn column<'c, T>(comments: &'c [Comment<'c>], of: impl Fn(&'c Comment<'c>) -> T) -> Vec<T> {
    comments.iter().map(of).collect()
}
