//! `foldline demo`: the same for everybody, every verdict as its line says, and dashboards that equal a recount.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use foldline_schema::testing::TestDatabase;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::{
    import_ways::digests,
    processes::{TENANT, Up, finished, foldline},
    recount::dashboards_equal_the_recount,
    stored,
};

const TASKS: &str = "400";

/// `foldline demo` as the tenant of the tests, to whoever runs over a folder's data.
fn demo(folder: &Path) -> Command {
    let mut command = foldline();
    command
        .args([
            "demo", "--tasks", TASKS, "--tenant", TENANT, "--json", "--data",
        ])
        .arg(folder.join("data"));
    command
}

async fn summary(command: Command) -> (i32, Value) {
    let (status, said) = finished(command).await;
    let summary = serde_json::from_str(&said).unwrap_or(Value::Null);
    (status.code().unwrap_or(-1), summary)
}

async fn printed(arguments: &[&str]) -> String {
    let mut command = foldline();
    command.args(["demo", "--print"]).args(arguments);
    let (status, said) = finished(command).await;
    assert!(status.success());
    said
}

/// The lines of the demo as a file, how many are valid, and how many are not.
async fn as_file(folder: &Path) -> (PathBuf, usize, usize) {
    let lines = printed(&["--tasks", TASKS]).await;
    let file = folder.join("demo.ndjson");
    fs::write(&file, &lines).unwrap();
    let invalid = lines
        .lines()
        .filter(|line| line.contains(r#""expect":"#))
        .count();
    (file, lines.lines().count() - invalid, invalid)
}

fn import(file: &Path, folder: &Path) -> Command {
    let mut command = foldline();
    command
        .arg("import")
        .arg(file)
        .args(["--tenant", TENANT, "--json", "--data"])
        .arg(folder.join("data"));
    command
}

#[tokio::test]
async fn the_same_seed_prints_the_same_bytes() {
    let arguments = ["--seed", "3", "--tasks", "120"];
    let one = printed(&arguments).await;
    assert_eq!(one, printed(&arguments).await);
    assert_ne!(one, printed(&["--seed", "4", "--tasks", "120"]).await);
    let created = one.matches(r#""type":"tasks.create_task""#).count();
    let invalid = one
        .lines()
        .filter(|line| line.contains("create_task") && line.contains("expect"))
        .count();
    assert_eq!(created - invalid, 120);
}

#[tokio::test]
async fn every_verdict_is_as_expected_and_repeating_the_demo_changes_nothing() {
    let folder = foldline_local::temporary_folder().unwrap();
    let database = TestDatabase::empty().await;
    let url = &database.url;
    let _up = Up::start(folder.path(), Some(url)).await;
    let (file, valid, invalid) = as_file(folder.path()).await;

    let (code, made) = summary(demo(folder.path())).await;
    eprintln!("the demo of {TASKS} tasks: {made}");
    assert_eq!(code, 0, "{made}");
    assert_eq!(
        [
            &made["accepted"],
            &made["rejected"],
            &made["rejectedAsExpected"]
        ],
        [&json!(valid), &json!(invalid), &json!(invalid)]
    );
    dashboards_equal_the_recount(&file, url).await;

    let head = stored::head(url).await;
    for command in [demo(folder.path()), import(&file, folder.path())] {
        let (code, again) = summary(command).await;
        assert_eq!(code, 0, "{again}");
        assert_eq!(
            [
                &again["accepted"],
                &again["known"],
                &again["rejectedAsExpected"]
            ],
            [&json!(0), &json!(valid), &json!(invalid)]
        );
        assert_eq!(stored::head(url).await, head, "nothing is recorded twice");
    }
}

#[tokio::test]
async fn the_demo_is_the_same_past_the_service_in_the_order_of_time() {
    let folders = [
        foldline_local::temporary_folder().unwrap(),
        foldline_local::temporary_folder().unwrap(),
    ];
    let (file, valid, invalid) = as_file(folders[0].path()).await;
    let databases = [TestDatabase::empty().await, TestDatabase::empty().await];
    let mut made = Vec::new();
    for (folder, database) in folders.iter().zip(&databases) {
        let url = &database.url;
        if made.is_empty() {
            // The first goes past the service.
            fs::create_dir_all(folder.path().join("data")).unwrap();
            fs::write(folder.path().join("data/secret"), "s".repeat(40)).unwrap();
            let mut migrate = foldline();
            migrate.arg("migrate").env("DATABASE_URL", url);
            assert!(finished(migrate).await.0.success());
            let mut offline = import(&file, folder.path());
            offline.arg("--offline").env("LOG_URL", url);
            let (code, said) = summary(offline).await;
            assert_eq!(code, 0, "{said}");
            assert_eq!(
                [&said["accepted"], &said["rejectedAsExpected"]],
                [&json!(valid), &json!(invalid)]
            );
        }
        let _up = Up::start(folder.path(), Some(url)).await;
        let (code, said) = summary(import(&file, folder.path())).await;
        assert_eq!(code, 0, "{said}");
        dashboards_equal_the_recount(&file, url).await;
        made.push(digests(url).await);
    }
    assert_eq!(made[0], made[1]);
}

#[tokio::test]
async fn a_command_that_is_not_rejected_as_its_line_says_is_an_error() {
    let folder = foldline_local::temporary_folder().unwrap();
    let database = TestDatabase::empty().await;
    let _up = Up::start(folder.path(), Some(&database.url)).await;
    let lines = printed(&["--tasks", "5"]).await;
    let first = lines.lines().next().unwrap();
    let expecting = first.replacen('{', r#"{"expect":"PROJECT_ARCHIVED","#, 1);
    let file = folder.path().join("wrong.ndjson");
    fs::write(&file, expecting).unwrap();
    let (code, summary) = summary(import(&file, folder.path())).await;
    assert_eq!(code, 1, "{summary}");
    assert_eq!(
        summary["missed"]["PROJECT_ARCHIVED"]["count"], 1,
        "{summary}"
    );
}

/// What a start says to a person; it is asked to end as soon as a line holds `enough`.
async fn said_at_start(folder: &Path, database_url: &str, enough: &'static str) -> String {
    let mut command = foldline();
    command
        .args(["up", "--port", "0", "--data"])
        .arg(folder.join("data"))
        .env("DATABASE_URL", database_url)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let reading = move || {
        let mut child = command.spawn().unwrap();
        let mut said = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if line.contains(enough) {
                kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
            }
            said = format!("{said}{line}\n");
        }
        child.wait().unwrap();
        said
    };
    tokio::task::spawn_blocking(reading).await.unwrap()
}

#[tokio::test]
async fn the_first_start_offers_a_newcomer_what_to_look_at() {
    let folder = foldline_local::temporary_folder().unwrap();
    let database = TestDatabase::empty().await;
    let start = async || said_at_start(folder.path(), &database.url, "My first project").await;
    let first = start().await;
    for offer in ["import tests/data/history.ndjson.gz --data", "demo --data"] {
        assert!(first.contains(offer), "{first}");
    }
    let later = start().await;
    assert!(!later.contains("demo --data"), "{later}");
}
