//! Drives another event store on PostgreSQL as `benches/src` drives Foldline's log, and prints what it took as JSON.
//!
//! Each store is given its cheapest way: of appending, nothing is loaded before, and nothing is done with the event
//! afterwards; of reading, every payload is decoded into its type and looked at by a fold, and kept in nothing.

mod append;
mod cqrs_es_;
mod disintegrate_;
mod esrs_;
mod evento_;
mod read;

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use mimalloc::MiMalloc;
use sqlx::postgres::{PgPool, PgPoolOptions};

/// As Foldline's benchmarks have it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// As many bytes as the other payloads of a run have.
pub const PAYLOAD_BYTES: usize = 200;

const CONNECT_SECONDS_MAX: u64 = 60;
/// Reading is one client's.
const CONNECTIONS_TO_READ: u32 = 1;
/// A listener has a transaction of its own around what its rows are written by.
const CONNECTIONS_TO_LISTEN: u32 = 4;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Append to an empty database for some seconds
    Append {
        #[command(flatten)]
        store: StoreArgs,
        /// How many appends are under way at a time, each over a connection of its own
        #[arg(long)]
        clients: u32,
        #[arg(long)]
        seconds: f64,
    },
    /// Load a stream of an empty database again and again
    Stream {
        #[command(flatten)]
        store: StoreArgs,
        /// How many events it has
        #[arg(long)]
        events: usize,
        #[arg(long)]
        seconds: f64,
    },
    /// Fill an empty database with events, each on a stream of its own
    Fill {
        #[command(flatten)]
        store: StoreArgs,
        #[arg(long)]
        events: usize,
    },
    /// Read every event of a filled database once
    Replay {
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Let a listener write rows of every event of a filled database
    Listen {
        #[command(flatten)]
        store: StoreArgs,
        /// How many events it was filled with
        #[arg(long)]
        events: usize,
    },
}

#[derive(Args)]
struct StoreArgs {
    #[arg(long = "store")]
    name: Name,
    #[arg(long)]
    url: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    CqrsEs,
    Disintegrate,
    Esrs,
    Evento,
}

/// An event store as it is measured.
pub trait Store: Clone + Send + Sync + 'static {
    /// Makes its tables, or finds them.
    fn open(pool: PgPool) -> impl Future<Output = anyhow::Result<Self>> + Send;

    /// One event on a new stream.
    fn append(&self) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// So many events on a new stream; its id.
    fn append_stream(&self, events: usize) -> impl Future<Output = anyhow::Result<String>> + Send;

    fn load(&self, stream: &str) -> impl Future<Output = anyhow::Result<Folded>> + Send;

    /// A statement that copies the row of the only event as often as its parameter says, each under ids of its own.
    const COPY_EVENT: &'static str;

    /// All events, in the order in which the store hands them out.
    fn replay(&self) -> impl Future<Output = anyhow::Result<Folded>> + Send;

    /// Writes rows of every event, by the store's own listener, for as long as it is polled.
    fn listen(&self, _pool: PgPool) -> impl Future<Output = anyhow::Result<()>> + Send {
        async { anyhow::bail!("this store has no listener that is measured") }
    }
}

/// What a fold comes to: the payload is looked at, and kept in nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Folded {
    pub events: usize,
    pub bytes: usize,
}

impl Folded {
    pub fn evolve(&mut self, text: &str) {
        self.events += 1;
        self.bytes += text.len();
    }
}

/// Text so long that the payload has [`PAYLOAD_BYTES`], with so many bytes around the text.
pub fn text(bytes_around: usize) -> String {
    "x".repeat(PAYLOAD_BYTES - bytes_around)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let task = Cli::parse().task;
    match task.store().name {
        Name::CqrsEs => run::<cqrs_es_::Store>(task).await,
        Name::Disintegrate => run::<disintegrate_::Store>(task).await,
        Name::Esrs => run::<esrs_::Store>(task).await,
        Name::Evento => run::<evento_::Store>(task).await,
    }
}

impl Task {
    fn store(&self) -> &StoreArgs {
        match self {
            Self::Append { store, .. }
            | Self::Stream { store, .. }
            | Self::Fill { store, .. }
            | Self::Replay { store }
            | Self::Listen { store, .. } => store,
        }
    }

    fn connections(&self) -> u32 {
        match self {
            Self::Append { clients, .. } => *clients,
            Self::Stream { .. } | Self::Fill { .. } | Self::Replay { .. } => CONNECTIONS_TO_READ,
            Self::Listen { .. } => CONNECTIONS_TO_LISTEN,
        }
    }
}

async fn run<S: Store>(task: Task) -> anyhow::Result<()> {
    let pool = PgPoolOptions::new()
        .min_connections(task.connections())
        .max_connections(task.connections())
        .acquire_timeout(Duration::from_secs(CONNECT_SECONDS_MAX))
        .connect(&task.store().url)
        .await?;
    let store = S::open(pool.clone()).await?;
    let came = match task {
        Task::Append {
            clients, seconds, ..
        } => append::measure(store, clients, seconds).await?,
        Task::Stream {
            events, seconds, ..
        } => read::load(store, events, seconds).await?,
        Task::Fill { events, .. } => read::fill(store, &pool, events).await?,
        Task::Replay { .. } => read::replay(store).await?,
        Task::Listen { events, .. } => read::listen(store, &pool, events).await?,
    };
    println!("{came}");
    Ok(())
}
