//! Pages of lists: Relay connections over keyset cursors.
//!
//! A list is ordered by the columns that its [`Order`] names, the last of which tells any two rows apart. A cursor holds
//! a row's values in these columns (`page/cursor.rs`), so it stays good whatever is added meanwhile, and a page costs
//! the same wherever it lies. `page/nested.rs` reads lists under many parents at once. This module must not know what is
//! listed.

pub mod cursor;
pub mod nested;

use std::{borrow::Cow, collections::VecDeque};

use async_graphql::{Context, OutputType, SimpleObject, TypeName};
use sqlx::{FromRow, Postgres, QueryBuilder, postgres::PgRow};

use crate::{
    error::Error,
    read::{Reader, Scope},
};
use cursor::{Order, Place};

/// The most that `first` and `last` may ask for.
pub const PAGE_ROWS_MAX: i32 = 100;
/// What a page holds when neither is given.
pub const PAGE_ROWS_DEFAULT: i32 = 20;
/// How many rows are read at least, whatever the page holds. For one or two, the planner hopes to meet them soon along the
/// order, and where none of the first tens of thousands fits, that is a long way (80 ms were measured, instead of 8).
const ROWS_READ_MIN: i32 = PAGE_ROWS_DEFAULT + 1;

/// From which end of the list a page is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum End {
    First,
    Last,
}

/// Which rows of a list are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Window {
    order: Order,
    after: Option<Place>,
    before: Option<Place>,
    rows: i32,
    end: End,
}

/// The arguments of a connection, as the client gave them.
#[derive(Debug, Clone, Default)]
pub struct Paging {
    pub first: Option<i32>,
    pub after: Option<String>,
    pub last: Option<i32>,
    pub before: Option<String>,
}

/// Rows of one page in list order, before they become a connection.
#[derive(Debug, Clone)]
pub struct Rows<N> {
    rows: Vec<N>,
    order: Order,
    has_previous_page: bool,
    has_next_page: bool,
}

/// A row that stands in a list.
pub trait Listed {
    /// Its values in the columns of an order of that list.
    fn place(&self, order: Order) -> Place;
}

/// Where this page lies in its list.
#[derive(Debug, Clone, SimpleObject)]
pub struct PageInfo {
    /// Whether there is an entry before this page. Exact when paging backwards; when paging forwards, whether `after`
    /// was given.
    has_previous_page: bool,
    /// Whether there is an entry after this page. Exact when paging forwards; when paging backwards, whether `before`
    /// was given.
    has_next_page: bool,
    /// The cursor of the page's first entry, for `before`; null on an empty page.
    start_cursor: Option<String>,
    /// The cursor of the page's last entry, for `after`; null on an empty page.
    end_cursor: Option<String>,
}

/// An entry of a list with its cursor.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(name_type)]
pub struct Edge<N: OutputType> {
    /// Names this place in the list, for `after` and `before`, in lists of the same order.
    cursor: String,
    /// The entry.
    node: N,
}

/// One page of a list.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(name_type)]
pub struct Connection<N: OutputType> {
    /// The page's entries, each with its cursor.
    edges: Vec<Edge<N>>,
    /// The page's entries.
    nodes: Vec<N>,
    /// Where this page lies in its list.
    page_info: PageInfo,
    /// How many entries the whole list has, at most 2147483647. Costs a count: ask only where it is shown.
    total_count: Option<i32>,
}

impl<N: OutputType> TypeName for Edge<N> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Edge", N::type_name()).into()
    }
}

impl<N: OutputType> TypeName for Connection<N> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", N::type_name()).into()
    }
}

impl Paging {
    /// Checks the arguments; what is too much is an error, never silently less.
    pub fn window(&self, order: Order) -> Result<Window, Error> {
        let bad = |problem: String| Error::BadPage { problem };
        let (rows, end) = match (self.first, self.last) {
            (Some(_), Some(_)) => return Err(bad("give first or last, not both".to_owned())),
            (Some(first), None) => (first, End::First),
            (None, Some(last)) => (last, End::Last),
            (None, None) => (PAGE_ROWS_DEFAULT, End::First),
        };
        if !(0..=PAGE_ROWS_MAX).contains(&rows) {
            return Err(bad(format!(
                "a page has from 0 to {PAGE_ROWS_MAX} entries, not {rows}"
            )));
        }
        let place = |cursor: &Option<String>, name: &str| {
            let read = cursor.as_deref().map(|cursor| order.read(cursor));
            let wrong = |wrong| bad(format!("{name} {wrong}"));
            read.transpose().map_err(wrong)
        };
        Ok(Window {
            order,
            after: place(&self.after, "after")?,
            before: place(&self.before, "before")?,
            rows,
            end,
        })
    }
}

/// What a connection field costs: its page's rows, each with what is selected of it.
pub fn cost(first: Option<i32>, last: Option<i32>, of_each: usize) -> usize {
    let rows = first
        .or(last)
        .unwrap_or(PAGE_ROWS_DEFAULT)
        .clamp(0, PAGE_ROWS_MAX);
    let rows = usize::try_from(rows).expect("a clamped number of rows is not negative");
    1 + rows * of_each
}

