//! Settings of `foldline rebuild`.

use clap::Args;
use foldline_projector::rebuilds::Which;

use super::{Problems, Views, ViewsArgs, parked::tenant, views::view_named};

/// How long it waits for projectors to do what was asked for, when nothing else is said.
const WAIT_SECONDS: u32 = 600;

#[derive(Args, Clone)]
pub struct RebuildArgs {
    /// The view: `task_view`, say.
    view: String,
    /// Whose rows.
    #[arg(long)]
    tenant: String,
    /// Only what is folded from this stream: `task-0198…`, say.
    #[arg(long)]
    stream: Option<String>,
    /// Who asks for it; remembered for 30 days.
    #[arg(long, env = "USER", default_value = "somebody")]
    by: String,
    /// How long to wait until projectors have done it.
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_SECONDS)]
    wait_max: u32,
    #[command(flatten)]
    views: ViewsArgs,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

pub struct Rebuild {
    pub views: Views,
    pub which: Which,
    pub by: String,
    pub wait_ms_max: u64,
}

impl RebuildArgs {
    pub fn read(&self) -> anyhow::Result<Rebuild> {
        let mut problems = Problems::default();
        let views = self.views.read(&mut problems);
        let tenant = problems.note(tenant(&self.tenant));
        let view =
            problems.note(view_named(&self.view).map_err(|problem| format!("VIEW: {problem}")));
        let which = view.zip(tenant).map(|(view, tenant)| Which {
            view,
            tenant,
            stream: self.stream.clone(),
        });
        if let Some(which) = which.as_ref().filter(|which| !which.is_folded()) {
            problems.note::<()>(Err(format!(
                "--stream: {} folds no streams of this kind",
                which.view
            )));
        }
        problems.report(|| {
            Some(Rebuild {
                views,
                which: which?,
                by: self.by.clone(),
                wait_ms_max: u64::from(self.wait_max) * 1_000,
            })
        })
    }
}
