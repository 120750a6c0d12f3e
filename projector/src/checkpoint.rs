//! How far each partition of each view is folded, and who may move it.
//!
//! A checkpoint moves in the transaction that writes the rows, by compare-and-set on its position and its fence, and
//! it alone says what has been folded: rows are never asked. Whoever takes a partition over raises its fences first,
//! so that a writer that was only slow, not dead, can commit nothing any more.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use foldline_events::Partition;
use foldline_log::Mark;
use sqlx::{PgConnection, PgPool, Row as _};
use uuid::Uuid;

use crate::{Build, Builds, Error, View, error};

/// One view's place in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Everything up to here has been folded.
    pub mark: Mark,
    /// The Kafka offset stored with it, if any.
    pub offset: Option<i64>,
    /// What it was raised to when the partition was taken over.
    pub fence: i64,
}

/// The checkpoints of one partition, of every build that is folded.
pub type Checkpoints = BTreeMap<Build, Checkpoint>;

/// A step forward of one checkpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Move {
    pub(crate) build: Build,
    pub(crate) partition: Partition,
    pub(crate) from: Checkpoint,
    pub(crate) to: Mark,
    pub(crate) offset: Option<i64>,
}

const RAISE_FENCES: &str = "
    insert into views.checkpoints as c (view, version, partition, epoch, position, event_id, fence, moved_at)
    select
        v.view,
        v.version,
        p.partition,
        $4,
        0,
        $5,
        1,
        now()
    from unnest($1::text[], $2::integer[]) as v (view, version)
    cross join unnest($3::smallint[]) as p (partition)
    order by
        v.view collate \"C\",
        v.version,
        p.partition
    on conflict on constraint checkpoints_pkey do update
    set fence = c.fence + 1,
        -- What was folded from nothing belongs to no log yet.
        epoch = case when c.position = 0 then excluded.epoch else c.epoch end
    returning
        c.view,
        c.partition,
        c.epoch,
        c.position,
        c.event_id,
        c.kafka_offset,
        c.fence
";

/// Takes partitions over from whoever had them: after this commits, nobody else can move their checkpoints.
pub(crate) async fn raise_fences(
    connection: &mut PgConnection,
    builds: &Builds,
    partitions: &[Partition],
    epoch: Uuid,
) -> Result<BTreeMap<Partition, Checkpoints>, Error> {
    let found = sqlx::query(RAISE_FENCES)
        .bind(builds.names())
        .bind(builds.versions())
        .bind(partitions)
        .bind(epoch)
        .bind(Uuid::nil())
        .fetch_all(connection)
        .await
        .map_err(error::unless_unprepared(Error::TakeOver))?;

    let mut taken: BTreeMap<Partition, Checkpoints> = BTreeMap::new();
    for row in found {
        let name: &str = row.get("view");
        let partition = row.get("partition");
        let mark = Mark {
            position: row.get("position"),
            event_id: row.get("event_id"),
        };
        let folded_from: Uuid = row.get("epoch");
        let build = View::named(name).and_then(|view| builds.of(view));
        let build = build.expect("the statement returns the views that it was given");
        if folded_from != epoch {
            return Err(Error::AnotherEpoch {
                view: build.view,
                partition,
                checkpoint: folded_from,
                log: epoch,
            });
        }
        let checkpoint = Checkpoint {
            mark,
            offset: row.get("kafka_offset"),
            fence: row.get("fence"),
        };
        taken
            .entry(partition)
            .or_default()
            .insert(build, checkpoint);
    }
    Ok(taken)
}

const ADVANCE: &str = "
    update views.checkpoints c
    set position = m.position,
        event_id = m.event_id,
        kafka_offset = coalesce(m.kafka_offset, c.kafka_offset),
        moved_at = now()
    from unnest(
        $1::text[], $2::integer[], $3::smallint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::uuid[], $8::bigint[]
    ) as m (view, version, partition, from_position, fence, position, event_id, kafka_offset)
    where c.view = m.view
        and c.version = m.version
        and c.partition = m.partition
        and c.position = m.from_position
        and c.fence = m.fence
    returning
        c.view,
        c.partition,
        c.moved_at
";

