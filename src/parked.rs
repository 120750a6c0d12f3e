//! `foldline parked`: the streams that a view does not fold any more, because it cannot fold one of their events.
//!
//! It owns what a person and a script see of them; what is asked of the database is the projector's
//! (`foldline_projector::parking::desk`). It folds nothing itself: it writes down what is wanted, and the projector that
//! holds the partition carries it out.

use std::{
    io::Write,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::Subcommand;
use foldline_projector::parking::desk::{self, Entry, Outcome, Skipped, Which};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::{
    config::{ParkedListArgs, ParkedRetryArgs, ParkedShowArgs, ParkedSkip, ParkedSkipArgs},
    views,
};

/// What the process ends with.
const WAITING: u8 = 1;
const NOT_DONE: u8 = 2;

/// How often it is looked whether a projector has done what was asked.
const POLL_MS: u64 = 200;

#[derive(Subcommand)]
pub enum ParkedTask {
    /// List what is parked; exit code 0: nothing, 1: something, 2: not known.
    List(ParkedListArgs),
    /// Show where one stream is parked and why, and which of its events are left out.
    Show(ParkedShowArgs),
    /// Have projectors try again; exit code 0: all go on, 1: some wait again, 2: not done.
    Retry(ParkedRetryArgs),
    /// Leave out the event at which a stream waits in a view, for good, and let the stream go on after it; exit code as of
    /// retry.
    Skip(ParkedSkipArgs),
}

pub async fn run(task: ParkedTask) -> ExitCode {
    let done = match task {
        ParkedTask::List(args) => list(args).await,
        ParkedTask::Show(args) => show(args).await,
        ParkedTask::Retry(args) => retry(args).await,
        ParkedTask::Skip(args) => skip(args).await,
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("foldline: {error:#}");
            ExitCode::from(NOT_DONE)
        }
    }
}

async fn list(args: ParkedListArgs) -> anyhow::Result<u8> {
    let (views, which) = args.read()?;
    let mut connection = views::connect(&views).await?;
    let mut after = None;
    let mut count = 0;
    loop {
        let page = desk::list(&mut connection, &which, after.as_ref()).await?;
        let Some(last) = page.last() else {
            break;
        };
        count += page.len();
        for entry in &page {
            say(&if args.json {
                entry_as_json(entry).to_string()
            } else {
                entry_as_text(entry)
            })?;
        }
        after = Some(last.place.clone());
    }
    if !args.json {
        say(&match count {
            0 => "nothing is parked".to_owned(),
            1 => "1 stream is parked in a view".to_owned(),
            count => format!("{count} streams are parked, each counted in each view"),
        })?;
    }
    Ok(if count == 0 { 0 } else { WAITING })
}

async fn show(args: ParkedShowArgs) -> anyhow::Result<u8> {
    let (views, tenant, stream) = args.read()?;
    let mut connection = views::connect(&views).await?;
    let which = Which {
        tenant: Some(tenant.clone()),
        stream: Some(stream.clone()),
        view: None,
    };
    let parked = desk::list(&mut connection, &which, None).await?;
    let skipped = desk::skipped(&mut connection, &tenant, &stream).await?;
    if args.json {
        let parked: Vec<Value> = parked.iter().map(entry_as_json).collect();
        let skipped: Vec<Value> = skipped.iter().map(skipped_as_json).collect();
        say(&json!({"parked": parked, "skipped": skipped}).to_string())?;
    } else {
        for entry in &parked {
            say(&entry_as_text(entry))?;
        }
        if parked.is_empty() {
            say(&format!("{stream} of {tenant} is parked in no view"))?;
        }
        for event in &skipped {
            say(&skipped_as_text(event))?;
        }
    }
    Ok(if parked.is_empty() { 0 } else { WAITING })
}

async fn retry(args: ParkedRetryArgs) -> anyhow::Result<u8> {
    let config = args.read()?;
    let mut connection = views::connect(&config.views).await?;
    let at = desk::now(&mut connection).await?;
    let mut asked = 0;
    loop {
        let page = desk::ask(&mut connection, &config.which, at).await?;
        if page == 0 {
            break;
        }
        asked += page;
    }
    if asked == 0 {
        say(&if args.json {
            json!({"asked": 0, "released": 0, "waiting": 0}).to_string()
        } else {
            "nothing of that is parked".to_owned()
        })?;
        return Ok(0);
    }
    let outcome = tried(&mut connection, &config.which, at, config.wait_ms_max).await?;
    told(asked, outcome, args.json)
}

