use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use foldline_local::postgres::{PostgresOptions, PostgresServer};
use foldline_local::{Error, Lifetime, temporary_folder};
use nix::unistd::geteuid;

pub(crate) fn options(data: &Path) -> PostgresOptions {
    PostgresOptions {
        data: data.to_owned(),
        port: None,
        version: None,
        // Many servers at once on a small machine.
        settings: vec![("shared_buffers".to_owned(), "16MB".to_owned())],
        lifetime: Lifetime::DiesWithUs,
    }
}

pub(crate) fn outliving(data: &Path) -> PostgresOptions {
    PostgresOptions {
        lifetime: Lifetime::OutlivesUs,
        ..options(data)
    }
}

pub(crate) async fn start(data: &Path) -> PostgresServer {
    PostgresServer::start(options(data)).await.unwrap()
}

pub(crate) fn query(server: &PostgresServer, sql: &str) -> String {
    let psql = Command::new(server.programs().join("psql"))
        .args([
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            sql,
            "-d",
            &server.url("postgres"),
        ])
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(
        psql.status.success(),
        "{}",
        String::from_utf8_lossy(&psql.stderr)
    );
    String::from_utf8(psql.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn data_survives_a_restart() {
    let folder = temporary_folder().unwrap();
    let server = start(&folder.path().join("pg")).await;
    query(&server, "create table kept as select 42 as answer");
    server.stop().await.unwrap();

    let server = start(&folder.path().join("pg")).await;
    assert_eq!(query(&server, "select answer from kept"), "42");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn committed_data_survives_a_kill() {
    let folder = temporary_folder().unwrap();
    let server = start(&folder.path().join("pg")).await;
    query(&server, "create table kept as select 42 as answer");
    server.kill().await.unwrap();

    let server = start(&folder.path().join("pg")).await;
    assert_eq!(query(&server, "select answer from kept"), "42");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn durability_is_on_and_settings_asked_for_win_over_ours() {
    let folder = temporary_folder().unwrap();
    let mut options = options(&folder.path().join("pg"));
    options
        .settings
        .push(("max_connections".to_owned(), "33".to_owned()));
    let server = PostgresServer::start(options).await.unwrap();

    let setting = |name: &str| query(&server, &format!("show {name}"));
    assert_eq!(
        [
            "fsync",
            "synchronous_commit",
            "full_page_writes",
            "data_checksums"
        ]
        .map(setting),
        ["on"; 4]
    );
    assert_eq!(setting("max_connections"), "33");
    assert_eq!(setting("server_encoding"), "UTF8");
    assert_eq!(setting("password_encryption"), "scram-sha-256");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn nobody_gets_in_without_the_password() {
    let folder = temporary_folder().unwrap();
    let server = start(&folder.path().join("pg")).await;
    let sockets = server.sockets().to_string_lossy().into_owned();
    for host in ["127.0.0.1", sockets.as_str()] {
        let psql = Command::new(server.programs().join("psql"))
            .args([
                "-XAtqw",
                "-h",
                host,
                "-U",
                "postgres",
                "-p",
                &server.port().to_string(),
                "-c",
                "select 1",
            ])
            .output()
            .unwrap();
        assert!(!psql.status.success());
    }
    let password = fs::metadata(server.data().join("password")).unwrap();
    assert_eq!(password.permissions().mode() & 0o777, 0o600);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_start_of_a_used_folder_is_refused() {
    let folder = temporary_folder().unwrap();
    let server = start(&folder.path().join("pg")).await;
    let refused = PostgresServer::start(options(&folder.path().join("pg")))
        .await
        .unwrap_err();
    let us = std::process::id().to_string();
    assert!(
        matches!(&refused, Error::FolderInUse { pid, .. } if *pid == us),
        "{refused}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn two_folders_side_by_side_are_two_servers() {
    let folder = temporary_folder().unwrap();
    let one = start(&folder.path().join("one")).await;
    let other = start(&folder.path().join("other")).await;
    assert_ne!(one.port(), other.port());
    query(&one, "create table here ()");
    assert_eq!(query(&other, "select to_regclass('here') is null"), "t");
    one.stop().await.unwrap();
    other.stop().await.unwrap();
}

#[tokio::test]
async fn a_pid_file_that_names_a_stranger_is_no_hindrance() {
    let folder = temporary_folder().unwrap();
    let data = folder.path().join("pg");
    let server = start(&data).await;
    server.kill().await.unwrap();
    let file = data.join("cluster/postmaster.pid");
    let text = fs::read_to_string(&file).unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    fs::write(&file, format!("{}\n{rest}", std::process::id())).unwrap();

    start(&data).await.stop().await.unwrap();
}

#[tokio::test]
async fn a_folder_of_another_version_is_refused_and_its_own_version_found() {
    let folder = temporary_folder().unwrap();
    let data = folder.path().join("pg");
    let version = |version| PostgresOptions {
        version,
        ..options(&data)
    };
    let server = PostgresServer::start(version(Some(16))).await.unwrap();
    assert!(server.version().starts_with("16."));
    server.stop().await.unwrap();

    let refused = PostgresServer::start(version(Some(18))).await.unwrap_err();
    assert!(
        matches!(
            refused,
            Error::WrongMajor {
                found: 16,
                wanted: 18,
                ..
            }
        ),
        "{refused}"
    );
    let server = PostgresServer::start(version(None)).await.unwrap();
    assert!(server.version().starts_with("16."));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_refused_and_a_free_one_used() {
    let folder = temporary_folder().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let with_port = PostgresOptions {
        port: Some(port),
        ..options(&folder.path().join("pg"))
    };
    let refused = PostgresServer::start(with_port.clone()).await.unwrap_err();
    assert!(
        matches!(refused, Error::PortInUse { port: named } if named == port),
        "{refused}"
    );

    drop(listener);
    let server = PostgresServer::start(with_port).await.unwrap();
    assert_eq!(server.port(), port);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_folder_with_a_long_path_works() {
    let folder = temporary_folder().unwrap();
    let data = folder
        .path()
        .join("long".repeat(30))
        .join("with a space, and a comma");
    fs::create_dir_all(&data).unwrap();
    let server = start(&data).await;
    assert_eq!(query(&server, "select 1"), "1");
    let sockets = server.sockets().to_owned();
    server.stop().await.unwrap();
    fs::remove_dir_all(sockets).unwrap();
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
    let folder = temporary_folder().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = PostgresServer::start(options(&file.join("pg")))
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains(&file.join("pg").display().to_string()),
        "{refused}"
    );
}

#[tokio::test]
async fn a_folder_that_roots_server_cannot_reach_is_an_error_that_says_what_to_do() {
    if !geteuid().is_root() {
        return; // PostgreSQL runs as ourselves, and reaches what we reach.
    }
    let folder = temporary_folder().unwrap();
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let refused = PostgresServer::start(options(&closed.join("pg")))
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains(&format!("chmod o+x {}", closed.display())),
        "{refused}"
    );
}

#[tokio::test]
async fn a_server_that_does_not_start_is_an_error_with_the_end_of_its_log() {
    let folder = temporary_folder().unwrap();
    let mut wrong = options(&folder.path().join("pg"));
    wrong
        .settings
        .push(("shared_buffers".to_owned(), "a lot".to_owned()));
    let refused = PostgresServer::start(wrong).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("invalid value for parameter \"shared_buffers\""),
        "{refused}"
    );
}
