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
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;

#[derive(Debug, Clone)]
pub struct Limits {
    /// Further ones wait to be accepted.
    pub connections_max: usize,
    /// From the moment a request is waited for to the end of its headers; an idle connection closes after it, too.
    pub headers_within: Duration,
    /// How often an HTTP/2 client is asked whether it is there, and how long it may take to say so.
    pub ping_every: Duration,
    /// How long requests may go on after the signal to end.
    pub drain_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            headers_within: Duration::from_secs(60),
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
        let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let connection = graceful.watch(connection.into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error, "a connection ended before its request did");
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
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    /// For a server that does what it should; without its bounds a test waits in vain.
    const PATIENCE: Duration = Duration::from_secs(30);

    async fn started(limits: Limits) -> (TcpStream, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(serve(listener, Router::new(), limits, shutdown.clone()));
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
