//! Lists under many parents at once: one statement for all parents of a level, so that a query costs as many statements
//! as it has levels.

use std::{collections::HashMap, hash::Hash};

use async_graphql::{Context, OutputType, dataloader::Loader};
use sqlx::{FromRow, Postgres, QueryBuilder, Row, postgres::PgRow};
use uuid::Uuid;

use super::{Connection, Listed, Rows, Window, wants_total};
use crate::{
    ask::Ask,
    error::Error,
    read::{Loaders, Scope},
};

/// A list that each of many parents has.
pub trait Nested: Clone + Eq + Hash + Send + Sync + 'static {
    type Node: for<'r> FromRow<'r, PgRow> + Clone + Send + Sync + Unpin + 'static;
    const COLUMNS: &'static str;

    /// Appends `from … where …`: what of `parent.id` the list holds.
    fn push_from(&self, scope: Scope<'_>, query: &mut QueryBuilder<Postgres>);
}

/// A page of one parent's list. Keys of one field differ in their parent alone; each alias of the field is another list
/// or window.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PageOf<L> {
    pub parent: Uuid,
    pub list: L,
    pub window: Window,
}

/// How long one parent's list is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CountOf<L> {
    pub parent: Uuid,
    pub list: L,
}

/// Reads a page of a parent's list, together with those of the other parents; and its length where it is selected.
pub async fn connection<L>(
    ctx: &Context<'_>,
    parent: Uuid,
    list: L,
    window: Window,
) -> Result<Connection<L::Node>, Error>
where
    L: Nested,
    L::Node: Listed + OutputType,
{
    let sight = Ask::of(ctx)?.sight(ctx);
    let loaders = &sight.loaders;
    let total = match wants_total(ctx) {
        true => {
            let list = list.clone();
            let counted = loaders.load_one(CountOf { parent, list }).await?;
            Some(counted.unwrap_or(0))
        }
        false => None,
    };
    let key = PageOf {
        parent,
        list,
        window: window.clone(),
    };
    let rows = loaders.load_one(key).await?;
    let rows = rows.unwrap_or_else(|| window.page(Vec::new()));
    Ok(rows.connection(total))
}

/// One page per parent: each parent's rows come from its own short scan of an index.
pub fn pages<L: Nested>(
    scope: Scope<'_>,
    parents: &[Uuid],
    list: &L,
    window: &Window,
) -> QueryBuilder<Postgres> {
    let mut query = of_each(parents, "page.*");
    query.push(L::COLUMNS);
    list.push_from(scope, &mut query);
    window.push_to(&mut query);
    query.push(") as page");
    query
}

/// One count per parent.
pub fn counts<L: Nested>(scope: Scope<'_>, parents: &[Uuid], list: &L) -> QueryBuilder<Postgres> {
    let mut query = of_each(parents, "page.entries");
    query.push("count(*) as entries");
    list.push_from(scope, &mut query);
    query.push(") as page");
    query
}

/// Up to the columns of what is read of each parent.
fn of_each(parents: &[Uuid], what: &str) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("select parent.id as of_parent, ");
    query.push(what);
    query.push(" from unnest(");
    query.push_bind(parents.to_vec());
    query.push(") as parent (id) cross join lateral (select ");
    query
}

impl<L: Nested> Loader<PageOf<L>> for Loaders {
    type Value = Rows<L::Node>;
    type Error = Error;

    async fn load(&self, keys: &[PageOf<L>]) -> Result<HashMap<PageOf<L>, Rows<L::Node>>, Error> {
        let mut groups: HashMap<(&L, &Window), Vec<Uuid>> = HashMap::new();
        for key in keys {
            let group = groups.entry((&key.list, &key.window)).or_default();
            group.push(key.parent);
        }
        let mut transaction = self.reader.begin_list().await?;
        let mut loaded = HashMap::with_capacity(keys.len());
        for ((list, window), parents) in groups {
            let rows = pages(self.reader.scope(), &parents, list, window)
                .build()
                .fetch_all(&mut *transaction)
                .await
                .map_err(Error::read)?;
            let mut found: HashMap<Uuid, Vec<L::Node>> = parents
                .into_iter()
                .map(|parent| (parent, Vec::new()))
                .collect();
            for row in &rows {
                let parent = row.try_get("of_parent").map_err(Error::read)?;
                let node = L::Node::from_row(row).map_err(Error::read)?;
                found.entry(parent).or_default().push(node);
            }
            for (parent, nodes) in found {
                let key = PageOf {
                    parent,
                    list: list.clone(),
                    window: window.clone(),
                };
                loaded.insert(key, window.page(nodes));
            }
        }
        Ok(loaded)
    }
}

impl<L: Nested> Loader<CountOf<L>> for Loaders {
    type Value = i64;
    type Error = Error;

    async fn load(&self, keys: &[CountOf<L>]) -> Result<HashMap<CountOf<L>, i64>, Error> {
        let mut groups: HashMap<&L, Vec<Uuid>> = HashMap::new();
        for key in keys {
            groups.entry(&key.list).or_default().push(key.parent);
        }
        let mut transaction = self.reader.begin_list().await?;
        let mut loaded = HashMap::with_capacity(keys.len());
        for (list, parents) in groups {
            let counted: Vec<(Uuid, i64)> = counts(self.reader.scope(), &parents, list)
                .build_query_as()
                .fetch_all(&mut *transaction)
                .await
                .map_err(Error::read)?;
            loaded.extend(counted.into_iter().map(|(parent, count)| {
                let list = list.clone();
                (CountOf { parent, list }, count)
            }));
        }
        Ok(loaded)
    }
}
