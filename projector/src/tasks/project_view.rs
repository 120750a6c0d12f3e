//! `project_view`: one row per project.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use foldline_events::{
    Event, Partition, Position, Version,
    tasks::{ProjectCreated, ProjectEvent},
};
use sqlx::{PgConnection, Row as _, error::BoxDynError, postgres::PgRow};

use super::must_follow;
use crate::{
    Build, Error, Folded,
    keys::{Key, Keys},
    records::{Columns, Ended, Record},
    view::Table,
};

pub(crate) const PROJECTION: i32 = 4;
pub(crate) const DDL: &str = include_str!("project_view.sql");
pub(crate) const TABLES: &[Table] = &[
    Table {
        name: "project_view",
        of: Some("project_id"),
        key: &[],
        is_only_added: false,
    },
    Table {
        name: "project_view_past",
        of: Some("project_id"),
        key: &["position"],
        is_only_added: true,
    },
];

type Rows<'a> = BTreeMap<Key<'a>, Row>;

#[derive(Debug, Clone)]
struct Row {
    name: String,
    description: Option<String>,
    archived: bool,
    created_at: DateTime<Utc>,
    archived_at: Option<DateTime<Utc>>,
    updated_at: DateTime<Utc>,
    version: Version,
    position: Position,
    partition: Partition,
}

impl Row {
    fn created(folded: &Folded<'_>, created: &ProjectCreated) -> Self {
        let at = folded.recorded.occurred_at;
        Self {
            name: created.name.clone(),
            description: created.description.clone(),
            archived: false,
            created_at: at,
            archived_at: None,
            updated_at: at,
            version: 0,
            position: 0,
            partition: folded.recorded.partition,
        }
    }

    fn evolve(&mut self, folded: &Folded<'_>, event: &ProjectEvent) {
        let at = folded.recorded.occurred_at;
        match event {
            ProjectEvent::Created(_) => {} // The row was made of it.
            ProjectEvent::Renamed(renamed) => self.name.clone_from(&renamed.name),
            ProjectEvent::Described(described) => {
                self.description.clone_from(&described.description);
            }
            ProjectEvent::Archived(_) => {
                self.archived = true;
                self.archived_at = Some(at);
            }
            ProjectEvent::Restored(_) => {
                self.archived = false;
                self.archived_at = None;
            }
        }
        self.updated_at = at;
        self.version = folded.recorded.version;
        self.position = folded.recorded.position;
    }
}

pub(crate) async fn fold(
    connection: &mut PgConnection,
    build: Build,
    events: &[Folded<'_>],
) -> Result<(), Error> {
    let mut of_projects = Vec::new();
    for folded in events {
        match folded.event {
            Event::Project(event) => of_projects.push((folded, folded.aggregate()?, event)),
            Event::Task(_) | Event::TaskKey(_) => {}
        }
    }
    if of_projects.is_empty() {
        return Ok(());
    }

    // A stream that begins in this delivery has no row yet.
    let begun: Keys = of_projects
        .iter()
        .filter(|(folded, ..)| folded.recorded.version > 1)
        .map(|(folded, project, _)| (&folded.recorded.tenant, *project))
        .collect();
    let mut rows = load(connection, build, &begun).await?;
    let mut past = Ended::new(build, STORE_PAST);

    for (folded, project, event) in of_projects {
        let key = (&folded.recorded.tenant, project);
        if let ProjectEvent::Created(created) = event {
            rows.entry(key)
                .or_insert_with(|| Row::created(folded, created));
        }
        let row = rows
            .get_mut(&key)
            .ok_or_else(|| folded.unfoldable(format!("project {project} has no row")))?;
        must_follow(folded, row.version)?;
        if row.version > 0 {
            let ended = Past {
                key,
                row: row.clone(),
                until: folded.recorded.position,
            };
            let bytes = row.name.len() + row.description.as_ref().map_or(0, String::len);
            past.push(connection, ended, bytes).await?;
        }
        row.evolve(folded, event);
    }
    past.write(connection).await?;
    store(connection, build, &rows).await
}

async fn load<'a>(
    connection: &mut PgConnection,
    build: Build,
    keys: &Keys<'a>,
) -> Result<Rows<'a>, Error> {
    if keys.is_empty() {
        return Ok(Rows::new());
    }
    let statement = build.sql(
        "select
             k.number,
             r.name,
             r.description,
             r.archived,
             r.created_at,
             r.archived_at,
             r.updated_at,
             r.version,
             r.position,
             r.partition
         from unnest($1::text[], $2::uuid[]) with ordinality as k (tenant, project_id, number)
         join views.project_view_v{version} r
             on r.tenant = k.tenant
             and r.project_id = k.project_id",
    );
    let found = sqlx::query(statement)
        .bind(keys.tenants())
        .bind(keys.ids())
        .fetch_all(connection)
        .await
        .map_err(build.rows_error())?;
    let of = |row: PgRow| {
        let present = Row {
            name: row.get("name"),
            description: row.get("description"),
            archived: row.get("archived"),
            created_at: row.get("created_at"),
            archived_at: row.get("archived_at"),
            updated_at: row.get("updated_at"),
            version: row.get("version"),
            position: row.get("position"),
            partition: row.get("partition"),
        };
        (keys.numbered(row.get("number")), present)
    };
    Ok(found.into_iter().map(of).collect())
}

const STORE: &str = "
    insert into views.project_view_v{version} as r
    select *
    from unnest($1::views.project_view_v{version}[])
    on conflict on constraint project_view_v{version}_pkey do update
    set name = excluded.name,
        description = excluded.description,
        archived = excluded.archived,
        archived_at = excluded.archived_at,
        updated_at = excluded.updated_at,
        version = excluded.version,
        position = excluded.position
";

const STORE_PAST: &str = "
    insert into views.project_view_past_v{version}
    select *
    from unnest($1::views.project_view_past_v{version}[])
";

/// A row as it is.
struct Present<'r>(Key<'r>, &'r Row);

/// A row as it was, until an event changed it.
struct Past<'r> {
    key: Key<'r>,
    row: Row,
    until: Position,
}

impl Record for Present<'_> {
    const TABLE: &'static str = "project_view";

    fn write(&self, columns: &mut Columns<'_>) -> Result<(), BoxDynError> {
        let Self((tenant, project), row) = self;
        columns
            .encode(tenant.as_str())?
            .encode(*project)?
            .encode(row.name.as_str())?
            .encode(row.description.as_deref())?
            .encode(row.archived)?
            .encode(row.created_at)?
            .encode(row.archived_at)?
            .encode(row.updated_at)?
            .encode(row.version)?
            .encode(row.position)?
            .encode(row.partition)?;
        Ok(())
    }
}

impl Record for Past<'_> {
    const TABLE: &'static str = "project_view_past";

    fn write(&self, columns: &mut Columns<'_>) -> Result<(), BoxDynError> {
        Present(self.key, &self.row).write(columns)?;
        columns.encode(self.until)?;
        Ok(())
    }
}

async fn store(connection: &mut PgConnection, build: Build, rows: &Rows<'_>) -> Result<(), Error> {
    let present: Vec<_> = rows.iter().map(|(key, row)| Present(*key, row)).collect();
    build.write(connection, STORE, &present).await
}
