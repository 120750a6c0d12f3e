//! A context of one's own on the log: an account that cannot be overdrawn.
//!
//! `LOG_URL=postgres://… cargo run -p foldline-log --example own_context -- CENTS` deposits so much, or withdraws it
//! if it is negative. The database is one that `foldline migrate` has prepared.

#![expect(clippy::disallowed_methods, reason = "a program is an edge")]

use foldline_events::{Encoded, Recorded, Tenant};
use foldline_log::{Append, Expected, Log, LogOptions, NewEvent, Service, Verdict, Write};
use futures_util::TryStreamExt;
use uuid::Uuid;

/// The rule, and the one kind of event, written down as a JSON number.
fn decide(balance: i64, cents: i64) -> Result<Encoded, String> {
    if balance + cents < 0 {
        return Err(format!("there are only {balance} cents"));
    }
    Ok(Encoded {
        event_type: "bank.Moved",
        schema_version: 1,
        payload: cents.to_string(),
        tags: vec!["account:1".to_owned()],
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cents: i64 = std::env::args().nth(1).ok_or("how many cents?")?.parse()?;
    let (tenant, stream, command_id) = (Tenant::parse("acme")?, "account-1", Uuid::now_v7());
    let options = LogOptions::new(std::env::var("LOG_URL")?.parse()?, Service::Command);
    let log = Log::open(options).await?;
    loop {
        let events: Vec<Recorded> = log.walk_stream(&tenant, stream, 0).try_collect().await?;
        let moves = events.iter().map(|event| event.payload.parse::<i64>());
        let balance = moves.sum::<Result<i64, _>>()?;
        let version = events.last().map_or(0, |last| last.version);
        let moved = NewEvent::new(Uuid::now_v7(), chrono::Utc::now(), decide(balance, cents)?);
        let write = Write::to(stream, Expected::Exactly(version), vec![moved]);
        let append = Append::new(tenant.clone(), command_id, "me", vec![write]);
        match log.append(append).await? {
            // Known: the log has sent it twice, because the first answer was lost.
            Verdict::Appended(at) | Verdict::Known(at) => {
                println!("{} cents at {}", balance + cents, at.cursor);
                return Ok(());
            }
            // Somebody else was faster: read and decide again.
            Verdict::Conflict { version, .. } => eprintln!("it is at version {version} now"),
            Verdict::InputDiffers | Verdict::Guarded { .. } => unreachable!("neither is asked"),
        }
    }
}
