//! `foldline status`: where the log is, how far each view and the relay follow it, and whether that is far enough.
//!
//! It asks the databases alone, so it answers when every process is gone, and it must not write. What a process knows
//! of itself (why a partition is stalled, say) is at its `/health/ready`. What is read is in [`read`], what is shown in
//! [`report`].

mod read;
mod report;
pub mod running;

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{StatusArgs, StatusConfig},
    shutdown,
};
use read::{Places, Reader, Reading};

/// Between the two reads of the log's head that give its rate, where there are only two.
const RATE_MS: u64 = 1_000;
/// How often it looks, with `--watch`.
const WATCH_MS: u64 = 2_000;

/// What the process ends with.
const LAGGING: u8 = 1;
const UNREACHABLE: u8 = 2;

/// Moves a terminal's cursor to the top and clears what is below.
const CLEAR: &str = "\x1b[H\x1b[J";

/// 0 when everything has caught up, 1 when something lags, 2 when a database cannot be read.
pub async fn run(args: StatusArgs) -> ExitCode {
    let as_json = args.json;
    let config = match args.read() {
        Ok(config) => config,
        Err(error) => return unreachable(&error, as_json),
    };
    if config.watch {
        return watch(&config).await;
    }
    match once(&config).await {
        Ok(reading) => show(&reading, &config),
        Err(error) => unreachable(&error, as_json),
    }
}

async fn once(config: &StatusConfig) -> anyhow::Result<Reading> {
    let mut reader = Reader::open(&places(config)?).await?;
    reader.read().await?;
    tokio::time::sleep(Duration::from_millis(RATE_MS)).await;
    reader.read().await
}

/// Looks again and again until Ctrl-C; a database that is away is said, and tried again.
async fn watch(config: &StatusConfig) -> ExitCode {
    let shutdown = match shutdown::on_signal() {
        Ok(shutdown) => shutdown,
        Err(error) => return unreachable(&error.into(), config.as_json),
    };
    let mut reader = None;
    let mut last = ExitCode::from(UNREACHABLE);
    let mut pause_ms = RATE_MS;
    loop {
        let looked = tokio::select! {
            looked = look(&mut reader, config) => looked,
            () = shutdown.cancelled() => return last,
        };
        match looked {
            // The first has no rate yet.
            Ok(reading) if reading.log.events_per_second.is_none() => {}
            Ok(reading) => {
                last = show(&reading, config);
                pause_ms = WATCH_MS;
            }
            Err(error) => {
                reader = None;
                last = unreachable(&error, config.as_json);
                pause_ms = WATCH_MS;
            }
        }
        if has_ended(&shutdown, pause_ms).await {
            return last;
        }
    }
}

async fn look(reader: &mut Option<Reader>, config: &StatusConfig) -> anyhow::Result<Reading> {
    if reader.is_none() {
        *reader = Some(Reader::open(&places(config)?).await?);
    }
    let reader = reader.as_mut().expect("it was opened just now");
    reader.read().await
}

async fn has_ended(shutdown: &CancellationToken, pause_ms: u64) -> bool {
    let pause = tokio::time::sleep(Duration::from_millis(pause_ms));
    tokio::select! {
        () = shutdown.cancelled() => true,
        () = pause => false,
    }
}

/// Where the databases are; of a data folder it is asked each time, because its port may change.
fn places(config: &StatusConfig) -> anyhow::Result<Places> {
    match &config.databases {
        Some((log, view)) => Ok(Places {
            log: log.clone(),
            view: view.clone(),
        }),
        None => {
            let database = running::database(config.data.as_deref())?;
            Ok(Places {
                log: database.clone(),
                view: database,
            })
        }
    }
}

fn show(reading: &Reading, config: &StatusConfig) -> ExitCode {
    let lags = reading.lags(config.lag_seconds_max);
    let mut text = if config.as_json {
        report::to_json(reading, &lags).to_string()
    } else {
        report::to_text(reading, &lags, config.lag_seconds_max)
    };
    if config.watch && !config.as_json && std::io::stdout().is_terminal() {
        text.insert_str(0, CLEAR);
    }
    // Whoever reads may have gone; the exit code is still right.
    let _ = writeln!(std::io::stdout(), "{text}");
    ExitCode::from(if lags.is_empty() { 0 } else { LAGGING })
}

fn unreachable(error: &anyhow::Error, as_json: bool) -> ExitCode {
    if as_json {
        let error = json!({"status": "unreachable", "error": format!("{error:#}")});
        let _ = writeln!(std::io::stdout(), "{error}");
    }
    eprintln!("foldline: {error:#}");
    ExitCode::from(UNREACHABLE)
}
