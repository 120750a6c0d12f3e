//! `foldline history`, `foldline diff` and `foldline blame`: what changed of a task or a project, as a running query service
//! tells it.
//!
//! They are clients like any other, and know nothing but its GraphQL: [`name`] finds out what is meant, [`text`] is what
//! a person sees. With `--json` its answers are printed as they come.

mod name;
pub(crate) mod text;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

pub(crate) use self::name::Moment;
use crate::query::{QueryArgs, Service};

/// What the process ends with.
const SHOWN: u8 = 0;
const DIFFERS: u8 = 1;
const NO_SUCH_THING: u8 = 1;
const NOT_KNOWN: u8 = 2;

/// How many changes are asked for at a time: as many as the service gives.
const CHANGES_PER_PAGE: usize = 100;

const HISTORY: &str = "
    query($id: ID!, $first: Int!, $after: String, $asOf: AsOf) {
        history(id: $id, first: $first, after: $after, asOf: $asOf) {
            nodes {
                version position at changes { field before after }
                event { eventId type at recordedAt actor commandId correlationId causationId schemaVersion data summary }
            }
            pageInfo { hasNextPage endCursor }
        }
    }";

const DIFF: &str = "
    query($id: ID!, $from: AsOf!, $to: AsOf) {
        diff(id: $id, from: $from, to: $to) {
            from to existedBefore existedAfter changes { field before after }
        }
    }";

const BLAME: &str = "
    query($id: ID!, $asOf: AsOf) {
        blame(id: $id, asOf: $asOf) {
            field value notAfter
            change { version position at event { eventId type at recordedAt actor commandId summary } }
        }
    }";

/// What every one of them needs.
#[derive(Args)]
struct Which {
    /// The task or project: its UUID, its GraphQL id, or the key that a task has now
    id: String,

    #[command(flatten)]
    service: QueryArgs,

    /// Print JSON as the service gives it, one object a line
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    which: Which,

    /// No later changes: a position, or when it was recorded, such as 2026-03-01T12:00:00Z; all, when absent
    #[arg(long, value_name = "MOMENT")]
    as_of: Option<Moment>,
}

#[derive(Args)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    which: Which,

    /// The first moment: a position, or when it was recorded, such as 2026-03-01T12:00:00Z
    #[arg(long, value_name = "MOMENT")]
    from: Moment,

    /// The second moment; now, when absent
    #[arg(long, value_name = "MOMENT")]
    to: Option<Moment>,
}

#[derive(Args)]
pub(crate) struct BlameArgs {
    #[command(flatten)]
    which: Which,

    /// As it was then: a position, or when it was recorded, such as 2026-03-01T12:00:00Z; now, when absent
    #[arg(long, value_name = "MOMENT")]
    as_of: Option<Moment>,
}

/// What the process ends with; why something is not known goes to standard error.
pub(crate) fn told(done: anyhow::Result<u8>) -> ExitCode {
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("foldline: {error:#}");
            ExitCode::from(NOT_KNOWN)
        }
    }
}

/// # Errors
/// When the service does not answer, or refuses to.
pub(crate) async fn history(args: HistoryArgs) -> anyhow::Result<u8> {
    let Some((service, id)) = args.which.find().await? else {
        return Ok(NO_SUCH_THING);
    };
    let as_of = args.as_of.as_ref().map(Moment::as_input);
    let mut after = Value::Null;
    // Every page but the last has a cursor of its own, and the past is finite.
    loop {
        let variables = json!({"id": id, "first": CHANGES_PER_PAGE, "after": after, "asOf": as_of});
        let page = service.ask(HISTORY, &variables).await?;
        let page = &page["history"];
        if page.is_null() {
            return Ok(args.which.unknown());
        }
        for change in listed(&page["nodes"]) {
            let lines = match args.which.json {
                true => change.to_string(),
                false => text::change(change),
            };
            if !say(&lines)? {
                return Ok(SHOWN);
            }
        }
        if page["pageInfo"]["hasNextPage"] != true {
            return Ok(SHOWN);
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

/// # Errors
/// When the service does not answer, or refuses to, or there was no such thing at either moment.
pub(crate) async fn diff(args: DiffArgs) -> anyhow::Result<u8> {
    let nothing = || {
        let id = &args.which.id;
        anyhow::anyhow!("there was no task or project {id} at either moment")
    };
    let (service, id) = args.which.find().await?.ok_or_else(nothing)?;
    let (from, to) = (args.from.as_input(), args.to.as_ref().map(Moment::as_input));
    let variables = json!({"id": id, "from": from, "to": to});
    let data = service.ask(DIFF, &variables).await?;
    let diff = &data["diff"];
    if diff.is_null() {
        return Err(nothing());
    }
    say(&match args.which.json {
        true => diff.to_string(),
        false => text::diff(diff),
    })?;
    let is_same = listed(&diff["changes"]).is_empty();
    Ok(if is_same { SHOWN } else { DIFFERS })
}

/// # Errors
/// When the service does not answer, or refuses to.
pub(crate) async fn blame(args: BlameArgs) -> anyhow::Result<u8> {
    let Some((service, id)) = args.which.find().await? else {
        return Ok(NO_SUCH_THING);
    };
    let as_of = args.as_of.as_ref().map(Moment::as_input);
    let data = service
        .ask(BLAME, &json!({"id": id, "asOf": as_of}))
        .await?;
    if data["blame"].is_null() {
        return Ok(args.which.unknown());
    }
    let fields = listed(&data["blame"]);
    if args.which.json {
        for field in fields {
            say(&field.to_string())?;
        }
    } else {
        say(&text::blame(fields))?;
    }
    Ok(SHOWN)
}

impl Which {
    /// The service, and the GraphQL id of what is meant.
    async fn find(&self) -> anyhow::Result<Option<(Service, String)>> {
        let service = self.service.find().await?;
        match name::resolve(&service, &self.id).await? {
            Some(id) => Ok(Some((service, id))),
            None => {
                self.unknown();
                Ok(None)
            }
        }
    }

    fn unknown(&self) -> u8 {
        eprintln!("foldline: there is no task or project {}", self.id);
        NO_SUCH_THING
    }
}

fn listed(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

/// Whether anybody still reads.
fn say(lines: &str) -> anyhow::Result<bool> {
    is_read(writeln!(io::stdout(), "{lines}"))
}

/// Whether anybody still reads what was written to standard output.
pub(crate) fn is_read(written: io::Result<()>) -> anyhow::Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}
