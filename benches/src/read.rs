//! Reading back: a stream of 1,000 events loaded and folded, and a whole log replayed through a fold, beside other event
//! stores, and beside `COPY … TO STDOUT` of the log's rows; and a stream of 100,000 events with its snapshot and without
//! ([`crate::long`]).
//!
//! Everybody hands the fold what their own way of reading hands out, and decodes each payload of 200 bytes into its type:
//! Foldline's log gives it as text, which is decoded here; the others decode it themselves. `COPY` decodes nothing.

use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use foldline_events::Position;
use foldline_log::{Append, Log};
use futures_util::TryStreamExt;
use serde::Deserialize;
use sqlx::{Connection, PgConnection};

use crate::{
    database::{self, Database},
    long::{self, Long},
    peers::{self, Peers},
    report::{self, Figure},
    sample,
};

const STREAM_EVENTS: usize = 1_000;
const REPLAY_PAGE_EVENTS: usize = 2_000;

#[derive(Args)]
pub struct ReadArgs {
    /// How many events are replayed
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// How long the stream is loaded again and again
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How many events the long stream has
    #[arg(long, default_value_t = 100_000)]
    long_events: usize,
    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    runs: usize,
    #[command(flatten)]
    peers: Peers,
}

/// What a fold comes to here: the payload is decoded and looked at, and kept in nothing.
#[derive(Default)]
struct Folded {
    events: usize,
    bytes: usize,
    last: Position,
}

/// As the peers have it.
#[derive(Deserialize)]
struct Happened {
    text: String,
}

impl Folded {
    fn evolve(&mut self, position: Position, payload: &str) -> anyhow::Result<()> {
        let happened: Happened = serde_json::from_str(payload)?;
        self.events += 1;
        self.bytes += happened.text.len();
        self.last = position;
        Ok(())
    }
}

/// Events a second, run by run.
#[derive(Default)]
struct Rates {
    loaded: Vec<f64>,
    replayed: Vec<f64>,
}

pub async fn run(args: ReadArgs) -> anyhow::Result<()> {
    let ours = Ours::fill(args.events).await?;
    let mut others = Vec::new();
    for name in args.peers.names() {
        others.push(Other::fill(&args.peers, name, args.events).await?);
    }
    let long = Long::fill(args.long_events).await?;

    let (mut rates, mut copied, mut long_runs) = (Rates::default(), vec![], vec![]);
    for run in 1..=args.runs {
        copied.push(ours.copy().await?);
        rates.replayed.push(ours.replay().await?);
        rates.loaded.push(ours.load_stream(args.seconds).await?);
        for other in &mut others {
            other.measure(&args.peers, args.seconds).await?;
        }
        long_runs.push(long.run().await?);
        eprintln!("run {run} of {}", args.runs);
    }
    ours.database.drop().await?;
    long.drop().await?;
    let mut figures = figures(rates, copied, &others);
    for other in others {
        other.filled.drop().await?;
    }
    figures.extend(long::figures(args.long_events, &long_runs));
    report::publish("read", &figures)
}

fn figures(rates: Rates, copied: Vec<f64>, others: &[Other]) -> Vec<Figure> {
    let figure = |what: &str, runs: &[f64]| Figure::new(what, "events/s", runs.to_vec());
    let of_others = |what: &str, of: fn(&Rates) -> &[f64]| -> Vec<Figure> {
        let of_other =
            |other: &Other| figure(&format!("{what} by {}", other.name), of(&other.rates));
        others.iter().map(of_other).collect()
    };
    let against_best = |figure: &mut Figure, others: &[Figure]| {
        let medians = others.iter().map(|other| other.median);
        if let Some(best) = medians.max_by(f64::total_cmp) {
            figure.against("the best peer", best);
        }
    };
    let mut loaded = figure("a stream of 1,000 events", &rates.loaded);
    let loaded_by_others = of_others("the same stream", |rates| &rates.loaded);
    against_best(&mut loaded, &loaded_by_others);
    let copied = figure("COPY to standard output", &copied);
    let mut replayed = figure("the log replayed", &rates.replayed);
    let replayed_by_others = of_others("as many events", |rates| &rates.replayed);
    against_best(&mut replayed, &replayed_by_others);
    replayed.against("COPY", copied.median);
    let mut figures = vec![loaded];
    figures.extend(loaded_by_others);
    figures.extend([replayed, copied]);
    figures.extend(replayed_by_others);
    figures
}

