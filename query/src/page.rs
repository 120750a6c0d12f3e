//! Pages of lists: Relay connections over keyset cursors.
//!
//! Every list is ordered by (created at, id), which no event changes, so a cursor stays good whatever is added or
//! changed meanwhile, and a page costs the same wherever it lies. This module must not know what is listed.

use std::collections::VecDeque;

use async_graphql::{OutputType, SimpleObject};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::{
    error::Error,
    tasks::{Project, Task},
};

/// The most that `first` and `last` may ask for.
pub const PAGE_ROWS_MAX: i32 = 100;
/// What a page holds when neither is given.
pub const PAGE_ROWS_DEFAULT: i32 = 20;

/// Where a row stands in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    pub created_at: DateTime<Utc>,
    pub id: Uuid,
}

/// One thing as a view holds it.
pub trait Row {
    fn place(&self) -> Place;
    /// Of the last event folded into it.
    fn position(&self) -> foldline_events::Position;
}

/// From which end of the list a page is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum End {
    First,
    Last,
}

/// Which rows of a list are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Window {
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
    has_previous_page: bool,
    has_next_page: bool,
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
#[graphql(
    concrete(name = "ProjectEdge", params(Project)),
    concrete(name = "TaskEdge", params(Task))
)]
pub struct Edge<N: OutputType> {
    /// Names this place in the list, for `after` and `before`; stays good when the list changes.
    cursor: String,
    /// The entry.
    node: N,
}

/// One page of a list, ordered by creation, the oldest first.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(
    concrete(name = "ProjectConnection", params(Project)),
    concrete(name = "TaskConnection", params(Task))
)]
pub struct Connection<N: OutputType>
where
    Edge<N>: OutputType,
{
    /// The page's entries, each with its cursor.
    edges: Vec<Edge<N>>,
    /// The page's entries.
    nodes: Vec<N>,
    /// Where this page lies in its list.
    page_info: PageInfo,
    /// How many entries the whole list has, at most 2147483647. Costs a count: ask only where it is shown.
    total_count: Option<i32>,
}

impl Place {
    fn encode(&self) -> String {
        let micros = self.created_at.timestamp_micros();
        URL_SAFE_NO_PAD.encode(format!("{micros}.{}", self.id.simple()))
    }

    fn decode(cursor: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (micros, id) = text.split_once('.')?;
        Some(Self {
            created_at: DateTime::from_timestamp_micros(micros.parse().ok()?)?,
            id: Uuid::try_parse(id).ok()?,
        })
    }
}

impl Paging {
    /// Checks the arguments; what is too much is an error, never silently less.
    pub fn window(&self) -> Result<Window, Error> {
        let (rows, end) = match (self.first, self.last) {
            (Some(_), Some(_)) => return Err(bad_page("give first or last, not both")),
            (Some(first), None) => (first, End::First),
            (None, Some(last)) => (last, End::Last),
            (None, None) => (PAGE_ROWS_DEFAULT, End::First),
        };
        if !(0..=PAGE_ROWS_MAX).contains(&rows) {
            return Err(Error::BadPage {
                problem: format!("a page has from 0 to {PAGE_ROWS_MAX} entries, not {rows}"),
            });
        }
        let place = |cursor: &Option<String>, name: &str| match cursor {
            None => Ok(None),
            Some(cursor) => Place::decode(cursor)
                .map(Some)
                .ok_or_else(|| Error::BadPage {
                    problem: format!("{name} is not a cursor of an edge or a pageInfo"),
                }),
        };
        Ok(Window {
            after: place(&self.after, "after")?,
            before: place(&self.before, "before")?,
            rows,
            end,
        })
    }
}

fn bad_page(problem: &str) -> Error {
    Error::BadPage {
        problem: problem.to_owned(),
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
    /// Appends the window's conditions, order and limit to a select that already has a `where` clause. `id` is the
    /// name of the column that breaks ties. One row more than the page is read: it says whether there is more.
    pub fn push_to(&self, query: &mut QueryBuilder<Postgres>, id: &str) {
        for (place, comparison) in [(self.after, ">"), (self.before, "<")] {
            if let Some(place) = place {
                query.push(format!(" and (created_at, {id}) {comparison} ("));
                query.push_bind(place.created_at);
                query.push(", ");
                query.push_bind(place.id);
                query.push(")");
            }
        }
        let direction = match self.end {
            End::First => "asc",
            End::Last => "desc",
        };
        query.push(format!(
            " order by created_at {direction}, {id} {direction} limit "
        ));
        query.push_bind(i64::from(self.rows) + 1);
    }

    /// Makes a page of what the select gave, in the order in which it gave it.
    pub fn page<N>(&self, found: Vec<N>) -> Rows<N> {
        let rows = usize::try_from(self.rows).expect("a checked number of rows is not negative");
        let more = found.len() > rows;
        let mut rows: Vec<N> = found.into_iter().take(rows).collect();
        match self.end {
            End::First => Rows {
                rows,
                has_previous_page: self.after.is_some(),
                has_next_page: more,
            },
            End::Last => {
                rows.reverse();
                Rows {
                    rows,
                    has_previous_page: more,
                    has_next_page: self.before.is_some(),
                }
            }
        }
    }
}

impl<N: Row + OutputType + Clone> Rows<N>
where
    Edge<N>: OutputType,
{
    /// `total` is `None` where nobody asked.
    pub fn connection(self, total: Option<i64>) -> Connection<N> {
        let cursors: VecDeque<String> = self.rows.iter().map(|row| row.place().encode()).collect();
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

/// A count as GraphQL's `Int`; beyond its range, the largest that it can say.
pub fn int(count: i64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_being_written() {
        let place = Place {
            created_at: DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap(),
            id: Uuid::from_u128(9),
        };
        assert_eq!(Place::decode(&place.encode()), Some(place));
    }

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
            assert!(paging.window().is_err(), "{first:?} {last:?}");
        }
        let foreign = Paging {
            after: Some("not a cursor".to_owned()),
            ..Paging::default()
        };
        assert!(foreign.window().is_err());
    }
}