async fn skip(args: ParkedSkipArgs) -> anyhow::Result<u8> {
    let ParkedSkip {
        views,
        tenant,
        stream,
        view,
        version,
        reason,
        by,
        wait_ms_max,
    } = args.read()?;
    let mut connection = views::connect(&views).await?;
    let at = desk::now(&mut connection).await?;
    let said = (reason.as_str(), by.as_str());
    if !desk::skip(&mut connection, (&tenant, &stream), view, version, said).await? {
        bail!(
            "{stream} of {tenant} does not wait at its event {version} in {view}, so nothing was left out; `foldline \
             parked show` says where it waits"
        );
    }
    let which = Which {
        tenant: Some(tenant),
        stream: Some(stream),
        view: Some(view),
    };
    let outcome = tried(&mut connection, &which, at, wait_ms_max).await?;
    told(1, outcome, args.json)
}

/// Waits until a projector has tried what was asked for at an instant.
async fn tried(
    connection: &mut PgConnection,
    which: &Which,
    at: chrono::DateTime<chrono::Utc>,
    wait_ms_max: u64,
) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    loop {
        let outcome = desk::outcome(connection, which, at).await?;
        if outcome.asked == 0 || began.elapsed() >= Duration::from_millis(wait_ms_max) {
            return Ok(outcome);
        }
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
    }
}

fn told(asked: i64, outcome: Outcome, as_json: bool) -> anyhow::Result<u8> {
    let Outcome {
        asked: untried,
        waiting,
    } = outcome;
    let released = (asked - untried - waiting).max(0);
    say(&if as_json {
        json!({"asked": asked, "released": released, "waiting": waiting, "untried": untried})
            .to_string()
    } else {
        format!("{released} of {asked} go on, {waiting} wait again")
    })?;
    if untried > 0 {
        bail!(
            "no projector has tried {untried} of them yet; they will be tried when one runs that holds their partitions"
        );
    }
    Ok(if waiting == 0 { 0 } else { WAITING })
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")
}

fn entry_as_text(entry: &Entry) -> String {
    let place = &entry.place;
    let asked = if entry.retry_asked {
        ", to be tried again"
    } else {
        ""
    };
    format!(
        "{} of {} in {} version {}\n  waits at its event {}, {} at position {}, since {}, tried {} times{asked}\n  {}",
        place.stream,
        place.tenant,
        place.view,
        place.view_version,
        entry.version,
        entry.event_type,
        entry.position,
        entry.parked_at.format("%Y-%m-%d %H:%M:%S UTC"),
        entry.attempts,
        entry.why
    )
}

fn entry_as_json(entry: &Entry) -> Value {
    json!({
        "tenant": entry.place.tenant,
        "stream": entry.place.stream,
        "view": entry.place.view,
        "viewVersion": entry.place.view_version,
        "partition": entry.partition,
        "position": entry.position.to_string(),
        "version": entry.version.to_string(),
        "eventId": entry.event_id,
        "eventType": entry.event_type,
        "schemaVersion": entry.schema_version,
        "needsNewerBuild": entry.needs_newer_build,
        "why": entry.why,
        "parkedAt": entry.parked_at,
        "triedAt": entry.tried_at,
        "attempts": entry.attempts,
        "retryAsked": entry.retry_asked,
    })
}

fn skipped_as_text(event: &Skipped) -> String {
    format!(
        "left out of {}: its event {}, {} at position {}, by {} at {}: {}\n  could not be folded: {}",
        event.view,
        event.version,
        event.event_type,
        event.position,
        event.skipped_by,
        event.skipped_at.format("%Y-%m-%d %H:%M:%S UTC"),
        event.reason,
        event.why
    )
}

fn skipped_as_json(event: &Skipped) -> Value {
    json!({
        "view": event.view,
        "version": event.version.to_string(),
        "position": event.position.to_string(),
        "eventType": event.event_type,
        "why": event.why,
        "reason": event.reason,
        "skippedBy": event.skipped_by,
        "skippedAt": event.skipped_at,
    })
}
