//! Where commands are sent, and as whom: the service that is named, or the `foldline up` that runs over a data folder.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use foldline_gate::Role;

use crate::{
    folder,
    token::issue,
    up::{Running, TENANT, TOKEN_DAYS},
};

/// Who acts, where no token says so: the same as in a token of `foldline token` that names nobody, so that one file has
/// one history, whichever way it goes.
pub(crate) const ACTOR: &str = "developer";

#[derive(Args)]
pub(crate) struct TargetArgs {
    /// The command service, such as http://127.0.0.1:8080; when absent, the `foldline up` that runs over the data folder
    #[arg(long, value_name = "URL", env = "FOLDLINE_SERVER")]
    server: Option<String>,

    /// Who sends; `foldline token` makes one
    #[arg(long, env = "FOLDLINE_TOKEN", hide_env_values = true)]
    token: Option<String>,

    /// Whose data it is, when no token says so [default: dev]
    #[arg(long)]
    tenant: Option<String>,

    /// The data folder of the `foldline up`; by default the user's data folder
    #[arg(long, value_name = "FOLDER", env = "FOLDLINE_DATA")]
    pub(super) data: Option<PathBuf>,
}

/// A command service and the right to use it.
pub(crate) struct Target {
    pub(crate) server: String,
    pub(crate) token: String,
}

impl TargetArgs {
    pub(crate) async fn find(&self) -> anyhow::Result<Target> {
        if let (Some(_), Some(_)) = (&self.token, &self.tenant) {
            bail!("a token says itself whose data it opens; give --token or --tenant");
        }
        let server = match &self.server {
            Some(server) => server.clone(),
            None => Running::over(self.data.as_deref()).await?.api,
        };
        let token = match (&self.token, &self.server) {
            (Some(token), _) => token.clone(),
            (None, Some(_)) => {
                bail!("--server needs a --token, or FOLDLINE_TOKEN; `foldline token` makes one")
            }
            (None, None) => self.issue()?,
        };
        Ok(Target { server, token })
    }

    pub(super) fn tenant(&self) -> &str {
        self.tenant.as_deref().unwrap_or(TENANT)
    }

    /// As `foldline token` does: whoever may read the folder's secret may do anything there.
    fn issue(&self) -> anyhow::Result<String> {
        let secret = folder::existing_secret(self.data.as_deref())?;
        issue(&secret, self.tenant(), ACTOR, Role::Admin, TOKEN_DAYS)
    }
}
