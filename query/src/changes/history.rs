//! The changes of a row, page by page: each version beside the one before it.

use async_graphql::{ComplexObject, Context, SimpleObject};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    FieldChange,
    versions::{self, Made, Versioned, Versions},
};
use crate::{
    ask::{Ask, Touches},
    error::Error,
    moment::When,
    page::{
        Connection, List, Listed, Window,
        cursor::{Key, Kind, Order, Place},
        wants_total,
    },
    scalars,
    tasks::history::HistoryEntry,
};

/// In the order in which they were recorded.
pub const ORDER: Order = Order {
    name: "changes",
    by: &[("position", Kind::Number)],
    descending: false,
};

/// One change of a project or a task: an event, and what it made of the fields.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct Change {
    #[graphql(skip)]
    made: Made,
    /// The fields that it changed, in the order in which the type has them. The first change makes everything that is not null;
    /// one that says nothing new of the fields has none. Null where it is not known, because the version before is not kept any
    /// longer.
    changes: Option<Vec<FieldChange>>,
}

impl Change {
    /// What led from one version to the next.
    pub fn between<R: Versioned>(before: Option<&R>, after: &R) -> Self {
        let made = after.made();
        let is_known = before.is_some() || made.is_first();
        Self {
            made,
            changes: is_known.then(|| versions::changes(before, Some(after))),
        }
    }
}

#[ComplexObject]
impl Change {
    /// The version of the project or task from this change on.
    async fn version(&self) -> scalars::Version {
        scalars::Version(self.made.version)
    }

    /// Its place in the log.
    async fn position(&self) -> scalars::Position {
        scalars::Position(self.made.position)
    }

    /// When it happened, in business time.
    async fn at(&self) -> DateTime<Utc> {
        self.made.at
    }

    /// What was recorded: who did it, by which command, and why. Null for projects, whose events no view keeps, and of an event
    /// that the history of tasks does not have yet, or leaves out.
    async fn event(&self, ctx: &Context<'_>) -> Option<Result<HistoryEntry, Error>> {
        let answer = async {
            let Some(entry) = self.made.entry else {
                return Ok(None);
            };
            Ask::of(ctx)?.sight(ctx).loaders.load_one(entry).await
        };
        answer.await.transpose()
    }
}

impl Listed for Change {
    fn place(&self, _: Order) -> Place {
        Place(vec![Key::Number(self.made.position)])
    }
}

/// One statement reads the versions of a page, and one the version before them; `None` when there is no such row.
pub async fn connection<R: Versioned>(
    ctx: &Context<'_>,
    id: Uuid,
    when: &When,
    window: &Window,
) -> Result<Option<Connection<Change>>, Error> {
    let touches = Touches::Stream(R::stream(id));
    let sight = Ask::of(ctx)?.wait(ctx, when, &touches).await?;
    let reader = &sight.reader;
    let versions = Versions::<R>::new(id, reader.position());
    let mut transaction = reader.begin_list().await?;
    let total = match wants_total(ctx) {
        true => Some(
            versions
                .count(reader.scope())
                .build_query_scalar()
                .fetch_one(&mut *transaction)
                .await
                .map_err(Error::read)?,
        ),
        false => None,
    };
    let found: Vec<R> = versions
        .rows(reader.scope(), window)
        .build_query_as()
        .fetch_all(&mut *transaction)
        .await
        .map_err(Error::read)?;
    let oldest = found.iter().map(|row| row.made().position).min();
    let before: Option<R> = versions::before::<R>(
        reader.scope(),
        id,
        oldest.unwrap_or(versions::end(reader)),
        1,
    )
    .build_query_as()
    .fetch_optional(&mut *transaction)
    .await
    .map_err(Error::read)?;
    // The page may lie where there is nothing, of something that is there.
    if oldest.is_none() && before.is_none() {
        return Ok(None);
    }
    Ok(Some(window.page(between(before, found)).connection(total)))
}

/// What led to each of some versions that follow one another, forwards or backwards, in the order in which they stand.
fn between<R: Versioned>(before: Option<R>, mut rows: Vec<R>) -> Vec<Change> {
    let is_backward = !rows.is_sorted_by_key(|row| row.made().position);
    if is_backward {
        rows.reverse();
    }
    let mut earlier = before.as_ref();
    let mut changes = Vec::with_capacity(rows.len());
    for row in &rows {
        changes.push(Change::between(earlier, row));
        earlier = Some(row);
    }
    if is_backward {
        changes.reverse();
    }
    changes
}
