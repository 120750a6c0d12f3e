//! One number for all rows of a view, whatever their order: two databases with the same events have the same.
//!
//! Each row is written as text (its columns by name, as `jsonb`, in UTC), hashed by SHA-256 together with its table's
//! name, and the hashes are added in four lanes of 64 bits, each modulo 2^64. Sums do not depend on an order, so the
//! rows need not be sorted, and nothing is held in memory. They depend on how often a row is there, which an exclusive
//! or would not: a row that is there twice would vanish from it. Two different collections of rows add up to the same
//! with probability 2^-256, as far as SHA-256 behaves like chance. Against somebody who makes up rows for the purpose
//! (the generalized birthday problem) this is weaker than a hash of the whole; what it guards against is accident:
//! whoever can write the tables need not forge a digest. The construction is that of Bellare and Micciancio, "A new
//! paradigm for collision-free hashing: incrementality at reduced cost" (1997), called AdHash there.

use std::fmt;

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::{Error, Snapshot};
use crate::View;

/// What of a row is digested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Everything that was folded: the same log gives the same.
    OfOneLog,
    /// Without what the log itself gave out (positions, event ids, recorded times): the same commands give the same,
    /// in whichever log.
    AcrossLogs,
}

/// The rows of a view, in one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    pub rows: u64,
    /// Sums modulo 2^64.
    lanes: [u64; 4],
}

/// Columns that the log gave out; no view keeps the time of its own commit.
const OF_THE_LOG: [&str; 4] = ["position", "until", "event_id", "recorded_at"];

const DIGEST: &str = include_str!("digest.sql");

impl Digest {
    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        for (lane, added) in self.lanes.iter_mut().zip(other.lanes) {
            *lane = lane.wrapping_add(added);
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lanes
            .iter()
            .try_for_each(|lane| write!(f, "{lane:016x}"))
    }
}

/// A table of one version of its view: the version follows the name.
fn of_version(table: &str, version: i32) -> String {
    format!("{table}_v{version}")
}

/// All tables of a view, without their version, so that two versions can be compared.
///
/// Of the dashboards, the partial rows are digested, not the sums that readers see: sums follow from them, and two errors
/// that cancel each other out in a sum do not cancel out here.
fn tables(view: View) -> &'static [&'static str] {
    match view {
        View::ProjectView => &["project_view", "project_view_past"],
        View::TaskView => &[
            "task_view",
            "task_view_past",
            "task_view_comment",
            "task_view_mark",
            "task_view_mark_past",
        ],
        View::TaskHistory => &["task_history"],
        View::TaskDashboard => &[
            "task_dashboard",
            "task_dashboard_day",
            "task_dashboard_task",
            "task_dashboard_task_past",
        ],
    }
}

impl Snapshot {
    /// The digest of a view's rows, of one tenant or all, in the version that readers see.
    pub async fn digest(
        &mut self,
        view: View,
        tenant: Option<&str>,
        content: Content,
    ) -> Result<Digest, Error> {
        let version = self.version(view);
        let mut digest = Digest::default();
        for table in tables(view) {
            let added = of_table(&mut self.connection, table, version, tenant, content)
                .await
                .map_err(|source| Error::Digest { view, source })?;
            digest.add(added);
        }
        Ok(digest)
    }

    /// The tables that a view's digest covers, as they are named in the database.
    pub fn tables(&self, view: View) -> Vec<String> {
        let version = self.version(view);
        tables(view)
            .iter()
            .map(|table| of_version(table, version))
            .collect()
    }
}

async fn of_table(
    connection: &mut PgConnection,
    table: &str,
    version: i32,
    tenant: Option<&str>,
    content: Content,
) -> Result<Digest, sqlx::Error> {
    let statement = DIGEST.replace("{table}", &of_version(table, version));
    let without: &[&str] = match content {
        Content::OfOneLog => &[],
        Content::AcrossLogs => &OF_THE_LOG,
    };
    let row = sqlx::query(AssertSqlSafe(statement))
        .bind(tenant)
        .bind(table)
        .bind(without)
        .fetch_one(connection)
        .await?;
    let rows: i64 = row.get("rows");
    let mut lanes = [0; 4];
    for (lane, column) in lanes.iter_mut().zip(["first", "second", "third", "fourth"]) {
        *lane = lane_of(row.get(column))?;
    }
    Ok(Digest {
        rows: rows.unsigned_abs(),
        lanes,
    })
}

/// The database adds signed numbers; a negative remainder stands for the number 2^64 above it.
fn lane_of(remainder: &str) -> Result<u64, sqlx::Error> {
    let remainder: i128 = remainder
        .parse()
        .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    u64::try_from(remainder.rem_euclid(1 << 64))
        .map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lanes: [u64; 4]) -> Digest {
        Digest { rows: 1, lanes }
    }

    #[test]
    fn the_order_does_not_matter_and_the_number_does() {
        let (one, two) = (of([1, 2, 3, u64::MAX]), of([u64::MAX, 7, 7, 7]));
        let sum = |rows: &[Digest]| {
            let mut sum = Digest::default();
            rows.iter().for_each(|row| sum.add(*row));
            sum
        };
        assert_eq!(sum(&[one, two]), sum(&[two, one]));
        assert_ne!(sum(&[one, one]).lanes, sum(&[]).lanes);
        assert_ne!(sum(&[one, one, two]).lanes, sum(&[two]).lanes);
    }

    #[test]
    fn a_negative_remainder_stands_for_the_number_above_it() {
        assert_eq!(lane_of("-1").unwrap(), u64::MAX);
        assert_eq!(lane_of("5").unwrap(), 5);
        assert!(lane_of("much").is_err());
    }

    #[test]
    fn every_digest_has_sixty_four_digits() {
        assert_eq!(of([0, 1, 2, 3]).to_string().len(), 64);
    }
}
