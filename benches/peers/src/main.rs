//! Appends to another event store on PostgreSQL for some seconds, or loads a stream, and prints how often and how long it
//! took as JSON.
//!
//! Each store is given its cheapest way of recording one event on a stream that is new: nothing is loaded before, and
//! nothing is done with the event afterwards.

mod cqrs_es_;
mod disintegrate_;
mod esrs_;
mod evento_;

use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use sqlx::postgres::{PgPool, PgPoolOptions};

/// As many bytes as the other payloads of a run have.
pub const PAYLOAD_BYTES: usize = 200;

#[derive(Parser)]
struct Args {
    #[arg(long)]
    store: Store,
    /// An empty database
    #[arg(long)]
    url: String,
    /// How many appends are under way at a time
    #[arg(long)]
    clients: u32,
    #[arg(long)]
    seconds: f64,
    /// Load a stream of so many events instead; only of `disintegrate`, the fastest at it
    #[arg(long)]
    stream: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Store {
    CqrsEs,
    Disintegrate,
    Esrs,
    Evento,
}

/// Text so long that the payload with its braces and name has [`PAYLOAD_BYTES`].
pub fn text() -> String {
    "x".repeat(PAYLOAD_BYTES - r#"{"text":""}"#.len())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let pool = PgPoolOptions::new()
        .min_connections(args.clients)
        .max_connections(args.clients)
        .acquire_timeout(Duration::from_secs(60))
        .connect(&args.url)
        .await?;
    if let Some(events) = args.stream {
        let (loaded, seconds) = disintegrate_::load(pool, events, args.seconds).await?;
        println!(
            "{}",
            serde_json::json!({"events": loaded, "seconds": seconds})
        );
        return Ok(());
    }
    match args.store {
        Store::CqrsEs => measure(&args, cqrs_es_::open(pool).await?).await,
        Store::Disintegrate => measure(&args, disintegrate_::open(pool).await?).await,
        Store::Esrs => measure(&args, esrs_::open(pool).await?).await,
        Store::Evento => measure(&args, evento_::open(pool).await?).await,
    }
}

pub trait Appends: Clone + Send + 'static {
    /// One event on a new stream.
    fn append(&self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

async fn measure(args: &Args, store: impl Appends) -> anyhow::Result<()> {
    let began = Instant::now();
    let until = began + Duration::from_secs_f64(args.seconds);
    let clients: Vec<_> = (0..args.clients)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut took = Vec::new();
                let mut refused = 0_u64;
                while Instant::now() < until {
                    let began = Instant::now();
                    match store.append().await {
                        Ok(()) => took.push(began.elapsed()),
                        // Some stores answer concurrent appends so; whoever uses them tries again.
                        Err(_) => refused += 1,
                    }
                }
                (took, refused)
            })
        })
        .collect();
    let mut took = Vec::new();
    let mut refused = 0;
    for client in clients {
        let (of_client, refused_of_client) = client.await?;
        took.extend(of_client);
        refused += refused_of_client;
    }
    let seconds = began.elapsed().as_secs_f64();
    took.sort_unstable();
    let quantile = |q: f64| {
        let index = (took.len() as f64 * q) as usize;
        took.get(index).map_or(0.0, |took| took.as_secs_f64() * 1e3)
    };
    let line = serde_json::json!({
        "appends": took.len(), "refused": refused, "seconds": seconds,
        "p50_ms": quantile(0.50), "p99_ms": quantile(0.99),
    });
    println!("{line}");
    Ok(())
}

pub async fn execute(pool: &PgPool, statements: &str) -> sqlx::Result<()> {
    sqlx::raw_sql(statements).execute(pool).await.map(drop)
}
