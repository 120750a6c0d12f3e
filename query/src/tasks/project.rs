//! A project: its type, its rows and its loader. What of it is compared between versions is in `project/fields.rs`.

mod fields;

use std::collections::HashMap;

use async_graphql::{ComplexObject, Context, ID, InputObject, SimpleObject, dataloader::Loader};
use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::task::{FilterInput, OrderInput, Task, Tasks};
use crate::{
    ask::{Ask, Touches},
    dashboards::{Owner, ProjectDashboard},
    error::Error,
    node::NodeKind,
    page::{
        self, Connection, List, Listed, Paging,
        cursor::{Key, Kind, Order, Place},
        nested,
    },
    read::{Loaders, Scope},
    scalars,
};

/// The oldest first.
pub const ORDER: Order = Order {
    name: "projects",
    by: &[("created_at", Kind::Instant), ("project_id", Kind::Id)],
    descending: false,
};

/// A project: it has a name, takes tasks, and can be archived.
#[derive(Debug, Clone, SimpleObject, sqlx::FromRow)]
#[graphql(complex)]
pub struct Project {
    /// The project's plain UUID, as commands and events name it.
    pub project_id: Uuid,
    /// What people call it.
    name: String,
    /// What it is about.
    description: Option<String>,
    /// Whether it is archived: then it takes no new tasks.
    archived: bool,
    /// When it was created, in business time.
    created_at: DateTime<Utc>,
    /// When it was archived, in business time; null while it is not.
    archived_at: Option<DateTime<Utc>>,
    /// When it last changed, in business time.
    updated_at: DateTime<Utc>,
    #[graphql(skip)]
    version: i64,
    #[graphql(skip)]
    pub position: i64,
}

const COLUMNS: &str = "
        project_id,
        name,
        description,
        archived,
        created_at,
        archived_at,
        updated_at,
        version,
        position";

#[ComplexObject]
impl Project {
    /// The node id, for `node(id)`.
    pub async fn id(&self) -> ID {
        NodeKind::Project.id(self.project_id)
    }

    /// How many events the project has had; commands take it as `expectedVersion`.
    async fn version(&self) -> scalars::Version {
        scalars::Version(self.version)
    }

    /// The position of the last event that changed the project.
    async fn position(&self) -> scalars::Position {
        scalars::Position(self.position)
    }

    /// The project's tasks, the oldest first unless it is said otherwise.
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
    ) -> Option<Result<Connection<Task>, Error>> {
        let answer = async {
            let paging = Paging {
                first,
                after,
                last,
                before,
            };
            let window = paging.window(order.unwrap_or_default().order())?;
            let tasks = Tasks(filter.unwrap_or_default().checked()?);
            Ask::of(ctx)?.look(ctx, &Touches::Everything).await?;
            nested::connection(ctx, self.project_id, tasks, window).await
        };
        Some(answer.await)
    }

    /// What the project's tasks add up to; null while nothing of it was folded.
    async fn dashboard(&self, ctx: &Context<'_>) -> Option<Result<ProjectDashboard, Error>> {
        let answer = async {
            let sight = Ask::of(ctx)?.look(ctx, &Touches::Everything).await?;
            let sums = sight
                .loaders
                .load_one(Owner::Project(self.project_id))
                .await?;
            Ok(sums.map(|sums| ProjectDashboard::new(self.project_id, sums)))
        };
        answer.await.transpose()
    }
}

impl Listed for Project {
    fn place(&self, _: Order) -> Place {
        Place(vec![
            Key::Instant(self.created_at),
            Key::Id(self.project_id),
        ])
    }
}

/// Which projects: those for which everything holds that is given.
#[derive(Debug, Clone, Copy, Default, InputObject)]
pub struct ProjectFilter {
    /// Only archived ones, or only those that are not.
    archived: Option<bool>,
}

/// The projects of a tenant.
#[derive(Debug, Clone, Copy)]
pub struct Projects(pub ProjectFilter);

impl List for Projects {
    type Node = Project;
    const COLUMNS: &'static str = COLUMNS;

    fn push_from(&self, scope: Scope<'_>, query: &mut QueryBuilder<Postgres>) {
        query.push(format!(
            " from {} where tenant = ",
            scope.view("project_view")
        ));
        query.push_bind(scope.tenant.to_owned());
        if let Some(archived) = self.0.archived {
            query.push(" and archived = ").push_bind(archived);
        }
    }
}

/// The project with this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProjectById(pub Uuid);

pub fn by_ids(scope: Scope<'_>, ids: Vec<Uuid>) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("select ");
    query.push(COLUMNS);
    query.push(format!(
        " from {} where tenant = ",
        scope.view("project_view")
    ));
    query.push_bind(scope.tenant.to_owned());
    query
        .push(" and project_id = any(")
        .push_bind(ids)
        .push(")");
    query
}

impl Loader<ProjectById> for Loaders {
    type Value = Project;
    type Error = Error;

    async fn load(&self, keys: &[ProjectById]) -> Result<HashMap<ProjectById, Project>, Error> {
        let ids = keys.iter().map(|key| key.0).collect();
        let mut transaction = self.reader.begin().await?;
        let found: Vec<Project> = by_ids(self.reader.scope(), ids)
            .build_query_as()
            .fetch_all(&mut *transaction)
            .await
            .map_err(Error::read)?;
        Ok(found
            .into_iter()
            .map(|project| (ProjectById(project.project_id), project))
            .collect())
    }
}
