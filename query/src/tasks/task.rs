//! A task: its type and its rows. Its loaders are in `task/loaders.rs`.

mod loaders;

pub use loaders::{CountOfProject, TaskById, TasksOfProject};

use async_graphql::{ComplexObject, Context, Enum, ID, Json, SimpleObject};
use chrono::{DateTime, Utc};
use foldline_events::Hours;
use serde::Deserialize;
use sqlx::{Postgres, QueryBuilder, types};
use uuid::Uuid;

use super::project::{Project, ProjectById};
use crate::{
    ask::Ask,
    error::Error,
    node::NodeKind,
    page::{Place, Row, Rows, Window},
    read::Reader,
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
    /// What is to be done.
    title: String,
    /// How urgent it is.
    priority: TaskPriority,
    /// Where it stands.
    status: TaskStatus,
    #[graphql(skip)]
    estimated_hundredths: Option<i64>,
    #[graphql(skip)]
    actual_hundredths: Option<i64>,
    /// The person responsible for it.
    assignee_id: Option<Uuid>,
    /// Its labels.
    labels: Vec<String>,
    #[graphql(skip)]
    metadata: types::Json<serde_json::Value>,
    #[graphql(skip)]
    steps: types::Json<Vec<Step>>,
    /// How many steps it has.
    steps_total: i32,
    /// How many of them are done.
    steps_completed: i32,
    /// When it was created, in business time.
    created_at: DateTime<Utc>,
    /// When work on it began, in business time.
    started_at: Option<DateTime<Utc>>,
    /// When it was done, in business time; null while it is not.
    completed_at: Option<DateTime<Utc>>,
    /// When it was given up, in business time; null while it is not.
    cancelled_at: Option<DateTime<Utc>>,
    /// When it last changed, in business time.
    updated_at: DateTime<Utc>,
    #[graphql(skip)]
    pub version: i64,
    #[graphql(skip)]
    pub position: i64,
    #[graphql(skip)]
    pub partition: i16,
}

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

    /// Free-form facts: an object of names to strings, numbers or booleans.
    async fn metadata(&self) -> Json<&serde_json::Value> {
        Json(&self.metadata.0)
    }

    /// Its steps, in the order in which they were added.
    async fn steps(&self) -> &[Step] {
        &self.steps.0
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
            Ask::of(ctx)?
                .loaders
                .load_one(ProjectById(self.project_id))
                .await
        };
        answer.await.transpose()
    }
}

impl Row for Task {
    fn place(&self) -> Place {
        Place {
            created_at: self.created_at,
            id: self.task_id,
        }
    }

    fn position(&self) -> i64 {
        self.position
    }
}

/// Which tasks a list holds.
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    pub project: Option<Uuid>,
    pub status: Option<TaskStatus>,
    pub assignee: Option<Uuid>,
}

/// The columns of [`Task`]; `from` and the rest follow where it is used.
pub(super) const COLUMNS: &str = "
        task_id,
        project_id,
        title,
        priority,
        status,
        estimated_hundredths,
        actual_hundredths,
        assignee_id,
        labels,
        metadata,
        steps,
        steps_total,
        steps_completed,
        created_at,
        started_at,
        completed_at,
        cancelled_at,
        updated_at,
        version,
        position,
        partition";

fn push_filter(query: &mut QueryBuilder<Postgres>, filter: &TaskFilter) {
    if let Some(project) = filter.project {
        query.push(" and project_id = ");
        query.push_bind(project);
    }
    if let Some(status) = filter.status {
        query.push(" and status = ");
        query.push_bind(status);
    }
    if let Some(assignee) = filter.assignee {
        query.push(" and assignee_id = ");
        query.push_bind(assignee);
    }
}

pub async fn list(
    reader: &Reader,
    filter: &TaskFilter,
    window: &Window,
) -> Result<Rows<Task>, Error> {
    let mut query = QueryBuilder::new("select ");
    query.push(COLUMNS);
    query.push(" from views.task_view where tenant = ");
    query.push_bind(reader.tenant().to_owned());
    push_filter(&mut query, filter);
    window.push_to(&mut query, "task_id");
    let mut transaction = reader.begin().await?;
    let found = query
        .build_query_as()
        .fetch_all(&mut *transaction)
        .await
        .map_err(Error::read)?;
    Ok(window.page(found))
}

pub async fn count(reader: &Reader, filter: &TaskFilter) -> Result<i64, Error> {
    let mut query = QueryBuilder::new("select count(*) from views.task_view where tenant = ");
    query.push_bind(reader.tenant().to_owned());
    push_filter(&mut query, filter);
    let mut transaction = reader.begin().await?;
    query
        .build_query_scalar()
        .fetch_one(&mut *transaction)
        .await
        .map_err(Error::read)
}
