//! `foldline status`: it sees who is behind, by how much, and when that is over.

use foldline_schema::testing::TestDatabase;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    client::Client,
    processes::{Process, Role, Stack, Up, finished, foldline, until},
    stored,
    verify::verify,
};

/// What `foldline status --json` says, and its exit code.
async fn status(log_url: &str, view_url: &str, arguments: &[&str]) -> (i32, Value) {
    let mut command = foldline();
    command
        .args(["status", "--json"])
        .args(arguments)
        .env("LOG_URL", log_url)
        .env("VIEW_URL", view_url);
    let (status, said) = finished(command).await;
    (status.code().unwrap(), serde_json::from_str(&said).unwrap())
}

async fn becomes(what: &str, code: i32, log_url: &str, view_url: &str) -> Value {
    until(what, async || {
        let (ended, said) = status(log_url, view_url, &["--lag-max", "1"]).await;
        (ended == code).then_some(said)
    })
    .await
}

/// Some events; how many there are is of no importance.
async fn create_projects(client: &Client) {
    for _ in 0..5 {
        client
            .accepted("/projects", &json!({"name": "One more"}))
            .await;
    }
}

/// The views' lags in events.
fn behind(said: &Value) -> Vec<&str> {
    let views = said["views"].as_array().unwrap().iter();
    views
        .map(|view| view["lagEvents"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn what_is_killed_lags_and_catches_up_when_it_is_started_again() {
    let mut stack = Stack::started().await;
    let url = stack.database.url.clone();
    let client = stack.client().await;
    create_projects(&client).await;
    let said = becomes("everything to catch up", 0, &url, &url).await;
    assert_eq!(said["status"], "caughtUp");
    assert_eq!(said["log"]["head"], "5");
    assert_eq!(behind(&said), ["0"; 4], "{said}");
    assert_eq!(said["relay"]["lagEvents"], "0");
    assert_eq!(said["relay"]["running"], true);
    assert_eq!(
        said["feeds"]["kafka"],
        json!({"relaying": true, "offsets": true})
    );
    assert_eq!(said["feeds"]["postgres"]["projecting"], false);

    // Partitions without events of their own are told a moment later how far the log is.
    stored::folded(&url, 5).await;
    stack.kill(Role::Projector).await;
    create_projects(&client).await;
    let said = becomes("the views to lag", 1, &url, &url).await;
    assert_eq!(behind(&said), ["5"; 4], "{said}");
    let views = said["views"].as_array().unwrap();
    for view in views {
        assert_eq!(view["completedPrefix"], "5", "{view}");
        // More than one, and rounded when it is said.
        assert!(view["lagSeconds"].as_f64().unwrap() >= 1.0, "{view}");
    }
    assert_eq!(said["lagging"].as_array().unwrap().len(), 4);
    let patient = status(&url, &url, &["--lag-max", "1000"]).await;
    assert_eq!(patient.0, 0, "{}", patient.1);
    stack.start(Role::Projector).await;
    let said = becomes("the views to catch up", 0, &url, &url).await;
    assert_eq!(behind(&said), ["0"; 4], "{said}");

    stack.kill(Role::Relay).await;
    create_projects(&client).await;
    let said = until("the relay to lag", async || {
        let (_, said) = status(&url, &url, &["--lag-max", "1"]).await;
        let lags = said["relay"]["lagSeconds"].as_f64().unwrap() > 1.0;
        lags.then_some(said)
    })
    .await;
    assert_eq!(said["relay"]["lagEvents"], "5", "{said}");
    assert_eq!(said["relay"]["running"], false, "{said}");
    stack.start(Role::Relay).await;
    becomes("the relay to catch up", 0, &url, &url).await;
}

#[tokio::test]
async fn a_projector_that_is_only_stopped_lags_too() {
    let stack = Stack::started().await;
    let client = stack.client().await;
    let views = TestDatabase::empty().await;
    let projector = stack.replay_into(&views).await;
    let (log_url, view_url) = (&stack.database.url, &views.url);
    create_projects(&client).await;
    let said = becomes("the views to catch up", 0, log_url, view_url).await;
    assert_eq!(said["feeds"]["postgres"]["projecting"], true, "{said}");

    projector.signal(Signal::SIGSTOP);
    create_projects(&client).await;
    let said = becomes("the views to lag", 1, log_url, view_url).await;
    assert_eq!(behind(&said), ["5"; 4], "{said}");
    projector.signal(Signal::SIGCONT);
    let said = becomes("the views to catch up again", 0, log_url, view_url).await;
    assert_eq!(behind(&said), ["0"; 4], "{said}");
}

#[tokio::test]
async fn a_partition_that_others_have_passed_is_stalled() {
    let mut stack = Stack::started().await;
    let url = stack.database.url.clone();
    create_projects(&stack.client().await).await;
    becomes("everything to catch up", 0, &url, &url).await;
    stack.stop(Role::Projector).await;
    // As if the second event had never been folded, and nothing had moved for a minute.
    let set_back = "update views.checkpoints c
         set position = 1, moved_at = now() - interval '1 minute'
         from log.events e
         where e.position = 2
             and c.partition = e.partition
             and c.view = 'task_view'";
    let changed = sqlx::query(set_back)
        .execute(&mut stored::connect(&url).await)
        .await
        .unwrap();
    assert_eq!(changed.rows_affected(), 1);
    let (code, said) = status(&url, &url, &["--lag-max", "0"]).await;
    assert_eq!(code, 1);
    let views = said["views"].as_array().unwrap().iter();
    for view in views {
        let stalled = view["stalled"].as_array().unwrap();
        if view["view"] != "task_view" {
            assert_eq!(
                (stalled.len(), &view["lagEvents"]),
                (0, &json!("0")),
                "{view}"
            );
            continue;
        }
        assert_eq!(view["completedPrefix"], "1");
        assert_eq!(stalled.len(), 1, "{view}");
        assert_eq!(stalled[0]["nextPosition"], "2", "{view}");
        assert_eq!(stalled[0]["nextType"], "tasks.ProjectCreated", "{view}");
    }
}

#[tokio::test]
async fn the_data_folder_of_a_running_up_says_where_to_look() {
    let folder = foldline_local::temporary_folder().unwrap();
    let up = Up::start(folder.path(), None).await;
    create_projects(&up.client).await;
    let of_folder = |subcommand: &'static str| {
        let mut command = foldline();
        command
            .arg(subcommand)
            .arg("--data")
            .arg(folder.path().join("data"));
        command
    };
    until("everything to catch up", async || {
        let (status, said) = finished(of_folder("status")).await;
        let caught_up = said.contains("caught up") && said.contains("Postgres: a projector reads");
        (status.code() == Some(0) && caught_up).then_some(())
    })
    .await;
    let (status, said) = finished(of_folder("verify")).await;
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("all equal"), "{said}");
    let mut digest = of_folder("verify");
    digest.arg("--digest");
    let (status, said) = finished(digest).await;
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("task_history"), "{said}");

    let mut watch = of_folder("status");
    watch.args(["--watch", "--json"]);
    let mut watching = Process::start(watch, folder.path());
    let [one, other] = [watching.ready_line().await, watching.ready_line().await];
    assert_ne!(one["at"], other["at"]);
    assert_eq!(other["status"], "caughtUp", "{other}");
    watching.signal(Signal::SIGINT);
    assert_eq!(watching.ended().await.code(), Some(0));
}

