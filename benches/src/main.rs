//! Benchmarks of Foldline, each a ratio in one run on one machine.
//!
//! A benchmark measures everything that it compares alternately, several times over, prints a table of the medians and writes
//! `target/bench/NAME.json`. `make bench-NAME` builds what it needs, starts a PostgreSQL with durable settings, and calls
//! this. Read [`append`] next; [`report`] says what comes out.

mod append;
mod bulk;
mod command;
mod copied;
mod database;
mod held;
mod load;
mod long;
mod memory;
mod peers;
mod pgbench;
mod project;
mod read;
mod relay;
mod report;
mod sample;
mod service;
mod tags;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

/// As the program has it, and the other stores' program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
#[command(about = "Benchmarks of Foldline; `make bench` runs them")]
struct Args {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    /// Single appends by 1 to 256 clients, beside pgbench's plain inserts and other event stores
    Append(append::AppendArgs),
    /// One process's part of a load: appends for some seconds, and prints what it took as JSON
    Load(load::LoadArgs),
    /// Requests of 1,000 commands, and 1,000 appends at once, beside COPY of the same rows into the same tables
    Bulk(bulk::BulkArgs),
    /// Single commands of 256 HTTP clients, and the memory of the process that takes them
    Command(command::CommandArgs),
    /// A stream loaded and the log replayed, beside other event stores and COPY to standard output; and a long stream with
    /// and without a snapshot
    Read(read::ReadArgs),
    /// 100,000 batches while a snapshot is kept open, and as many without
    Held(held::HeldArgs),
    /// Tags in a B-tree beside tags in a GIN index: appending, guards, pages
    Tags(tags::TagsArgs),
    /// Draining a backlog into Kafka, and following a log that is appended to
    Relay(relay::RelayArgs),
    /// A log folded from its beginning by each feed, and how soon appends are visible
    Project(project::ProjectArgs),
    /// One process that relays until it is killed
    Relaying(relay::RelayingArgs),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // The HTTP client asks for one, though it speaks without TLS here; two could be in the program one day.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match Args::parse().benchmark {
        Benchmark::Append(args) => append::run(args).await,
        Benchmark::Load(args) => load::run(args).await,
        Benchmark::Bulk(args) => bulk::run(args).await,
        Benchmark::Command(args) => command::run(args).await,
        Benchmark::Read(args) => read::run(args).await,
        Benchmark::Held(args) => held::run(args).await,
        Benchmark::Tags(args) => tags::run(args).await,
        Benchmark::Relay(args) => relay::run(args).await,
        Benchmark::Project(args) => project::run(args).await,
        Benchmark::Relaying(args) => relay::relaying(args).await,
    }
}
