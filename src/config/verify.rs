//! Settings of `foldline verify`.

use clap::Args;
use foldline_events::{Position, Tenant};
use foldline_projector::{View, verify::Content};

use super::{Problems, Views, ViewsArgs, views::view_named};

/// How long it waits for the views, when nothing else is said.
const WAIT_SECONDS: u32 = 30;

#[derive(Args, Clone)]
pub struct VerifyArgs {
    #[command(flatten)]
    views: ViewsArgs,
    /// Only what concerns this view: project_view, task_view, task_history or task_dashboard.
    #[arg(value_name = "VIEW")]
    view: Option<String>,
    /// Check what readers see as of this position of the log, instead of the present.
    #[arg(long, value_name = "POSITION", conflicts_with = "digest")]
    as_of: Option<Position>,
    /// Only the rows of this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Print one digest per view, the same for all databases with the same rows, instead of checking.
    #[arg(long)]
    digest: bool,
    /// Leave out of the digests what the log gave out (positions, event ids, recorded times), to compare the views of
    /// two logs of the same commands.
    #[arg(long, requires = "digest")]
    across_logs: bool,
    /// How long to wait until the views are folded to the same place.
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_SECONDS)]
    wait_max: u32,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

pub struct VerifyConfig {
    pub views: Views,
    /// All of them, where none is named.
    pub view: Option<View>,
    pub tenant: Option<Tenant>,
    pub verifying: Verifying,
    pub wait_ms_max: u64,
}

/// What `verify` does.
#[derive(Debug, Clone, Copy)]
pub enum Verifying {
    Checks { as_of: Option<Position> },
    Digests(Content),
}

impl VerifyArgs {
    pub fn read(&self) -> anyhow::Result<VerifyConfig> {
        let mut problems = Problems::default();
        let views = self.views.read(&mut problems);
        let tenant = self.tenant.as_deref().map(|tenant| {
            problems.note(Tenant::parse(tenant).map_err(|error| format!("--tenant: {error}")))
        });
        let view = self.view.as_deref().map(|name| {
            problems.note(view_named(name).map_err(|problem| format!("VIEW: {problem}")))
        });
        if self.as_of.is_some_and(|position| position < 0) {
            problems.note::<()>(Err("--as-of: a position is not negative".to_owned()));
        }
        let verifying = match (self.digest, self.across_logs) {
            (false, _) => Verifying::Checks { as_of: self.as_of },
            (true, false) => Verifying::Digests(Content::OfOneLog),
            (true, true) => Verifying::Digests(Content::AcrossLogs),
        };
        problems.report(|| {
            Some(VerifyConfig {
                views,
                tenant: tenant.flatten(),
                view: view.flatten(),
                verifying,
                wait_ms_max: u64::from(self.wait_max) * 1_000,
            })
        })
    }
}

impl VerifyConfig {
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_ref().map(Tenant::as_str)
    }
}