/// Moves checkpoints, and tells the database's time of it. Fails with [`Error::Lost`], naming the partitions, when one
/// of them is not where and whose it was.
pub(crate) async fn advance(
    connection: &mut PgConnection,
    moves: &[Move],
) -> Result<Option<DateTime<Utc>>, Error> {
    let column = |of: fn(&Move) -> i64| moves.iter().map(of).collect::<Vec<i64>>();
    let partitions: Vec<Partition> = moves.iter().map(|step| step.partition).collect();
    let found = sqlx::query(ADVANCE)
        .bind(
            moves
                .iter()
                .map(|step| step.build.view.name())
                .collect::<Vec<_>>(),
        )
        .bind(
            moves
                .iter()
                .map(|step| step.build.version)
                .collect::<Vec<_>>(),
        )
        .bind(partitions)
        .bind(column(|step| step.from.mark.position))
        .bind(column(|step| step.from.fence))
        .bind(column(|step| step.to.position))
        .bind(
            moves
                .iter()
                .map(|step| step.to.event_id)
                .collect::<Vec<_>>(),
        )
        .bind(moves.iter().map(|step| step.offset).collect::<Vec<_>>())
        .fetch_all(connection)
        .await
        .map_err(Error::Checkpoints)?;

    let moved: BTreeSet<(&str, Partition)> = found
        .iter()
        .map(|row| (row.get("view"), row.get("partition")))
        .collect();
    let lost: BTreeSet<Partition> = moves
        .iter()
        .filter(|step| !moved.contains(&(step.build.view.name(), step.partition)))
        .map(|step| step.partition)
        .collect();
    if lost.is_empty() {
        Ok(found.first().map(|row| row.get("moved_at")))
    } else {
        Err(Error::Lost {
            partitions: lost.into_iter().collect(),
        })
    }
}

/// Sees to it that nobody moves a checkpoint before this transaction ends. Fails with [`Error::Lost`] when it is not where
/// and whose it was.
pub(crate) async fn hold(
    connection: &mut PgConnection,
    build: Build,
    partition: Partition,
    checkpoint: Checkpoint,
) -> Result<(), Error> {
    let held: Option<i64> = sqlx::query_scalar(
        "select fence
         from views.checkpoints
         where view = $1
             and version = $2
             and partition = $3
             and position = $4
             and fence = $5
         for no key update",
    )
    .bind(build.view.name())
    .bind(build.version)
    .bind(partition)
    .bind(checkpoint.mark.position)
    .bind(checkpoint.fence)
    .fetch_optional(connection)
    .await
    .map_err(Error::Checkpoints)?;
    if held.is_some() {
        Ok(())
    } else {
        Err(Error::Lost {
            partitions: vec![partition],
        })
    }
}

const SET_BACK: &str = "
    select distinct
        h.partition
    from unnest($1::text[], $2::integer[], $3::smallint[], $4::bigint[], $5::bigint[])
        as h (view, version, partition, position, fence)
    left join views.checkpoints c
        on c.view = h.view
        and c.version = h.version
        and c.partition = h.partition
    where c.fence is null
        or (c.fence, c.position) < (h.fence, h.position)
    order by h.partition
";

/// Fails with [`Error::SetBack`] when checkpoints are behind those that are held: a crash of the server took the last commits
/// back, which do not wait for its disk. Whoever writes next finds out by itself; while there is nothing to write, nobody does.
pub(crate) async fn compare(
    pool: &PgPool,
    held: &[(Build, Partition, Checkpoint)],
) -> Result<(), Error> {
    let column = |of: fn(&Checkpoint) -> i64| -> Vec<i64> {
        held.iter().map(|(.., checkpoint)| of(checkpoint)).collect()
    };
    let partitions: Vec<Partition> = sqlx::query_scalar(SET_BACK)
        .bind(
            held.iter()
                .map(|(build, ..)| build.view.name())
                .collect::<Vec<_>>(),
        )
        .bind(
            held.iter()
                .map(|(build, ..)| build.version)
                .collect::<Vec<_>>(),
        )
        .bind(
            held.iter()
                .map(|(_, partition, _)| *partition)
                .collect::<Vec<_>>(),
        )
        .bind(column(|checkpoint| checkpoint.mark.position))
        .bind(column(|checkpoint| checkpoint.fence))
        .fetch_all(pool)
        .await
        .map_err(Error::Checkpoints)?;
    match partitions.is_empty() {
        true => Ok(()),
        false => Err(Error::SetBack { partitions }),
    }
}
