//! Projects and tasks as clients see them.
//!
//! Here are the queries of this context; [`project`] and [`task`] hold the types with their reads and loaders, [`history`]
//! what was recorded of tasks, [`live`] the subscriptions, [`mutations`] the commands. This context must not know any
//! other; what spans contexts is in `crate::dashboards`.

pub(crate) mod history;
pub(crate) mod live;
mod mutations;
pub(crate) mod project;
pub(crate) mod task;

pub use live::TaskSubscription;
pub use mutations::{ProjectMutation, TaskMutation};
pub use project::{Project, ProjectById};
pub use task::{Task, TaskById};

use async_graphql::{Context, ID, Object};
use foldline_events::tasks::{project_stream, task_stream};

use crate::{
    ask::{Ask, Touches},
    error::Error,
    moment::{AsOf, Consistency, When},
    node::NodeKind,
    page::{self, Connection, Paging, nested},
};
use history::{HistoryEntry, HistoryOfTask};
use project::{ProjectFilter, Projects};
use task::{FilterInput, OrderInput, TaskByKey, Tasks};

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
        #[graphql(
            desc = "A moment of the past: the answer is what it would have been then. The present, when absent."
        )]
        as_of: Option<AsOf>,
        #[graphql(
            desc = "With SNAPSHOT, all fields of the request that say so show one moment. LATEST, when absent."
        )]
        consistency: Option<Consistency>,
    ) -> Option<Result<Project, Error>> {
        let answer = async {
            let ask = Ask::of(ctx)?;
            let when = When::new(at_least, as_of, consistency);
            let id = NodeKind::Project.uuid(&id)?;
            let touches = Touches::Stream(project_stream(id));
            let sight = ask.wait(ctx, &when, &touches).await?;
            sight.loaders.load_one(ProjectById(id)).await
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
        #[graphql(desc = "Which of them.")] filter: Option<ProjectFilter>,
        #[graphql(
            desc = "How many, from the beginning or from `after` on: 0 to 100; 20 by default."
        )]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many, up to the end or to `before`: 0 to 100. Not with `first`.")]
        last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(
            desc = "A cursor, as commands return it: wait until the answer holds everything up to there."
        )]
        at_least: Option<String>,
        #[graphql(
            desc = "A moment of the past: the answer is what it would have been then. The present, when absent."
        )]
        as_of: Option<AsOf>,
        #[graphql(
            desc = "With SNAPSHOT, all fields of the request that say so show one moment. LATEST, when absent."
        )]
        consistency: Option<Consistency>,
    ) -> Option<Result<Connection<Project>, Error>> {
        let answer = async {
            let ask = Ask::of(ctx)?;
            let when = When::new(at_least, as_of, consistency);
            let paging = Paging {
                first,
                after,
                last,
                before,
            };
            let window = paging.window(project::ORDER)?;
            let sight = ask.wait(ctx, &when, &Touches::Everything).await?;
            let projects = Projects(filter.unwrap_or_default());
            page::connection(ctx, &sight.reader, &projects, &window).await
        };
        Some(answer.await)
    }

    /// One task, deleted or not; null when there is none. Give `id` or `key`.
    async fn task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The task: its node id or its plain UUID.")] id: Option<ID>,
        #[graphql(desc = "The task's key, exactly as it is spelled.")] key: Option<String>,
        #[graphql(
            desc = "A cursor, as commands return it: wait until the answer holds everything up to there."
        )]
        at_least: Option<String>,
        #[graphql(
            desc = "A moment of the past: the answer is what it would have been then. The present, when absent."
        )]
        as_of: Option<AsOf>,
        #[graphql(
            desc = "With SNAPSHOT, all fields of the request that say so show one moment. LATEST, when absent."
        )]
        consistency: Option<Consistency>,
    ) -> Option<Result<Task, Error>> {
        let answer = async {
            let ask = Ask::of(ctx)?;
            let when = When::new(at_least, as_of, consistency);
            let bad = |problem: &str| Error::BadInput {
                problem: problem.to_owned(),
            };
            match (id, key) {
                (Some(id), None) => {
                    let id = NodeKind::Task.uuid(&id)?;
                    let touches = Touches::Stream(task_stream(id));
                    let sight = ask.wait(ctx, &when, &touches).await?;
                    sight.loaders.load_one(TaskById(id)).await
                }
                (None, Some(key)) if key.contains('\0') => {
                    Err(bad("key must not contain NUL (\\u0000)"))
                }
                (None, Some(key)) => {
                    let sight = ask.wait(ctx, &when, &Touches::Everything).await?;
                    sight.loaders.load_one(TaskByKey(key)).await
                }
                (Some(_), Some(_)) | (None, None) => Err(bad("give either id or key")),
            }
        };
        answer.await.transpose()
    }

    /// Tasks, the oldest first unless it is said otherwise.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    #[expect(
        clippy::too_many_arguments,
        reason = "these are the arguments of the GraphQL field"
    )]
    async fn tasks(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which of them.")] filter: Option<FilterInput>,
        #[graphql(desc = "In which order.")] order: Option<OrderInput>,
        #[graphql(
            desc = "How many, from the beginning or from `after` on: 0 to 100; 20 by default."
        )]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many, up to the end or to `before`: 0 to 100. Not with `first`.")]
        last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(
            desc = "A cursor, as commands return it: wait until the answer holds everything up to there."
        )]
        at_least: Option<String>,
        #[graphql(
            desc = "A moment of the past: the answer is what it would have been then. The present, when absent."
        )]
        as_of: Option<AsOf>,
        #[graphql(
            desc = "With SNAPSHOT, all fields of the request that say so show one moment. LATEST, when absent."
        )]
        consistency: Option<Consistency>,
    ) -> Option<Result<Connection<Task>, Error>> {
        let answer = async {
            let ask = Ask::of(ctx)?;
            let when = When::new(at_least, as_of, consistency);
            let paging = Paging {
                first,
                after,
                last,
                before,
            };
            let window = paging.window(order.unwrap_or_default().order())?;
            let tasks = Tasks(filter.unwrap_or_default().checked()?);
            let sight = ask.wait(ctx, &when, &Touches::Everything).await?;
            page::connection(ctx, &sight.reader, &tasks, &window).await
        };
        Some(answer.await)
    }

    /// Everything that was recorded of a task, the oldest first; empty when there is no such task.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    #[expect(
        clippy::too_many_arguments,
        reason = "these are the arguments of the GraphQL field"
    )]
    async fn task_history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The task: its node id or its plain UUID.")] id: ID,
        #[graphql(
            desc = "How many, from the beginning or from `after` on: 0 to 100; 20 by default."
        )]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many, up to the end or to `before`: 0 to 100. Not with `first`.")]
        last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(
            desc = "A cursor, as commands return it: wait until the answer holds everything up to there."
        )]
        at_least: Option<String>,
        #[graphql(
            desc = "A moment of the past: the answer is what it would have been then. The present, when absent."
        )]
        as_of: Option<AsOf>,
        #[graphql(
            desc = "With SNAPSHOT, all fields of the request that say so show one moment. LATEST, when absent."
        )]
        consistency: Option<Consistency>,
    ) -> Option<Result<Connection<HistoryEntry>, Error>> {
        let answer = async {
            let ask = Ask::of(ctx)?;
            let when = When::new(at_least, as_of, consistency);
            let id = NodeKind::Task.uuid(&id)?;
            let paging = Paging {
                first,
                after,
                last,
                before,
            };
            let window = paging.window(history::ORDER)?;
            let touches = Touches::Stream(task_stream(id));
            ask.wait(ctx, &when, &touches).await?;
            nested::connection(ctx, id, HistoryOfTask, window).await
        };
        Some(answer.await)
    }
}
