//! Reads a whole log in one way, and says how much memory that took.
//!
//! `LOG_URL=postgres://… [KAFKA_BROKERS=…] cargo run -p foldline-log --example readers -- WAY`
//!
//! Prints how many events came, and the most memory that this process ever had, in KiB.

use std::{collections::BTreeMap, str::FromStr};

use foldline_events::{Position, Recorded, Tenant};
use foldline_log::{
    Delivery, Feed, KafkaOptions, Log, LogOptions, Mark, PAGE_EVENTS_MAX, Selection, Service,
    Start,
    feed::{DELIVERY_EVENTS_MAX, KafkaFeed, KafkaFeedOptions, PostgresFeed},
    relay::{self, RelayStatus},
};
use futures_util::TryStreamExt;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let way = std::env::args().nth(1).unwrap_or_default();
    let log = Log::open(LogOptions {
        url: PgConnectOptions::from_str(&setting("LOG_URL")?)?,
        direct: None,
        service: match way.as_str() {
            "relay" => Service::Relay,
            _ => Service::Projector,
        },
        connections_max: 4,
    })
    .await?;
    let head = log.head().await?.position;
    let (tenant, stream) = (Tenant::parse("acme")?, "task-1");
    let events = match way.as_str() {
        "pages" => pages(&log).await?,
        "selection" => selection(&log, &Selection::default()).await?,
        "tag" => {
            let tagged = Selection {
                tenant: Some(tenant),
                tags: vec!["long:1".to_owned()],
                ..Selection::default()
            };
            selection(&log, &tagged).await?
        }
        "walk" => count(log.walk(&Selection::default(), 0)).await?,
        "stream" => count(log.walk_stream(&tenant, stream, 0)).await?,
        "backward" => count(log.walk_stream_backward(&tenant, stream, i64::MAX)).await?,
        "partition" => partition(&log, head).await?,
        "feed" => follow(Feed::Postgres(PostgresFeed::new(log)), head).await?,
        "kafka" => {
            let options = KafkaFeedOptions {
                kafka: kafka()?,
                group: format!("readers-{}", std::process::id()),
            };
            let feed = KafkaFeed::new(log, &options)?;
            follow(Feed::Kafka(Box::new(feed)), head).await?
        }
        "relay" => carry(log, head).await?,
        _ => return Err("usage: readers WAY".into()),
    };
    println!("{events} {}", peak_kib()?);
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "this is the program's edge")]
fn setting(name: &str) -> Result<String, Failure> {
    std::env::var(name).map_err(|_| format!("{name} is not set").into())
}

fn kafka() -> Result<KafkaOptions, Failure> {
    Ok(KafkaOptions {
        brokers: setting("KAFKA_BROKERS")?,
        properties: BTreeMap::new(),
    })
}

fn peak_kib() -> Result<String, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.split_whitespace().next());
    Ok(peak.ok_or("the system does not say it")?.to_owned())
}

async fn pages(log: &Log) -> Result<usize, Failure> {
    let (mut events, mut after) = (0, 0);
    loop {
        let page = log.read(after, DELIVERY_EVENTS_MAX).await?;
        let Some(last) = page.last() else {
            return Ok(events);
        };
        (events, after) = (events + page.len(), last.position);
    }
}

async fn selection(log: &Log, selection: &Selection) -> Result<usize, Failure> {
    let (mut events, mut after) = (0, 0);
    loop {
        let page = log.read_selected(selection, after, PAGE_EVENTS_MAX).await?;
        events += page.events.len();
        if page.through == page.head {
            return Ok(events);
        }
        after = page.through;
    }
}

async fn count(walk: foldline_log::Walk) -> Result<usize, Failure> {
    let counted = walk.try_fold(0, async |count, _event: Recorded| Ok(count + 1));
    Ok(counted.await?)
}

/// All events are of one stream, so they are in one partition.
async fn partition(log: &Log, head: Position) -> Result<usize, Failure> {
    let first = log.read(0, 1).await?;
    let partition = first.first().ok_or("the log is empty")?.partition;
    let (mut events, mut after) = (0, 0);
    loop {
        let page = log
            .read_partition(partition, after, head, DELIVERY_EVENTS_MAX)
            .await?;
        let Some(last) = page.last() else {
            return Ok(events);
        };
        (events, after) = (events + page.len(), last.position);
    }
}

/// Until it has every event: there are as many as the last position says. A relay that carried them and ended need not have told
/// partitions without events how far the log is.
async fn follow(mut feed: Feed, head: Position) -> Result<usize, Failure> {
    let (mut events, all) = (0, usize::try_from(head)?);
    while events < all {
        match feed.next().await? {
            Delivery::Assigned(partitions) => {
                let start = |partition| Start {
                    partition,
                    after: Mark::START,
                    offset: None,
                };
                let starts: Vec<Start> = partitions.into_iter().map(start).collect();
                feed.start(&starts).await?;
            }
            Delivery::Slices(slices) => {
                events += slices.iter().map(|slice| slice.events.len()).sum::<usize>();
            }
            Delivery::Revoked(_) => {}
        }
    }
    Ok(events)
}

async fn carry(log: Log, head: Position) -> Result<usize, Failure> {
    let (sender, mut status) = watch::channel(RelayStatus::default());
    let stop = CancellationToken::new();
    let relaying = tokio::spawn(relay::run(log, kafka()?, sender, stop.clone()));
    let carried = status.wait_for(|status| status.mark >= head).await?.mark;
    stop.cancel();
    relaying.await??;
    Ok(usize::try_from(carried)?)
}
