//! Projects and tasks as clients see them.
//!
//! Here are the queries of this context; [`project`] and [`task`] hold the types with their reads and loaders,
//! [`live`] the subscriptions, [`mutations`] the commands. This context must not know any other; what spans contexts is
//! in `crate::dashboards`.

mod live;
mod mutations;
mod project;
mod task;

pub use live::TaskSubscription;
pub use mutations::TaskMutation;
pub use project::{Project, ProjectById};
pub use task::{Task, TaskById, TaskStatus};

use async_graphql::{Context, ID, Object};
use uuid::Uuid;

use crate::{
    ask::Ask,
    error::Error,
    node::NodeKind,
    page::{self, Connection, Paging},
    progress::View,
};
use project::ProjectFilter;
use task::TaskFilter;

#[derive(Debug, Default)]
pub struct TaskQuery;

#[Object]
impl TaskQuery {
    /// One project; null when there is none with this id.
    async fn project(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The project: its node id or its plain UUID.")] id: ID,
        #[graphql(
            desc = "A cursor, as commands return it: wait until the answer holds everything up to there."
        )]
        at_least: Option<String>,
    ) -> Option<Result<Project, Error>> {
        let answer = async {
            let ask = Ask::of(ctx)?;
            let id = NodeKind::Project.uuid(&id)?;
            ask.wait(at_least.as_deref(), &[View::Projects]).await?;
            ask.loaders.load_one(ProjectById(id)).await
        };
        answer.await.transpose()
    }

    /// Projects, the oldest first.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    #[expect(
        clippy::too_many_arguments,
        reason = "these are the arguments of the GraphQL field"
    )]
    async fn projects(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only archived ones, or only those that are not.")] archived: Option<bool>,
        #[graphql(
            desc = "How many, from the beginning or from `after` on: 0 to 100; 20 when neither `first` nor `last` is given."
        )]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after the entry with this edge cursor.")] after: Option<
            String,
        >,
        #[graphql(
            desc = "How many, up to the end or to `before`: 0 to 100. Not together with `first`."
        )]
        last: Option<i32>,
        #[graphql(desc = "Only what comes before the entry with this edge cursor.")] before: Option<
            String,
        >,
        #[graphql(
            desc = "A cursor, as commands return it: wait until the answer holds everything up to there."
        )]
        at_least: Option<String>,
    ) -> Option<Result<Connection<Project>, Error>> {
        let answer = async {
            let ask = Ask::of(ctx)?;
            let paging = Paging {
                first,
                after,
                last,
                before,
            };
            let window = paging.window()?;
            ask.wait(at_least.as_deref(), &[View::Projects]).await?;
            let filter = ProjectFilter { archived };
            let total = match ctx.look_ahead().field("totalCount").exists() {
                true => Some(project::count(&ask.reader, &filter).await?),
                false => None,
            };
            let rows = project::list(&ask.reader, &filter, &window).await?;
            Ok(rows.connection(total))
        };
        Some(answer.await)
    }

    /// One task; null when there is none with this id.
    async fn task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The task: its node id or its plain UUID.")] id: ID,
        #[graphql(
            desc = "A cursor, as commands return it: wait until the answer holds everything up to there."
        )]
        at_least: Option<String>,
    ) -> Option<Result<Task, Error>> {
        let answer = async {
            let ask = Ask::of(ctx)?;
            let id = NodeKind::Task.uuid(&id)?;
            ask.wait(at_least.as_deref(), &[View::Tasks]).await?;
            ask.loaders.load_one(TaskById(id)).await
        };
        answer.await.transpose()
    }

    /// Tasks, the oldest first.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    #[expect(
        clippy::too_many_arguments,
        reason = "these are the arguments of the GraphQL field"
    )]
    async fn tasks(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those of this project: its node id or its plain UUID.")] project_id: Option<ID>,
        #[graphql(desc = "Only those in this status.")] status: Option<TaskStatus>,
        #[graphql(desc = "Only those that this person is responsible for.")] assignee_id: Option<
            Uuid,
        >,
        #[graphql(
            desc = "How many, from the beginning or from `after` on: 0 to 100; 20 when neither `first` nor `last` is given."
        )]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after the entry with this edge cursor.")] after: Option<
            String,
        >,
        #[graphql(
            desc = "How many, up to the end or to `before`: 0 to 100. Not together with `first`."
        )]
        last: Option<i32>,
        #[graphql(desc = "Only what comes before the entry with this edge cursor.")] before: Option<
            String,
        >,
        #[graphql(
            desc = "A cursor, as commands return it: wait until the answer holds everything up to there."
        )]
        at_least: Option<String>,
    ) -> Option<Result<Connection<Task>, Error>> {
        let answer = async {
            let ask = Ask::of(ctx)?;
            let paging = Paging {
                first,
                after,
                last,
                before,
            };
            let window = paging.window()?;
            let filter = TaskFilter {
                project: project_id
                    .map(|id| NodeKind::Project.uuid(&id))
                    .transpose()?,
                status,
                assignee: assignee_id,
            };
            ask.wait(at_least.as_deref(), &[View::Tasks]).await?;
            let total = match ctx.look_ahead().field("totalCount").exists() {
                true => Some(task::count(&ask.reader, &filter).await?),
                false => None,
            };
            let rows = task::list(&ask.reader, &filter, &window).await?;
            Ok(rows.connection(total))
        };
        Some(answer.await)
    }
}
