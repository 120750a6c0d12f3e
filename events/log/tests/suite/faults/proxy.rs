//! Between a log and its server: passes everything on, until it is told to do what networks do.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use foldline_schema::testing::TestDatabase;
use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

use crate::store::tenant;

const CHUNK_BYTES: usize = 64 * 1024;
/// How a request to execute something begins and ends in the extended protocol: Bind, and Sync with its length.
const BIND: u8 = b'B';
const SYNC: [u8; 5] = [b'S', 0, 0, 0, 4];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    Well,
    /// Of so many appends, one is passed on and its connection cut when the answer comes, which nobody gets.
    CutsAnswers {
        one_of: usize,
    },
    /// Nothing gets through in either direction, and nobody is told.
    Swallows,
    /// One append is passed on but for its end, as if its sender had been stopped in the middle of sending: its connection
    /// stays open, and the end comes when all is well again. Others get through.
    HoldsAnEnd,
}

pub struct Proxy {
    network: watch::Sender<Network>,
    counts: Arc<Counts>,
    port: u16,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Counts {
    appends: AtomicUsize,
    cut: AtomicUsize,
    held: AtomicBool,
}

impl Counts {
    fn has_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }
}

impl Proxy {
    pub async fn start(database: &TestDatabase) -> Self {
        let server: PgConnectOptions = database.url.parse().unwrap();
        let server = (server.get_host().to_owned(), server.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (network, watched) = watch::channel(Network::Well);
        let counts = Arc::new(Counts::default());
        let accepting = tokio::spawn(accept(listener, server, watched, Arc::clone(&counts)));
        Self {
            network,
            counts,
            port,
            accepting,
        }
    }

    /// The same database, reached through here.
    pub fn before(&self, database: &TestDatabase) -> TestDatabase {
        let (user, rest) = database.url.rsplit_once('@').unwrap();
        let (_, name) = rest.split_once('/').unwrap();
        TestDatabase {
            url: format!("{user}@127.0.0.1:{}/{name}", self.port),
        }
    }

    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }

    /// How many answers were cut off.
    pub fn cut(&self) -> usize {
        self.counts.cut.load(Ordering::Relaxed)
    }

    /// Whether an append lacks its end, or did.
    pub fn has_held(&self) -> bool {
        self.counts.has_held()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    server: (String, u16),
    network: watch::Receiver<Network>,
    counts: Arc<Counts>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let (server, network, counts) = (server.clone(), network.clone(), Arc::clone(&counts));
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(server).await else {
                return;
            };
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            let link = Link {
                network,
                counts,
                is_doomed: AtomicBool::new(false),
            };
            // Whichever end closes first takes the other with it.
            tokio::select! {
                () = link.requests(from_client, to_server) => {}
                () = link.answers(from_server, to_client) => {}
            }
        });
    }
}

fn names(chunk: &[u8], name: &str) -> bool {
    chunk
        .windows(name.len())
        .any(|window| window == name.as_bytes())
}

/// One connection.
struct Link {
    network: watch::Receiver<Network>,
    counts: Arc<Counts>,
    /// The answer that comes next is cut off.
    is_doomed: AtomicBool,
}

impl Link {
    async fn requests(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(size @ 1..) = from.read(&mut chunk).await {
            let chunk = &chunk[..size];
            self.passes().await;
            let is_request = chunk.first() == Some(&BIND) && chunk.ends_with(&SYNC);
            // What a connection is set up with binds no tenant. A network that cut that off would let no append through.
            let is_append = is_request && names(chunk, tenant().as_str());
            let network = *self.network.borrow();
            let passed_on = match network {
                Network::CutsAnswers { one_of } if is_append => {
                    let number = self.counts.appends.fetch_add(1, Ordering::Relaxed) + 1;
                    let is_doomed = number.is_multiple_of(one_of);
                    self.is_doomed.store(is_doomed, Ordering::Relaxed);
                    to.write_all(chunk).await
                }
                Network::HoldsAnEnd if is_append && !self.counts.has_held() => {
                    let (begin, end) = chunk.split_at(size - SYNC.len());
                    let begun = to.write_all(begin).await;
                    self.counts.held.store(true, Ordering::Relaxed);
                    self.is(Network::Well).await;
                    begun.and(to.write_all(end).await)
                }
                Network::CutsAnswers { .. }
                | Network::HoldsAnEnd
                | Network::Well
                | Network::Swallows => to.write_all(chunk).await,
            };
            if passed_on.is_err() {
                return;
            }
        }
    }

    async fn answers(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(size @ 1..) = from.read(&mut chunk).await {
            self.passes().await;
            if self.is_doomed.load(Ordering::Relaxed) {
                self.counts.cut.fetch_add(1, Ordering::Relaxed);
                return;
            }
            if to.write_all(&chunk[..size]).await.is_err() {
                return;
            }
        }
    }

    /// Waits while nothing gets through.
    async fn passes(&self) {
        let mut network = self.network.clone();
        // An error says that the proxy is gone, and with it the test.
        let _ = network
            .wait_for(|network| *network != Network::Swallows)
            .await;
    }

    async fn is(&self, wanted: Network) {
        let mut network = self.network.clone();
        let _ = network.wait_for(|network| *network == wanted).await;
    }
}
