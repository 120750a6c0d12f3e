//! What spans aggregates: sums, at present as they were folded, and of the past as they add up then.
//!
//! A project and an assignee have the same sums. Here are the types and the queries; `dashboards/rows.rs` reads,
//! `dashboards/live.rs` follows.

mod live;
pub(crate) mod rows;

pub use live::DashboardSubscription;
pub use rows::{Owner, Sums};

use async_graphql::{ComplexObject, Context, ID, Object, SimpleObject};
use chrono::{DateTime, Days, NaiveDate, Utc};
use foldline_events::Hours;
use uuid::Uuid;

use crate::{
    ask::{Ask, Touches},
    error::Error,
    moment::{AsOf, Consistency, When},
    node::NodeKind,
    page::int,
    scalars::{Day, Position, known_instant},
};
use rows::{DayRow, DaysOf, OverdueOf};

/// How many days one series may have: a leap year.
pub const DAYS_PER_SERIES_MAX: i32 = 366;

#[derive(Debug, Default)]
pub struct DashboardQuery;

/// How many tasks are in each status.
#[derive(Debug, Clone, SimpleObject)]
pub struct StatusCounts {
    /// Tasks that nobody has begun.
    open: i32,
    /// Tasks that are being worked on.
    in_progress: i32,
    /// Tasks that cannot go on.
    blocked: i32,
    /// Tasks that are done.
    completed: i32,
    /// Tasks that were given up.
    cancelled: i32,
}

/// How many tasks are of each priority.
#[derive(Debug, Clone, SimpleObject)]
pub struct PriorityCounts {
    /// When there is time.
    low: i32,
    /// In its turn.
    medium: i32,
    /// Before others.
    high: i32,
    /// At once.
    critical: i32,
}

/// What happened on a UTC day.
#[derive(Debug, Clone, SimpleObject)]
pub struct DashboardDay {
    /// The day.
    day: Day,
    /// How many of the tasks were created on it.
    created: i32,
    /// How many of the tasks are completed, and were so on it.
    completed: i32,
}

/// What is due on a UTC day.
#[derive(Debug, Clone, SimpleObject)]
pub struct DueDay {
    /// The day.
    day: Day,
    /// How many of the tasks are due on it and neither completed nor cancelled.
    tasks: i32,
}

/// What the tasks of a project add up to. Deleted tasks count nowhere.
#[derive(Debug, Clone, SimpleObject)]
pub struct ProjectDashboard {
    /// The project, as a plain UUID.
    project_id: Uuid,
    #[graphql(flatten)]
    figures: Figures,
}

/// What the tasks that a person is responsible for add up to. Deleted tasks count nowhere.
#[derive(Debug, Clone, SimpleObject)]
pub struct AssigneeDashboard {
    /// The person, as a plain UUID.
    assignee_id: Uuid,
    #[graphql(flatten)]
    figures: Figures,
}

/// What both have.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct Figures {
    #[graphql(skip)]
    owner: Owner,
    /// How many tasks there are, whatever their status.
    total: i32,
    /// How many of them are done; the same as `byStatus.completed`.
    completed: i32,
    /// How many are in each status; these add up to `total`.
    by_status: StatusCounts,
    /// How many are of each priority; these add up to `total`.
    by_priority: PriorityCounts,
    /// The estimates of all tasks that have one, in hours, summed exactly to a hundredth.
    estimated_hours: f64,
    /// The actual hours of all completed tasks that have some, summed exactly to a hundredth.
    actual_hours: f64,
    /// The mean, over completed tasks with actual hours and an estimate above 0, of actual hours divided by estimated
    /// hours: 1 when the estimates were right, above 1 when the work took longer. Null while there is no such task.
    average_efficiency: Option<f64>,
    /// The position of the last event that changed what one of the tasks adds up to: its status, priority, hours, due date,
    /// project or assignee, or that it is deleted. Without any task: that of the project itself, and 0 for an assignee.
    position: Position,
}

impl ProjectDashboard {
    pub fn new(project_id: Uuid, sums: Sums) -> Self {
        Self {
            project_id,
            figures: Figures::new(Owner::Project(project_id), &sums),
        }
    }
}

impl AssigneeDashboard {
    fn new(assignee_id: Uuid, sums: &Sums) -> Self {
        Self {
            assignee_id,
            figures: Figures::new(Owner::Assignee(assignee_id), sums),
        }
    }
}

impl Figures {
    #[expect(
        clippy::cast_precision_loss,
        reason = "sums of millionths below 2^53 are exact, and beyond that a mean needs no 16th digit"
    )]
    fn new(owner: Owner, sums: &Sums) -> Self {
        let mean = || sums.efficiency_micros as f64 / sums.efficiency_count as f64 / 1e6;
        Self {
            owner,
            total: int(sums.total),
            completed: int(sums.completed),
            by_status: StatusCounts {
                open: int(sums.open),
                in_progress: int(sums.in_progress),
                blocked: int(sums.blocked),
                completed: int(sums.completed),
                cancelled: int(sums.cancelled),
            },
            by_priority: PriorityCounts {
                low: int(sums.low),
                medium: int(sums.medium),
                high: int(sums.high),
                critical: int(sums.critical),
            },
            estimated_hours: Hours::from_hundredths(sums.estimated_hundredths).as_number(),
            actual_hours: Hours::from_hundredths(sums.actual_hundredths).as_number(),
            average_efficiency: (sums.efficiency_count > 0).then(mean),
            position: Position(sums.position),
        }
    }

    async fn series(
        &self,
        ctx: &Context<'_>,
        from: Day,
        to: Day,
    ) -> Result<Vec<(Day, DayRow)>, Error> {
        let days = days(from, to)?;
        let key = DaysOf {
            owner: self.owner,
            from: from.0,
            to: to.0,
        };
        let found = Ask::of(ctx)?.sight(ctx).loaders.load_one(key).await?;
        let found = found.unwrap_or_default();
        let row = |day| found.get(&day).copied().unwrap_or_default();
        Ok(days.map(|day| (Day(day), row(day))).collect())
    }
}

