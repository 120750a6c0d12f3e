//! Reads back through a fold: a stream again and again, and everything once.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::Store;

/// The stream is loaded once before, so that its statements are prepared.
pub async fn load(store: impl Store, events: usize, seconds: f64) -> anyhow::Result<Value> {
    let stream = store.append_stream(events).await?;
    store.load(&stream).await?;
    let began = Instant::now();
    let until = began + Duration::from_secs_f64(seconds);
    let mut loaded = 0;
    while Instant::now() < until {
        let folded = store.load(&stream).await?;
        anyhow::ensure!(folded.events == events, "the stream is cut");
        loaded += folded.events;
    }
    Ok(json!({"events": loaded, "seconds": began.elapsed().as_secs_f64()}))
}

/// One event by the store's own append, and the others as copies of its row, which is faster by far than appending them.
pub async fn fill<S: Store>(store: S, pool: &PgPool, events: usize) -> anyhow::Result<Value> {
    let began = Instant::now();
    store.append().await?;
    sqlx::query(S::COPY_EVENT)
        .bind(i32::try_from(events)? - 1)
        .execute(pool)
        .await?;
    Ok(json!({"events": events, "seconds": began.elapsed().as_secs_f64()}))
}

pub async fn replay(store: impl Store) -> anyhow::Result<Value> {
    let began = Instant::now();
    let folded = store.replay().await?;
    let seconds = began.elapsed().as_secs_f64();
    anyhow::ensure!(folded.bytes > 0, "nothing was folded");
    Ok(json!({"events": folded.events, "seconds": seconds}))
}

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What a projection of tasks writes at least: the present row, a row of its history, and what its owner's tasks add up to.
const ROWS: &str = "
    create table present (id text primary key, text text not null, version bigint not null);
    create table history (id text not null, version bigint not null, text text not null, primary key (id, version));
    create table sums (owner integer primary key, total bigint not null)";

/// Until as many events became rows; only what lies between the first and the last of them is measured.
pub async fn listen<S: Store>(store: S, pool: &PgPool, events: usize) -> anyhow::Result<Value> {
    sqlx::raw_sql(ROWS).execute(pool).await?;
    let rows = || sqlx::query_scalar::<_, i64>("select count(*) from history").fetch_one(pool);
    let all = i64::try_from(events)?;
    let watching = async {
        let mut first = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let there = rows().await?;
            if there > 0 {
                first.get_or_insert((Instant::now(), there));
            }
            if let Some((since, from)) = first.filter(|_| there >= all) {
                return anyhow::Ok((there - from, since.elapsed().as_secs_f64()));
            }
        }
    };
    let (handled, seconds) = tokio::select! {
        watched = watching => watched?,
        ended = store.listen(pool.clone()) => {
            ended?;
            anyhow::bail!("the listener ended");
        }
    };
    Ok(json!({"events": handled, "seconds": seconds}))
}