#[tokio::test]
async fn what_cannot_be_reached_is_neither_well_nor_lagging() {
    let empty = TestDatabase::empty().await;
    for url in [&empty.url, "postgres://127.0.0.1:1/nothing"] {
        let (code, said) = status(url, url, &[]).await;
        assert_eq!(
            (code, &said["status"]),
            (2, &json!("unreachable")),
            "{said}"
        );
    }
    let (code, _) = verify(&empty.url, &["--tenant", "no such tenant"]).await;
    assert_eq!(code, 2);
    let folder = foldline_local::temporary_folder().unwrap();
    let mut command = foldline();
    command.args(["status", "--data"]).arg(folder.path());
    assert_eq!(finished(command).await.0.code(), Some(2));
}

#[tokio::test]
async fn a_job_that_no_worker_begins_lags_and_so_does_one_that_was_given_up() {
    let mut stack = Stack::started().await;
    let url = stack.database.url.clone();
    let said = becomes("everything to catch up", 0, &url, &url).await;
    assert_eq!(said["worker"], Value::Null, "{said}");
    stack.start(Role::Worker).await;
    let said = until("the worker to lead", async || {
        let (_, said) = status(&url, &url, &["--lag-max", "1"]).await;
        (said["worker"]["running"] == true).then_some(said)
    })
    .await;
    let reactions = said["worker"]["reactions"].as_array().unwrap();
    assert_eq!(reactions.len(), 2, "{said}");
    stack.stop(Role::Worker).await;

    let mut owner = stored::connect(&url).await;
    let order = "insert into work.jobs (job_id, kind, input, run_at)
         values (gen_random_uuid(), 'housekeeping', '{}', now() - interval '1 minute')";
    sqlx::query(order).execute(&mut owner).await.unwrap();
    let said = becomes("the job to lag", 1, &url, &url).await;
    assert_eq!(said["worker"]["running"], false, "{said}");
    assert_eq!(said["worker"]["jobs"]["due"], 1, "{said}");
    assert!(said["worker"]["unbegunSeconds"].as_f64().unwrap() >= 60.0);
    sqlx::query("update work.jobs set parked_at = now()")
        .execute(&mut owner)
        .await
        .unwrap();
    let said = becomes("what was given up to lag", 1, &url, &url).await;
    assert_eq!(said["lagging"], json!(["1 jobs of the worker are parked"]));
    sqlx::query("delete from work.jobs")
        .execute(&mut owner)
        .await
        .unwrap();
    becomes("nothing to lag", 0, &url, &url).await;
}
