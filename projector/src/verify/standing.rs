//! A moment at which views can be compared: all of them folded to the same place.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use foldline_events::{PARTITIONS, Partition, Position};
use sqlx::{Connection, PgConnection, Row};
use tokio::time::Instant;
use uuid::Uuid;

use super::Error;
use crate::View;

/// The pause before the checkpoints are looked at again.
const LOOK_PAUSE_MS: u64 = 100;

/// The lock keeps readers' builds as they are from before the snapshot on. Text must not depend on the server's settings. A check of millions of rows takes its time; one that takes longer
/// than this holds back the removal of dead rows for too long.
const BEGIN: &str = "begin isolation level repeatable read, read only; \
    lock table views.active in access share mode; \
    set local timezone = 'UTC'; \
    set local statement_timeout = '15min'";

/// How alike views must stand to be read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Each partition where it is in the other views: every row belongs to one partition, so sums over all of them are of
    /// the same events.
    SamePerPartition,
    /// All partitions at one position: what is compared with another database must be of the same events there.
    SameEverywhere,
}

/// Where the views stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Up to here all of them have folded every partition.
    pub completed: Position,
    /// Which log they were folded from; `None` when nothing was folded.
    pub epoch: Option<Uuid>,
    versions: BTreeMap<View, i32>,
    /// From where on rows of the past are kept, of the views of which not all are.
    kept: BTreeMap<View, Position>,
}

impl Standing {
    /// Rows of the past that ended up to there may be gone.
    pub(super) fn kept(&self, view: View) -> Position {
        self.kept.get(&view).copied().unwrap_or(0)
    }
}

/// A view's checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Folded {
    version: i32,
    kept: Option<Position>,
    epochs: BTreeSet<Uuid>,
    positions: [Position; PARTITIONS as usize],
}

/// One moment of the view database, and the connection that sees it.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) connection: PgConnection,
    pub standing: Standing,
    /// What is checked is what readers see as of then; of the present, `None`.
    pub(super) as_of: Option<Position>,
}

impl Snapshot {
    /// Waits for a moment at which the views stand as they need to. The connection must act as the role
    /// `foldline_projector`, which sees every tenant.
    ///
    /// # Errors
    /// [`Error::Apart`] when there was no such moment within `wait_ms_max`.
    pub async fn take(
        mut connection: PgConnection,
        views: &[View],
        need: Need,
        wait_ms_max: u64,
    ) -> Result<Self, Error> {
        let until = Instant::now() + Duration::from_millis(wait_ms_max);
        loop {
            sqlx::raw_sql(BEGIN)
                .execute(&mut connection)
                .await
                .map_err(unreadable)?;
            let found = read(&mut connection, views).await.map_err(unreadable)?;
            match stand(views, &found, need) {
                Ok(standing) => {
                    return Ok(Self {
                        connection,
                        standing,
                        as_of: None,
                    });
                }
                Err(Unfit::Missing(view)) => return Err(Error::NoView { view }),
                Err(Unfit::Apart(why)) if Instant::now() >= until => {
                    return Err(Error::Apart {
                        waited_ms: wait_ms_max,
                        why,
                    });
                }
                Err(Unfit::Apart(_)) => {}
            }
            // The snapshot shows this moment for ever; another moment takes another transaction.
            sqlx::raw_sql("rollback")
                .execute(&mut connection)
                .await
                .map_err(unreadable)?;
            tokio::time::sleep(Duration::from_millis(LOOK_PAUSE_MS)).await;
        }
    }

    /// The version of a view that readers see.
    pub fn version(&self, view: View) -> i32 {
        let version = self.standing.versions.get(&view);
        version.copied().unwrap_or_else(|| view.projection())
    }

    /// How many streams wait in the views that readers see, each counted in each view, and are to be missed there.
    pub async fn parked(&mut self, tenant: Option<&str>) -> Result<i64, Error> {
        sqlx::query_scalar(
            "select count(*)
             from views.parked
             join views.active
                 on active.view = parked.view
                 and active.version = parked.view_version
             where $1::text is null
                 or parked.tenant = $1",
        )
        .bind(tenant)
        .fetch_one(&mut self.connection)
        .await
        .map_err(Error::Parked)
    }

    /// Ends the transaction, and with it the connection.
    pub async fn close(self) -> Result<(), sqlx::Error> {
        self.connection.close().await
    }
}

/// No such table or schema, and no right to it: what the migration makes is not there.
const UNPREPARED: [&str; 3] = ["42P01", "3F000", "42501"];

fn unreadable(source: sqlx::Error) -> Error {
    let code = source.as_database_error().and_then(|error| error.code());
    if code.is_some_and(|code| UNPREPARED.contains(&code.as_ref())) {
        Error::NotMigrated(source)
    } else {
        Error::Checkpoints(source)
    }
}

