//! Subscriptions: the rows as they are, then each as it becomes.
//!
//! A subscription reads when the progress says that something was folded, never before: what it sends is committed. Changes
//! that come while the client is slow are coalesced: it gets the newest row.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use async_graphql::{Context, ID, Subscription, dataloader::Loader};
use foldline_events::{PARTITIONS, Partition, Position, partition_of, tasks};
use futures_util::{Stream, stream};
use sqlx::{Postgres, QueryBuilder};
use tokio::sync::watch;
use uuid::Uuid;

use super::{Project, ProjectById, Task, TaskById, task};
use crate::{
    ask::{Ask, Touches},
    error::Error,
    moment::When,
    node::NodeKind,
    progress::{ParkedStreams, Seen, View},
    read::{Loaders, Scope, persistently},
};

/// How many rows are read at once for a subscription to a whole project.
const ROWS_PER_READ: i64 = 500;

/// What one row tells of its changes.
trait Positioned {
    /// Of the last event folded into it.
    fn position(&self) -> Position;
}

impl Positioned for Project {
    fn position(&self) -> Position {
        self.position
    }
}

impl Positioned for Task {
    fn position(&self) -> Position {
        self.position
    }
}

#[derive(Debug, Default)]
pub struct TaskSubscription;

#[Subscription]
impl TaskSubscription {
    /// A project as it is, then again each time it changed. A project that does not exist yet is sent when it does.
    async fn project_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The project: its node id or its plain UUID.")] id: ID,
        #[graphql(
            desc = "A cursor, as commands return it: begin when everything up to there can be seen."
        )]
        at_least: Option<String>,
    ) -> async_graphql::Result<impl Stream<Item = Project> + use<>> {
        let ask = Ask::of(ctx)?.clone();
        let id = NodeKind::Project.uuid(&id)?;
        let touches = Touches::Stream(tasks::project_stream(id));
        let when = When::at_least(at_least);
        ask.wait(ctx, &when, &touches).await?;
        let partition = partition_of(&ask.caller.tenant, &tasks::project_stream(id));
        Ok(One::new(ask, View::Projects, partition, ProjectById(id)).changes())
    }

    /// A task, or every task of a project, as it is, then again each time it changed. Give `id` or `projectId`. A task that
    /// was deleted is sent once more, with its `deletedAt`; one that was moved to another project is not.
    async fn task_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "One task: its node id or its plain UUID. One that does not exist yet is sent when it does."
        )]
        id: Option<ID>,
        #[graphql(
            desc = "All tasks of this project, its node id or its plain UUID: first each as it is, the least recently changed first, then every change."
        )]
        project_id: Option<ID>,
        #[graphql(
            desc = "A cursor, as commands return it: begin when everything up to there can be seen."
        )]
        at_least: Option<String>,
    ) -> async_graphql::Result<impl Stream<Item = Task> + use<>> {
        let ask = Ask::of(ctx)?.clone();
        let changes = match (id, project_id) {
            (Some(id), None) => {
                let id = NodeKind::Task.uuid(&id)?;
                let touches = Touches::Stream(tasks::task_stream(id));
                let when = When::at_least(at_least);
                ask.wait(ctx, &when, &touches).await?;
                let partition = partition_of(&ask.caller.tenant, &tasks::task_stream(id));
                stream::StreamExt::left_stream(
                    One::new(ask, View::Tasks, partition, TaskById(id)).changes(),
                )
            }
            (None, Some(project)) => {
                let project = NodeKind::Project.uuid(&project)?;
                let when = When::at_least(at_least);
                ask.wait(ctx, &when, &Touches::Everything).await?;
                stream::StreamExt::right_stream(OfProject::new(ask, project).changes())
            }
            (Some(_), Some(_)) | (None, None) => {
                let problem = "give either id or projectId".to_owned();
                return Err(Error::BadInput { problem }.into());
            }
        };
        Ok(changes)
    }
}

/// What is parked of the tenant, by view.
type Parked = BTreeMap<View, ParkedStreams>;

/// Follows one row.
struct One<K> {
    ask: Arc<Ask>,
    seen: watch::Receiver<Arc<Seen>>,
    view: View,
    /// Where its stream lies: while that stands still, there is nothing to read.
    partition: Partition,
    key: K,
    /// Up to where the partition was folded when it was last read, and what was parked of the tenant: a stream that goes on
    /// moves no mark.
    read_at: Option<(Position, Parked)>,
    /// The position of the row that was last sent.
    sent: Position,
}

