//! Tasks for many parents at once: one statement per level of a query.

use std::collections::HashMap;

use async_graphql::dataloader::Loader;
use sqlx::{FromRow, Postgres, QueryBuilder, Row, postgres::PgRow};
use uuid::Uuid;

use super::{COLUMNS, Task, TaskStatus};
use crate::{
    error::Error,
    page::{Rows, Window},
    read::Loaders,
};

/// The task with this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskById(pub Uuid);

/// A page of the tasks of a project.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TasksOfProject {
    pub project: Uuid,
    pub status: Option<TaskStatus>,
    pub window: Window,
}

/// How many tasks a project has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CountOfProject {
    pub project: Uuid,
    pub status: Option<TaskStatus>,
}

impl Loader<TaskById> for Loaders {
    type Value = Task;
    type Error = Error;

    async fn load(&self, keys: &[TaskById]) -> Result<HashMap<TaskById, Task>, Error> {
        let ids: Vec<Uuid> = keys.iter().map(|key| key.0).collect();
        let mut query = QueryBuilder::new("select ");
        query.push(COLUMNS);
        query.push(" from views.task_view where tenant = ");
        query.push_bind(self.reader.tenant().to_owned());
        query.push(" and task_id = any(");
        query.push_bind(ids);
        query.push(")");
        let mut transaction = self.reader.begin().await?;
        let found: Vec<Task> = query
            .build_query_as()
            .fetch_all(&mut *transaction)
            .await
            .map_err(Error::read)?;
        Ok(found
            .into_iter()
            .map(|task| (TaskById(task.task_id), task))
            .collect())
    }
}

impl Loader<TasksOfProject> for Loaders {
    type Value = Rows<Task>;
    type Error = Error;

    async fn load(
        &self,
        keys: &[TasksOfProject],
    ) -> Result<HashMap<TasksOfProject, Rows<Task>>, Error> {
        // Keys of one field differ in their project alone; each alias of the field is a group of its own.
        let mut groups: HashMap<(Option<TaskStatus>, &Window), Vec<Uuid>> = HashMap::new();
        for key in keys {
            groups
                .entry((key.status, &key.window))
                .or_default()
                .push(key.project);
        }
        let mut transaction = self.reader.begin().await?;
        let mut pages = HashMap::with_capacity(keys.len());
        for ((status, window), projects) in groups {
            let mut query = pages_query(self.reader.tenant(), &projects, status, window);
            let rows = query
                .build()
                .fetch_all(&mut *transaction)
                .await
                .map_err(Error::read)?;
            let mut found: HashMap<Uuid, Vec<Task>> = projects
                .iter()
                .map(|project| (*project, Vec::new()))
                .collect();
            for row in &rows {
                let project = row.try_get("of_project").map_err(Error::read)?;
                let task = Task::from_row(row).map_err(Error::read)?;
                found.entry(project).or_default().push(task);
            }
            for (project, tasks) in found {
                let key = TasksOfProject {
                    project,
                    status,
                    window: window.clone(),
                };
                pages.insert(key, window.page(tasks));
            }
        }
        Ok(pages)
    }
}

/// One page per project: each project's rows come from its own short scan of the index.
fn pages_query(
    tenant: &str,
    projects: &[Uuid],
    status: Option<TaskStatus>,
    window: &Window,
) -> QueryBuilder<Postgres> {
    let mut query =
        QueryBuilder::new("select wanted.project_id as of_project, page.* from unnest(");
    query.push_bind(projects.to_vec());
    query.push(") as wanted (project_id) cross join lateral (select ");
    query.push(COLUMNS);
    query.push(" from views.task_view where tenant = ");
    query.push_bind(tenant.to_owned());
    query.push(" and project_id = wanted.project_id");
    if let Some(status) = status {
        query.push(" and status = ");
        query.push_bind(status);
    }
    window.push_to(&mut query, "task_id");
    query.push(") as page");
    query
}

impl Loader<CountOfProject> for Loaders {
    type Value = i64;
    type Error = Error;

    async fn load(&self, keys: &[CountOfProject]) -> Result<HashMap<CountOfProject, i64>, Error> {
        let mut groups: HashMap<Option<TaskStatus>, Vec<Uuid>> = HashMap::new();
        for key in keys {
            groups.entry(key.status).or_default().push(key.project);
        }
        let mut transaction = self.reader.begin().await?;
        let mut counts = HashMap::with_capacity(keys.len());
        for (status, projects) in groups {
            let mut query = QueryBuilder::new(
                "select project_id, count(*) from views.task_view where tenant = ",
            );
            query.push_bind(self.reader.tenant().to_owned());
            query.push(" and project_id = any(");
            query.push_bind(projects);
            query.push(")");
            if let Some(status) = status {
                query.push(" and status = ");
                query.push_bind(status);
            }
            query.push(" group by project_id");
            let rows: Vec<PgRow> = query
                .build()
                .fetch_all(&mut *transaction)
                .await
                .map_err(Error::read)?;
            for row in rows {
                let project = row.try_get(0).map_err(Error::read)?;
                let count = row.try_get(1).map_err(Error::read)?;
                counts.insert(CountOfProject { project, status }, count);
            }
        }
        Ok(counts)
    }
}
