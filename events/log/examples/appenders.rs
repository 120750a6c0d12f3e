//! A load on a log: many appenders at once, each writing events to streams of its own, for a number of seconds.
//!
//! `LOG_URL=postgres://… cargo run -p foldline-log --example appenders -- NAME APPENDERS SECONDS`
//!
//! Every acknowledged event is printed as `<position> <event id>`, so that whoever started this can hold the log
//! to it. An append whose outcome is unknown is sent again with its command id, as any client should.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use foldline_events::{Encoded, Tenant};
use foldline_log::{Append, Error, Expected, Log, LogOptions, NewEvent, Service, Verdict, Write};
use uuid::Uuid;

/// How often one append is sent again before the load gives up on it.
const TRIES_MAX: usize = 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, appenders, seconds] = &arguments[..] else {
        return Err("usage: appenders NAME APPENDERS SECONDS".into());
    };
    #[expect(clippy::disallowed_methods, reason = "this is the program's edge")]
    let url = std::env::var("LOG_URL")?;
    let log = Log::open(LogOptions::new(url.parse()?, Service::Command)).await?;
    let until = Instant::now() + Duration::from_secs(seconds.parse()?);
    let load = (0..appenders.parse()?).map(|n| {
        let stream = format!("{name}-{n}");
        tokio::spawn(append_until(log.clone(), stream, until))
    });
    for appender in load.collect::<Vec<_>>() {
        appender.await??;
    }
    Ok(())
}

async fn append_until(log: Log, stream: String, until: Instant) -> Result<(), Error> {
    let mut version = 0;
    while Instant::now() < until {
        let (append, event_id) = next(&stream, version);
        let receipt = match persist(&log, append).await? {
            Verdict::Appended(receipt) | Verdict::Known(receipt) => receipt,
            other
            @ (Verdict::InputDiffers | Verdict::Conflict { .. } | Verdict::Guarded { .. }) => {
                panic!("stream {stream} is written by nobody else, but: {other:?}")
            }
        };
        version = receipt.version;
        println!("{} {event_id}", receipt.cursor.position);
    }
    std::io::stdout().flush().expect("standard output is open");
    Ok(())
}

async fn persist(log: &Log, append: Append) -> Result<Verdict, Error> {
    for _ in 1..TRIES_MAX {
        match log.append(append.clone()).await {
            Err(Error::Unavailable { .. } | Error::Overloaded { .. }) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            answer => return answer,
        }
    }
    log.append(append).await
}

#[expect(clippy::disallowed_methods, reason = "this is the program's edge")]
fn next(stream: &str, version: i64) -> (Append, Uuid) {
    let event_id = Uuid::now_v7();
    let encoded = Encoded {
        event_type: "load.Appended",
        schema_version: 1,
        payload: format!("{{\"version\":{}}}", version + 1),
        tags: vec![format!("load:{stream}")],
    };
    let event = NewEvent::new(event_id, chrono::Utc::now(), encoded);
    let write = Write::to(stream, Expected::Exactly(version), vec![event]);
    let tenant = Tenant::parse("load").expect("a valid tenant");
    (Append::new(tenant, event_id, "load", vec![write]), event_id)
}
