//! A dashboard as it is, then each time it changed.

use std::{sync::Arc, time::Duration};

use async_graphql::{Context, ID, Subscription};
use futures_util::{Stream, stream};
use tokio::sync::watch;
use uuid::Uuid;

use super::{
    ProjectDashboard,
    rows::{self, Owner, Sums},
};
use crate::{
    ask::{Ask, Touches},
    moment::When,
    node::NodeKind,
    progress::{Seen, View},
    read::persistently,
};

/// The views that a project's dashboard is read from: one without tasks has no sums, but it is a project.
const CONCERNED: [View; 2] = [View::TaskDashboard, View::Projects];
/// The shortest time between two reads: while many tasks change, every one of their events may move the sums.
const READ_INTERVAL_MS: u64 = 200;

#[derive(Debug, Default)]
pub struct DashboardSubscription;

#[Subscription]
impl DashboardSubscription {
    /// What the tasks of a project add up to, then again each time any of it changed: at most five times a second. That a
    /// day ends and tasks become overdue is no change. A project that does not exist yet is sent when it does.
    async fn project_dashboard(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The project: its node id or its plain UUID.")] project_id: ID,
        #[graphql(
            desc = "A cursor, as commands return it: begin when everything up to there can be seen."
        )]
        at_least: Option<String>,
    ) -> async_graphql::Result<impl Stream<Item = ProjectDashboard> + use<>> {
        let ask = Ask::of(ctx)?.clone();
        let project = NodeKind::Project.uuid(&project_id)?;
        let when = When::at_least(at_least);
        ask.wait(ctx, &when, &Touches::Everything).await?;
        let dashboard = Followed {
            seen: ask.progress.watch(),
            ask,
            project,
            read_at: None,
            sent: None,
        };
        Ok(stream::unfold(dashboard, |mut dashboard| async move {
            let next = dashboard.next().await?;
            Some((next, dashboard))
        }))
    }
}

struct Followed {
    ask: Arc<Ask>,
    seen: watch::Receiver<Arc<Seen>>,
    project: Uuid,
    /// What was folded when it was last read.
    read_at: Option<Arc<Seen>>,
    /// The sums that were last sent, but for their position, with the digest of the days. They are compared themselves: parts
    /// come from many partitions, so the position may stand still while a part at a lower one changes; and it moves with a
    /// change that makes no difference here.
    sent: Option<(Sums, String)>,
}

impl Followed {
    /// `None` when the service is shutting down.
    async fn next(&mut self) -> Option<ProjectDashboard> {
        loop {
            let folded = self.seen.borrow_and_update().clone();
            let stands = (self.read_at.as_ref())
                .is_some_and(|read_at| folded.stands_since(read_at, &CONCERNED));
            if !stands {
                if self.read_at.replace(folded).is_some() {
                    tokio::time::sleep(Duration::from_millis(READ_INTERVAL_MS)).await;
                }
                self.ask.renew();
                let owner = Owner::Project(self.project);
                let read = persistently(|| rows::snapshot(&self.ask.present.reader, owner)).await;
                if let Some((sums, days)) = read {
                    let shown = Sums {
                        position: 0,
                        ..sums.clone()
                    };
                    let shown = Some((shown, days));
                    if shown != self.sent {
                        self.sent = shown;
                        return Some(ProjectDashboard::new(self.project, sums));
                    }
                }
            }
            self.seen.changed().await.ok()?;
        }
    }
}
