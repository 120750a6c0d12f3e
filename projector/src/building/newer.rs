//! What a projector does that knows a newer projection than the one which folded what readers see.
//!
//! It folds nothing else meanwhile: those who know the older projection fold on what readers see, and wait when readers see the newer
//! build. Of several that know the newer one, one folds it, and the others wait.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Rebuild, Rebuilt};
use crate::{Builds, Error, Health, View, builds, error::in_full, health::Phase};

/// How often the watchdog is told that this goes on, and the phase how far it is.
const TELL_INTERVAL_MS: u64 = 1_000;
/// How often it is looked whether somebody else has done it, or said that differences are expected.
const LOOK_INTERVAL_MS: u64 = 1_000;

/// A projector that is to let readers see newer builds.
pub(crate) struct Newer<'p> {
    pub(crate) rebuild: Rebuild,
    pub(crate) health: &'p Health,
    pub(crate) turned: &'p (dyn Fn() + Sync),
}

impl Newer<'_> {
    /// Lets readers see builds of these views by the projections that this program knows, or waits for a while when that is not to be
    /// done now; after it, what readers see is to be looked at again. Says what somebody is to do, where it waits for that.
    pub(crate) async fn show(
        &self,
        views: &[View],
        shutdown: &CancellationToken,
    ) -> Result<Option<String>, Error> {
        if let Some(taken_back) = self.taken_back(views).await? {
            return Ok(Some(in_full(&taken_back)));
        }
        let folding = self.rebuild.forward(views, false, shutdown);
        tokio::pin!(folding);
        let rebuilt = loop {
            tokio::select! {
                rebuilt = &mut folding => break rebuilt,
                () = tokio::time::sleep(Duration::from_millis(TELL_INTERVAL_MS)) => self.tell(views),
            }
        };
        match rebuilt {
            Ok(Rebuilt::Shown {
                builds,
                exchanged_in,
                ..
            }) => {
                let exchanged_ms = exchanged_in.as_millis();
                for build in builds.iter() {
                    tracing::info!(%build, exchanged_ms, "readers see a build of a newer projection");
                }
                Ok(None)
            }
            Ok(Rebuilt::Refused(differences)) => {
                let why = format!(
                    "{} rows of the newer build differ from what readers see; `foldline rebuild VIEW` tells which, and \
                     `foldline rebuild VIEW --expect-differences` shows it",
                    differences.count
                );
                for row in &differences.rows {
                    tracing::error!(
                        row = row.row,
                        stored = row.stored,
                        folded_again = row.again,
                        "a row of a newer build differs from what readers see"
                    );
                }
                // Not compared again until other views are older than this program.
                self.health.wait_for_somebody(why);
                while self.are_older(views).await {
                    self.wait().await;
                }
                Ok(None)
            }
            Ok(Rebuilt::Ended) => Ok(None),
            Err(Error::BeingRebuilt) => {
                self.enter("another process folds them".to_owned());
                self.wait().await;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// A build that was taken back is not shown again by itself, be it dropped since.
    async fn taken_back(&self, views: &[View]) -> Result<Option<Error>, Error> {
        let written = builds::all(&self.rebuild.views).await?;
        let taken_back = written.iter().find(|it| {
            let view = it.build.view;
            views.contains(&view) && it.projection == view.projection() && it.was_shown
        });
        Ok(taken_back.map(|it| Error::TakenBack {
            view: it.build.view,
            projection: it.projection,
        }))
    }

    /// Whether it is these views that readers see by older projections; where that cannot be told, somebody else finds out why.
    async fn are_older(&self, views: &[View]) -> bool {
        let shown = Builds::shown(&self.rebuild.views).await;
        matches!(shown, Err(Error::OlderProjection { views: older }) if older == views)
    }

    async fn wait(&self) {
        tokio::time::sleep(Duration::from_millis(LOOK_INTERVAL_MS)).await;
        (self.turned)();
    }

    fn tell(&self, views: &[View]) {
        (self.turned)();
        let names: Vec<&str> = views.iter().map(|view| view.name()).collect();
        let progress = *self.rebuild.progress.borrow();
        self.enter(format!(
            "builds of {} by a newer projection are folded up to position {} of {}",
            names.join(", "),
            progress.through,
            progress.head
        ));
    }

    fn enter(&self, how: String) {
        self.health.enter(Phase::Rebuilding(how));
    }
}