async fn read(
    connection: &mut PgConnection,
    views: &[View],
) -> Result<BTreeMap<View, Folded>, sqlx::Error> {
    let names: Vec<&str> = views.iter().map(|view| view.name()).collect();
    let rows = sqlx::query(
        "select
             active.view,
             active.version,
             checkpoints.partition,
             checkpoints.epoch,
             checkpoints.position,
             kept.position as kept
         from views.active
         left join views.kept
             on kept.view = active.view
             and kept.version = active.version
         left join views.checkpoints
             on checkpoints.view = active.view
             and checkpoints.version = active.version
             and checkpoints.position > 0
         where active.view = any($1)",
    )
    .bind(names)
    .fetch_all(connection)
    .await?;
    let mut found = BTreeMap::new();
    for row in rows {
        let name: &str = row.get("view");
        let Some(view) = views.iter().find(|view| view.name() == name) else {
            continue;
        };
        let folded = found.entry(*view).or_insert_with(|| Folded {
            version: row.get("version"),
            kept: row.get("kept"),
            epochs: BTreeSet::new(),
            positions: [0; PARTITIONS as usize],
        });
        let place: (Option<Partition>, Option<Position>) =
            (row.get("partition"), row.get("position"));
        if let (Some(partition), Some(position)) = place {
            let index = usize::try_from(partition).ok();
            if let Some(at) = index.and_then(|index| folded.positions.get_mut(index)) {
                *at = position;
            }
            folded.epochs.extend(row.get::<Option<Uuid>, _>("epoch"));
        }
    }
    Ok(found)
}

/// Why views cannot be read together.
#[derive(Debug, PartialEq, Eq)]
enum Unfit {
    Missing(View),
    Apart(String),
}

/// Where the views stand, if that is how they need to.
fn stand(views: &[View], found: &BTreeMap<View, Folded>, need: Need) -> Result<Standing, Unfit> {
    let mut epochs = BTreeSet::new();
    let mut positions = Vec::new();
    let mut versions = BTreeMap::new();
    let mut kept = BTreeMap::new();
    for view in views {
        let folded = found.get(view).ok_or(Unfit::Missing(*view))?;
        epochs.extend(&folded.epochs);
        positions.push((*view, folded.positions));
        versions.insert(*view, folded.version);
        kept.extend(folded.kept.map(|position| (*view, position)));
    }
    if epochs.len() > 1 {
        let why = "they were folded from different logs".to_owned();
        return Err(Unfit::Apart(why));
    }
    if let Some(why) = apart(&positions, need) {
        return Err(Unfit::Apart(why));
    }
    let lowest = positions.iter().flat_map(|(_, at)| at).min();
    Ok(Standing {
        completed: lowest.copied().unwrap_or(0),
        epoch: epochs.first().copied(),
        versions,
        kept,
    })
}

/// The first two places that are not the same, in words.
fn apart(positions: &[(View, [Position; PARTITIONS as usize])], need: Need) -> Option<String> {
    let places = |(view, at): &(View, [Position; PARTITIONS as usize])| {
        let view = *view;
        (0..PARTITIONS)
            .zip(*at)
            .map(move |(partition, position)| (view, partition, position))
            .collect::<Vec<_>>()
    };
    let all: Vec<_> = positions.iter().flat_map(places).collect();
    all.iter().find_map(|(view, partition, position)| {
        let other = all.iter().find(|(_, other, at)| {
            let compared = match need {
                Need::SamePerPartition => other == partition,
                Need::SameEverywhere => true,
            };
            compared && at != position
        })?;
        let (other_view, other_partition, other_position) = other;
        Some(format!(
            "{view} has partition {partition} folded to {position}, {other_view} has partition {other_partition} folded \
             to {other_position}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEWS: [View; 2] = [View::TaskView, View::TaskDashboard];

    fn folded(epoch: u128, positions: [Position; PARTITIONS as usize]) -> Folded {
        Folded {
            version: 1,
            kept: None,
            epochs: BTreeSet::from([Uuid::from_u128(epoch)]),
            positions,
        }
    }

    fn both(one: Folded, other: Folded) -> BTreeMap<View, Folded> {
        BTreeMap::from([(VIEWS[0], one), (VIEWS[1], other)])
    }

    fn why(found: &BTreeMap<View, Folded>, need: Need) -> String {
        match stand(&VIEWS, found, need) {
            Err(Unfit::Apart(why)) => why,
            other @ (Ok(_) | Err(Unfit::Missing(_))) => panic!("{other:?}"),
        }
    }

    #[test]
    fn views_are_compared_when_each_partition_is_where_it_is_in_the_other() {
        let mut positions = [7; PARTITIONS as usize];
        positions[3] = 5;
        let found = both(folded(1, positions), folded(1, positions));
        let standing = stand(&VIEWS, &found, Need::SamePerPartition);
        assert_eq!(standing.unwrap().completed, 5);
        let why = why(&found, Need::SameEverywhere);
        assert!(why.contains("partition 3 folded to 5"), "{why}");
    }

    #[test]
    fn views_are_not_compared_when_one_is_further() {
        let mut further = [7; PARTITIONS as usize];
        further[31] = 8;
        let found = both(folded(1, [7; PARTITIONS as usize]), folded(1, further));
        for need in [Need::SamePerPartition, Need::SameEverywhere] {
            let why = why(&found, need);
            assert!(why.contains("partition 31 folded to 8"), "{why}");
        }
    }

    #[test]
    fn views_of_different_logs_are_not_compared() {
        let at = [7; PARTITIONS as usize];
        let found = both(folded(1, at), folded(2, at));
        let why = why(&found, Need::SamePerPartition);
        assert!(why.contains("different logs"), "{why}");
    }

    #[test]
    fn a_view_that_is_not_installed_is_missing() {
        let missing = stand(&VIEWS, &BTreeMap::new(), Need::SamePerPartition);
        assert_eq!(missing, Err(Unfit::Missing(View::TaskView)));
    }
}
