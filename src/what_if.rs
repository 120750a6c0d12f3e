//! `foldline what-if`: asks the command service what a command would do, as of now or as of a past position or time. Nothing
//! is recorded.
//!
//! It owns what a person and a script see of the answer; who decides, and how, is the command service's. It takes the same
//! lines as [`crate::import`], one of them.

mod report;

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, Utc};
use clap::Args;
use foldline_command::{AsOf, WhatIf, WhatIfVerdict};
use foldline_gate::{BODY_BYTES_MAX, Problem};
use reqwest::{StatusCode, header::CONTENT_TYPE};
use serde::Serialize;
use serde_json::{json, value::RawValue};

use crate::import::{TargetArgs, address, client, unreachable};

const PATH: &str = "api/v1/what-if";

/// What the process ends with.
const REJECTED: u8 = 1;
const NOT_KNOWN: u8 = 2;

#[derive(Args)]
pub struct WhatIfArgs {
    /// A file with one command, as a line of a history file has it; `-` reads standard input
    #[arg(required_unless_present = "command", conflicts_with = "command")]
    file: Option<PathBuf>,

    /// The command itself
    #[arg(long, value_name = "JSON")]
    command: Option<String>,

    /// A past position of the log, or a time (2026-06-30T12:00:00Z) by which things were recorded; now, when absent
    #[arg(long, value_name = "POSITION|TIME", value_parser = moment)]
    as_of: Option<AsOf>,

    #[command(flatten)]
    target: TargetArgs,

    /// Print the service's answer as one line of JSON
    #[arg(long)]
    json: bool,
}

/// As the service takes it; the command byte for byte as it was given.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    command: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<AsOf>,
}

/// 0 when the command would be accepted, 1 when it would be rejected, 2 when that is not known.
pub async fn run(args: WhatIfArgs) -> ExitCode {
    match ask(&args).await {
        Ok((text, answer)) => {
            let said = match args.json {
                true => format!("{text}\n"),
                false => report::Report(&answer).to_string(),
            };
            // What is known is in the exit code too, for whoever does not read on.
            io::stdout().write_all(said.as_bytes()).ok();
            match answer.verdict {
                WhatIfVerdict::Recorded | WhatIfVerdict::Known | WhatIfVerdict::Unchanged => {
                    ExitCode::SUCCESS
                }
                WhatIfVerdict::Rejected => ExitCode::from(REJECTED),
            }
        }
        Err(error) => {
            if args.json {
                let said = json!({"error": format!("{error:#}")});
                writeln!(io::stdout(), "{said}").ok();
            }
            eprintln!("foldline: not known: {error:#}");
            ExitCode::from(NOT_KNOWN)
        }
    }
}

/// The service's answer, as it wrote it and read.
async fn ask(args: &WhatIfArgs) -> anyhow::Result<(String, WhatIf)> {
    let command = command(args)?;
    let target = args.target.find().await?;
    let url = address(&target.server, PATH)?;
    let asked = Asked {
        command: &command,
        as_of: args.as_of,
    };
    let asked = serde_json::to_string(&asked).context("cannot write the question")?;
    let request = client()?
        .post(url.clone())
        .bearer_auth(target.token.trim())
        .header(CONTENT_TYPE, "application/json")
        .body(asked);
    let response = request.send().await;
    let response = response.map_err(|error| unreachable(&url, &error))?;
    let status = response.status();
    let text = response.text().await;
    let text = text.map_err(|error| unreachable(&url, &error))?;
    if status != StatusCode::OK {
        let problem: Option<Problem> = serde_json::from_str(&text).ok();
        match problem {
            Some(problem) => bail!("{url} does not say: {}", said(&problem)),
            None => bail!("{url} does not answer as a Foldline command service: status {status}"),
        }
    }
    let answer = serde_json::from_str(&text)
        .with_context(|| format!("{url} does not answer as a Foldline command service"))?;
    Ok((text, answer))
}

fn said(problem: &Problem) -> String {
    let why = problem.detail.as_ref().unwrap_or(&problem.title);
    format!("{}: {why}", problem.code)
}

/// One JSON value, as text.
fn command(args: &WhatIfArgs) -> anyhow::Result<Box<RawValue>> {
    let (name, text) = match (&args.command, &args.file) {
        (Some(command), _) => ("--command".to_owned(), command.clone()),
        (None, Some(file)) => (file.display().to_string(), read(file)?),
        (None, None) => bail!("name a file with a command, or give --command"),
    };
    serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .with_context(|| format!("{name} is not one command, written in JSON"))
}

/// No more than the service takes.
fn read(file: &Path) -> anyhow::Result<String> {
    let name = file.display();
    let input: Box<dyn Read> = match file.as_os_str() == "-" {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(file).with_context(|| format!("cannot open {name}"))?),
    };
    let mut text = String::new();
    input
        .take(BODY_BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {name}"))?;
    ensure!(
        text.len() <= BODY_BYTES_MAX,
        "{name} has more than {BODY_BYTES_MAX} bytes, so it is not one command"
    );
    Ok(text)
}

/// All digits are a position.
fn moment(text: &str) -> Result<AsOf, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let position = digits.then(|| text.parse().ok()).flatten();
    let time = || {
        let read = DateTime::parse_from_rfc3339(text).ok();
        read.map(|instant| AsOf::RecordedAt(instant.with_timezone(&Utc)))
    };
    position.map(AsOf::Position).or_else(time).ok_or_else(|| {
        "neither a position, such as 87829, nor a time, such as 2026-06-30T12:00:00Z".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_a_position_and_all_else_must_be_a_time_with_its_zone() {
        assert_eq!(moment("0"), Ok(AsOf::Position(0)));
        let time = "2026-06-30T14:00:00+02:00";
        let instant = "2026-06-30T12:00:00Z".parse().unwrap();
        assert_eq!(moment(time), Ok(AsOf::RecordedAt(instant)));
        for neither in ["", "-1", "+1", "9223372036854775808", "2026-06-30", "now"] {
            assert!(moment(neither).is_err(), "{neither}");
        }
    }
}
