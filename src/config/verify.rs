//! Settings of `foldline verify`.

use clap::Args;
use foldline_events::Tenant;
use foldline_projector::verify::Content;

use super::{Problems, Views, ViewsArgs};

/// How long it waits for the views, when nothing else is said.
const WAIT_SECONDS: u32 = 30;

#[derive(Args, Clone)]
pub struct VerifyArgs {
    #[command(flatten)]
    views: ViewsArgs,
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
    pub tenant: Option<Tenant>,
    pub verifying: Verifying,
    pub wait_ms_max: u64,
}

/// What `verify` does.
#[derive(Debug, Clone, Copy)]
pub enum Verifying {
    Checks,
    Digests(Content),
}

impl VerifyArgs {
    pub fn read(&self) -> anyhow::Result<VerifyConfig> {
        let mut problems = Problems::default();
        let views = self.views.read(&mut problems);
        let tenant = self.tenant.as_deref().map(|tenant| {
            problems.note(Tenant::parse(tenant).map_err(|error| format!("--tenant: {error}")))
        });
        let verifying = match (self.digest, self.across_logs) {
            (false, _) => Verifying::Checks,
            (true, false) => Verifying::Digests(Content::OfOneLog),
            (true, true) => Verifying::Digests(Content::AcrossLogs),
        };
        problems.report(|| {
            Some(VerifyConfig {
                views,
                tenant: tenant.flatten(),
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
