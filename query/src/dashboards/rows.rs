//! The sums of many projects or assignees at once.

use std::collections::{BTreeMap, HashMap};

use async_graphql::dataloader::Loader;
use chrono::NaiveDate;
use sqlx::{FromRow, Postgres, QueryBuilder, postgres::PgRow};
use uuid::Uuid;

use crate::{
    error::Error,
    read::{Loaders, Reader, Scope},
};

/// Whose tasks are summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    Project(Uuid),
    /// Who is responsible for them.
    Assignee(Uuid),
}

/// How the views that hold one kind of owner's sums are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Names {
    sums: &'static str,
    days: &'static str,
    id: &'static str,
}

/// Everything that is summed.
#[derive(Debug, Clone, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Sums {
    pub total: i64,
    pub open: i64,
    pub in_progress: i64,
    pub blocked: i64,
    pub completed: i64,
    pub cancelled: i64,
    pub low: i64,
    pub medium: i64,
    pub high: i64,
    pub critical: i64,
    pub estimated_hundredths: i64,
    pub actual_hundredths: i64,
    pub efficiency_count: i64,
    pub efficiency_micros: i64,
    pub position: i64,
}

/// What is summed by days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DayRow {
    pub created: i64,
    pub completed: i64,
    pub due: i64,
}

/// The days of an owner on which there is something, from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DaysOf {
    pub owner: Owner,
    pub from: NaiveDate,
    pub to: NaiveDate,
}

/// How many tasks of an owner are overdue on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OverdueOf {
    pub owner: Owner,
    pub on: NaiveDate,
}

#[derive(Debug, FromRow)]
struct SumsOf {
    owner_id: Uuid,
    #[sqlx(flatten)]
    sums: Sums,
}

pub const OF_PROJECTS: Names = Names {
    sums: "project_dashboard",
    days: "project_dashboard_day",
    id: "project_id",
};

pub const OF_ASSIGNEES: Names = Names {
    sums: "assignee_dashboard",
    days: "assignee_dashboard_day",
    id: "assignee_id",
};

const SUMS: &str = "
        coalesce(total, 0) as total,
        coalesce(open, 0) as open,
        coalesce(in_progress, 0) as in_progress,
        coalesce(blocked, 0) as blocked,
        coalesce(completed, 0) as completed,
        coalesce(cancelled, 0) as cancelled,
        coalesce(low, 0) as low,
        coalesce(medium, 0) as medium,
        coalesce(high, 0) as high,
        coalesce(critical, 0) as critical,
        coalesce(estimated_hundredths, 0) as estimated_hundredths,
        coalesce(actual_hundredths, 0) as actual_hundredths,
        coalesce(efficiency_count, 0) as efficiency_count,
        coalesce(efficiency_micros, 0) as efficiency_micros,";

impl Owner {
    fn names(self) -> Names {
        match self {
            Self::Project(_) => OF_PROJECTS,
            Self::Assignee(_) => OF_ASSIGNEES,
        }
    }

    fn id(self) -> Uuid {
        match self {
            Self::Project(id) | Self::Assignee(id) => id,
        }
    }

    /// The other way round.
    fn named(names: Names, id: Uuid) -> Self {
        if names == OF_PROJECTS {
            Self::Project(id)
        } else {
            Self::Assignee(id)
        }
    }
}

/// A project without tasks has no sums, but it is a project: its sums are zero. Whose tasks have been folded before it has
/// sums.
pub fn of_projects(scope: Scope<'_>, projects: Vec<Uuid>) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("select project_id as owner_id,");
    query.push(SUMS);
    query.push("coalesce(sums.position, project.position) as position from (select * from ");
    query
        .push(scope.view(OF_PROJECTS.sums))
        .push(" where tenant = ");
    query.push_bind(scope.tenant.to_owned());
    query
        .push(" and project_id = any(")
        .push_bind(projects.clone());
    query.push(")) as sums full join (select project_id, position");
    query.push(format!(
        " from {} where tenant = ",
        scope.view("project_view")
    ));
    query.push_bind(scope.tenant.to_owned());
    query.push(" and project_id = any(").push_bind(projects);
    query.push(")) as project using (project_id)");
    query
}

pub fn of_assignees(scope: Scope<'_>, assignees: Vec<Uuid>) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("select assignee_id as owner_id,");
    query
        .push(SUMS)
        .push("position from ")
        .push(scope.view(OF_ASSIGNEES.sums));
    query
        .push(" where tenant = ")
        .push_bind(scope.tenant.to_owned());
    query
        .push(" and assignee_id = any(")
        .push_bind(assignees)
        .push(")");
    query
}

pub fn days(
    scope: Scope<'_>,
    names: Names,
    owners: Vec<Uuid>,
    (from, to): (NaiveDate, NaiveDate),
) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("select ");
    query
        .push(names.id)
        .push(" as owner_id, day, created, completed, due from ");
    push_days(&mut query, scope, names, owners);
    query.push(" and day between ").push_bind(from);
    query.push(" and ").push_bind(to);
    query
}

