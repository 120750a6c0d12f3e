//! The other event stores, each measured by the program of `benches/peers` in a process of its own.

use std::{path::PathBuf, process::Stdio};

use anyhow::Context;
use clap::Args;
use serde::de::DeserializeOwned;
use tokio::process::Command;

use crate::database::Database;

pub const PEERS: [&str; 4] = ["cqrs-es", "disintegrate", "esrs", "evento"];

#[derive(Args)]
pub struct Peers {
    /// The program of benches/peers; without it other stores are left out
    #[arg(long = "peers", value_name = "PROGRAM")]
    program: Option<PathBuf>,
}

impl Peers {
    /// Those that are measured.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        PEERS.into_iter().filter(|_| self.program.is_some())
    }

    /// The program, about to do something with a store.
    pub fn doing(&self, what: &str, store: &str) -> anyhow::Result<Command> {
        let program = self.program.as_ref().context("--peers is not given")?;
        let mut command = Command::new(program);
        command.args([what, "--store", store]);
        Ok(command)
    }
}

/// Runs to its end a program that measures a database, and reads what it prints.
pub async fn answer<T: DeserializeOwned>(
    mut command: Command,
    database: &Database,
) -> anyhow::Result<T> {
    let output = command
        .args(["--url", &database.url()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await?;
    anyhow::ensure!(output.status.success(), "it ended with {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}