impl<K: Copy + Send + Sync + Eq + std::hash::Hash + 'static> One<K>
where
    Loaders: Loader<K, Error = Error, Value: Positioned>,
{
    fn new(ask: Arc<Ask>, view: View, partition: Partition, key: K) -> Self {
        Self {
            seen: ask.progress.watch(),
            ask,
            view,
            partition,
            key,
            read_at: None,
            sent: 0,
        }
    }

    fn changes(self) -> impl Stream<Item = <Loaders as Loader<K>>::Value> {
        stream::unfold(self, |mut one| async move {
            let row = one.next().await?;
            Some((row, one))
        })
    }

    /// `None` when the service is shutting down.
    async fn next(&mut self) -> Option<<Loaders as Loader<K>>::Value> {
        loop {
            let folded = {
                let seen = self.seen.borrow_and_update();
                let parked = seen.parked(&self.ask.caller.tenant);
                Some((seen.position(self.view, self.partition), parked))
            };
            if self.read_at != folded {
                self.ask.renew();
                let row = persistently(|| self.ask.present.loaders.load_one(self.key)).await;
                self.read_at = folded;
                if let Some(row) = row.filter(|row| row.position() > self.sent) {
                    self.sent = row.position();
                    return Some(row);
                }
            }
            self.seen.changed().await.ok()?;
        }
    }
}

/// Follows all tasks of a project.
struct OfProject {
    ask: Arc<Ask>,
    seen: watch::Receiver<Arc<Seen>>,
    project: Uuid,
    /// Per partition, the position of the last row sent. Rows of a partition are folded in the order of their
    /// positions, so a later change is always above its mark; between partitions there is no such order.
    sent: [Position; PARTITIONS as usize],
    /// What was parked of the tenant at the last read. A stream that goes on brings changes below the marks, and then every
    /// task is sent once more as it is.
    parked: Parked,
    read: VecDeque<Task>,
    /// Whether the last read may have left rows behind.
    more: bool,
    /// Per partition, up to where it was folded before the first read. What was deleted by then was never sent; what is
    /// deleted later may have been, even while the tasks are still being sent as they are.
    began: [Position; PARTITIONS as usize],
}

impl OfProject {
    fn new(ask: Arc<Ask>, project: Uuid) -> Self {
        let seen = ask.progress.watch();
        let mut began = [0; PARTITIONS as usize];
        for (partition, began) in (0..PARTITIONS).zip(&mut began) {
            *began = seen.borrow().position(View::Tasks, partition);
        }
        let parked = seen.borrow().parked(&ask.caller.tenant);
        Self {
            seen,
            ask,
            project,
            sent: [0; PARTITIONS as usize],
            parked,
            read: VecDeque::new(),
            more: true,
            began,
        }
    }

    fn changes(self) -> impl Stream<Item = Task> {
        stream::unfold(self, |mut project| async move {
            let task = project.next().await?;
            Some((task, project))
        })
    }

    async fn next(&mut self) -> Option<Task> {
        loop {
            if let Some(task) = self.read.pop_front() {
                return Some(task);
            }
            if !self.more {
                self.seen.changed().await.ok()?;
            }
            let parked = {
                let seen = self.seen.borrow_and_update();
                seen.parked(&self.ask.caller.tenant)
            };
            if parked != self.parked {
                self.parked = parked;
                self.sent = [0; PARTITIONS as usize];
            }
            self.ask.renew();
            let found = persistently(|| self.changed_since()).await;
            self.more = i64::try_from(found.len()).is_ok_and(|rows| rows == ROWS_PER_READ);
            for task in &found {
                let mark = usize::try_from(task.partition)
                    .ok()
                    .and_then(|at| self.sent.get_mut(at));
                if let Some(mark) = mark {
                    *mark = task.position;
                }
            }
            let began = |task: &Task| {
                let at = usize::try_from(task.partition).ok();
                at.and_then(|at| self.began.get(at)).copied().unwrap_or(0)
            };
            let tells = |task: &Task| task.deleted_at.is_none() || task.position > began(task);
            self.read = found.into_iter().filter(tells).collect();
        }
    }

    async fn changed_since(&self) -> Result<Vec<Task>, Error> {
        let reader = &self.ask.present.reader;
        let mut transaction = reader.begin().await?;
        changed_since(reader.scope(), self.project, &self.sent)
            .build_query_as()
            .fetch_all(&mut *transaction)
            .await
            .map_err(Error::read)
    }
}

/// In the order of positions, so that what a full read leaves behind lies above the marks of what it brought. Deleted
/// tasks are in another index than the others.
pub fn changed_since(scope: Scope<'_>, project: Uuid, sent: &[Position]) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("select * from (");
    for (which, deleted) in [("", "null"), (" union all ", "not null")] {
        query.push(which).push("(select ").push(task::COLUMNS);
        query.push(format!(" from {} where tenant = ", scope.view("task_view")));
        query.push_bind(scope.tenant.to_owned());
        query.push(" and project_id = ").push_bind(project);
        query.push(" and deleted_at is ").push(deleted);
        // Partitions count from 0, arrays from 1.
        query.push(" and position > (").push_bind(sent.to_vec());
        query.push("::bigint[])[partition + 1])");
    }
    query.push(") as task order by position limit ");
    query.push_bind(ROWS_PER_READ);
    query
}
