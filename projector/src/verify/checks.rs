//! What must hold between views that are folded apart.

use std::fmt;

use foldline_events::Position;
use sqlx::{AssertSqlSafe, Row};

use super::{DIFFERENCES_MAX, Error, SHOWN_CHARS_MAX, Snapshot, marks};
use crate::View;

/// One thing that two views say independently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    ProjectDashboard,
    ProjectDashboardDays,
    AssigneeDashboard,
    AssigneeDashboardDays,
    TaskDerived,
    TaskComments,
    Comments,
    TaskMarks,
    TaskHistory,
    TaskPast,
    ProjectPast,
    DashboardPast,
    DashboardThen,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub compared: u64,
    pub differing: u64,
    /// The first of those that differ, at most [`DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
}

/// Both sides are cut to [`SHOWN_CHARS_MAX`] characters; `None` where there is nothing on that side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `tenant/id`, and which figure or version of it.
    pub key: String,
    pub stored: Option<String>,
    pub recomputed: Option<String>,
}

/// Counts what differs and shows the first; `{compared}` yields a key, what is stored and what it should be.
const COMPARE: &str = "
    with compared (key, stored, recomputed) as materialized ({compared})
    select
        totals.compared,
        totals.differing,
        first.key,
        left(first.stored, $2) as stored,
        left(first.recomputed, $2) as recomputed
    from (
        select
            count(*) as compared,
            count(*) filter (where stored is distinct from recomputed) as differing
        from compared
    ) as totals
    left join (
        select
            key,
            stored,
            recomputed
        from compared
        where stored is distinct from recomputed
        order by key collate \"C\"
        limit $3
    ) as first on true
    order by first.key collate \"C\"
";

impl Check {
    pub const ALL: [Self; 13] = [
        Self::ProjectDashboard,
        Self::ProjectDashboardDays,
        Self::AssigneeDashboard,
        Self::AssigneeDashboardDays,
        Self::TaskDerived,
        Self::TaskComments,
        Self::Comments,
        Self::TaskMarks,
        Self::TaskHistory,
        Self::TaskPast,
        Self::ProjectPast,
        Self::DashboardPast,
        Self::DashboardThen,
    ];

    /// Whether it can be carried out as of a position: it is of what readers see then. The others are of the rows of the past
    /// themselves, of all of them at once.
    pub const fn is_of_a_moment(self) -> bool {
        match self {
            Self::ProjectDashboard
            | Self::ProjectDashboardDays
            | Self::AssigneeDashboard
            | Self::AssigneeDashboardDays
            | Self::TaskDerived
            | Self::TaskComments
            | Self::Comments
            | Self::TaskMarks
            | Self::TaskHistory => true,
            Self::TaskPast | Self::ProjectPast | Self::DashboardPast | Self::DashboardThen => false,
        }
    }

