//! The marks of tasks: which labels and free-form facts each has, and had, for lists that ask for them.

use std::collections::{BTreeMap, BTreeSet};

use foldline_events::{
    Partition, Position,
    tasks::{label_mark, metadata_mark},
};
use sqlx::{PgConnection, error::BoxDynError};
use uuid::Uuid;

use super::rows::Row;
use crate::{
    Build, Error,
    keys::Key,
    records::{Columns, Record},
};

/// What becomes of marks, each of one task.
#[derive(Debug, Default)]
pub(super) struct Changes<'a>(BTreeMap<(Key<'a>, Uuid), Change>);

/// What becomes of one mark.
#[derive(Debug, Default)]
struct Change {
    partition: Partition,
    /// When the task lost it, where it had it before.
    gone: Option<Position>,
    /// From when until when the task had it, of what is not in the table yet.
    past: Vec<(Position, Position)>,
    /// Since when the task has it again, or for the first time.
    new: Option<Position>,
}

/// A mark that a task has.
#[derive(Debug)]
struct Present<'a> {
    key: Key<'a>,
    mark: Uuid,
    partition: Partition,
    position: Position,
}

/// A mark that a task had.
#[derive(Debug)]
struct Past<'a> {
    of: Present<'a>,
    until: Position,
}

/// The marks of a task before it is changed; one that is about to be created has none.
pub(super) fn before(row: &Row) -> BTreeSet<Uuid> {
    if row.version == 0 {
        return BTreeSet::new();
    }
    of(row)
}

fn of(row: &Row) -> BTreeSet<Uuid> {
    let labels = row.labels.iter().map(|label| label_mark(label));
    let metadata = row
        .metadata
        .iter()
        .map(|(name, value)| metadata_mark(name, value));
    labels.chain(metadata).collect()
}

impl<'a> Changes<'a> {
    /// Takes in what an event made different since `before`.
    pub(super) fn add(&mut self, key: Key<'a>, before: &BTreeSet<Uuid>, row: &Row) {
        let after = of(row);
        for mark in before.difference(&after) {
            let change = self.of(key, *mark, row.partition);
            match change.new.take() {
                Some(since) => change.past.push((since, row.position)),
                None => change.gone = Some(row.position),
            }
        }
        for mark in after.difference(before) {
            self.of(key, *mark, row.partition).new = Some(row.position);
        }
    }

    fn of(&mut self, key: Key<'a>, mark: Uuid, partition: Partition) -> &mut Change {
        let change = self.0.entry((key, mark)).or_default();
        change.partition = partition;
        change
    }

    /// Every change, with the mark as it would be present from a position on.
    fn iter(&self) -> impl Iterator<Item = (&Change, impl Fn(Position) -> Present<'a>)> {
        self.0.iter().map(|((key, mark), change)| {
            let present = |position| Present {
                key: *key,
                mark: *mark,
                partition: change.partition,
                position,
            };
            (change, present)
        })
    }
}

impl Record for Present<'_> {
    const TABLE: &'static str = "task_view_mark";

    fn write(&self, columns: &mut Columns<'_>) -> Result<(), BoxDynError> {
        let (tenant, task) = self.key;
        columns
            .encode(tenant.as_str())?
            .encode(self.mark)?
            .encode(task)?
            .encode(self.partition)?
            .encode(self.position)?;
        Ok(())
    }
}

impl Record for Past<'_> {
    const TABLE: &'static str = "task_view_mark_past";

    fn write(&self, columns: &mut Columns<'_>) -> Result<(), BoxDynError> {
        self.of.write(columns)?;
        columns.encode(self.until)?;
        Ok(())
    }
}

const END: &str = "
    with gone as (
        delete from views.task_view_mark_v{version} m
        using unnest($1::views.task_view_mark_past_v{version}[]) as ended
        where m.tenant = ended.tenant
            and m.mark = ended.mark
            and m.task_id = ended.task_id
        returning m.tenant, m.mark, m.task_id, m.partition, m.position, ended.until
    )
    insert into views.task_view_mark_past_v{version} (tenant, mark, task_id, partition, position, until)
    select *
    from gone
";

const STORE_PAST: &str = "
    insert into views.task_view_mark_past_v{version}
    select *
    from unnest($1::views.task_view_mark_past_v{version}[])
";

const STORE: &str = "
    insert into views.task_view_mark_v{version}
    select *
    from unnest($1::views.task_view_mark_v{version}[])
";

pub(super) async fn store(
    connection: &mut PgConnection,
    build: Build,
    changes: &Changes<'_>,
) -> Result<(), Error> {
    let (mut gone, mut past, mut new) = (Vec::new(), Vec::new(), Vec::new());
    for (change, present) in changes.iter() {
        gone.extend(change.gone.map(|until| Past {
            // Since when it was there is in the table.
            of: present(0),
            until,
        }));
        past.extend(change.past.iter().map(|(since, until)| Past {
            of: present(*since),
            until: *until,
        }));
        new.extend(change.new.map(&present));
    }
    // What is gone first: the task may have it again.
    build.write(connection, END, &gone).await?;
    build.write(connection, STORE_PAST, &past).await?;
    build.write(connection, STORE, &new).await
}
