//! A task: its type and its row. Which tasks a list holds is in `task/filter.rs`, in which order in `task/order.rs`; how they are
//! found is in `task/loaders.rs`, and what is compared between versions in `task/fields.rs`.

mod comments;
mod fields;
mod filter;
pub(crate) mod loaders;
mod order;

pub use comments::{Comment, CommentsOfTask, ORDER as COMMENT_ORDER};
pub use filter::{FilterInput, TaskFilter};
pub use loaders::{TaskById, TaskByKey, Tasks};
pub use order::OrderInput;

use async_graphql::{ComplexObject, Context, Enum, ID, Json, SimpleObject};
use chrono::{DateTime, NaiveDate, Utc};
use foldline_events::{
    Hours,
    tasks::{Priority, ReviewStatus, project_stream},
};
use serde::Deserialize;
use sqlx::types;
use uuid::Uuid;

use super::{
    history::{HistoryEntry, HistoryOfTask},
    project::{Project, ProjectById},
};
use crate::{
    ask::{Ask, Touches},
    error::Error,
    node::NodeKind,
    page::{self, Connection, Paging, nested},
    scalars,
};

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum TaskStatus {
    /// Nobody has begun.
    Open,
    /// Somebody works on it.
    InProgress,
    /// It cannot go on; `blockedReason` says why.
    Blocked,
    /// It is done.
    Completed,
    /// It was given up.
    Cancelled,
}

/// How urgent a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum TaskPriority {
    /// When there is time.
    Low,
    /// In its turn.
    Medium,
    /// Before others.
    High,
    /// At once.
    Critical,
}

/// How the review of a task by an AI stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum AiReviewStatus {
    /// Nobody asked for one.
    None,
    /// Somebody asked for one, and nothing was heard of it yet.
    Requested,
    /// It is being worked on.
    InProgress,
    /// The verdict: all is well.
    Approved,
    /// The verdict: something must be changed.
    ChangesWanted,
    /// There is no verdict; the review must be done again.
    Failed,
}

/// What there is to say of a review that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum AiReviewProgress {
    /// It is being worked on.
    InProgress,
    /// The verdict: all is well.
    Approved,
    /// The verdict: something must be changed.
    ChangesWanted,
    /// There is no verdict; the review must be done again.
    Failed,
}

/// The review of a task by an AI.
#[derive(Debug, Clone, SimpleObject)]
pub struct AiReview {
    /// Whether one is wanted: from the request until there is a verdict, but not of a cancelled task.
    needed: bool,
    /// How it stands.
    status: AiReviewStatus,
    /// When that became so, in business time; null while nobody asked.
    at: Option<DateTime<Utc>>,
    /// What was found; null where nothing was said.
    summary: Option<String>,
}

/// A step of a task.
#[derive(Debug, Clone, SimpleObject, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The step's UUID, unique within its task.
    #[serde(rename = "id")]
    step_id: Uuid,
    /// What is to be done.
    content: String,
    /// When it was done, in business time; null while it is not.
    completed_at: Option<DateTime<Utc>>,
}

/// A task: something to be done in a project.
#[derive(Debug, Clone, SimpleObject, sqlx::FromRow)]
#[graphql(complex)]
pub struct Task {
    /// The task's plain UUID, as commands and events name it.
    pub task_id: Uuid,
    /// The plain UUID of the project that it belongs to.
    project_id: Uuid,
    /// A short name such as `API-42`, which no other task of the tenant has.
    pub key: Option<String>,
    /// What is to be done.
    title: String,
    /// More about it.
    description: Option<String>,
    /// How urgent it is.
    priority: TaskPriority,
    #[graphql(skip)]
    priority_rank: i16,
    /// Where it stands.
    status: TaskStatus,
    /// Why it cannot go on; null while it is not blocked.
    blocked_reason: Option<String>,
    #[graphql(skip)]
    estimated_hundredths: Option<i64>,
    #[graphql(skip)]
    actual_hundredths: Option<i64>,
    /// The UTC day by the end of which it is to be done.
    due_date: Option<scalars::Day>,
    #[graphql(skip)]
    due_rank: NaiveDate,
    /// The person responsible for it.
    assignee_id: Option<Uuid>,
    /// Its labels, in the order in which they were added.
    labels: Vec<String>,
    #[graphql(skip)]
    metadata: types::Json<serde_json::Value>,
    #[graphql(skip)]
    steps: types::Json<Vec<Step>>,
    /// How many steps it has.
    steps_total: i32,
    /// How many of them are done.
    steps_completed: i32,
    /// How many comments it has.
    comments_total: i32,
    #[graphql(skip)]
    review_needed: bool,
    #[graphql(skip)]
    review_status: AiReviewStatus,
    #[graphql(skip)]
    review_at: Option<DateTime<Utc>>,
    #[graphql(skip)]
    review_summary: Option<String>,
    /// Who created it: the subject of their token.
    created_by: String,
    /// When it was created, in business time.
    created_at: DateTime<Utc>,
    /// When work on it last began, in business time: a task that was reopened may be started again.
    started_at: Option<DateTime<Utc>>,
    /// When it was blocked, in business time; null while it is not.
    blocked_at: Option<DateTime<Utc>>,
    /// When it was done, in business time; null while it is not.
    completed_at: Option<DateTime<Utc>>,
    /// When it was given up, in business time; null while it is not.
    cancelled_at: Option<DateTime<Utc>>,
    /// When it was deleted, in business time; null while it is not. A deleted task is in no list but that of
    /// `filter: {deleted: true}`, and in no dashboard.
    pub deleted_at: Option<DateTime<Utc>>,
    /// When it last changed, in business time.
    updated_at: DateTime<Utc>,
    #[graphql(skip)]
    version: i64,
    #[graphql(skip)]
    pub position: i64,
    #[graphql(skip)]
    pub partition: i16,
}

