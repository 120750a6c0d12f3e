//! The root of the GraphQL schema: contexts meet here, and its bounds stand here.
//!
//! A field whose resolver can fail is nullable and returns `Option<Result<…>>`: async-graphql 7.2 leaves a failed field
//! out of its object where the specification wants null, and has no way from a failed field to its parent.
//!
//! `schema/query.graphql` is the schema as text; a test compares it, and rewrites it with `FOLDLINE_WRITE_GOLDENS=1`.

use async_graphql::{Context, ID, Interface, MergedObject, MergedSubscription, Object};
use foldline_events::tasks::{project_stream, task_stream};

use crate::{
    ask::{Ask, Touches},
    changes::ChangeQuery,
    dashboards::{DashboardQuery, DashboardSubscription},
    error::Error,
    moment::{AsOf, Consistency, When},
    node::{self, NodeKind},
    parked::{ParkedMutation, ParkedQuery},
    projection::ProjectionQuery,
    tasks::{
        Project, ProjectById, ProjectMutation, Task, TaskById, TaskMutation, TaskQuery,
        TaskSubscription,
    },
    what_if::WhatIfQuery,
};

/// How deep fields may be nested; the introspection query of GraphiQL has 15.
pub const DEPTH_MAX: usize = 16;
/// What one operation may cost: a field costs 1, a connection its page's rows times what is selected of each.
pub const COMPLEXITY_MAX: usize = 20_000;
/// How many aliases one document may have.
pub const ALIASES_MAX: usize = 50;
/// How many directives one field may have.
pub const DIRECTIVES_PER_FIELD_MAX: usize = 5;

pub type Schema = async_graphql::Schema<QueryRoot, MutationRoot, SubscriptionRoot>;

/// Reads. Every field that reads views takes `atLeast`, `asOf` and `consistency` (`diff` names two moments instead);
/// `extensions.foldline` of the response says up to which position the answer surely holds everything but what is `parked`:
/// streams that wait at an event which a view cannot fold. With `atLeast` they are the error `PARKED`.
#[derive(Debug, Default, MergedObject)]
#[graphql(name = "Query")]
pub struct QueryRoot(
    NodeQuery,
    TaskQuery,
    ChangeQuery,
    DashboardQuery,
    ProjectionQuery,
    ParkedQuery,
    WhatIfQuery,
);

/// Commands: each mutation takes one `input` and sends one. Each answers with the version and the cursor that it made; a read with that cursor as `atLeast` sees it.
#[derive(Debug, Default, MergedObject)]
#[graphql(name = "Mutation")]
pub struct MutationRoot(ProjectMutation, TaskMutation, ParkedMutation);

/// What changes, as it changes. Over WebSocket (graphql-transport-ws).
#[derive(Debug, Default, MergedSubscription)]
#[graphql(name = "Subscription")]
pub struct SubscriptionRoot(TaskSubscription, DashboardSubscription);

/// Anything with a global id.
#[derive(Debug, Interface)]
#[expect(
    clippy::large_enum_variant,
    reason = "each is made for one answer and never kept"
)]
#[graphql(field(name = "id", ty = "ID", desc = "The node id, for `node(id)`."))]
pub enum Node {
    Project(Project),
    Task(Task),
}

#[derive(Debug, Default)]
struct NodeQuery;

#[Object]
impl NodeQuery {
    /// Whatever has this global id; null when there is nothing.
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A node id, exactly as an `id` field gave it.")] id: ID,
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
    ) -> Option<Result<Node, Error>> {
        let answer = async {
            let ask = Ask::of(ctx)?;
            let when = When::new(at_least, as_of, consistency);
            let (kind, id) = node::parse(&id)?;
            match kind {
                NodeKind::Project => {
                    let touches = Touches::Stream(project_stream(id));
                    let sight = ask.wait(ctx, &when, &touches).await?;
                    Ok(sight
                        .loaders
                        .load_one(ProjectById(id))
                        .await?
                        .map(Node::Project))
                }
                NodeKind::Task => {
                    let touches = Touches::Stream(task_stream(id));
                    let sight = ask.wait(ctx, &when, &touches).await?;
                    Ok(sight.loaders.load_one(TaskById(id)).await?.map(Node::Task))
                }
            }
        };
        answer.await.transpose()
    }
}

/// The schema with its bounds. What a request needs comes in its own context, an `Ask`.
pub fn build() -> Schema {
    Schema::build(
        QueryRoot::default(),
        MutationRoot::default(),
        SubscriptionRoot::default(),
    )
    .limit_depth(DEPTH_MAX)
    .limit_complexity(COMPLEXITY_MAX)
    .limit_directives(DIRECTIVES_PER_FIELD_MAX)
    .finish()
}

/// The schema as text, as `schema/query.graphql` holds it.
pub fn sdl() -> String {
    build().sdl()
}
