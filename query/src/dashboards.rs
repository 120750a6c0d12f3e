//! What spans aggregates: materialized sums, read as they were folded.

use std::collections::HashMap;

use async_graphql::{Context, ID, Object, SimpleObject, dataloader::Loader};
use foldline_events::Hours;
use uuid::Uuid;

use crate::{
    ask::Ask, error::Error, node::NodeKind, page::int, progress::View, read::Loaders,
    scalars::Position,
};

/// The views that an answer is read from: a project without tasks has no sums, but it is a project.
const CONCERNED: [View; 2] = [View::ProjectDashboard, View::Projects];

#[derive(Debug, Default)]
pub struct DashboardQuery;

/// How many of a project's tasks are in each status.
#[derive(Debug, Clone, SimpleObject)]
pub struct StatusCounts {
    /// Tasks that nobody has begun.
    open: i32,
    /// Tasks that are being worked on.
    in_progress: i32,
    /// Tasks that are done.
    completed: i32,
    /// Tasks that were given up.
    cancelled: i32,
}

/// What the tasks of a project add up to.
#[derive(Debug, Clone, SimpleObject)]
pub struct ProjectDashboard {
    /// The project, as a plain UUID.
    project_id: Uuid,
    /// How many tasks the project has, whatever their status.
    total: i32,
    /// How many of them are done; the same as `byStatus.completed`.
    completed: i32,
    /// How many are in each status; the four add up to `total`.
    by_status: StatusCounts,
    /// The estimates of all tasks that have one, in hours, summed exactly to a hundredth.
    estimated_hours: f64,
    /// The actual hours of all completed tasks that have some, summed exactly to a hundredth.
    actual_hours: f64,
    /// The mean over completed tasks of actual hours divided by estimated hours: 1 when the estimates were right, above
    /// 1 when the work took longer. Null while no completed task has both.
    average_efficiency: Option<f64>,
    /// The position of the last event that changed these numbers; of the project itself while it has no tasks.
    position: Position,
}

#[derive(Debug, sqlx::FromRow)]
struct Row {
    project_id: Uuid,
    total: i64,
    open: i64,
    in_progress: i64,
    completed: i64,
    cancelled: i64,
    estimated_hundredths: i64,
    actual_hundredths: i64,
    efficiency_count: i64,
    efficiency_micros: i64,
    position: i64,
}

impl From<Row> for ProjectDashboard {
    #[expect(
        clippy::cast_precision_loss,
        reason = "sums of millionths below 2^53 are exact, and beyond that a mean needs no 16th digit"
    )]
    fn from(row: Row) -> Self {
        let mean = || row.efficiency_micros as f64 / row.efficiency_count as f64 / 1e6;
        Self {
            project_id: row.project_id,
            total: int(row.total),
            completed: int(row.completed),
            by_status: StatusCounts {
                open: int(row.open),
                in_progress: int(row.in_progress),
                completed: int(row.completed),
                cancelled: int(row.cancelled),
            },
            estimated_hours: Hours::from_hundredths(row.estimated_hundredths).as_number(),
            actual_hours: Hours::from_hundredths(row.actual_hundredths).as_number(),
            average_efficiency: (row.efficiency_count > 0).then(mean),
            position: Position(row.position),
        }
    }
}

#[Object]
impl DashboardQuery {
    /// What the tasks of a project add up to; null when there is no such project.
    async fn project_dashboard(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The project: its node id or its plain UUID.")] project_id: ID,
        #[graphql(
            desc = "A cursor, as commands return it: wait until the answer holds everything up to there."
        )]
        at_least: Option<String>,
    ) -> Option<Result<ProjectDashboard, Error>> {
        let answer = async {
            let ask = Ask::of(ctx)?;
            let project = NodeKind::Project.uuid(&project_id)?;
            ask.wait(at_least.as_deref(), &CONCERNED).await?;
            ask.loaders.load_one(DashboardOf(project)).await
        };
        answer.await.transpose()
    }
}

/// The dashboard of the project with this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DashboardOf(pub Uuid);

impl Loader<DashboardOf> for Loaders {
    type Value = ProjectDashboard;
    type Error = Error;

    async fn load(
        &self,
        keys: &[DashboardOf],
    ) -> Result<HashMap<DashboardOf, ProjectDashboard>, Error> {
        let projects: Vec<Uuid> = keys.iter().map(|key| key.0).collect();
        let mut transaction = self.reader.begin().await?;
        let rows: Vec<Row> = sqlx::query_as(
            "select
                 project_id,
                 coalesce(sums.total, 0) as total,
                 coalesce(sums.open, 0) as open,
                 coalesce(sums.in_progress, 0) as in_progress,
                 coalesce(sums.completed, 0) as completed,
                 coalesce(sums.cancelled, 0) as cancelled,
                 coalesce(sums.estimated_hundredths, 0) as estimated_hundredths,
                 coalesce(sums.actual_hundredths, 0) as actual_hundredths,
                 coalesce(sums.efficiency_count, 0) as efficiency_count,
                 coalesce(sums.efficiency_micros, 0) as efficiency_micros,
                 coalesce(sums.position, project.project_position) as position
             from (
                 select *
                 from views.project_dashboard
                 where tenant = $1
                 and project_id = any($2)
             ) as sums
             full join (
                 select project_id, position as project_position
                 from views.project_view
                 where tenant = $1
                 and project_id = any($2)
             ) as project using (project_id)",
        )
        .bind(self.reader.tenant())
        .bind(projects)
        .fetch_all(&mut *transaction)
        .await
        .map_err(Error::read)?;
        Ok(rows
            .into_iter()
            .map(|row| (DashboardOf(row.project_id), ProjectDashboard::from(row)))
            .collect())
    }
}