    /// The views that it reads.
    pub const fn views(self) -> &'static [View] {
        match self {
            Self::ProjectDashboard
            | Self::ProjectDashboardDays
            | Self::AssigneeDashboard
            | Self::AssigneeDashboardDays
            | Self::DashboardThen => &[View::TaskView, View::TaskDashboard],
            Self::TaskDerived | Self::TaskComments | Self::TaskMarks => &[View::TaskView],
            Self::Comments | Self::TaskHistory | Self::TaskPast => {
                &[View::TaskView, View::TaskHistory]
            }
            Self::ProjectPast => &[View::ProjectView],
            Self::DashboardPast => &[View::TaskDashboard],
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::ProjectDashboard => "project_dashboard",
            Self::ProjectDashboardDays => "project_dashboard_day",
            Self::AssigneeDashboard => "assignee_dashboard",
            Self::AssigneeDashboardDays => "assignee_dashboard_day",
            Self::TaskDerived => "task_view",
            Self::TaskComments => "task_view.comments_total",
            Self::Comments => "task_comment",
            Self::TaskMarks => "task_mark",
            Self::TaskHistory => "task_history",
            Self::TaskPast => "task_view.past",
            Self::ProjectPast => "project_view.past",
            Self::DashboardPast => "task_dashboard.past",
            Self::DashboardThen => "task_dashboard.then",
        }
    }

    /// What is compared, as the subject of "is compared".
    pub const fn subject(self) -> &'static str {
        match self {
            Self::ProjectDashboard => "figures of projects, with the tasks",
            Self::ProjectDashboardDays => "figures of projects' days, with the tasks",
            Self::AssigneeDashboard => "figures of assignees, with the tasks",
            Self::AssigneeDashboardDays => "figures of assignees' days, with the tasks",
            Self::TaskDerived => "tasks' ranks and counts of steps, with their columns",
            Self::TaskComments => "tasks' counts of comments, with the comments",
            Self::Comments => "comments, with the history",
            Self::TaskMarks => "tasks' marks, with their labels and metadata",
            Self::TaskHistory => "tasks' histories, with their versions",
            Self::TaskPast => "tasks' rows of the past, with the history",
            Self::ProjectPast => "projects' rows of the past, with what follows on each",
            Self::DashboardPast => "what tasks added before, with what follows on each",
            Self::DashboardThen => "what tasks added at each of their versions, with the version",
        }
    }

    /// `None` where it takes more than SQL.
    fn statement(self) -> Option<String> {
        const FIGURES: &str = include_str!("figures.sql");
        const DAYS: &str = include_str!("days.sql");
        let chained = |view: &str, table: &str, id: &str| {
            let chained = include_str!("chained.sql").replace("{table}", table);
            let chained = chained.replace("{version}", &format!("{{{view}}}"));
            Some(chained.replace("{id}", id))
        };
        match self {
            Self::ProjectDashboard => Some(FIGURES.replace("{owner}", "project")),
            Self::ProjectDashboardDays => Some(DAYS.replace("{owner}", "project")),
            Self::AssigneeDashboard => Some(FIGURES.replace("{owner}", "assignee")),
            Self::AssigneeDashboardDays => Some(DAYS.replace("{owner}", "assignee")),
            Self::TaskDerived => Some(include_str!("derived.sql").to_owned()),
            Self::TaskComments => Some(include_str!("comments_total.sql").to_owned()),
            Self::Comments => Some(include_str!("comments.sql").to_owned()),
            Self::TaskMarks => None,
            Self::TaskHistory => Some(include_str!("history.sql").to_owned()),
            Self::TaskPast => Some(include_str!("past.sql").to_owned()),
            Self::ProjectPast => chained("project_view", "project_view", "project_id"),
            Self::DashboardPast => chained("task_dashboard", "task_dashboard_task", "task_id"),
            Self::DashboardThen => Some(include_str!("then.sql").to_owned()),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Snapshot {
    /// From now on checks are of what readers see as of a position.
    pub async fn look_back(&mut self, position: Position) -> Result<(), Error> {
        let completed = self.standing.completed;
        if position > completed {
            return Err(Error::NotYet {
                position,
                completed,
            });
        }
        let kept = View::ALL.map(|view| self.standing.kept(view));
        let kept = kept.into_iter().max().unwrap_or(0);
        if position < kept {
            return Err(Error::NotKept { position, kept });
        }
        sqlx::query("select set_config('foldline.as_of', $1, true)")
            .bind(position.to_string())
            .execute(&mut self.connection)
            .await
            .map_err(|source| Error::LookBack { position, source })?;
        self.as_of = Some(position);
        Ok(())
    }

    /// With the names of what it reads: `{at}` follows what readers read, a view's name in braces is the version of its tables, and
    /// `{kept}` is the position up to which rows of the past may be gone.
    fn named(&self, check: Check, statement: &str) -> String {
        let at = self.as_of.map_or("", |_| "_at");
        let with_version = |statement: String, view: &View| {
            let version = self.version(*view).to_string();
            statement.replace(&format!("{{{view}}}"), &version)
        };
        let kept = check.views().iter().map(|view| self.standing.kept(*view));
        let kept = kept.max().unwrap_or(0).to_string();
        let statement = statement.replace("{at}", at).replace("{kept}", &kept);
        check.views().iter().fold(statement, with_version)
    }

    /// Carries a check out, over one tenant or all.
    pub async fn check(&mut self, check: Check, tenant: Option<&str>) -> Result<Outcome, Error> {
        let Some(compared) = check.statement() else {
            let marks = self.named(check, include_str!("marks.sql"));
            return marks::check(&mut self.connection, &marks, tenant).await;
        };
        let compared = self.named(check, &compared);
        // On lines of its own: a comment in it must not swallow the parenthesis.
        let statement = COMPARE.replace("{compared}", &format!("\n{compared}\n"));
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(tenant)
            .bind(i32::try_from(SHOWN_CHARS_MAX).unwrap_or(i32::MAX))
            .bind(i64::try_from(DIFFERENCES_MAX).unwrap_or(i64::MAX))
            .fetch_all(&mut self.connection)
            .await
            .map_err(|source| Error::Check { check, source })?;
        let count = |column: &str| {
            let total: i64 = rows.first().map_or(0, |row| row.get(column));
            total.unsigned_abs()
        };
        let difference = |row: &sqlx::postgres::PgRow| {
            Some(Difference {
                key: row.get::<Option<String>, _>("key")?,
                stored: row.get("stored"),
                recomputed: row.get("recomputed"),
            })
        };
        Ok(Outcome {
            compared: count("compared"),
            differing: count("differing"),
            differences: rows.iter().filter_map(difference).collect(),
        })
    }
}
