//! The network between a projector and its databases is cut again and again: nothing is lost, nothing is doubled.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use foldline_schema::testing::TestDatabase;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::{
    load::Load,
    processes::{Role, Stack, is_soak},
};

const CLIENTS: u64 = 4;

/// Stands between a process and its server.
struct Network {
    port: u16,
    is_down: Arc<AtomicBool>,
    cut: watch::Sender<()>,
    carrying: JoinHandle<()>,
}

impl Network {
    /// To the server of this URL.
    async fn to(url: &str) -> Self {
        let server = host(url).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_down = Arc::new(AtomicBool::new(false));
        let cut = watch::Sender::new(());
        let (down, cuts) = (Arc::clone(&is_down), cut.clone());
        let carrying = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut is_cut = cuts.subscribe();
                if down.load(Ordering::Relaxed) {
                    continue;
                }
                let server = server.clone();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(server).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = is_cut.changed() => {}
                    }
                });
            }
        });
        Self {
            port,
            is_down,
            cut,
            carrying,
        }
    }

    /// The same database, over this network.
    fn over(&self, url: &str) -> String {
        url.replacen(host(url), &format!("127.0.0.1:{}", self.port), 1)
    }

    async fn fail_for(&self, pause: Duration) {
        self.is_down.store(true, Ordering::Relaxed);
        self.cut.send_replace(());
        tokio::time::sleep(pause).await;
        self.is_down.store(false, Ordering::Relaxed);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

/// Host and port of a database's URL.
fn host(url: &str) -> &str {
    let (_, rest) = url.split_once("://").unwrap();
    let place = rest.split('/').next().unwrap();
    place.rsplit('@').next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_whose_network_is_cut_again_and_again_makes_the_rows_of_a_replay() {
    let mut stack = Stack::new().await;
    stack.start(Role::Command).await;
    let load = Load::start(&stack.client().await, CLIENTS, 11);
    let views = TestDatabase::empty().await;
    let network = Network::to(&stack.database.url).await;
    let log_url = network.over(&stack.database.url);
    let _projector = stack.replay_over(&log_url, &network.over(&views.url)).await;
    let mut random = StdRng::seed_from_u64(11);
    let cuts = if is_soak() { 200 } else { 12 };
    for _ in 0..cuts {
        let up = Duration::from_millis(random.random_range(20..1_000));
        tokio::time::sleep(up).await;
        let down = Duration::from_millis(random.random_range(0..300));
        network.fail_for(down).await;
    }
    assert!(!load.finish().await.is_empty());
    stack.has_the_rows_of_a_replay(&views.url).await;
}
