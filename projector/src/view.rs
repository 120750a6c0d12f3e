//! Which views there are. A new one adds a variant, and the compiler then names every place that must learn of it.

use std::fmt;

use foldline_events::{Event, Recorded, Version};
use sqlx::PgConnection;

use crate::{
    Build, Error,
    dashboards::task_dashboard,
    tasks::{project_view, task_history, task_view},
};

/// Tables folded from events by one projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    ProjectView,
    TaskView,
    TaskHistory,
    TaskDashboard,
}

/// A recorded event with what it says, on its way into a view.
#[derive(Debug, Clone, Copy)]
pub struct Folded<'a> {
    pub view: View,
    pub recorded: &'a Recorded,
    pub event: &'a Event,
    /// The version of its stream that the view holds before: the one right before it, unless that was skipped.
    pub follows: Version,
}

/// The statements that make a build of a view, in which `{version}` stands for its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ddl {
    /// Its own tables, with their rights.
    pub tables: String,
    /// What readers see, over the tables of the build that is active.
    pub readers: String,
}

/// A table of a view.
#[derive(Debug)]
pub(crate) struct Table {
    /// Without its version.
    pub(crate) name: &'static str,
    /// The column that says of which stream a row is; `None` where several streams add to one.
    pub(crate) of: Option<&'static str>,
    /// The other columns, besides the tenant, that tell its rows apart.
    pub(crate) key: &'static [&'static str],
    /// Whether folding neither changes nor looks for its rows.
    pub(crate) is_only_added: bool,
}

impl Table {
    /// Whether its rows are those that events replaced, each up to a position, `until`.
    pub(crate) fn is_past(&self) -> bool {
        self.name.ends_with("_past")
    }
}

/// The line that parts a DDL file in two.
const READERS: &str = "\n-- readers:";

impl View {
    pub const ALL: [Self; 4] = [
        Self::ProjectView,
        Self::TaskView,
        Self::TaskHistory,
        Self::TaskDashboard,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::ProjectView => "project_view",
            Self::TaskView => "task_view",
            Self::TaskHistory => "task_history",
            Self::TaskDashboard => "task_dashboard",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.name() == name)
    }

    /// The projection that this program folds it by. Whoever changes what its rows or tables are raises it: then a new build is
    /// folded from the beginning, beside the one that readers see.
    pub const fn projection(self) -> i32 {
        match self {
            Self::ProjectView => project_view::PROJECTION,
            Self::TaskView => task_view::PROJECTION,
            Self::TaskHistory => task_history::PROJECTION,
            Self::TaskDashboard => task_dashboard::PROJECTION,
        }
    }

    /// Whether the view folds events of streams of this kind: of others it leaves out even those that this build cannot
    /// read.
    pub(crate) fn folds(self, stream: &str) -> bool {
        let kind = stream.split_once('-').map_or(stream, |(kind, _)| kind);
        match self {
            Self::ProjectView => kind == "project",
            Self::TaskView | Self::TaskHistory | Self::TaskDashboard => kind == "task",
        }
    }

    /// Its tables, those of the past too.
    pub(crate) const fn tables(self) -> &'static [Table] {
        match self {
            Self::ProjectView => project_view::TABLES,
            Self::TaskView => task_view::TABLES,
            Self::TaskHistory => task_history::TABLES,
            Self::TaskDashboard => task_dashboard::TABLES,
        }
    }

    /// Its tables of rows that events replaced, without their version.
    pub fn past_tables(self) -> impl Iterator<Item = &'static str> {
        let tables = self.tables().iter().filter(|table| table.is_past());
        tables.map(|table| table.name)
    }

    pub fn ddl(self) -> Ddl {
        let file = match self {
            Self::ProjectView => project_view::DDL,
            Self::TaskView => task_view::DDL,
            Self::TaskHistory => task_history::DDL,
            Self::TaskDashboard => task_dashboard::DDL,
        };
        let (tables, readers) = file.split_once(READERS).expect(
            "every DDL file has the line that parts it, which a test of each view installs",
        );
        Ddl {
            tables: tables.to_owned(),
            // The mark stands in the middle of a comment, so the rest of its line is given back its dashes.
            readers: format!("--{readers}"),
        }
    }
}

impl Build {
    /// Brings the rows to where these events leave them; they are in order of position, and none was folded before.
    pub(crate) async fn fold(
        self,
        connection: &mut PgConnection,
        events: &[Folded<'_>],
    ) -> Result<(), Error> {
        match self.view {
            View::ProjectView => project_view::fold(connection, self, events).await,
            View::TaskView => task_view::fold(connection, self, events).await,
            View::TaskHistory => task_history::fold(connection, self, events).await,
            View::TaskDashboard => task_dashboard::fold(connection, self, events).await,
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Folded<'_> {
    /// Says that this event cannot be folded, and why.
    pub(crate) fn unfoldable(&self, why: impl Into<String>) -> Error {
        Error::Unfoldable {
            view: self.view,
            partition: self.recorded.partition,
            position: self.recorded.position,
            why: why.into(),
        }
    }

    /// The id of the project or task whose stream the event lies in.
    pub(crate) fn aggregate(&self) -> Result<uuid::Uuid, Error> {
        self.recorded.aggregate().ok_or_else(|| {
            self.unfoldable(format!(
                "its stream {:?} names no aggregate",
                self.recorded.stream
            ))
        })
    }
}
