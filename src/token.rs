//! `foldline token`: a signed development token. Real identity will replace the token's source, not the door.

use anyhow::Context;
use chrono::{TimeDelta, Utc};
use clap::Args;
use foldline_events::{Tenant, tenant::SYSTEM_TENANT};
use foldline_gate::{Gate, Role, Secret};

use crate::{config::SecretArgs, folder};

#[derive(Args)]
pub struct TokenArgs {
    /// Whose data it opens.
    #[arg(long)]
    tenant: String,
    /// What it allows: viewer, member or admin.
    #[arg(long, default_value = "member")]
    role: String,
    /// Who acts; recorded in events.
    #[arg(long, default_value = "developer")]
    actor: String,
    /// How many days it is valid.
    #[arg(long, default_value_t = 30)]
    days: u32,
    /// The data folder of a `foldline up` whose secret signs it, when no secret is given.
    #[arg(long, env = "FOLDLINE_DATA")]
    data: Option<std::path::PathBuf>,
    #[command(flatten)]
    secret: SecretArgs,
}

pub fn run(args: TokenArgs) -> anyhow::Result<()> {
    let secret = if args.secret.is_given() {
        args.secret.read().map_err(anyhow::Error::msg)?
    } else {
        folder::existing_secret(args.data.as_deref())?
    };
    let role: Role = args.role.parse()?;
    println!(
        "{}",
        issue(&secret, &args.tenant, &args.actor, role, args.days)?
    );
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a token's time begins where the program is asked for it"
)]
pub fn issue(
    secret: &Secret,
    tenant: &str,
    actor: &str,
    role: Role,
    days: u32,
) -> anyhow::Result<String> {
    anyhow::ensure!(
        tenant != SYSTEM_TENANT,
        "tenant {SYSTEM_TENANT} is reserved for the platform itself"
    );
    let tenant = Tenant::parse(tenant)?;
    let lifetime = TimeDelta::days(i64::from(days));
    Gate::new(secret)
        .issue(&tenant, actor, role, lifetime, Utc::now())
        .context("cannot issue the token")
}