#[ComplexObject]
impl Figures {
    /// How many of the tasks should have been done by then: they are open, in progress or blocked, and the UTC day of that
    /// instant is after their due date. Counted over the tasks as they are now, or as of `asOf`, whatever the instant.
    async fn overdue(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The instant; when absent, that of `asOf`, and now where that is none.")]
        at: Option<DateTime<Utc>>,
    ) -> Option<Result<i32, Error>> {
        let answer = async {
            let ask = Ask::of(ctx)?;
            let at = known_instant("at", at.unwrap_or_else(|| ask.now(ctx)))?;
            let key = OverdueOf {
                owner: self.owner,
                on: at.date_naive(),
            };
            Ok(int(ask
                .sight(ctx)
                .loaders
                .load_one(key)
                .await?
                .unwrap_or(0)))
        };
        Some(answer.await)
    }

    /// What happened on each of these UTC days, in business time: at most 366 days, each of them, in order.
    #[graphql(complexity = "cost_of_days(&from, &to, child_complexity)")]
    async fn days(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first day.")] from: Day,
        #[graphql(desc = "The last day.")] to: Day,
    ) -> Option<Result<Vec<DashboardDay>, Error>> {
        let of_day = |(day, row): (Day, DayRow)| DashboardDay {
            day,
            created: int(row.created),
            completed: int(row.completed),
        };
        let series = self.series(ctx, from, to).await;
        Some(series.map(|days| days.into_iter().map(of_day).collect()))
    }

    /// How many tasks that are neither completed nor cancelled are due on each of these UTC days: at most 366 days, each
    /// of them, in order.
    #[graphql(complexity = "cost_of_days(&from, &to, child_complexity)")]
    async fn due_days(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The first day.")] from: Day,
        #[graphql(desc = "The last day.")] to: Day,
    ) -> Option<Result<Vec<DueDay>, Error>> {
        let of_day = |(day, row): (Day, DayRow)| DueDay {
            day,
            tasks: int(row.due),
        };
        let series = self.series(ctx, from, to).await;
        Some(series.map(|days| days.into_iter().map(of_day).collect()))
    }
}

/// From the first to the last of them.
fn days(from: Day, to: Day) -> Result<impl Iterator<Item = NaiveDate>, Error> {
    let count = (to.0 - from.0).num_days() + 1;
    if !(1..=i64::from(DAYS_PER_SERIES_MAX)).contains(&count) {
        let problem = format!(
            "from {} to {} are {count} days; ask for 1 to {DAYS_PER_SERIES_MAX}",
            from.0, to.0
        );
        return Err(Error::BadInput { problem });
    }
    let count = u64::try_from(count).expect("checked to be at least 1");
    Ok((0..count).filter_map(move |day| from.0.checked_add_days(Days::new(day))))
}

fn cost_of_days(from: &Day, to: &Day, of_each: usize) -> usize {
    1 + days(*from, *to).map_or(0, Iterator::count) * of_each
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
        #[graphql(
            desc = "A moment of the past: the answer is what it would have been then. The present, when absent."
        )]
        as_of: Option<AsOf>,
        #[graphql(
            desc = "With SNAPSHOT, all fields of the request that say so show one moment. LATEST, when absent."
        )]
        consistency: Option<Consistency>,
    ) -> Option<Result<ProjectDashboard, Error>> {
        let answer = async {
            let ask = Ask::of(ctx)?;
            let when = When::new(at_least, as_of, consistency);
            let project = NodeKind::Project.uuid(&project_id)?;
            let sight = ask.wait(ctx, &when, &Touches::Everything).await?;
            let sums = sight.loaders.load_one(Owner::Project(project)).await?;
            Ok(sums.map(|sums| ProjectDashboard::new(project, sums)))
        };
        answer.await.transpose()
    }

    /// What the tasks that a person is responsible for add up to; zeros for somebody who is responsible for none.
    async fn assignee_dashboard(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The person, as a plain UUID.")] assignee_id: Uuid,
        #[graphql(
            desc = "A cursor, as commands return it: wait until the answer holds everything up to there."
        )]
        at_least: Option<String>,
        #[graphql(
            desc = "A moment of the past: the answer is what it would have been then. The present, when absent."
        )]
        as_of: Option<AsOf>,
        #[graphql(
            desc = "With SNAPSHOT, all fields of the request that say so show one moment. LATEST, when absent."
        )]
        consistency: Option<Consistency>,
    ) -> Option<Result<AssigneeDashboard, Error>> {
        let answer = async {
            let ask = Ask::of(ctx)?;
            let when = When::new(at_least, as_of, consistency);
            let sight = ask.wait(ctx, &when, &Touches::Everything).await?;
            let sums = sight.loaders.load_one(Owner::Assignee(assignee_id)).await?;
            Ok(AssigneeDashboard::new(
                assignee_id,
                &sums.unwrap_or_default(),
            ))
        };
        Some(answer.await)
    }
}
