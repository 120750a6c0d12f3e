//! Appends for some seconds, warmed up and counted as `benches/src/load.rs` does it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Store;

/// As long as Foldline's.
const WARM_UP: Duration = Duration::from_secs(1);

pub async fn measure(store: impl Store, clients: u32, seconds: f64) -> anyhow::Result<Value> {
    let from = Instant::now() + WARM_UP;
    let until = from + Duration::from_secs_f64(seconds);
    let clients: Vec<_> = (0..clients)
        .map(|_| tokio::spawn(client(store.clone(), from, until)))
        .collect();
    let mut took = Vec::new();
    let mut refused = 0;
    for client in clients {
        let (of_client, refused_of_client) = client.await?;
        took.extend(of_client);
        refused += refused_of_client;
    }
    took.sort_unstable();
    let p99 = took.get(took.len() * 99 / 100);
    Ok(json!({
        "appends": took.len(), "refused": refused, "seconds": seconds,
        "p99_ms": p99.map_or(0.0, |took| took.as_secs_f64() * 1e3),
    }))
}

/// How long each append took that was answered in time, and how many were refused.
async fn client(store: impl Store, from: Instant, until: Instant) -> (Vec<Duration>, u64) {
    let mut took = Vec::new();
    let mut refused = 0;
    while Instant::now() < until {
        let began = Instant::now();
        match store.append().await {
            Ok(()) => {
                let now = Instant::now();
                if from <= now && now < until {
                    took.push(now - began);
                }
            }
            // Some stores answer concurrent appends so; whoever uses them tries again.
            Err(_) => refused += 1,
        }
    }
    (took, refused)
}
