//! What changed of a project or a task: between two moments, one version after the other, and since when each field is as it is.
//!
//! Versions of their rows are kept, so two of them are read and compared; events are only named, never folded here.
//! `changes/versions.rs` reads versions and says in which fields two differ, `changes/history.rs` pages through them, and
//! `changes/blame.rs` walks back from the newest. Which fields there are stands beside each type: read
//! `tasks/task/fields.rs` next.

mod blame;
mod history;
pub(crate) mod versions;

pub use blame::FieldOrigin;
pub use history::{Change, ORDER};
pub use versions::{Field, Made, Versioned, may_be, said};

use async_graphql::{Context, ID, Json, Object, SimpleObject, Value};
use uuid::Uuid;

use crate::{
    ask::{Ask, Touches},
    error::Error,
    moment::{AsOf, Consistency, When},
    node::{self, NodeKind},
    page::{self, Connection, Paging},
    progress::VIEWS,
    scalars,
    tasks::{Project, Task},
};

#[derive(Debug, Default)]
pub struct ChangeQuery;

/// A field that differs.
#[derive(Debug, Clone, SimpleObject)]
pub struct FieldChange {
    /// The field, by its name in the type of what changed, such as `dueDate`.
    field: &'static str,
    /// What it was, as GraphQL gives it; null also where nothing was there yet.
    before: Option<Json<Value>>,
    /// What it is instead.
    after: Option<Json<Value>>,
}

/// In what a project or a task differs between two moments.
#[derive(Debug, Clone, SimpleObject)]
pub struct Diff {
    /// The position of the first moment.
    from: scalars::Position,
    /// The position of the second. Of the present it is one that has everything up to it: asked for as `to`, the answer is the
    /// same.
    to: scalars::Position,
    /// Whether it was there at the first moment. Where it was not, every `before` is null, and every field that is not
    /// null afterwards is a change.
    existed_before: bool,
    /// The same at the second moment, which need not be the later one. What was deleted is still there, and has its `deletedAt`.
    existed_after: bool,
    /// The fields that differ, in the order in which the type has them.
    changes: Vec<FieldChange>,
}

#[Object]
impl ChangeQuery {
    /// In what a project or a task differs between two moments, whatever it was in between; null when it was there at
    /// neither. What moves with every event is left out (`version`, `position`, `updatedAt`), and what other fields lead to.
    async fn diff(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The node id of a project or a task, exactly as an `id` field gave it.")]
        id: ID,
        #[graphql(desc = "The first moment.")] from: AsOf,
        #[graphql(
            desc = "The second moment, which may be the earlier one. The present, when absent."
        )]
        to: Option<AsOf>,
        #[graphql(
            desc = "A cursor, as commands return it: wait until the second moment holds everything up to there."
        )]
        at_least: Option<String>,
    ) -> Option<Result<Diff, Error>> {
        let answer = async {
            let to = When::new(at_least, to, None);
            match node::parse(&id)? {
                (NodeKind::Project, id) => diff::<Project>(ctx, id, from, &to).await,
                (NodeKind::Task, id) => diff::<Task>(ctx, id, from, &to).await,
            }
        };
        answer.await.transpose()
    }

    /// Every change of a project or a task, the oldest first: what was recorded, and what it made of the fields; null when
    /// there is nothing with this id. As far back as rows of the past are kept: the first has `changes: null` where it is not
    /// the first of all.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    #[expect(
        clippy::too_many_arguments,
        reason = "these are the arguments of the GraphQL field"
    )]
    async fn history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The node id of a project or a task, exactly as an `id` field gave it.")]
        id: ID,
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
    ) -> Option<Result<Connection<Change>, Error>> {
        let answer = async {
            let when = When::new(at_least, as_of, consistency);
            let paging = Paging {
                first,
                after,
                last,
                before,
            };
            let window = paging.window(ORDER)?;
            match node::parse(&id)? {
                (NodeKind::Project, id) => {
                    history::connection::<Project>(ctx, id, &when, &window).await
                }
                (NodeKind::Task, id) => history::connection::<Task>(ctx, id, &when, &window).await,
            }
        };
        answer.await.transpose()
    }

    /// Since when each field of a project or a task is as it is, and what made it so, in the order in which the type has
    /// them; null when there is nothing with this id.
    #[graphql(complexity = "blame::cost(child_complexity)")]
    async fn blame(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The node id of a project or a task, exactly as an `id` field gave it.")]
        id: ID,
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
    ) -> Option<Result<Vec<FieldOrigin>, Error>> {
        let answer = async {
            let when = When::new(at_least, as_of, consistency);
            match node::parse(&id)? {
                (NodeKind::Project, id) => blame::origins::<Project>(ctx, id, &when).await,
                (NodeKind::Task, id) => blame::origins::<Task>(ctx, id, &when).await,
            }
        };
        answer.await.transpose()
    }
}

async fn diff<R: Versioned>(
    ctx: &Context<'_>,
    id: Uuid,
    from: AsOf,
    to: &When,
) -> Result<Option<Diff>, Error> {
    let ask = Ask::of(ctx)?;
    let touches = Touches::Stream(R::stream(id));
    let from = When::new(None, Some(from), None);
    let from = ask.wait(ctx, &from, &touches).await?;
    let to = ask.wait(ctx, to, &touches).await?;
    // Before the rows are read, so that they have everything up to there.
    let completed = ask.progress.seen().completed(&VIEWS).prefix;
    let before = versions::newest::<R>(&from.reader, id).await?;
    let after = versions::newest::<R>(&to.reader, id).await?;
    if before.is_none() && after.is_none() {
        return Ok(None);
    }
    let newest = after.as_ref().map_or(0, |row| row.made().position);
    let present = completed.max(newest);
    let position = |of: Option<i64>| scalars::Position(of.unwrap_or(present));
    Ok(Some(Diff {
        from: position(from.reader.position()),
        to: position(to.reader.position()),
        existed_before: before.is_some(),
        existed_after: after.is_some(),
        changes: versions::changes(before.as_ref(), after.as_ref()),
    }))
}
