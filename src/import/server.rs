//! The command service as an import sees it: takes a request sooner or later, or says for good that it will not.
//!
//! Whatever may pass is tried again with the same command ids, which is harmless. Patience is shared by all requests:
//! it ends when none of them got anywhere for long.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use foldline_command::{Verdict, Verdicts};
use foldline_gate::Problem;
use reqwest::{
    StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER},
};

use super::window::Pending;

/// How long nothing may move before the import gives up.
const PATIENCE_S: u64 = 5 * 60;
/// The same before the service was heard of for the first time: then the address is probably wrong.
const PATIENCE_AT_FIRST_S: u64 = 10;
/// The pauses between tries.
const RETRY_MS_MIN: u64 = 100;
const RETRY_MS_MAX: u64 = 5_000;
/// The longest pause that the service may ask for.
const RETRY_AFTER_S_MAX: u64 = 30;
const CONNECT_TIMEOUT_S: u64 = 5;
const REQUEST_TIMEOUT_S: u64 = 60;
const PATH: &str = "api/v1/commands";

/// What became of one request's commands.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) commands: Vec<Pending>,
    /// One each, in the same order.
    pub(super) verdicts: Vec<Verdict>,
}

#[derive(Clone)]
pub(super) struct Server {
    client: reqwest::Client,
    url: Url,
    token: String,
    heard: Arc<Mutex<Heard>>,
}

struct Heard {
    moved_at: Instant,
    /// Whether anything at all was ever heard of the service.
    answers: bool,
}

/// A try that did not succeed.
enum Trouble {
    /// It may pass.
    Passing {
        why: anyhow::Error,
        retry_after: Option<Duration>,
    },
    /// It will not.
    Final(anyhow::Error),
}

impl Server {
    pub(super) fn new(server: &str, token: &str) -> anyhow::Result<Self> {
        Ok(Self {
            client: client()?,
            url: address(server, PATH)?,
            token: token.trim().to_owned(),
            heard: Arc::new(Mutex::new(Heard {
                moved_at: Instant::now(),
                answers: false,
            })),
        })
    }

    /// Sends them until they are answered.
    pub(super) async fn send(&self, commands: Vec<Pending>) -> anyhow::Result<Answer> {
        let body = body_of(&commands);
        let mut pause_ms = RETRY_MS_MIN;
        loop {
            let (why, retry_after) = match self.try_once(body.clone(), commands.len()).await {
                Ok(verdicts) => {
                    self.moved();
                    return Ok(Answer { commands, verdicts });
                }
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Passing { why, retry_after }) => (why, retry_after),
            };
            let patience = self.patience();
            if self.stood_still() >= patience {
                let seconds = patience.as_secs();
                return Err(why.context(format!("nothing moved for {seconds} seconds")));
            }
            // Halves at random, so that requests that failed together do not come back together.
            let pause = Duration::from_millis(rand::random_range(pause_ms / 2..=pause_ms));
            let longest = Duration::from_secs(RETRY_AFTER_S_MAX);
            tokio::time::sleep(retry_after.unwrap_or_default().min(longest).max(pause)).await;
            pause_ms = (pause_ms * 2).min(RETRY_MS_MAX);
        }
    }

    async fn try_once(&self, body: String, commands: usize) -> Result<Vec<Verdict>, Trouble> {
        let passing = |error: reqwest::Error| Trouble::Passing {
            why: unreachable(&self.url, &error),
            retry_after: None,
        };
        let response = self
            .client
            .post(self.url.clone())
            .bearer_auth(&self.token)
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .send()
            .await
            .map_err(passing)?;
        self.lock().answers = true;
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.map_err(passing)?;
        if status != StatusCode::OK {
            return Err(self.refused(status, &headers, &bytes));
        }
        let answer: Verdicts = serde_json::from_slice(&bytes)
            .map_err(|error| Trouble::Final(self.foreign().context(error)))?;
        if answer.verdicts.len() != commands {
            return Err(Trouble::Final(self.foreign()));
        }
        Ok(answer.verdicts)
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Trouble {
        let problem: Option<Problem> = serde_json::from_slice(body).ok();
        let said = problem.map_or_else(
            || format!("status {status}"),
            |problem| match problem.detail {
                Some(detail) => format!("{}: {detail}", problem.title),
                None => problem.title,
            },
        );
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Trouble::Final(anyhow!(
                "{} refuses the token: {said}; `foldline token` makes another",
                self.url
            )),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                Trouble::Final(self.foreign().context(said))
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => passing(said, headers),
            _ if status.is_server_error() => passing(said, headers),
            _ => Trouble::Final(anyhow!("{} does not take the commands: {said}", self.url)),
        }
    }

    fn foreign(&self) -> anyhow::Error {
        anyhow!("{} does not answer as a Foldline command service", self.url)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Heard> {
        // Every change is one assignment, so a panic in between leaves nothing half done.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moved(&self) {
        self.lock().moved_at = Instant::now();
    }

    fn stood_still(&self) -> Duration {
        self.lock().moved_at.elapsed()
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(if self.lock().answers {
            PATIENCE_S
        } else {
            PATIENCE_AT_FIRST_S
        })
    }
}

fn passing(said: String, headers: &HeaderMap) -> Trouble {
    let retry_after = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|seconds| seconds.parse().ok())
        .map(Duration::from_secs);
    Trouble::Passing {
        why: anyhow!(said),
        retry_after,
    }
}

/// A path of a service.
pub(crate) fn address(server: &str, path: &str) -> anyhow::Result<Url> {
    Url::parse(&format!("{}/{path}", server.trim_end_matches('/')))
        .ok()
        .filter(|url| url.scheme() == "http" || url.scheme() == "https")
        .with_context(|| format!("--server {server:?} is no address such as http://127.0.0.1:8080"))
}

pub(crate) fn client() -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(CONNECT_TIMEOUT_S))
        .timeout(Duration::from_secs(REQUEST_TIMEOUT_S))
        .build()
        .context("cannot make an HTTP client")
}

/// The library's own text says "error sending request" and hides why in its sources.
pub(crate) fn unreachable(url: &Url, error: &reqwest::Error) -> anyhow::Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let why = match error.is_timeout() {
        true => "no answer in time".to_owned(),
        false => cause.to_string(),
    };
    anyhow!("cannot reach {url}: {why}")
}

/// Every text is one JSON object already, checked when it was read.
fn body_of(commands: &[Pending]) -> String {
    let texts: Vec<&str> = commands
        .iter()
        .map(|command| command.text.as_str())
        .collect();
    format!("[{}]", texts.join(","))
}
