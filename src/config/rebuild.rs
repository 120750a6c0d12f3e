//! Settings of `foldline rebuild`.

use clap::Args;
use foldline_projector::{View, rebuilds::Which};

use super::{Database, LogArgs, Problems, Views, ViewsArgs, parked::tenant, views::view_named};

/// How long it waits for projectors to do what was asked for, when nothing else is said.
const WAIT_SECONDS: u32 = 600;

#[derive(Args, Clone)]
pub struct RebuildArgs {
    /// The view: `task_view`, say. Without a tenant the whole view is folded again beside the build that readers see, compared with
    /// it, and shown in its place; killed in between, it goes on where it was.
    view: String,
    /// Only the rows of this tenant, in their place.
    #[arg(long)]
    tenant: Option<String>,
    /// Only what is folded from this stream: `task-0198…`, say.
    #[arg(long, requires = "tenant")]
    stream: Option<String>,
    /// Who asks for it; remembered for 30 days.
    #[arg(long, env = "USER", default_value = "somebody")]
    by: String,
    /// How long to wait until projectors have folded a tenant's rows again.
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_SECONDS)]
    wait_max: u32,
    /// Show the new build even if its rows are not those that readers see now.
    #[arg(long, conflicts_with_all = ["tenant", "rollback", "drop"])]
    expect_differences: bool,
    /// Show the build again that readers saw before, folded up to now if this program knows how.
    #[arg(long, conflicts_with_all = ["tenant", "drop"])]
    rollback: bool,
    /// Drop the tables of every build of the view that readers do not see.
    #[arg(long, conflicts_with = "tenant")]
    drop: bool,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    views: ViewsArgs,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

pub struct RebuildConfig {
    pub views: Views,
    pub rebuilding: Rebuilding,
}

/// What is folded again, and where.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one of it, for as long as the process lives"
)]
pub enum Rebuilding {
    InPlace(InPlace),
    Whole(Whole),
}

/// Rows of a tenant.
pub struct InPlace {
    pub which: Which,
    pub by: String,
    pub wait_ms_max: u64,
}

/// A whole view.
pub struct Whole {
    pub view: View,
    /// When it is not that of the data folder.
    pub log: Option<Database>,
    pub task: WholeTask,
}

/// What is done with its builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WholeTask {
    Forward { differences_expected: bool },
    Back,
    Drop,
}

impl RebuildArgs {
    pub fn read(&self) -> anyhow::Result<RebuildConfig> {
        let mut problems = Problems::default();
        let views = self.views.read(&mut problems);
        let view =
            problems.note(view_named(&self.view).map_err(|problem| format!("VIEW: {problem}")));
        let rebuilding = match &self.tenant {
            Some(given) => self.in_place(view, given, &mut problems),
            None => self.whole(view, &mut problems),
        };
        problems.report(|| {
            Some(RebuildConfig {
                views,
                rebuilding: rebuilding?,
            })
        })
    }

    fn in_place(
        &self,
        view: Option<View>,
        given: &str,
        problems: &mut Problems,
    ) -> Option<Rebuilding> {
        let tenant = problems.note(tenant(given));
        let which = Which {
            view: view?,
            tenant: tenant?,
            stream: self.stream.clone(),
        };
        if !which.is_folded() {
            problems.note::<()>(Err(format!(
                "--stream: {} folds no streams of this kind",
                which.view
            )));
        }
        Some(Rebuilding::InPlace(InPlace {
            which,
            by: self.by.clone(),
            wait_ms_max: u64::from(self.wait_max) * 1_000,
        }))
    }

    fn whole(&self, view: Option<View>, problems: &mut Problems) -> Option<Rebuilding> {
        let log = self.views.log(&self.log, problems);
        let task = if self.drop {
            WholeTask::Drop
        } else if self.rollback {
            WholeTask::Back
        } else {
            WholeTask::Forward {
                differences_expected: self.expect_differences,
            }
        };
        Some(Rebuilding::Whole(Whole {
            view: view?,
            log,
            task,
        }))
    }
}
