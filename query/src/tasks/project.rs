//! A project: its type, its rows and its loader.

use std::collections::HashMap;

use async_graphql::{ComplexObject, Context, ID, SimpleObject, dataloader::Loader};
use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::task::{CountOfProject, Task, TaskStatus, TasksOfProject};
use crate::{
    ask::Ask,
    dashboards::{DashboardOf, ProjectDashboard},
    error::Error,
    node::NodeKind,
    page::{self, Connection, Paging, Place, Row, Rows, Window},
    read::{Loaders, Reader},
    scalars,
};

/// A project: it has a name, takes tasks, and can be archived.
#[derive(Debug, Clone, SimpleObject, sqlx::FromRow)]
#[graphql(complex)]
pub struct Project {
    /// The project's plain UUID, as commands and events name it.
    pub project_id: Uuid,
    /// What people call it.
    name: String,
    /// Whether it was archived: then it takes no new tasks.
    archived: bool,
    /// When it was created, in business time.
    created_at: DateTime<Utc>,
    /// When it was archived, in business time.
    archived_at: Option<DateTime<Utc>>,
    /// When it last changed, in business time.
    updated_at: DateTime<Utc>,
    #[graphql(skip)]
    pub version: i64,
    #[graphql(skip)]
    pub position: i64,
}

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

    /// The project's tasks, the oldest first.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn tasks(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those in this status.")] status: Option<TaskStatus>,
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
    ) -> Option<Result<Connection<Task>, Error>> {
        let answer = async {
            let ask = Ask::of(ctx)?;
            let window = Paging {
                first,
                after,
                last,
                before,
            }
            .window()?;
            let project = self.project_id;
            let total = match ctx.look_ahead().field("totalCount").exists() {
                true => ask
                    .loaders
                    .load_one(CountOfProject { project, status })
                    .await?
                    .or(Some(0)),
                false => None,
            };
            let wanted = TasksOfProject {
                project,
                status,
                window: window.clone(),
            };
            let rows = ask.loaders.load_one(wanted).await?;
            let rows = rows.unwrap_or_else(|| window.page(Vec::new()));
            Ok(rows.connection(total))
        };
        Some(answer.await)
    }

    /// What the project's tasks add up to; null while nothing of it was folded.
    async fn dashboard(&self, ctx: &Context<'_>) -> Option<Result<ProjectDashboard, Error>> {
        let answer = async {
            Ask::of(ctx)?
                .loaders
                .load_one(DashboardOf(self.project_id))
                .await
        };
        answer.await.transpose()
    }
}

impl Row for Project {
    fn place(&self) -> Place {
        Place {
            created_at: self.created_at,
            id: self.project_id,
        }
    }

    fn position(&self) -> i64 {
        self.position
    }
}

/// Which projects a list holds.
#[derive(Debug, Clone, Default)]
pub struct ProjectFilter {
    pub archived: Option<bool>,
}

const SELECT: &str = "
    select
        project_id,
        name,
        archived,
        created_at,
        archived_at,
        updated_at,
        version,
        position
    from views.project_view
    where tenant = ";

fn push_filter(query: &mut QueryBuilder<Postgres>, filter: &ProjectFilter) {
    if let Some(archived) = filter.archived {
        query.push(" and archived = ");
        query.push_bind(archived);
    }
}

pub async fn list(
    reader: &Reader,
    filter: &ProjectFilter,
    window: &Window,
) -> Result<Rows<Project>, Error> {
    let mut query = QueryBuilder::new(SELECT);
    query.push_bind(reader.tenant().to_owned());
    push_filter(&mut query, filter);
    window.push_to(&mut query, "project_id");
    let mut transaction = reader.begin().await?;
    let found = query
        .build_query_as()
        .fetch_all(&mut *transaction)
        .await
        .map_err(Error::read)?;
    Ok(window.page(found))
}

pub async fn count(reader: &Reader, filter: &ProjectFilter) -> Result<i64, Error> {
    let mut query = QueryBuilder::new("select count(*) from views.project_view where tenant = ");
    query.push_bind(reader.tenant().to_owned());
    push_filter(&mut query, filter);
    let mut transaction = reader.begin().await?;
    query
        .build_query_scalar()
        .fetch_one(&mut *transaction)
        .await
        .map_err(Error::read)
}

/// The project with this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProjectById(pub Uuid);

impl Loader<ProjectById> for Loaders {
    type Value = Project;
    type Error = Error;

    async fn load(&self, keys: &[ProjectById]) -> Result<HashMap<ProjectById, Project>, Error> {
        let ids: Vec<Uuid> = keys.iter().map(|key| key.0).collect();
        let mut query = QueryBuilder::new(SELECT);
        query.push_bind(self.reader.tenant().to_owned());
        query.push(" and project_id = any(");
        query.push_bind(ids);
        query.push(")");
        let mut transaction = self.reader.begin().await?;
        let found: Vec<Project> = query
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
