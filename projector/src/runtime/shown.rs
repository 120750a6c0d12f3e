//! What a projector folds: what readers see, as long as that is of the projections that this program knows.

use std::time::Duration;

use foldline_events::Partition;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Projector, turned::Turned};
use crate::{
    Builds, Error, View,
    building::{Newer, Rebuild},
    error::in_full,
};

/// How often it is looked whether readers see what this program folds again.
const LOOK_INTERVAL_MS: u64 = 1_000;

impl Projector {
    /// What is to be folded. Where an older projection folded what readers see, a newer build is folded first, while those who know
    /// the older one go on; and readers are shown it. Where a newer one did, it waits.
    pub(super) async fn builds(
        &mut self,
        shutdown: &CancellationToken,
        turned: &Turned,
    ) -> Result<Builds, Error> {
        if let Some(builds) = &self.only {
            return Ok(builds.clone());
        }
        loop {
            let waits_for = match Builds::shown(&self.views).await {
                Err(Error::OlderProjection { views }) => {
                    self.rest()?;
                    self.show_newer(&views, shutdown, turned).await?
                }
                Err(newer @ Error::NewerProjection { .. }) => {
                    self.rest()?;
                    Some(in_full(&newer))
                }
                shown => return shown,
            };
            if let Some(why) = waits_for {
                self.health.wait_for_somebody(why);
                tokio::time::sleep(Duration::from_millis(LOOK_INTERVAL_MS)).await;
                turned.once_more();
            }
        }
    }

    /// Says what somebody is to do first, where that is so.
    async fn show_newer(
        &self,
        older: &[View],
        shutdown: &CancellationToken,
        turned: &Turned,
    ) -> Result<Option<String>, Error> {
        let newer = Newer {
            rebuild: Rebuild {
                views: self.views.clone(),
                direct: self.options.direct.clone(),
                log: self.log.clone(),
                long_log_events: self.options.long_log_events,
                progress: watch::Sender::default(),
            },
            health: &self.health,
            turned: &|| turned.once_more(),
        };
        // It folds by a projector of its own.
        Box::pin(newer.show(older, shutdown)).await
    }

    /// Leaves everything to others while it does not fold what readers see.
    fn rest(&mut self) -> Result<(), Error> {
        let assigned: Vec<Partition> = self.assigned.iter().copied().collect();
        if !assigned.is_empty() {
            self.give_up(&assigned);
        }
        Ok(self.feed.rest()?)
    }

    /// Fails with [`Error::OtherBuilds`] when readers see others than are folded here.
    pub(super) async fn same_builds(&self) -> Result<(), Error> {
        if self.only.is_some() {
            return Ok(());
        }
        match Builds::shown(&self.views).await {
            Ok(builds) if builds == *self.writer.builds() => Ok(()),
            // What another projection folded is for the next session to see to.
            Ok(_) | Err(Error::OlderProjection { .. } | Error::NewerProjection { .. }) => {
                Err(Error::OtherBuilds)
            }
            Err(error) => Err(error),
        }
    }
}
