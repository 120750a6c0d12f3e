//! Where the `foldline up` of a data folder is to be found: a small file in the folder while it runs, without any secret.
//!
//! A clean end takes the file away. After any other end it stays, so whoever reads it asks whether anybody answers.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};

use crate::folder;

const FILE: &str = "running.json";
/// How long a process on this machine may take to say that it is alive.
const ANSWER_SECONDS_MAX: u64 = 5;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Scheme and authority of the command service.
    pub api: String,
    /// And of the query service.
    pub query: String,
    pub process: u32,
}

/// The file is there until this is dropped.
pub struct Announced {
    file: PathBuf,
    said: String,
}

impl Running {
    /// Says in the folder that this process is up.
    pub fn announce(folder: &Path, api: &str, query: &str) -> anyhow::Result<Announced> {
        let running = Self {
            api: api.to_owned(),
            query: query.to_owned(),
            process: std::process::id(),
        };
        let said = serde_json::to_string(&running).context("cannot say where this is")?;
        let file = folder.join(FILE);
        let unfinished = folder.join(format!("{FILE}.new"));
        // Renamed into its place, so that nobody reads half of it.
        fs::write(&unfinished, &said)
            .and_then(|()| fs::rename(&unfinished, &file))
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Announced { file, said })
    }

    /// The one that runs over a data folder now: the folder named, or the user's own.
    pub async fn over(named: Option<&Path>) -> anyhow::Result<Self> {
        let folder = folder::path(named)?;
        let shown = folder.display();
        let remedy = "start it, or name another with --data or --server";
        let text = fs::read_to_string(folder.join(FILE))
            .map_err(|_| anyhow!("no `foldline up` runs over {shown}; {remedy}"))?;
        let running: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is not as it must be", folder.join(FILE).display()))?;
        if !running.answers().await {
            return Err(anyhow!(
                "the `foldline up` over {shown} was at {}, and nobody answers there: it has ended without saying so; {remedy}",
                running.api
            ));
        }
        Ok(running)
    }

    async fn answers(&self) -> bool {
        let patience = Duration::from_secs(ANSWER_SECONDS_MAX);
        let asked = reqwest::Client::new()
            .get(format!("{}/health/live", self.api))
            .timeout(patience)
            .send()
            .await;
        asked.is_ok_and(|answer| answer.status().is_success())
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // Somebody who came after us may have written its own.
        if fs::read_to_string(&self.file).is_ok_and(|text| text == self.said) {
            let _ = fs::remove_file(&self.file);
        }
    }
}
