//! `foldline schema check`: whether a change of the events' schemas breaks a reader, before it is in anybody's log.
//!
//! It owns where the schemas come from (a folder, and the same folder at a git revision) and what a person sees. What
//! breaks whom is the contracts' (`foldline_schema::events`), and what this build can read is the language's.

mod git;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use foldline_events::{Event, upcast};
use foldline_schema::events::{self, Name, Schemas, Verdict};
use serde_json::Value;

use git::Revision;

/// Where they lie in the repository.
const FOLDER: &str = "schema/events";

/// What the process ends with.
const BREAKS: u8 = 1;
const NOT_CHECKED: u8 = 2;

#[derive(Args)]
pub struct SchemaArgs {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Compare the event schemas with those of a git revision; exit code 0: nobody is broken, 1: some reader is, 2: not
    /// checked.
    Check(CheckArgs),
}

#[derive(Args)]
struct CheckArgs {
    /// What counts as released: a branch, a tag or a commit.
    #[arg(long, value_name = "GIT_REV")]
    against: String,
    /// The folder of the event schemas; by default schema/events of the repository around the current folder.
    #[arg(long, value_name = "PATH")]
    folder: Option<PathBuf>,
}

/// 0 when no reader is broken, 1 when one is, 2 when it could not be checked.
pub async fn run(args: SchemaArgs) -> ExitCode {
    let Task::Check(args) = args.task;
    match check(&args).await {
        Ok(is_compatible) => ExitCode::from(if is_compatible { 0 } else { BREAKS }),
        Err(error) => {
            eprintln!("foldline: could not be checked: {error:#}");
            ExitCode::from(NOT_CHECKED)
        }
    }
}

async fn check(args: &CheckArgs) -> anyhow::Result<bool> {
    if let Err(broken) = upcast::check() {
        println!("{broken}");
        return Ok(false);
    }
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => git::top().await?.join(FOLDER),
    };
    let present = present(&folder)?;
    let revision = Revision::find(&folder, &args.against).await?;
    let released = released(&revision).await?;
    ensure!(
        !released.is_empty(),
        "there are no event schemas in {} at {revision}",
        folder.display()
    );
    let verdict = events::check(&released, &present, read);
    report(&verdict, &revision, released.len());
    Ok(verdict.breaks.is_empty())
}

/// What this build makes of a payload.
fn read(name: &Name, payload: &Value) -> Result<(), String> {
    match Event::decode(&name.event_type, name.version, &payload.to_string()) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{:#}", anyhow::Error::new(error))),
    }
}

/// The schemas that lie there now.
fn present(folder: &Path) -> anyhow::Result<Schemas> {
    let cannot = || format!("cannot read the event schemas in {}", folder.display());
    let mut schemas = Schemas::new();
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        if !file.ends_with(".json") {
            continue;
        }
        let Some(name) = Name::of_file(&file) else {
            bail!(
                "{} is no schema of an event: those are called TYPE.vN.json",
                path.display()
            );
        };
        let text = fs::read(&path).with_context(cannot)?;
        let schema = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not JSON", path.display()))?;
        schemas.insert(name, schema);
    }
    ensure!(
        !schemas.is_empty(),
        "there are no event schemas in {}",
        folder.display()
    );
    Ok(schemas)
}

/// Those of the revision. What else lay there was never anybody's contract.
async fn released(revision: &Revision) -> anyhow::Result<Schemas> {
    let mut schemas = Schemas::new();
    for file in revision.files().await? {
        let Some(name) = Name::of_file(&file.name) else {
            continue;
        };
        let text = revision.content(&file).await?;
        let schema = serde_json::from_slice(&text)
            .with_context(|| format!("{} at {revision} is not JSON", file.name))?;
        schemas.insert(name, schema);
    }
    Ok(schemas)
}

fn report(verdict: &Verdict, revision: &Revision, released: usize) {
    if verdict.breaks.is_empty() {
        println!("no reader is broken: {released} event schemas of {revision} hold");
        for (name, what) in &verdict.news {
            println!("  {name} {what}");
        }
        return;
    }
    for (name, found) in &verdict.breaks {
        println!("{name} {found}");
    }
    println!(
        "{} against {revision}. What may be in somebody's log stays as it is: give the event a new version instead, as \
         docs/ADD_A_CONTEXT.md says",
        match verdict.breaks.len() {
            1 => "1 break".to_owned(),
            several => format!("{several} breaks"),
        }
    );
}
