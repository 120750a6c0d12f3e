//! The marks of tasks: which labels and free-form facts each has, for lists that ask for them.

use std::collections::{BTreeMap, BTreeSet};

use foldline_events::{
    Partition,
    tasks::{label_mark, metadata_mark},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    VIEW,
    rows::{Row, Rows},
};
use crate::{Error, keys::Key};

type Marks<'a> = BTreeMap<Key<'a>, BTreeSet<Uuid>>;

pub(super) fn of_all<'a>(rows: &Rows<'a>) -> Marks<'a> {
    rows.iter().map(|(key, row)| (*key, of(row))).collect()
}

fn of(row: &Row) -> BTreeSet<Uuid> {
    let labels = row.labels.iter().map(|label| label_mark(label));
    let metadata = row
        .metadata
        .iter()
        .map(|(name, value)| metadata_mark(name, value));
    labels.chain(metadata).collect()
}

/// A mark of one task, with the partition that it lies in.
type Marked<'a> = (Key<'a>, Uuid, Partition);

/// Writes what became different since `before`.
pub(super) async fn store(
    connection: &mut PgConnection,
    rows: &Rows<'_>,
    before: &Marks<'_>,
) -> Result<(), Error> {
    let none = BTreeSet::new();
    let (mut gone, mut new) = (Vec::new(), Vec::new());
    for (key, row) in rows {
        let (then, now) = (before.get(key).unwrap_or(&none), of(row));
        gone.extend(
            then.difference(&now)
                .map(|mark| (*key, *mark, row.partition)),
        );
        new.extend(
            now.difference(then)
                .map(|mark| (*key, *mark, row.partition)),
        );
    }
    if !gone.is_empty() {
        let statement = VIEW.sql(
            "delete from views.task_view_mark_v{version} m
             using unnest($1::text[], $2::uuid[], $3::uuid[]) as gone (tenant, mark, task_id)
             where m.tenant = gone.tenant
                 and m.mark = gone.mark
                 and m.task_id = gone.task_id",
        );
        sqlx::query(statement)
            .bind(column(&gone, |((tenant, _), ..)| tenant.as_str()))
            .bind(column(&gone, |(_, mark, _)| *mark))
            .bind(column(&gone, |((_, task), ..)| *task))
            .execute(&mut *connection)
            .await
            .map_err(VIEW.rows_error())?;
    }
    if !new.is_empty() {
        let statement = VIEW.sql(
            "insert into views.task_view_mark_v{version} (tenant, mark, task_id, partition)
             select *
             from unnest($1::text[], $2::uuid[], $3::uuid[], $4::smallint[])",
        );
        sqlx::query(statement)
            .bind(column(&new, |((tenant, _), ..)| tenant.as_str()))
            .bind(column(&new, |(_, mark, _)| *mark))
            .bind(column(&new, |((_, task), ..)| *task))
            .bind(column(&new, |(.., partition)| *partition))
            .execute(connection)
            .await
            .map_err(VIEW.rows_error())?;
    }
    Ok(())
}

fn column<'m, T>(marks: &'m [Marked<'m>], of: impl Fn(&'m Marked<'m>) -> T) -> Vec<T> {
    marks.iter().map(of).collect()
}
