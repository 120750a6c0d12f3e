//! How two builds of a view differ, in each partition as of a position that both have folded.
//!
//! Rows are compared as they were there, by the columns that both builds have: a row of the past that held there counts as much as a
//! present one. Sums to which several streams add are not kept for the past; a sum is compared where both were last added to up to
//! there, for then both are of the same events.

use foldline_events::Position;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, Row as _};

use crate::{
    Build, Error, RowDifference, error::unless_unprepared, verify::DIFFERENCES_MAX, view::Table,
};

/// Text must not depend on the server's settings; a comparison of millions of rows takes its time.
const BEGIN: &str = "begin read only;
    set local timezone = 'UTC';
    set local work_mem = '64MB';
    set local statement_timeout = '30min'";

/// Without these columns in both, nobody can say how a row was as of a position.
const NEEDED: [&str; 2] = ["partition", "position"];

/// How builds differ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Differences {
    /// How many rows differ.
    pub count: i64,
    /// The first of them.
    pub rows: Vec<RowDifference>,
    /// Columns and tables that one of the builds lacks, or has otherwise, so that nobody can compare them.
    pub not_compared: Vec<String>,
}

impl Differences {
    /// Whether every row is the same, of what can be compared.
    pub fn is_none(&self) -> bool {
        self.count == 0
    }

    pub(super) async fn add(
        &mut self,
        pool: &PgPool,
        shown: Build,
        built: Build,
        as_of: &[Position],
    ) -> Result<(), Error> {
        let mut connection = pool
            .acquire()
            .await
            .map_err(unless_unprepared(Error::Builds))?;
        let mut transaction = connection.begin_with(BEGIN).await.map_err(Error::Builds)?;
        for table in built.view.tables().iter().filter(|table| !table.is_past()) {
            let pair = Pair {
                shown,
                built,
                table,
                past: past_of(built, table),
            };
            let Some(columns) = self.columns(&mut transaction, &pair).await? else {
                continue;
            };
            self.add_rows(&mut transaction, &pair, &columns, as_of)
                .await?;
        }
        Ok(())
    }

    /// The columns that both have; `None` of a table that one lacks.
    async fn columns(
        &mut self,
        connection: &mut PgConnection,
        pair: &Pair,
    ) -> Result<Option<Vec<String>>, Error> {
        let (shown, built) = (pair.shown, pair.built);
        let table = pair.table.name;
        let rows: Vec<(String, bool, bool)> = sqlx::query_as(
            "select
                 attname::text,
                 bool_or(attrelid = to_regclass($1)),
                 count(*) = 2 and count(distinct (atttypid, atttypmod)) = 1
             from pg_attribute
             where attrelid in (to_regclass($1), to_regclass($2))
                 and attnum > 0
                 and not attisdropped
             group by attname
             order by min(attnum)",
        )
        .bind(shown.table(table))
        .bind(built.table(table))
        .fetch_all(&mut *connection)
        .await
        .map_err(Error::Builds)?;
        let past = pair.past.map_or(table, |past| past.name);
        let has_past: bool = sqlx::query_scalar("select to_regclass($1) is not null")
            .bind(shown.table(past))
            .fetch_one(connection)
            .await
            .map_err(Error::Builds)?;
        let (alike, other): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(.., alike)| *alike);
        let is_alike = |needed: &&str| alike.iter().any(|(column, ..)| column == needed);
        if !has_past || !pair.key().iter().chain(&NEEDED).all(is_alike) {
            self.not_compared.push(built.table(table));
            return Ok(None);
        }
        for (column, in_shown, _) in other {
            let of = if in_shown { shown } else { built };
            self.not_compared
                .push(format!("{}.{column}", of.table(table)));
        }
        Ok(Some(alike.into_iter().map(|(column, ..)| column).collect()))
    }

    async fn add_rows(
        &mut self,
        connection: &mut PgConnection,
        pair: &Pair,
        columns: &[String],
        as_of: &[Position],
    ) -> Result<(), Error> {
        let room = DIFFERENCES_MAX.saturating_sub(self.rows.len());
        let rows = sqlx::query(AssertSqlSafe(pair.statement(columns)))
            .bind(as_of)
            .bind(i64::try_from(room.max(1)).unwrap_or(1))
            .fetch_all(connection)
            .await
            .map_err(Error::Builds)?;
        if let Some(first) = rows.first() {
            self.count += first.get::<i64, _>("count");
        }
        for row in rows.iter().take(room) {
            let key: Value = row.get("key");
            let (shown, built) = (row.get("shown"), row.get("built"));
            self.rows
                .push(RowDifference::of(pair.table.name, &key, shown, built));
        }
        Ok(())
    }
}

/// The table in which a build keeps what rows of another were before.
fn past_of(build: Build, table: &Table) -> Option<&'static Table> {
    let name = format!("{}_past", table.name);
    build.view.tables().iter().find(|past| past.name == name)
}

/// A table in both builds.
struct Pair {
    shown: Build,
    built: Build,
    table: &'static Table,
    past: Option<&'static Table>,
}

impl Pair {
    /// What tells its rows apart.
    fn key(&self) -> Vec<&'static str> {
        ["tenant"]
            .into_iter()
            .chain(self.table.of)
            .chain(self.table.key.iter().copied())
            .collect()
    }

    fn statement(&self, columns: &[String]) -> String {
        let key = self.key();
        let pairs: Vec<String> = key.iter().map(|key| format!("'{key}', {key}")).collect();
        let (key, pairs) = (key.join(", "), pairs.join(", "));
        // A row that one of them lacks has a position there of nothing at all.
        let comparable = match self.table.of {
            Some(_) => "",
            None => {
                "and coalesce(s.position, 0) <= ($1::bigint[])[partition + 1]
                 and coalesce(b.position, 0) <= ($1::bigint[])[partition + 1]"
            }
        };
        format!(
            "select
                 jsonb_build_object({pairs}) as key,
                 to_jsonb(s) as shown,
                 to_jsonb(b) as built,
                 count(*) over () as count
             from ({shown}) as s
             full join ({built}) as b using ({key})
             where s is distinct from b
                 {comparable}
             order by {key}
             limit $2",
            shown = self.rows(self.shown, columns),
            built = self.rows(self.built, columns),
        )
    }

    /// The rows of one build as of the position.
    fn rows(&self, build: Build, columns: &[String]) -> String {
        let (columns, table) = (columns.join(", "), build.table(self.table.name));
        if self.table.of.is_none() {
            return format!("select {columns} from {table}");
        }
        let as_of = "($1::bigint[])[partition + 1]";
        let present = format!("select {columns} from {table} where position <= {as_of}");
        match self.past {
            None => present,
            Some(past) => format!(
                "{present} union all select {columns} from {} where position <= {as_of} and until > {as_of}",
                build.table(past.name)
            ),
        }
    }
}
