//! A view's rows of a tenant, or of one stream, folded again from the log in their place.
//!
//! The wish is written down, and waited for; the projector that holds the partition carries it out (`foldline_projector::rebuilds`).

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use anyhow::bail;
use foldline_projector::rebuilds::{self, Outcome, Which};
use serde_json::json;
use sqlx::PgConnection;

use super::{DONE, REFUSED, say};
use crate::{
    config::{InPlace, Views},
    views,
};

/// How often it is looked what projectors have done.
const POLL_MS: u64 = 200;

pub(super) async fn run(config: &InPlace, views: &Views, as_json: bool) -> anyhow::Result<u8> {
    let mut connection = views::connect(views).await?;
    let asked_at = rebuilds::ask(&mut connection, &config.which, &config.by).await?;
    let asking = (&config.which, asked_at);
    let outcome = done(&mut connection, asking, config.wait_ms_max).await?;
    told(&outcome, as_json)
}

/// Waits until projectors have done what was asked for at an instant; on a terminal it says how far they are.
async fn done(
    connection: &mut PgConnection,
    (which, asked_at): (&Which, chrono::DateTime<chrono::Utc>),
    wait_ms_max: u64,
) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let mut shows_progress = std::io::stderr().is_terminal();
    loop {
        let outcome = rebuilds::outcome(connection, which, asked_at).await?;
        let ended = outcome.done + outcome.refused.len();
        let all = ended + outcome.to_do;
        if shows_progress && all > 1 {
            let line = format!("\r{ended} of {all} partitions, {} events ", outcome.events);
            shows_progress = std::io::stderr().write_all(line.as_bytes()).is_ok();
        }
        if outcome.to_do == 0 || began.elapsed() >= Duration::from_millis(wait_ms_max) {
            if shows_progress && all > 1 {
                eprintln!();
            }
            return Ok(outcome);
        }
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
    }
}

fn told(outcome: &Outcome, as_json: bool) -> anyhow::Result<u8> {
    let Outcome {
        to_do,
        done,
        events,
        refused,
    } = outcome;
    if as_json {
        let refused: Vec<_> = refused
            .iter()
            .map(|(partition, why)| json!({"partition": partition, "why": why}))
            .collect();
        say(&json!({
            "done": done,
            "events": events.to_string(),
            "refused": refused,
            "toDo": to_do,
        })
        .to_string())?;
    } else {
        for (partition, why) in refused {
            say(&format!(
                "nothing was replaced in partition {partition}: {why}"
            ))?;
        }
        let partitions = if *done == 1 {
            "partition"
        } else {
            "partitions"
        };
        say(&format!(
            "rows in {done} {partitions} were folded again, from {events} events"
        ))?;
    }
    if *to_do > 0 {
        bail!(
            "no projector has come to {to_do} partitions yet; it is done when one runs that holds them. `foldline status` says \
             which run"
        );
    }
    Ok(if refused.is_empty() { DONE } else { REFUSED })
}
