//! What is left of a server when its Foldline is gone: nothing, or what the next start takes over.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use foldline_local::postgres::PostgresServer;
use foldline_local::temporary_folder;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpStream;

use crate::postgres::{outliving, query, start};
use crate::{is_alive, wait_until};

const CHILD_DATA: &str = "FOLDLINE_LOCAL_CHILD_DATA";

/// Not a test: what the next one kills.
#[tokio::test]
#[ignore = "the child of an_orphaned_server_is_adopted_after_kill_9"]
async fn child_with_a_server() {
    let Some(data) = env::var_os(CHILD_DATA) else {
        return;
    };
    let _server = PostgresServer::start(outliving(Path::new(&data)))
        .await
        .unwrap();
    fs::write(Path::new(&data).join("child-is-ready"), "").unwrap();
    std::future::pending::<()>().await;
}

/// A server that nobody stops any more; a test that fails leaves it no longer running either.
struct Orphan(i32);

impl Drop for Orphan {
    fn drop(&mut self) {
        if std::thread::panicking() && is_alive(self.0) {
            kill(Pid::from_raw(self.0), Signal::SIGQUIT).unwrap();
        }
    }
}

fn kill_a_foldline_with_a_server_in(data: &Path) -> Orphan {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "orphans::child_with_a_server", "--ignored"])
        .env(CHILD_DATA, data)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the child's server", || {
        data.join("child-is-ready").exists()
    });
    let orphan = Orphan(pid_in(data));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_alive(orphan.0));
    orphan
}

fn pid_in(data: &Path) -> i32 {
    let file = fs::read_to_string(data.join("cluster/postmaster.pid")).unwrap();
    file.lines().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_orphaned_server_is_adopted_after_kill_9() {
    let folder = temporary_folder().unwrap();
    let data = folder.path().join("pg");
    let orphan = kill_a_foldline_with_a_server_in(&data);

    let server = PostgresServer::start(outliving(&data)).await.unwrap();
    assert_eq!(server.pid(), orphan.0);
    assert_eq!(query(&server, "select 1"), "1");
    server.stop().await.unwrap();
    assert!(!is_alive(orphan.0));
}

#[tokio::test]
async fn an_orphan_that_is_not_what_we_would_start_is_replaced() {
    let folder = temporary_folder().unwrap();
    let data = folder.path().join("pg");
    let orphan = kill_a_foldline_with_a_server_in(&data);

    let mut other = outliving(&data);
    other
        .settings
        .push(("work_mem".to_owned(), "5MB".to_owned()));
    let server = PostgresServer::start(other).await.unwrap();
    assert!(!is_alive(orphan.0));
    assert_eq!(query(&server, "show work_mem"), "5MB");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_dropped_server_that_dies_with_us_is_gone() {
    let folder = temporary_folder().unwrap();
    let server = start(&folder.path().join("pg")).await;
    let (pid, port) = (server.pid(), server.port());
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_ok());
    drop(server);
    tokio::task::spawn_blocking(move || wait_until("its end", || !is_alive(pid)))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_nothing_running() {
    let folder = temporary_folder().unwrap();
    let data = folder.path().join("pg");
    start(&data).await.stop().await.unwrap();

    let pid_file = data.join("cluster/postmaster.pid");
    tokio::select! {
        biased;
        () = async { while !pid_file.exists() { tokio::time::sleep(Duration::from_millis(1)).await } } => {}
        _ = PostgresServer::start(outliving(&data)) => panic!("started before it could be given up"),
    }
    let given_up = move || fs::read_to_string(&pid_file).is_err();
    tokio::task::spawn_blocking(|| wait_until("its end", given_up))
        .await
        .unwrap();
}
