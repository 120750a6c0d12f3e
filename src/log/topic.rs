//! `foldline log verify-topic`: what a person and a script see of it; what is compared is `foldline_log::topic`'s.

use std::{fmt, process::ExitCode};

use foldline_log::{
    Service,
    topic::{self, Finding, Report},
};
use serde_json::{Value, json};

use crate::{config::VerifyTopicArgs, roles};

/// What the process ends with.
const DIFFERS: u8 = 1;
const NOT_CHECKED: u8 = 2;

pub(super) async fn run(args: VerifyTopicArgs) -> ExitCode {
    let as_json = args.json;
    match verify(args).await {
        Ok(report) => {
            if as_json {
                println!("{}", to_json(&report));
            } else {
                print!("{}", Text(&report));
            }
            ExitCode::from(if report.is_well() { 0 } else { DIFFERS })
        }
        Err(error) => {
            if as_json {
                println!("{}", json!({"error": format!("{error:#}")}));
            }
            eprintln!("foldline: could not be checked: {error:#}");
            ExitCode::from(NOT_CHECKED)
        }
    }
}

async fn verify(args: VerifyTopicArgs) -> anyhow::Result<Report> {
    let config = args.read()?;
    let log = roles::open_log(&config.log, Service::Relay).await?;
    Ok(topic::verify(&log, &config.kafka, config.range).await?)
}

fn to_json(report: &Report) -> Value {
    let finding = |finding: &Finding| {
        json!({
            "partition": finding.partition,
            "offset": finding.offset.map(|offset| offset.to_string()),
            "position": finding.position.map(|position| position.to_string()),
            "what": finding.what,
        })
    };
    let kinds = report.kinds().into_iter().map(|(kind, findings)| {
        json!({
            "kind": kind,
            "count": findings.count,
            "first": findings.first.iter().map(finding).collect::<Vec<_>>(),
        })
    });
    json!({
        "well": report.is_well(),
        "topic": report.topic,
        "epoch": report.epoch,
        "from": report.from.to_string(),
        "through": report.through.to_string(),
        "completeFrom": report.complete_from.to_string(),
        "events": report.events,
        "records": report.records,
        "watermarks": report.watermarks,
        "repeated": report.repeated,
        "ofOtherEpochs": report.of_other_epochs,
        "removed": report.removed,
        "findings": kinds.collect::<Vec<_>>(),
    })
}

struct Text<'a>(&'a Report);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        writeln!(
            f,
            "{} against positions {} to {} of the log {}",
            report.topic, report.from, report.through, report.epoch
        )?;
        writeln!(
            f,
            "{} events, {} records: {} watermarks, {} repeated, {} of other epochs",
            report.events,
            report.records,
            report.watermarks,
            report.repeated,
            report.of_other_epochs
        )?;
        if report.removed > 0 {
            let removed = report.removed;
            writeln!(f, "retention has removed {removed} events at the beginning")?;
        }
        if report.complete_from > report.from {
            let from = report.complete_from;
            writeln!(
                f,
                "the topic begins later than the range: only from position {from} on it can be complete"
            )?;
        }
        for (kind, findings) in report.kinds() {
            if findings.count > 0 {
                writeln!(f, "{} {kind}", findings.count)?;
            }
            for finding in &findings.first {
                writeln!(f, "  {}", place(finding))?;
            }
            let shown = findings.first.len() as u64;
            if findings.count > shown {
                writeln!(f, "  and {} more", findings.count - shown)?;
            }
        }
        if report.is_well() {
            writeln!(f, "the topic is the log")
        } else {
            writeln!(f, "something differs")
        }
    }
}

fn place(finding: &Finding) -> String {
    let offset = finding.offset.map(|offset| format!("@{offset}"));
    let position = finding.position.map(|at| format!(" position {at}"));
    format!(
        "partition {}{}{}: {}",
        finding.partition,
        offset.unwrap_or_default(),
        position.unwrap_or_default(),
        finding.what
    )
}
