//! Builds: a view's tables, folded by one projection. Several may be there, and readers see one of them: `views.active` says
//! which, see `schema/view/0014_builds.sql`. In the database the number of a build is called a version.

use std::{collections::BTreeMap, fmt};

use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row as _};

use crate::{
    Error, View,
    error::{self, unless_unprepared},
    records::{Record, Records},
};

/// The tables of a view that are folded, or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Build {
    pub view: View,
    pub version: i32,
}

impl Build {
    /// The name of one of its tables, given without its version.
    pub(crate) fn table(self, name: &str) -> String {
        format!("views.{name}_v{}", self.version)
    }

    /// A statement with this version filled in.
    pub(crate) fn sql(self, statement: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(statement.replace("{version}", &self.version.to_string()))
    }

    /// Executes a statement with some rows as its argument; without any, it has nothing to do.
    pub(crate) async fn write<R: Record>(
        self,
        connection: &mut PgConnection,
        statement: &str,
        rows: &[R],
    ) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        sqlx::query(self.sql(statement))
            .bind(Records::of_build(rows, self.version))
            .execute(connection)
            .await
            .map_err(self.rows_error())?;
        Ok(())
    }

    pub(crate) fn rows_error(self) -> impl Fn(sqlx::Error) -> Error {
        error::unless_unprepared(move |source| Error::Rows {
            view: self.view,
            source,
        })
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} v{}", self.view, self.version)
    }
}

/// Builds that are folded together, one of each view at most.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Builds(BTreeMap<View, i32>);

impl FromIterator<Build> for Builds {
    fn from_iter<I: IntoIterator<Item = Build>>(builds: I) -> Self {
        let versions = builds.into_iter().map(|build| (build.view, build.version));
        Self(versions.collect())
    }
}

impl Builds {
    /// What readers see now, if it is what this program folds.
    ///
    /// # Errors
    /// [`Error::OlderProjection`] where it was folded by an older projection, so that a newer build is to be folded beside it;
    /// [`Error::NewerProjection`] where by one that this program does not know.
    pub async fn shown(pool: &PgPool) -> Result<Self, Error> {
        let shown = shown(pool).await?;
        for view in View::ALL {
            let Some(of_view) = shown.get(&view) else {
                return Err(Error::NotMigrated(sqlx::Error::RowNotFound));
            };
            if of_view.projection > view.projection() {
                return Err(Error::NewerProjection {
                    view,
                    shown: of_view.projection,
                    ours: view.projection(),
                });
            }
        }
        let older = shown
            .iter()
            .filter(|(view, of)| of.projection < view.projection());
        let older: Vec<View> = older.map(|(view, _)| *view).collect();
        if !older.is_empty() {
            return Err(Error::OlderProjection { views: older });
        }
        Ok(shown.into_values().map(|of_view| of_view.build).collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = Build> {
        self.0.iter().map(|(view, version)| Build {
            view: *view,
            version: *version,
        })
    }

    pub(crate) fn of(&self, view: View) -> Option<Build> {
        let version = *self.0.get(&view)?;
        Some(Build { view, version })
    }

    /// As statements take them, in this order.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.0.keys().map(|view| view.name()).collect()
    }

    /// In the order of the names.
    pub(crate) fn versions(&self) -> Vec<i32> {
        self.0.values().copied().collect()
    }
}

/// What readers see of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) build: Build,
    /// What folded it.
    pub(crate) projection: i32,
}

/// What readers see now, of the views that this program knows.
pub(crate) async fn shown(pool: &PgPool) -> Result<BTreeMap<View, Shown>, Error> {
    let rows = sqlx::query(
        "select
             active.view,
             active.version,
             builds.projection
         from views.active
         join views.builds
             on builds.view = active.view
             and builds.version = active.version",
    )
    .fetch_all(pool)
    .await
    .map_err(unless_unprepared(Error::Builds))?;
    let of_row = |row| {
        let name: &str = sqlx::Row::get(row, "view");
        let view = View::named(name)?;
        let version = sqlx::Row::get(row, "version");
        let shown = Shown {
            build: Build { view, version },
            projection: sqlx::Row::get(row, "projection"),
        };
        Some((view, shown))
    };
    Ok(rows.iter().filter_map(of_row).collect())
}

/// A build of a view, as it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub build: Build,
    pub projection: i32,
    /// Whether readers ever saw it.
    pub was_shown: bool,
    /// Whether they see it now.
    pub is_shown: bool,
    /// Whether its tables are gone.
    pub is_dropped: bool,
}

impl Written {
    /// Whether it is a build of this view that is kept, and that readers do not see.
    pub(crate) fn is_kept_of(&self, view: View) -> bool {
        self.build.view == view && !self.is_shown && !self.is_dropped
    }
}

/// The builds that there are or were, those that were shown last first; then those that never were, the newest first.
pub async fn all(pool: &PgPool) -> Result<Vec<Written>, Error> {
    let rows = sqlx::query(
        "select
             builds.view,
             builds.version,
             builds.projection,
             builds.shown_at is not null as was_shown,
             active.view is not null as is_shown,
             builds.dropped_at is not null as is_dropped
         from views.builds
         left join views.active
             on active.view = builds.view
             and active.version = builds.version
         order by
             builds.shown_at desc nulls last,
             builds.version desc",
    )
    .fetch_all(pool)
    .await
    .map_err(unless_unprepared(Error::Builds))?;
    let of_row = |row: &sqlx::postgres::PgRow| {
        Some(Written {
            build: Build {
                view: View::named(row.get("view"))?,
                version: row.get("version"),
            },
            projection: row.get("projection"),
            was_shown: row.get("was_shown"),
            is_shown: row.get("is_shown"),
            is_dropped: row.get("is_dropped"),
        })
    };
    Ok(rows.iter().filter_map(of_row).collect())
}
