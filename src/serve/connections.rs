//! The connections of an HTTP server: how many there may be, how long a client may take to say what it wants, and how
//! they end.
//!
//! axum's own `serve` has neither bound, so that a handful of clients that never finish a request could keep a server
//! busy for ever.

use std::{sync::Arc, time::Duration};

use axum::{Router, serve::Listener};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Clone)]
pub struct Limits {
    /// Further ones wait to be accepted.
    pub connections_max: usize,
    /// From the connection to its first byte: only then the protocol is known, whose own bounds hold from then on.
    pub begins_within: Duration,
    /// From the moment a request is waited for to the end of its headers; an idle connection closes after it, too.
    pub headers_within: Duration,
    /// How long a client may leave what is sent to it unread.
    pub reads_within: Duration,
    /// How often an HTTP/2 client is asked whether it is there, and how long it may take to say so.
    pub ping_every: Duration,
    /// How long requests may go on after the signal to end.
    pub drain_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            begins_within: Duration::from_secs(60),
            headers_within: Duration::from_secs(60),
            reads_within: Duration::from_secs(60),
            ping_every: Duration::from_secs(30),
            drain_within: Duration::from_secs(20),
        }
    }
}

/// Serves until `shutdown`, then lets requests finish.
pub async fn serve(
    mut listener: TcpListener,
    app: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let http = http(&limits);
    let graceful = GracefulShutdown::new();
    let free = Arc::new(Semaphore::new(limits.connections_max));
    loop {
        let connected = async {
            let place = free.clone().acquire_owned().await;
            let place = place.expect("the semaphore is never closed");
            // axum's listener retries what a connection may fail of, such as too many open files.
            let (stream, _address) = Listener::accept(&mut listener).await;
            (place, stream)
        };
        let (place, stream) = tokio::select! {
            () = shutdown.cancelled() => break,
            connected = connected => connected,
        };
        let service = TowerToHyperService::new(app.clone());
        let (http, limits) = (http.clone(), limits.clone());
        let watcher = graceful.watcher();
        let ending = shutdown.clone();
        tokio::spawn(async move {
            if begins(&stream, limits.begins_within, &ending).await {
                let mut stream = TimeoutStream::new(stream);
                stream.set_write_timeout(Some(limits.reads_within));
                let io = TokioIo::new(Box::pin(stream));
                let connection = http.serve_connection_with_upgrades(io, service);
                if let Err(error) = watcher.watch(connection.into_owned()).await {
                    tracing::debug!(error, "a connection ended before its request did");
                }
            }
            drop(place);
        });
    }
    drop(listener);
    if timeout(limits.drain_within, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(drain_within = ?limits.drain_within, "requests still under way were cut off");
    }
}

/// Whether a client says anything in time.
async fn begins(stream: &TcpStream, within: Duration, ending: &CancellationToken) -> bool {
    let mut first = [0];
    tokio::select! {
        () = ending.cancelled() => false,
        peeked = timeout(within, stream.peek(&mut first)) => {
            peeked.is_ok_and(|bytes| bytes.is_ok_and(|bytes| bytes > 0))
        }
    }
}

fn http(limits: &Limits) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers_within);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.ping_every)
        .keep_alive_timeout(limits.ping_every)
        // WebSockets over HTTP/2 come as CONNECT.
        .enable_connect_protocol();
    http
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// For a server that does what it should; without its bounds a test waits in vain.
    const PATIENCE: Duration = Duration::from_secs(30);

    async fn started(limits: Limits) -> (TcpStream, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        // More than the kernel keeps for a client that does not read.
        let large = get(|| async { vec![b' '; 64 * 1024 * 1024] });
        let app = Router::new().route("/large", large);
        tokio::spawn(serve(listener, app, limits, shutdown.clone()));
        (TcpStream::connect(address).await.unwrap(), shutdown)
    }

    async fn closes(client: &mut TcpStream) -> String {
        let mut answer = String::new();
        let read = timeout(PATIENCE, client.read_to_string(&mut answer)).await;
        read.expect("the server closes").unwrap();
        answer
    }

    #[tokio::test]
    async fn a_client_that_never_ends_its_headers_is_cut_off() {
        let limits = Limits {
            headers_within: Duration::from_millis(100),
            ..Limits::default()
        };
        let (mut client, _shutdown) = started(limits).await;
        client.write_all(b"GET / HTTP/1.1\r\nHost").await.unwrap();
        assert_eq!(closes(&mut client).await, "");
    }

    #[tokio::test]
    async fn a_client_that_never_says_a_word_is_cut_off() {
        let limits = Limits {
            begins_within: Duration::from_millis(100),
            ..Limits::default()
        };
        let (mut client, _shutdown) = started(limits).await;
        assert_eq!(closes(&mut client).await, "");
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_cut_off() {
        let limits = Limits {
            connections_max: 1,
            reads_within: Duration::from_millis(100),
            ..Limits::default()
        };
        let (mut client, _shutdown) = started(limits).await;
        let request = b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n";
        client.write_all(request).await.unwrap();
        // Its place is free again, without a byte read of what was sent to it.
        let mut next = TcpStream::connect(client.peer_addr().unwrap())
            .await
            .unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        next.write_all(request).await.unwrap();
        assert!(closes(&mut next).await.starts_with("HTTP/1.1 404"));
    }

    #[tokio::test]
    async fn one_connection_too_many_waits_until_another_ends() {
        let limits = Limits {
            connections_max: 1,
            ..Limits::default()
        };
        let (first, _shutdown) = started(limits).await;
        let mut second = TcpStream::connect(first.peer_addr().unwrap())
            .await
            .unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        second.write_all(request).await.unwrap();
        let mut early = [0; 1];
        let waits = timeout(Duration::from_millis(200), second.peek(&mut early)).await;
        assert!(waits.is_err(), "it was served beside the first");
        drop(first);
        assert!(closes(&mut second).await.starts_with("HTTP/1.1 404"));
    }

    #[tokio::test]
    async fn an_idle_connection_ends_with_the_server() {
        let (mut client, shutdown) = started(Limits::default()).await;
        let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        client.write_all(request).await.unwrap();
        let mut answer = [0; 1024];
        assert!(client.read(&mut answer).await.unwrap() > 0);
        shutdown.cancel();
        assert_eq!(closes(&mut client).await, "");
    }
}
