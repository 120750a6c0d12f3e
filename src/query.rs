//! A client of a running query service: where it is, who asks, and one GraphQL question at a time.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use foldline_gate::{Problem, Role};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    folder,
    import::ACTOR,
    token::issue,
    up::{Running, TENANT, TOKEN_DAYS},
};

const CONNECT_TIMEOUT_S: u64 = 5;
/// A request takes the service 30 s at most, after up to 5 s of waiting for the views.
const REQUEST_TIMEOUT_S: u64 = 60;
const PATH: &str = "graphql";

#[derive(Args)]
pub(crate) struct QueryArgs {
    /// The query service, such as http://127.0.0.1:8080; when absent, the `foldline up` that runs over the data folder
    #[arg(long, value_name = "URL", env = "FOLDLINE_QUERY_SERVER")]
    server: Option<String>,

    /// Who asks; `foldline token` makes one
    #[arg(long, env = "FOLDLINE_TOKEN", hide_env_values = true)]
    token: Option<String>,

    /// Whose data is asked for, when no token says so [default: dev]
    #[arg(long)]
    tenant: Option<String>,

    /// The data folder of the `foldline up`; by default the user's data folder
    #[arg(long, value_name = "FOLDER", env = "FOLDLINE_DATA")]
    data: Option<PathBuf>,
}

/// A query service and the right to ask it.
pub(crate) struct Service {
    client: reqwest::Client,
    url: Url,
    token: String,
}

/// What GraphQL answers, or a problem document in its place.
#[derive(Deserialize)]
struct Answer {
    data: Option<Value>,
    #[serde(default)]
    errors: Vec<Refusal>,
    extensions: Option<Value>,
}

impl Answer {
    /// Whether streams that it reads are parked.
    fn lacks_something(&self) -> bool {
        let extensions = self.extensions.as_ref();
        extensions.is_some_and(|extensions| !extensions["foldline"]["parked"].is_null())
    }
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
    extensions: Option<Value>,
}

impl QueryArgs {
    pub(crate) async fn find(&self) -> anyhow::Result<Service> {
        if let (Some(_), Some(_)) = (&self.token, &self.tenant) {
            bail!("a token says itself whose data it opens; give --token or --tenant");
        }
        let server = match &self.server {
            Some(server) => server.clone(),
            None => Running::over(self.data.as_deref()).await?.query,
        };
        let token = match (&self.token, &self.server) {
            (Some(token), _) => token.clone(),
            (None, Some(_)) => {
                bail!("--server needs a --token, or FOLDLINE_TOKEN; `foldline token` makes one")
            }
            (None, None) => {
                let secret = folder::existing_secret(self.data.as_deref())?;
                let tenant = self.tenant.as_deref().unwrap_or(TENANT);
                issue(&secret, tenant, ACTOR, Role::Viewer, TOKEN_DAYS)?
            }
        };
        Service::new(&server, &token)
    }
}

impl Service {
    fn new(server: &str, token: &str) -> anyhow::Result<Self> {
        let url = Url::parse(&format!("{}/{PATH}", server.trim_end_matches('/')))
            .ok()
            .filter(|url| url.scheme() == "http" || url.scheme() == "https")
            .with_context(|| {
                format!("--server {server:?} is no address such as http://127.0.0.1:8080")
            })?;
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(CONNECT_TIMEOUT_S))
            .timeout(Duration::from_secs(REQUEST_TIMEOUT_S))
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self {
            client,
            url,
            token: token.trim().to_owned(),
        })
    }

    /// The data of the answer to a query.
    ///
    /// # Errors
    /// Also where only a part of it was answered.
    pub(crate) async fn ask(&self, query: &str, variables: &Value) -> anyhow::Result<Value> {
        let url = &self.url;
        let response = self
            .client
            .post(url.clone())
            .bearer_auth(&self.token)
            .json(&json!({"query": query, "variables": variables}))
            .send()
            .await
            .with_context(|| format!("cannot reach {url}"))?;
        let status = response.status();
        let body = response
            .bytes()
            .await
            .with_context(|| format!("{url} broke off in the middle of its answer"))?;
        let Ok(answer) = serde_json::from_slice::<Answer>(&body) else {
            bail!("{url} does not answer as a Foldline query service (status {status})");
        };
        if let Some(refusal) = answer.errors.first() {
            return Err(refusal.as_error());
        }
        if answer.lacks_something() {
            eprintln!(
                "foldline: events of it are parked, and left out here; see `foldline parked list`"
            );
        }
        answer.data.ok_or_else(|| {
            let problem: Option<Problem> = serde_json::from_slice(&body).ok();
            let said = problem.map_or_else(|| format!("status {status}"), |it| it.title);
            match status.as_u16() {
                401 | 403 => {
                    anyhow!("{url} refuses to answer: {said}; `foldline token` makes another token")
                }
                _ => anyhow!("{url} does not answer: {said}"),
            }
        })
    }
}

impl Refusal {
    fn as_error(&self) -> anyhow::Error {
        let extensions = self.extensions.as_ref();
        let code = extensions.and_then(|extensions| extensions["code"].as_str());
        match code {
            Some(code) => anyhow!("{} ({code})", self.message),
            None => anyhow!("{}", self.message),
        }
    }
}
