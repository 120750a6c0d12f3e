//! The view database's server is stopped hard under a projector, again and again: what it had not written to disk yet is folded
//! once more.

use std::{path::Path, time::Duration};

use foldline_local::{
    Lifetime,
    postgres::{PostgresOptions, PostgresServer},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    load::Load,
    processes::{Role, Stack, is_soak},
};

const CLIENTS: u64 = 4;

async fn server(data: &Path, port: Option<u16>) -> PostgresServer {
    let options = PostgresOptions {
        data: data.to_owned(),
        port,
        version: None,
        settings: vec![("shared_buffers".to_owned(), "16MB".to_owned())],
        lifetime: Lifetime::DiesWithUs,
    };
    PostgresServer::start(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_whose_database_is_stopped_hard_again_and_again_makes_the_rows_of_a_replay() {
    let mut stack = Stack::new().await;
    stack.start(Role::Command).await;
    let folder = foldline_local::temporary_folder().unwrap();
    let mut views = server(folder.path(), None).await;
    let (url, port) = (views.url("postgres"), views.port());
    let _projector = stack.replay_over(&stack.database.url, &url).await;
    let load = Load::start(&stack.client().await, CLIENTS, 12);
    let mut random = StdRng::seed_from_u64(12);
    let stops = if is_soak() { 30 } else { 3 };
    for _ in 0..stops {
        let up = Duration::from_millis(random.random_range(500..3_000));
        tokio::time::sleep(up).await;
        views.kill().await.unwrap();
        views = server(folder.path(), Some(port)).await;
    }
    assert!(!load.finish().await.is_empty());
    stack.has_the_rows_of_a_replay(&url).await;
    views.stop().await.unwrap();
}
