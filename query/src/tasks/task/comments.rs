//! What people said about a task.

use async_graphql::SimpleObject;
use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::{
    page::{
        Listed,
        cursor::{Key, Kind, Order, Place},
        nested::Nested,
    },
    read::Scope,
};

/// In the order in which they were made.
pub const ORDER: Order = Order {
    name: "comments",
    by: &[("version", Kind::Number)],
    descending: false,
};

/// A comment on a task.
#[derive(Debug, Clone, SimpleObject, sqlx::FromRow)]
#[graphql(name = "TaskComment")]
pub struct Comment {
    /// The comment's UUID, unique within its task.
    comment_id: Uuid,
    /// What was said.
    text: String,
    /// Who said it: the subject of their token.
    author: String,
    /// When it was said, in business time.
    created_at: DateTime<Utc>,
    #[graphql(skip)]
    version: i64,
}

/// The comments on each of many tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommentsOfTask;

impl Nested for CommentsOfTask {
    type Node = Comment;
    const COLUMNS: &'static str = "comment_id, text, author, created_at, version";

    fn push_from(&self, scope: Scope<'_>, query: &mut QueryBuilder<Postgres>) {
        query.push(format!(
            " from {} where tenant = ",
            scope.view("task_comment")
        ));
        query.push_bind(scope.tenant.to_owned());
        query.push(" and task_id = parent.id");
    }
}

impl Listed for Comment {
    fn place(&self, _: Order) -> Place {
        Place(vec![Key::Number(self.version)])
    }
}
