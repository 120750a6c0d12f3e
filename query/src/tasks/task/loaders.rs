//! How tasks are found: lists of them, and many by their ids or keys at once.

use std::collections::HashMap;

use async_graphql::dataloader::Loader;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::{COLUMNS, Task, TaskFilter};
use crate::{
    error::Error,
    page::{List, nested::Nested},
    read::{Loaders, Reader, Scope},
};

/// Those for which a filter holds: of the whole tenant, or of each of many projects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tasks(pub TaskFilter);

/// The task with this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskById(pub Uuid);

/// The task with this key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TaskByKey(pub String);

impl List for Tasks {
    type Node = Task;
    const COLUMNS: &'static str = COLUMNS;

    fn push_from(&self, scope: Scope<'_>, query: &mut QueryBuilder<Postgres>) {
        self.0.push_from(scope, query);
    }
}

impl Nested for Tasks {
    type Node = Task;
    const COLUMNS: &'static str = COLUMNS;

    fn push_from(&self, scope: Scope<'_>, query: &mut QueryBuilder<Postgres>) {
        self.0.push_from(scope, query);
        query.push(" and project_id = parent.id");
    }
}

/// Deleted ones too.
pub fn by_ids(scope: Scope<'_>, ids: Vec<Uuid>) -> QueryBuilder<Postgres> {
    let mut query = select(scope);
    query.push(" and task_id = any(").push_bind(ids).push(")");
    query
}

/// Deleted ones too; of two with one key, the right one is the last.
pub fn by_keys(scope: Scope<'_>, keys: Vec<String>) -> QueryBuilder<Postgres> {
    let mut query = select(scope);
    query.push(" and key = any(").push_bind(keys);
    query.push(") order by position");
    query
}

fn select(scope: Scope<'_>) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("select ");
    query.push(COLUMNS);
    query.push(format!(" from {} where tenant = ", scope.view("task_view")));
    query.push_bind(scope.tenant.to_owned());
    query
}

async fn read(reader: &Reader, mut query: QueryBuilder<Postgres>) -> Result<Vec<Task>, Error> {
    let mut transaction = reader.begin().await?;
    query
        .build_query_as()
        .fetch_all(&mut *transaction)
        .await
        .map_err(Error::read)
}

impl Loader<TaskById> for Loaders {
    type Value = Task;
    type Error = Error;

    async fn load(&self, keys: &[TaskById]) -> Result<HashMap<TaskById, Task>, Error> {
        let ids = keys.iter().map(|key| key.0).collect();
        let found = read(&self.reader, by_ids(self.reader.scope(), ids)).await?;
        let by_id = found.into_iter().map(|task| (TaskById(task.task_id), task));
        Ok(by_id.collect())
    }
}

impl Loader<TaskByKey> for Loaders {
    type Value = Task;
    type Error = Error;

    async fn load(&self, keys: &[TaskByKey]) -> Result<HashMap<TaskByKey, Task>, Error> {
        let keys = keys.iter().map(|key| key.0.clone()).collect();
        let found = read(&self.reader, by_keys(self.reader.scope(), keys)).await?;
        let by_key = |task: Task| Some((TaskByKey(task.key.clone()?), task));
        Ok(found.into_iter().filter_map(by_key).collect())
    }
}
