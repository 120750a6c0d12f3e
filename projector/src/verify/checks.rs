//! What must hold between views that are folded apart.

use std::fmt;

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
    pub const ALL: [Self; 9] = [
        Self::ProjectDashboard,
        Self::ProjectDashboardDays,
        Self::AssigneeDashboard,
        Self::AssigneeDashboardDays,
        Self::TaskDerived,
        Self::TaskComments,
        Self::Comments,
        Self::TaskMarks,
        Self::TaskHistory,
    ];

    /// The views that the checks read.
    pub const VIEWS: [View; 3] = [View::TaskView, View::TaskHistory, View::TaskDashboard];

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
        }
    }

    /// `None` where it takes more than SQL.
    fn statement(self) -> Option<String> {
        const FIGURES: &str = include_str!("figures.sql");
        const DAYS: &str = include_str!("days.sql");
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
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Snapshot {
    /// Carries a check out, over one tenant or all.
    pub async fn check(&mut self, check: Check, tenant: Option<&str>) -> Result<Outcome, Error> {
        let Some(compared) = check.statement() else {
            return marks::check(&mut self.connection, tenant).await;
        };
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