impl Window {
    /// Appends the window's conditions, order and limit to a select that already has a `where` clause. One row more
    /// than the page is read: it says whether there is more.
    pub fn push_to(&self, query: &mut QueryBuilder<Postgres>) {
        let ascending = !self.order.descending;
        for (place, beyond) in [(&self.after, ascending), (&self.before, !ascending)] {
            if let Some(place) = place {
                query.push(format!(" and ({}) ", self.order.columns()));
                query.push(if beyond { ">" } else { "<" });
                place.push_to(query);
            }
        }
        let ascending = match self.end {
            End::First => ascending,
            End::Last => !ascending,
        };
        query.push(" order by ");
        query.push(self.order.columns_towards(ascending));
        // Spelled out: the planner would take an unknown limit for a tenth of the table.
        query.push(format!(" limit {}", (self.rows + 1).max(ROWS_READ_MIN)));
    }

    /// Makes a page of what the select gave, in the order in which it gave it.
    pub fn page<N>(&self, found: Vec<N>) -> Rows<N> {
        let rows = usize::try_from(self.rows).expect("a checked number of rows is not negative");
        let more = found.len() > rows;
        let mut rows: Vec<N> = found.into_iter().take(rows).collect();
        let (has_previous_page, has_next_page) = match self.end {
            End::First => (self.after.is_some(), more),
            End::Last => {
                rows.reverse();
                (more, self.before.is_some())
            }
        };
        Rows {
            rows,
            order: self.order,
            has_previous_page,
            has_next_page,
        }
    }
}

impl<N: Listed + OutputType + Clone> Rows<N> {
    /// `total` is `None` where nobody asked.
    pub fn connection(self, total: Option<i64>) -> Connection<N> {
        let cursor = |row: &N| self.order.write(&row.place(self.order));
        let cursors: VecDeque<String> = self.rows.iter().map(cursor).collect();
        let page_info = PageInfo {
            has_previous_page: self.has_previous_page,
            has_next_page: self.has_next_page,
            start_cursor: cursors.front().cloned(),
            end_cursor: cursors.back().cloned(),
        };
        let edges = self
            .rows
            .iter()
            .cloned()
            .zip(cursors)
            .map(|(node, cursor)| Edge { cursor, node })
            .collect();
        Connection {
            edges,
            nodes: self.rows,
            page_info,
            total_count: total.map(int),
        }
    }
}

/// A list that has no parent but the tenant.
pub trait List {
    type Node;
    const COLUMNS: &'static str;

    /// Appends `from … where …`: what the list holds.
    fn push_from(&self, scope: Scope<'_>, query: &mut QueryBuilder<Postgres>);

    fn rows(&self, scope: Scope<'_>, window: &Window) -> QueryBuilder<Postgres> {
        let mut query = QueryBuilder::new("select ");
        query.push(Self::COLUMNS);
        self.push_from(scope, &mut query);
        window.push_to(&mut query);
        query
    }

    fn count(&self, scope: Scope<'_>) -> QueryBuilder<Postgres> {
        let mut query = QueryBuilder::new("select count(*)");
        self.push_from(scope, &mut query);
        query
    }
}

/// Reads a page of a list, and the length of the whole where the client selects it.
pub async fn connection<L>(
    ctx: &Context<'_>,
    reader: &Reader,
    list: &L,
    window: &Window,
) -> Result<Connection<L::Node>, Error>
where
    L: List,
    L::Node: for<'r> FromRow<'r, PgRow> + Listed + OutputType + Clone + Send + Unpin,
{
    let mut transaction = reader.begin_list().await?;
    let total = match wants_total(ctx) {
        true => Some(
            list.count(reader.scope())
                .build_query_scalar()
                .fetch_one(&mut *transaction)
                .await
                .map_err(Error::read)?,
        ),
        false => None,
    };
    let found = list
        .rows(reader.scope(), window)
        .build_query_as()
        .fetch_all(&mut *transaction)
        .await
        .map_err(Error::read)?;
    Ok(window.page(found).connection(total))
}

/// Whether the connection that is being resolved is asked for its length.
pub fn wants_total(ctx: &Context<'_>) -> bool {
    ctx.look_ahead().field("totalCount").exists()
}

/// A count as GraphQL's `Int`; beyond its range, the largest that it can say.
pub fn int(count: i64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cursor::Kind;

    const ORDER: Order = Order {
        name: "created",
        by: &[("created_at", Kind::Instant), ("id", Kind::Id)],
        descending: false,
    };

    #[test]
    fn too_large_negative_or_contradictory_pages_are_refused() {
        for (first, last) in [
            (Some(101), None),
            (Some(-1), None),
            (None, Some(101)),
            (Some(1), Some(1)),
        ] {
            let paging = Paging {
                first,
                last,
                ..Paging::default()
            };
            assert!(paging.window(ORDER).is_err(), "{first:?} {last:?}");
        }
        let foreign = Paging {
            after: Some("not a cursor".to_owned()),
            ..Paging::default()
        };
        assert!(foreign.window(ORDER).is_err());
    }
}
