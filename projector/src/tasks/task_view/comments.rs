//! The comments of tasks: written once, never changed.

use chrono::{DateTime, Utc};
use foldline_events::{Partition, Position, Tenant, Version, tasks::TaskCommentAdded};
use sqlx::{PgConnection, error::BoxDynError};
use uuid::Uuid;

use crate::{
    Build, Error, Folded,
    records::{Columns, Record},
};

pub(super) struct Comment<'a> {
    tenant: &'a Tenant,
    task_id: Uuid,
    version: Version,
    comment_id: Uuid,
    text: &'a str,
    author: &'a str,
    created_at: DateTime<Utc>,
    position: Position,
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
            position: folded.recorded.position,
            partition: folded.recorded.partition,
        }
    }
}

impl Record for Comment<'_> {
    const TABLE: &'static str = "task_view_comment";

    fn write(&self, columns: &mut Columns<'_>) -> Result<(), BoxDynError> {
        columns
            .encode(self.tenant.as_str())?
            .encode(self.task_id)?
            .encode(self.version)?
            .encode(self.comment_id)?
            .encode(self.text)?
            .encode(self.author)?
            .encode(self.created_at)?
            .encode(self.position)?
            .encode(self.partition)?;
        Ok(())
    }
}

const STORE: &str = "
    insert into views.task_view_comment_v{version}
    select *
    from unnest($1::views.task_view_comment_v{version}[])
";

pub(super) async fn store(
    connection: &mut PgConnection,
    build: Build,
    comments: &[Comment<'_>],
) -> Result<(), Error> {
    build.write(connection, STORE, comments).await
}
