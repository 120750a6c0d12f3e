//! Versions of a row: how they are read, and in which fields two of them differ.

use std::marker::PhantomData;

use async_graphql::{Json, ScalarType, Value};
use chrono::{DateTime, Utc};
use foldline_events::Position;
use sqlx::{FromRow, Postgres, QueryBuilder, postgres::PgRow};
use uuid::Uuid;

use super::FieldChange;
use crate::{
    error::Error,
    page::List,
    read::{Reader, Scope},
    tasks::history::EntryOfTask,
};

/// A field's name in GraphQL, and its value as GraphQL gives it.
pub type Field<R> = (&'static str, fn(&R) -> Value);

/// A row of which versions are kept.
pub trait Versioned: for<'r> FromRow<'r, PgRow> + Send + Sync + Unpin + 'static {
    const COLUMNS: &'static str;
    /// The view that it is a row of.
    const VIEW: &'static str;
    /// The SQL view of all versions of all rows, without its schema.
    const VERSIONS: &'static str;
    /// Its column that tells one row from another.
    const ID: &'static str;
    /// What is compared, in the order of the GraphQL type.
    const FIELDS: &'static [Field<Self>];

    /// The stream that it is folded from.
    fn stream(id: Uuid) -> String;

    /// What made this version.
    fn made(&self) -> Made;
}

/// What made a version.
#[derive(Debug, Clone, Copy)]
pub struct Made {
    pub version: i64,
    pub position: Position,
    /// In business time.
    pub at: DateTime<Utc>,
    /// The recorded event, where those of the type can be read.
    pub entry: Option<EntryOfTask>,
}

impl Made {
    /// Whether nothing lies before it. Where rows of the past are not kept for ever, it need not be the first that there is.
    pub fn is_first(&self) -> bool {
        self.version == 1
    }
}

/// The versions of one row, up to a position.
#[derive(Debug)]
pub struct Versions<R> {
    id: Uuid,
    /// All of them, without one.
    until: Option<Position>,
    row: PhantomData<R>,
}

impl<R> Versions<R> {
    pub fn new(id: Uuid, until: Option<Position>) -> Self {
        Self {
            id,
            until,
            row: PhantomData,
        }
    }
}

impl<R: Versioned> List for Versions<R> {
    type Node = R;
    const COLUMNS: &'static str = R::COLUMNS;

    fn push_from(&self, scope: Scope<'_>, query: &mut QueryBuilder<Postgres>) {
        query.push(format!(" from views.{} where tenant = ", R::VERSIONS));
        query.push_bind(scope.tenant.to_owned());
        query.push(format!(" and {} = ", R::ID)).push_bind(self.id);
        query.push(scope.if_kept(R::VIEW));
        // While rows are being cleared away, one may be gone and one before it not.
        let view = R::VIEW;
        query.push(format!(" and until > (select views.kept_from('{view}'))"));
        if let Some(until) = self.until {
            query.push(" and position <= ").push_bind(until);
        }
    }
}

/// Some versions of a row that were made before a position, the newest first.
pub fn before<R: Versioned>(
    scope: Scope<'_>,
    id: Uuid,
    position: Position,
    rows: usize,
) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("select ");
    query.push(R::COLUMNS);
    Versions::<R>::new(id, None).push_from(scope, &mut query);
    query.push(" and position < ").push_bind(position);
    query.push(format!(" order by position desc limit {rows}"));
    query
}

/// Before which position the versions lie that a reader sees.
pub fn end(reader: &Reader) -> Position {
    reader
        .position()
        .map_or(Position::MAX, |position| position.saturating_add(1))
}

/// The version that holds at the moment of a reader.
pub async fn newest<R: Versioned>(reader: &Reader, id: Uuid) -> Result<Option<R>, Error> {
    let mut transaction = reader.begin_list().await?;
    before::<R>(reader.scope(), id, end(reader), 1)
        .build_query_as()
        .fetch_optional(&mut *transaction)
        .await
        .map_err(Error::read)
}

/// The fields in which two versions differ. What is not there has null in all of them.
pub fn changes<R: Versioned>(before: Option<&R>, after: Option<&R>) -> Vec<FieldChange> {
    let of = |row: Option<&R>, value: fn(&R) -> Value| row.map_or(Value::Null, value);
    let changed = |(field, value): &Field<R>| {
        let (before, after) = (of(before, *value), of(after, *value));
        (before != after).then(|| FieldChange {
            field,
            before: present(before),
            after: present(after),
        })
    };
    R::FIELDS.iter().filter_map(changed).collect()
}

/// As a nullable field is to have it.
pub fn present(value: Value) -> Option<Json<Value>> {
    (value != Value::Null).then_some(Json(value))
}

/// A scalar as GraphQL gives it.
pub fn said<T: ScalarType>(value: &T) -> Value {
    value.to_value()
}

/// The same of what may be null.
pub fn may_be<T: ScalarType>(value: Option<&T>) -> Value {
    value.map_or(Value::Null, ScalarType::to_value)
}
