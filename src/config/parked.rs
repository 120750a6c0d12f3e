//! Settings of `foldline parked`.

use clap::Args;
use foldline_events::{Tenant, Version};
use foldline_projector::{View, parking::desk::Which};

use super::{Problems, Views, ViewsArgs, views::view_named};

/// How long it waits for a projector to try what was asked for, when nothing else is said.
const WAIT_SECONDS: u32 = 60;

#[derive(Args, Clone)]
pub struct ParkedListArgs {
    /// Only streams of this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Only in this view: `task_view`, say.
    #[arg(long = "in")]
    in_view: Option<String>,
    #[command(flatten)]
    views: ViewsArgs,
    /// Print one line of JSON for each; of what is done, one in all.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone)]
pub struct ParkedShowArgs {
    /// The stream: `task-0198…`, say.
    stream: String,
    /// Its tenant.
    #[arg(long)]
    tenant: String,
    #[command(flatten)]
    views: ViewsArgs,
    /// Print one line of JSON for each; of what is done, one in all.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone)]
pub struct ParkedRetryArgs {
    /// The stream; without it, all that fit the flags.
    #[arg(requires = "tenant", required_unless_present_any = ["tenant", "in_view", "all"])]
    stream: Option<String>,
    /// Only streams of this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Only in this view.
    #[arg(long = "in")]
    in_view: Option<String>,
    /// Everything that is parked.
    #[arg(long, conflicts_with_all = ["stream", "tenant", "in_view"])]
    all: bool,
    /// How long to wait until a projector has tried them.
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_SECONDS)]
    wait_max: u32,
    #[command(flatten)]
    views: ViewsArgs,
    /// Print one line of JSON for each; of what is done, one in all.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone)]
pub struct ParkedSkipArgs {
    /// The stream.
    stream: String,
    /// Its tenant.
    #[arg(long)]
    tenant: String,
    /// The view that leaves the event out.
    #[arg(long = "in")]
    in_view: String,
    /// The version of the event, as `list` and `show` say it: no other one is ever left out.
    #[arg(long, value_name = "VERSION")]
    event: Version,
    /// Why it may be left out; kept for good.
    #[arg(long)]
    reason: String,
    /// Who decides it; kept for good.
    #[arg(long, env = "USER")]
    by: String,
    /// How long to wait until a projector has gone on.
    #[arg(long, value_name = "SECONDS", default_value_t = WAIT_SECONDS)]
    wait_max: u32,
    #[command(flatten)]
    views: ViewsArgs,
    /// Print one line of JSON for each; of what is done, one in all.
    #[arg(long)]
    pub json: bool,
}

pub struct ParkedRetry {
    pub views: Views,
    pub which: Which,
    pub wait_ms_max: u64,
}

pub struct ParkedSkip {
    pub views: Views,
    pub tenant: Tenant,
    pub stream: String,
    pub view: View,
    pub version: Version,
    pub reason: String,
    pub by: String,
    pub wait_ms_max: u64,
}

impl ParkedListArgs {
    pub fn read(&self) -> anyhow::Result<(Views, Which)> {
        let mut problems = Problems::default();
        let views = self.views.read(&mut problems);
        let which = which(
            &mut problems,
            self.tenant.as_deref(),
            None,
            self.in_view.as_deref(),
        );
        problems.report(|| Some((views, which)))
    }
}

impl ParkedShowArgs {
    pub fn read(&self) -> anyhow::Result<(Views, Tenant, String)> {
        let mut problems = Problems::default();
        let views = self.views.read(&mut problems);
        let tenant = problems.note(tenant(&self.tenant));
        problems.report(|| Some((views, tenant?, self.stream.clone())))
    }
}

impl ParkedRetryArgs {
    pub fn read(&self) -> anyhow::Result<ParkedRetry> {
        let mut problems = Problems::default();
        let views = self.views.read(&mut problems);
        let which = which(
            &mut problems,
            self.tenant.as_deref(),
            self.stream.as_deref(),
            self.in_view.as_deref(),
        );
        problems.report(|| {
            Some(ParkedRetry {
                views,
                which,
                wait_ms_max: u64::from(self.wait_max) * 1_000,
            })
        })
    }
}

impl ParkedSkipArgs {
    pub fn read(&self) -> anyhow::Result<ParkedSkip> {
        let mut problems = Problems::default();
        let views = self.views.read(&mut problems);
        let tenant = problems.note(tenant(&self.tenant));
        let view = problems.note(view(&self.in_view));
        for (flag, text) in [("--reason", &self.reason), ("--by", &self.by)] {
            if text.trim().is_empty() {
                problems.note::<()>(Err(format!(
                    "{flag}: it is kept for good, so say something"
                )));
            }
        }
        problems.report(|| {
            Some(ParkedSkip {
                views,
                tenant: tenant?,
                stream: self.stream.clone(),
                view: view?,
                version: self.event,
                reason: self.reason.clone(),
                by: self.by.clone(),
                wait_ms_max: u64::from(self.wait_max) * 1_000,
            })
        })
    }
}

fn which(
    problems: &mut Problems,
    of_tenant: Option<&str>,
    stream: Option<&str>,
    in_view: Option<&str>,
) -> Which {
    Which {
        tenant: of_tenant.and_then(|given| problems.note(tenant(given))),
        stream: stream.map(str::to_owned),
        view: in_view.and_then(|given| problems.note(view(given))),
    }
}

pub(super) fn tenant(given: &str) -> Result<Tenant, String> {
    Tenant::parse(given).map_err(|error| format!("--tenant: {error}"))
}

fn view(given: &str) -> Result<View, String> {
    view_named(given).map_err(|problem| format!("--in: {problem}"))
}
