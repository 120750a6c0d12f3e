//! `foldline log`: what an operator does with a log itself.

mod topic;

use std::process::ExitCode;

use clap::Subcommand;

use crate::config::VerifyTopicArgs;

#[derive(Subcommand)]
pub enum LogTask {
    /// Compare the topic with the log; exit code 0: the same, 1: something differs, 2: not checked.
    VerifyTopic(VerifyTopicArgs),
}

pub async fn run(task: LogTask) -> ExitCode {
    match task {
        LogTask::VerifyTopic(args) => topic::run(args).await,
    }
}
