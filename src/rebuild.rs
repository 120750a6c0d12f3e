//! `foldline rebuild`: a view folded again from the log, beside what readers see or, of a tenant or a stream, in its place.

mod in_place;
mod whole;

use std::{io::Write, process::ExitCode};

use anyhow::Context;

use crate::config::{RebuildArgs, Rebuilding};

/// What the process ends with.
const DONE: u8 = 0;
const REFUSED: u8 = 1;
const NOT_DONE: u8 = 2;

pub async fn run(args: RebuildArgs) -> ExitCode {
    match rebuild(&args).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("foldline: {error:#}");
            ExitCode::from(NOT_DONE)
        }
    }
}

async fn rebuild(args: &RebuildArgs) -> anyhow::Result<u8> {
    let config = args.read()?;
    match &config.rebuilding {
        Rebuilding::InPlace(in_place) => in_place::run(in_place, &config.views, args.json).await,
        Rebuilding::Whole(whole) => whole::run(whole, &config.views, args.json).await,
    }
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")
}
