//! Since when each field is as it is: a walk through the versions, from the newest back, until every field has been seen
//! to change.

use async_graphql::{ComplexObject, Context, Json, SimpleObject, Value};
use foldline_events::Position;
use uuid::Uuid;

use super::{
    Change,
    versions::{self, Field, Versioned},
};
use crate::{
    ask::{Ask, Touches},
    error::Error,
    moment::When,
    read::Reader,
    scalars,
    tasks::Task,
};

/// How many versions one statement reads.
const VERSIONS_PER_READ: usize = 50;
/// How many versions are looked through. Of a field that none of them set it is only said that it was no later.
const VERSIONS_READ_MAX: usize = 5_000;
/// What the walk costs, so that a document has few of them.
const WALK_COST: usize = 1_000;

/// Since when a field is as it is.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct FieldOrigin {
    /// The field, by its name in the type, such as `dueDate`.
    field: &'static str,
    /// What it is, as GraphQL gives it.
    value: Option<Json<Value>>,
    /// The last change that made it so. Null where nothing ever did, because it has been null from the beginning; and where
    /// `notAfter` is given.
    change: Option<Change>,
    #[graphql(skip)]
    not_after: Option<Position>,
}

#[ComplexObject]
impl FieldOrigin {
    /// Given where the change lies further back than the 5,000 versions that are looked through, or than versions are kept: the
    /// position of the oldest of them, by which the field was as it is.
    async fn not_after(&self) -> Option<scalars::Position> {
        self.not_after.map(scalars::Position)
    }
}

/// What the field costs: the walk, and all fields of the type that has the most, each with what is selected of it.
pub fn cost(of_each: usize) -> usize {
    WALK_COST + Task::FIELDS.len() * of_each
}

/// `None` when there is no such row.
pub async fn origins<R: Versioned>(
    ctx: &Context<'_>,
    id: Uuid,
    when: &When,
) -> Result<Option<Vec<FieldOrigin>>, Error> {
    let touches = Touches::Stream(R::stream(id));
    let sight = Ask::of(ctx)?.wait(ctx, when, &touches).await?;
    let mut walk: Option<Walk<R>> = None;
    let mut end = versions::end(&sight.reader);
    for _ in 0..VERSIONS_READ_MAX / VERSIONS_PER_READ {
        let rows = read::<R>(&sight.reader, id, end).await?;
        let is_last = rows.len() < VERSIONS_PER_READ;
        for row in rows {
            end = row.made().position;
            match &mut walk {
                None => walk = Some(Walk::from(row)),
                Some(walk) => walk.back_to(row),
            }
        }
        match &walk {
            Some(walk) if is_last || walk.is_done() => break,
            None => return Ok(None),
            Some(_) => {}
        }
    }
    if let Some(walk) = &mut walk {
        walk.begin();
    }
    Ok(walk.map(Walk::told))
}

async fn read<R: Versioned>(reader: &Reader, id: Uuid, end: Position) -> Result<Vec<R>, Error> {
    let mut transaction = reader.begin_list().await?;
    versions::before::<R>(reader.scope(), id, end, VERSIONS_PER_READ)
        .build_query_as()
        .fetch_all(&mut *transaction)
        .await
        .map_err(Error::read)
}

/// How far back it was looked.
struct Walk<R: Versioned> {
    /// The oldest version so far. The fields that are not found have been as they are since then at least.
    oldest: R,
    /// One for each of the fields: its value, and what set it, once that is found.
    fields: Vec<(Value, Origin)>,
}

/// What set a field.
enum Origin {
    /// Not seen yet.
    Open,
    Set(Change),
    /// It has been null from the beginning.
    Nothing,
}

impl<R: Versioned> Walk<R> {
    fn from(newest: R) -> Self {
        let value = |(_, value): &Field<R>| (value(&newest), Origin::Open);
        Self {
            fields: R::FIELDS.iter().map(value).collect(),
            oldest: newest,
        }
    }

    fn back_to(&mut self, earlier: R) {
        let mut change = None;
        for ((value, origin), (_, of)) in self.fields.iter_mut().zip(R::FIELDS) {
            if matches!(origin, Origin::Open) && of(&earlier) != *value {
                let change =
                    change.get_or_insert_with(|| Change::between(Some(&earlier), &self.oldest));
                *origin = Origin::Set(change.clone());
            }
        }
        self.oldest = earlier;
    }

    /// What the first version of all made, where the walk came to it.
    fn begin(&mut self) {
        if !self.oldest.made().is_first() {
            return;
        }
        let first = Change::between(None, &self.oldest);
        for (value, origin) in &mut self.fields {
            if matches!(origin, Origin::Open) {
                *origin = if *value == Value::Null {
                    Origin::Nothing
                } else {
                    Origin::Set(first.clone())
                };
            }
        }
    }

    fn is_done(&self) -> bool {
        let is_open = |(_, origin): &(Value, Origin)| matches!(origin, Origin::Open);
        !self.fields.iter().any(is_open)
    }

    fn told(self) -> Vec<FieldOrigin> {
        let oldest = self.oldest.made().position;
        let told = |((field, _), (value, origin)): (&Field<R>, (Value, Origin))| {
            let (change, not_after) = match origin {
                Origin::Open => (None, Some(oldest)),
                Origin::Set(change) => (Some(change), None),
                Origin::Nothing => (None, None),
            };
            FieldOrigin {
                field,
                value: versions::present(value),
                change,
                not_after,
            }
        };
        R::FIELDS.iter().zip(self.fields).map(told).collect()
    }
}
