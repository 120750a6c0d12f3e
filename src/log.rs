//! `foldline log`: what an operator does with a log itself.

mod topic;

use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use foldline_log::NewEpoch;
use sqlx::{Connection, PgConnection};

use crate::{
    config::{Database, NewEpochArgs, VerifyTopicArgs},
    folder::Folder,
    shutdown,
};

#[derive(Subcommand)]
pub enum LogTask {
    /// Compare the topic with the log; exit code 0: the same, 1: something differs, 2: not checked.
    VerifyTopic(VerifyTopicArgs),
    /// Give a log that was restored or rewound a new epoch, so that nobody takes it for what it was. Stop all roles first.
    NewEpoch(NewEpochArgs),
}

pub async fn run(task: LogTask) -> ExitCode {
    match task {
        LogTask::VerifyTopic(args) => topic::run(args).await,
        LogTask::NewEpoch(args) => match new_epoch(&args).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("foldline: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

async fn new_epoch(args: &NewEpochArgs) -> anyhow::Result<()> {
    if let Some(database) = args.read()? {
        return renamed(&database).await;
    }
    let folder = Folder::open(args.data.as_deref())?;
    let shutdown = shutdown::on_signal()?;
    let (databases, embedded) = folder.databases(None).await?;
    let task = async {
        renamed(&databases.log).await?;
        without_views(&databases.view).await
    };
    embedded.under(task, &shutdown).await
}

/// In a data folder the views lie beside the log, and nobody else can give projectors an empty database.
async fn without_views(database: &Database) -> anyhow::Result<()> {
    let mut owner = PgConnection::connect_with(&database.direct)
        .await
        .context("cannot connect to the views' database")?;
    foldline_schema::remove_views(&mut owner).await?;
    owner.close().await.context("cannot close the connection")?;
    println!(
        "- of this data folder they are removed, with what was parked and skipped; `foldline up` folds them again"
    );
    Ok(())
}

async fn renamed(database: &Database) -> anyhow::Result<()> {
    let mut owner = PgConnection::connect_with(&database.direct)
        .await
        .context("cannot connect to the log's database")?;
    let NewEpoch { before, now, head } = foldline_log::new_epoch(&mut owner).await?;
    owner.close().await.context("cannot close the connection")?;
    println!("the log, which ends at position {head}, was {before} and is {now} now");
    println!(
        "- cursors given out before are refused, and consumers pass older records of the topic over"
    );
    println!("- the relay carries all of the log to the topic again");
    println!(
        "- views that were folded before belong to the old log: give projectors an empty view database"
    );
    Ok(())
}
