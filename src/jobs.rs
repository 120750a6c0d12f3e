//! `foldline jobs`: what the worker has to do, and what it gave up.
//!
//! It owns what a person and a script see of them; what is asked of the database is the command service's
//! (`foldline_command::worker::desk`). It runs nothing itself: a worker carries out what is wanted.

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use clap::Subcommand;
use foldline_command::worker::desk::{self, Entry};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::{
    config::{Database, JobsDiscardArgs, JobsListArgs, JobsRetryArgs},
    roles,
};

/// What the process ends with.
const SOME_PARKED: u8 = 1;
const NOT_DONE: u8 = 2;

#[derive(Subcommand)]
pub enum JobsTask {
    /// List jobs that are not done yet; exit code 0: none of these is parked, 1: some are, 2: not known.
    List(JobsListArgs),
    /// Have a worker try parked jobs again; exit code 0: it will, 2: there is nothing such, or it is not known.
    Retry(JobsRetryArgs),
    /// Give a parked job up for good; exit codes as of retry.
    Discard(JobsDiscardArgs),
}

pub async fn run(task: JobsTask) -> ExitCode {
    let done = match task {
        JobsTask::List(args) => list(args).await,
        JobsTask::Retry(args) => retry(args).await,
        JobsTask::Discard(args) => discard(args).await,
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("foldline: {error:#}");
            ExitCode::from(NOT_DONE)
        }
    }
}

async fn list(args: JobsListArgs) -> anyhow::Result<u8> {
    let mut connection = connect(&args.read()?).await?;
    let jobs = desk::list(&mut connection, args.state(), args.max).await?;
    let mut out = std::io::stdout().lock();
    for job in &jobs {
        let line = if args.json {
            as_json(job).to_string()
        } else {
            as_text(job)
        };
        writeln!(out, "{line}")?;
    }
    if jobs.is_empty() && !args.json {
        writeln!(out, "no such jobs")?;
    }
    let parked = jobs.iter().any(|job| job.parked_at.is_some());
    Ok(if parked { SOME_PARKED } else { 0 })
}

fn as_json(job: &Entry) -> serde_json::Value {
    json!({
        "job": job.job_id,
        "kind": job.kind,
        "tenant": job.tenant,
        "aggregate": job.aggregate,
        "state": job.state,
        "orderedAt": job.ordered_at,
        "runAt": job.run_at,
        "attempts": job.attempts,
        "failure": job.failure,
        "parkedAt": job.parked_at,
    })
}

fn as_text(job: &Entry) -> String {
    let at = job.run_at.format("%Y-%m-%d %H:%M:%SZ");
    let of = match (&job.tenant, &job.aggregate) {
        (Some(tenant), Some(aggregate)) => format!(" of {tenant}/{aggregate}"),
        _ => String::new(),
    };
    let failure = match &job.failure {
        Some(why) => format!("; attempt {}: {why}", job.attempts),
        None => String::new(),
    };
    format!(
        "{} {} {}{of}, {at}{failure}",
        job.job_id, job.state, job.kind
    )
}

async fn retry(args: JobsRetryArgs) -> anyhow::Result<u8> {
    let mut connection = connect(&args.read()?).await?;
    let retried = desk::retry(&mut connection, args.job).await?;
    if retried == 0 && args.job.is_some() {
        anyhow::bail!("there is no such parked job");
    }
    println!("{retried} to be tried again");
    Ok(0)
}

async fn discard(args: JobsDiscardArgs) -> anyhow::Result<u8> {
    let mut connection = connect(&args.read()?).await?;
    if !desk::discard(&mut connection, args.job).await? {
        anyhow::bail!("there is no such parked job");
    }
    println!("discarded");
    Ok(0)
}

async fn connect(database: &Database) -> anyhow::Result<PgConnection> {
    PgConnection::connect_with(&roles::as_worker(&database.url))
        .await
        .context("cannot connect to the log's database")
}