/// The columns of [`Task`]; `from` and the rest follow where it is used.
pub(super) const COLUMNS: &str = "
        task_id,
        project_id,
        key,
        title,
        description,
        priority,
        priority_rank,
        status,
        blocked_reason,
        estimated_hundredths,
        actual_hundredths,
        due_date,
        due_rank,
        assignee_id,
        labels,
        metadata,
        steps,
        steps_total,
        steps_completed,
        comments_total,
        review_needed,
        review_status,
        review_at,
        review_summary,
        created_by,
        created_at,
        started_at,
        blocked_at,
        completed_at,
        cancelled_at,
        deleted_at,
        updated_at,
        version,
        position,
        partition";

#[ComplexObject]
impl Task {
    /// The node id, for `node(id)`.
    pub async fn id(&self) -> ID {
        NodeKind::Task.id(self.task_id)
    }

    /// The hours it was thought to take, exact to a hundredth.
    async fn estimated_hours(&self) -> Option<f64> {
        self.estimated_hundredths
            .map(|hundredths| Hours::from_hundredths(hundredths).as_number())
    }

    /// The hours it took, exact to a hundredth, as its completion said; null while it is not completed.
    async fn actual_hours(&self) -> Option<f64> {
        self.actual_hundredths
            .map(|hundredths| Hours::from_hundredths(hundredths).as_number())
    }

    /// Whether it should have been done by then: it is open, in progress or blocked, and the UTC day of that instant is
    /// after its due date.
    async fn overdue(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The instant; when absent, that of `asOf`, and now where that is none.")]
        at: Option<DateTime<Utc>>,
    ) -> Option<Result<bool, Error>> {
        let answer = Ask::of(ctx).map(|ask| self.is_overdue(at.unwrap_or_else(|| ask.now(ctx))));
        Some(answer)
    }

    /// Free-form facts: an object of names to strings, numbers or booleans.
    async fn metadata(&self) -> Json<&serde_json::Value> {
        Json(&self.metadata.0)
    }

    /// Its steps, in the order in which they were added.
    async fn steps(&self) -> &[Step] {
        &self.steps.0
    }

    /// What people said about it, the oldest first.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn comments(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "How many, from the beginning or from `after` on: 0 to 100; 20 by default."
        )]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many, up to the end or to `before`: 0 to 100. Not with `first`.")]
        last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<Comment>, Error>> {
        let answer = async {
            let paging = Paging {
                first,
                after,
                last,
                before,
            };
            let window = paging.window(COMMENT_ORDER)?;
            nested::connection(ctx, self.task_id, CommentsOfTask, window).await
        };
        Some(answer.await)
    }

    /// Its review by an AI.
    async fn ai_review(&self) -> AiReview {
        AiReview {
            needed: self.review_needed,
            status: self.review_status,
            at: self.review_at,
            summary: self.review_summary.clone(),
        }
    }

    /// How many events the task has had; commands take it as `expectedVersion`.
    async fn version(&self) -> scalars::Version {
        scalars::Version(self.version)
    }

    /// The position of the last event that changed the task.
    async fn position(&self) -> scalars::Position {
        scalars::Position(self.position)
    }

    /// The project that it belongs to; null while that has not been folded yet.
    async fn project(&self, ctx: &Context<'_>) -> Option<Result<Project, Error>> {
        let answer = async {
            let touches = Touches::Stream(project_stream(self.project_id));
            let sight = Ask::of(ctx)?.look(ctx, &touches).await?;
            sight.loaders.load_one(ProjectById(self.project_id)).await
        };
        answer.await.transpose()
    }

    /// Everything that was recorded of it, the oldest first.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn history(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "How many, from the beginning or from `after` on: 0 to 100; 20 by default."
        )]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many, up to the end or to `before`: 0 to 100. Not with `first`.")]
        last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<HistoryEntry>, Error>> {
        let answer = async {
            let paging = Paging {
                first,
                after,
                last,
                before,
            };
            let window = paging.window(super::history::ORDER)?;
            nested::connection(ctx, self.task_id, HistoryOfTask, window).await
        };
        Some(answer.await)
    }
}

impl Task {
    fn is_overdue(&self, at: DateTime<Utc>) -> bool {
        let may_be = match self.status {
            TaskStatus::Open | TaskStatus::InProgress | TaskStatus::Blocked => true,
            TaskStatus::Completed | TaskStatus::Cancelled => false,
        };
        may_be && self.due_date.is_some_and(|day| day.0 < at.date_naive())
    }
}

impl TaskStatus {
    /// As the view spells it.
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::InProgress => "in_progress",
            Self::Blocked => "blocked",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl TaskPriority {
    /// As the view orders it.
    fn rank(self) -> i16 {
        match self {
            Self::Low => 1,
            Self::Medium => 2,
            Self::High => 3,
            Self::Critical => 4,
        }
    }
}

impl From<TaskPriority> for Priority {
    fn from(priority: TaskPriority) -> Self {
        match priority {
            TaskPriority::Low => Self::Low,
            TaskPriority::Medium => Self::Medium,
            TaskPriority::High => Self::High,
            TaskPriority::Critical => Self::Critical,
        }
    }
}

impl From<AiReviewProgress> for ReviewStatus {
    fn from(progress: AiReviewProgress) -> Self {
        match progress {
            AiReviewProgress::InProgress => Self::InProgress,
            AiReviewProgress::Approved => Self::Approved,
            AiReviewProgress::ChangesWanted => Self::ChangesWanted,
            AiReviewProgress::Failed => Self::Failed,
        }
    }
}