/// Foldline's log, with one event on each stream, and many on one.
struct Ours {
    database: Database,
    log: Log,
    head: Position,
    many: Append,
}

impl Ours {
    async fn fill(events: usize) -> anyhow::Result<Self> {
        let database = Database::with_log().await?;
        let head = database.fill(events).await?;
        let log = database::open(&database.url()).await?;
        let mut many = sample::append();
        let event = many.writes[0].events.remove(0);
        many.writes[0].events = (0..STREAM_EVENTS).map(|_| event.clone()).collect();
        log.append(many.clone()).await?;
        Ok(Self {
            database,
            log,
            head: head + Position::try_from(STREAM_EVENTS)?,
            many,
        })
    }

    /// The stream is loaded once before, so that its statements are prepared.
    async fn load_stream(&self, seconds: f64) -> anyhow::Result<f64> {
        self.load().await?;
        let began = Instant::now();
        let until = began + Duration::from_secs_f64(seconds);
        let mut events = 0;
        while Instant::now() < until {
            let folded = self.load().await?;
            anyhow::ensure!(folded.events == STREAM_EVENTS, "the stream is cut");
            events += folded.events;
        }
        Ok(events as f64 / began.elapsed().as_secs_f64())
    }

    async fn load(&self) -> anyhow::Result<Folded> {
        let (tenant, stream) = (&self.many.tenant, &self.many.writes[0].stream);
        let events = self.log.read_to_fold(tenant, stream, 0, STREAM_EVENTS);
        let mut folded = Folded::default();
        for event in events.await?.events {
            folded.evolve(event.position, &event.payload)?;
        }
        Ok(folded)
    }

    async fn replay(&self) -> anyhow::Result<f64> {
        let began = Instant::now();
        let mut folded = Folded::default();
        let mut pages = self.log.pages(0, REPLAY_PAGE_EVENTS);
        while folded.last < self.head {
            let page = pages.next().await?;
            anyhow::ensure!(!page.is_empty(), "the log ends at {}", folded.last);
            for event in &page {
                folded.evolve(event.position, &event.payload)?;
            }
        }
        anyhow::ensure!(folded.bytes > 0, "nothing was folded");
        Ok(folded.events as f64 / began.elapsed().as_secs_f64())
    }

    async fn copy(&self) -> anyhow::Result<f64> {
        let mut owner = PgConnection::connect(&self.database.url()).await?;
        let began = Instant::now();
        let mut rows = owner
            .copy_out_raw("copy (select * from log.events) to stdout")
            .await
            .context("copying")?;
        let mut bytes = 0;
        while let Some(chunk) = rows.try_next().await? {
            bytes += chunk.len();
        }
        let seconds = began.elapsed().as_secs_f64();
        anyhow::ensure!(bytes > 0, "nothing was copied");
        drop(rows);
        owner.close().await?;
        Ok(self.head as f64 / seconds)
    }
}

/// Another store, with as many events.
struct Other {
    name: &'static str,
    filled: Database,
    rates: Rates,
}

/// What the program of benches/peers prints of reading.
#[derive(Deserialize)]
struct Came {
    events: usize,
    seconds: f64,
}

impl Other {
    async fn fill(peers: &Peers, name: &'static str, events: usize) -> anyhow::Result<Self> {
        let filled = Database::create().await?;
        let mut filling = peers.doing("fill", name)?;
        filling.args(["--events", &events.to_string()]);
        let came: Came = peers::answer(filling, &filled).await?;
        filled.tidy().await?;
        eprintln!(
            "{} events of {name}, made in {:.0} s",
            came.events, came.seconds
        );
        Ok(Self {
            name,
            filled,
            rates: Rates::default(),
        })
    }

    async fn measure(&mut self, peers: &Peers, seconds: f64) -> anyhow::Result<()> {
        let a_second = |came: Came| came.events as f64 / came.seconds;
        let replaying = peers.doing("replay", self.name)?;
        let replayed = peers::answer(replaying, &self.filled).await?;
        self.rates.replayed.push(a_second(replayed));
        let empty = Database::create().await?;
        let mut loading = peers.doing("stream", self.name)?;
        loading
            .args(["--events", &STREAM_EVENTS.to_string()])
            .args(["--seconds", &seconds.to_string()]);
        let loaded = peers::answer(loading, &empty).await?;
        self.rates.loaded.push(a_second(loaded));
        empty.drop().await
    }
}