pub fn overdue(
    scope: Scope<'_>,
    names: Names,
    owners: Vec<Uuid>,
    on: NaiveDate,
) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("select ");
    query
        .push(names.id)
        .push(" as owner_id, sum(due)::bigint from ");
    push_days(&mut query, scope, names, owners);
    query.push(" and day < ").push_bind(on);
    query.push(" group by 1");
    query
}

/// Of all days of one owner, in any order of them: it is another when any of them changed.
pub fn digest(scope: Scope<'_>, owner: Owner) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(
        "select coalesce(sum(hash_record_extended((day, created, completed, due), 0)), 0)::text from ",
    );
    push_days(&mut query, scope, owner.names(), vec![owner.id()]);
    query
}

fn push_days(
    query: &mut QueryBuilder<Postgres>,
    scope: Scope<'_>,
    names: Names,
    owners: Vec<Uuid>,
) {
    query.push(scope.view(names.days)).push(" where tenant = ");
    query.push_bind(scope.tenant.to_owned());
    query.push(" and ").push(names.id).push(" = any(");
    query.push_bind(owners).push(")");
}

/// Groups keys whose owners can be read by one statement.
fn groups<K: Copy, G: Eq + std::hash::Hash>(
    keys: &[K],
    owner: impl Fn(K) -> Owner,
    group: impl Fn(K) -> G,
) -> HashMap<(Names, G), Vec<Uuid>> {
    let mut groups: HashMap<(Names, G), Vec<Uuid>> = HashMap::new();
    for key in keys {
        let owner = owner(*key);
        let group = groups.entry((owner.names(), group(*key))).or_default();
        group.push(owner.id());
    }
    groups
}

async fn read<R>(reader: &Reader, mut query: QueryBuilder<Postgres>) -> Result<Vec<R>, Error>
where
    R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let mut transaction = reader.begin().await?;
    query
        .build_query_as()
        .fetch_all(&mut *transaction)
        .await
        .map_err(Error::read)
}

impl Loader<Owner> for Loaders {
    type Value = Sums;
    type Error = Error;

    async fn load(&self, keys: &[Owner]) -> Result<HashMap<Owner, Sums>, Error> {
        let scope = self.reader.scope();
        let mut loaded = HashMap::with_capacity(keys.len());
        for ((names, ()), owners) in groups(keys, |owner| owner, |_| ()) {
            let query = if names == OF_PROJECTS {
                of_projects(scope, owners)
            } else {
                of_assignees(scope, owners)
            };
            let rows: Vec<SumsOf> = read(&self.reader, query).await?;
            let owned = rows
                .into_iter()
                .map(|of| (Owner::named(names, of.owner_id), of.sums));
            loaded.extend(owned);
        }
        Ok(loaded)
    }
}

impl Loader<DaysOf> for Loaders {
    type Value = BTreeMap<NaiveDate, DayRow>;
    type Error = Error;

    async fn load(&self, keys: &[DaysOf]) -> Result<HashMap<DaysOf, Self::Value>, Error> {
        let mut loaded: HashMap<DaysOf, BTreeMap<NaiveDate, DayRow>> = HashMap::new();
        for ((names, (from, to)), owners) in groups(keys, |key| key.owner, |key| (key.from, key.to))
        {
            let query = days(self.reader.scope(), names, owners, (from, to));
            let rows: Vec<(Uuid, NaiveDate, i64, i64, i64)> = read(&self.reader, query).await?;
            for (id, day, created, completed, due) in rows {
                let owner = Owner::named(names, id);
                let row = DayRow {
                    created,
                    completed,
                    due,
                };
                let key = DaysOf { owner, from, to };
                loaded.entry(key).or_default().insert(day, row);
            }
        }
        Ok(loaded)
    }
}

impl Loader<OverdueOf> for Loaders {
    type Value = i64;
    type Error = Error;

    async fn load(&self, keys: &[OverdueOf]) -> Result<HashMap<OverdueOf, i64>, Error> {
        let mut loaded = HashMap::with_capacity(keys.len());
        for ((names, on), owners) in groups(keys, |key| key.owner, |key| key.on) {
            let query = overdue(self.reader.scope(), names, owners, on);
            let rows: Vec<(Uuid, i64)> = read(&self.reader, query).await?;
            for (id, due) in rows {
                let owner = Owner::named(names, id);
                loaded.insert(OverdueOf { owner, on }, due);
            }
        }
        Ok(loaded)
    }
}

/// Reads what a dashboard shows, for whoever compares it with what it showed before.
pub async fn snapshot(reader: &Reader, owner: Owner) -> Result<Option<(Sums, String)>, Error> {
    let scope = reader.scope();
    let mut query = match owner {
        Owner::Project(id) => of_projects(scope, vec![id]),
        Owner::Assignee(id) => of_assignees(scope, vec![id]),
    };
    let mut transaction = reader.begin().await?;
    let sums: Option<Sums> = query
        .build_query_as()
        .fetch_optional(&mut *transaction)
        .await
        .map_err(Error::read)?;
    let Some(sums) = sums else { return Ok(None) };
    let days = digest(scope, owner)
        .build_query_scalar()
        .fetch_one(&mut *transaction)
        .await
        .map_err(Error::read)?;
    Ok(Some((sums, days)))
}
