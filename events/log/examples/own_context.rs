//! A context of one's own on the log: an account that cannot be overdrawn.
//!
//! `LOG_URL=postgres://… cargo run -p foldline-log --example own_context -- CENTS` deposits so much, or withdraws it
//! if it is negative. The database is one that `foldline migrate` has prepared.

#![expect(clippy::disallowed_methods, reason = "a program is an edge")]

use foldline_events::{Encoded, Recorded, Tenant};
use foldline_log::{Append, Expected, Log, LogOptions, NewEvent, Service, Verdict, Write};
use futures_util::TryStreamExt;
use uuid::Uuid;

/// The one kind of event, written down as a JSON number.
fn moved(cents: i64) -> Encoded {
    Encoded {
        event_type: "bank.Moved",
        schema_version: 1,
        payload: cents.to_string(),
        tags: vec!["account:1".to_owned()],
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cents: i64 = std::env::args().nth(1).ok_or("how many cents?")?.parse()?;
    let (tenant, stream) = (Tenant::parse("acme")?, "account-1");
    let options = LogOptions {
        url: std::env::var("LOG_URL")?.parse()?,
        direct: None,
        service: Service::Command,
        connections_max: 4,
    };
    let log = Log::open(options).await?;

    let events: Vec<Recorded> = log.walk_stream(&tenant, stream, 0).try_collect().await?;
    let moves = events.iter().map(|event| event.payload.parse::<i64>());
    let balance = moves.sum::<Result<i64, _>>()?;
    if balance + cents < 0 {
        return Err(format!("there are only {balance} cents").into());
    }
    let command_id = Uuid::now_v7();
    let append = Append {
        tenant,
        command_id,
        input_hmac: cents.to_string().into_bytes(),
        actor: "me".to_owned(),
        correlation_id: command_id,
        causation_id: command_id,
        trace_context: None,
        writes: vec![Write {
            stream: stream.to_owned(),
            expected: Expected::Exactly(events.last().map_or(0, |last| last.version)),
            events: vec![NewEvent {
                id: Uuid::now_v7(),
                encoded: moved(cents),
                occurred_at: chrono::Utc::now(),
            }],
        }],
        guards: vec![],
    };
    match log.append(append).await? {
        Verdict::Appended(at) => println!("{} cents at {}", balance + cents, at.cursor),
        // Somebody else was faster: read and decide again.
        Verdict::Conflict { version, .. } => println!("the account is at version {version} now"),
        other @ (Verdict::Known(_) | Verdict::InputDiffers | Verdict::Guarded { .. }) => {
            unreachable!("the command id is new and nothing is guarded: {other:?}")
        }
    }
    Ok(())
}
