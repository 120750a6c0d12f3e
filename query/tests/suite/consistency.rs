//! `atLeast`: never stale, never waiting for ever.

use std::time::{Duration, Instant};

use foldline_events::{partition_of, tasks};
use foldline_query::Limits;
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    EPOCH, Hears, VIEWS, cursor, fixture, fixture_with, start, tenant, token, within,
};

const QUERY: &str = "query($c: String) { projects(atLeast: $c) { nodes { name } } }";

fn impatient() -> Limits {
    Limits {
        at_least_wait_ms_max: 1_000,
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_read_waits_until_its_partition_has_folded_and_then_sees_the_row() {
    let fixture = fixture().await;
    fixture.fold_all(10).await;
    let id = Uuid::from_u128(1);
    let partition = partition_of(&tenant("acme"), &tasks::project_stream(id));
    let wanted = json!({"c": cursor(11, Some(partition))});
    let reading = fixture.data(QUERY, wanted);
    let folding = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        fixture.project("acme", id, "Garden", 10, 11).await;
        // Another partition moving is not enough.
        fixture.fold("project_view", (partition + 1) % 32, 12).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        fixture.fold("project_view", partition, 11).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        for view in VIEWS {
            fixture.fold(view, partition, 11).await;
        }
    };
    let (data, ()) = within(5, async { tokio::join!(reading, folding) }).await;
    assert_eq!(data["projects"]["nodes"], json!([{"name": "Garden"}]));
}

#[tokio::test]
async fn without_a_partition_the_completed_prefix_counts() {
    let fixture = fixture_with(impatient()).await;
    fixture.fold_all(9).await;
    fixture.fold_all_but(10, Some(("project_view", 5))).await;
    assert_eq!(
        fixture.code(QUERY, json!({"c": cursor(10, None)})).await,
        "AT_LEAST_TIMEOUT"
    );
    fixture.data(QUERY, json!({"c": cursor(9, None)})).await;
    // Below any field something of any view may be selected, so all of them count.
    let tasks = "query($c: String) { tasks(atLeast: $c) { nodes { project { name } } } }";
    assert_eq!(
        fixture.code(tasks, json!({"c": cursor(10, None)})).await,
        "AT_LEAST_TIMEOUT"
    );
    fixture.data(tasks, json!({"c": cursor(9, None)})).await;
}

#[tokio::test]
async fn a_view_that_has_folded_nothing_counts_as_zero() {
    let fixture = fixture_with(impatient()).await;
    assert_eq!(
        fixture.code(QUERY, json!({"c": cursor(1, Some(0))})).await,
        "AT_LEAST_TIMEOUT"
    );
    fixture.data(QUERY, json!({"c": cursor(0, None)})).await;
}

#[tokio::test]
async fn a_cursor_of_another_epoch_or_of_nothing_is_refused_at_once() {
    let fixture = fixture().await;
    fixture.fold_all(10).await;
    let other = format!("{}.1", Uuid::from_u128(0xbad).simple());
    let started = Instant::now();
    assert_eq!(
        fixture.code(QUERY, json!({"c": other})).await,
        "WRONG_EPOCH"
    );
    assert_eq!(
        fixture.code(QUERY, json!({"c": "nonsense"})).await,
        "BAD_CURSOR"
    );
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn every_answer_says_up_to_where_it_holds_everything() {
    let fixture = fixture().await;
    let empty = fixture.ask("{ projects { totalCount } }", json!({})).await;
    assert_eq!(
        empty["extensions"]["foldline"],
        json!({"epoch": null, "completedPrefix": "0"})
    );
    fixture.fold_all(7).await;
    fixture.fold_all_but(10, Some(("task_view", 31))).await;
    // Waits until the last of it was seen.
    let seen = "query($c: String) { projects(atLeast: $c) { totalCount } }";
    fixture.data(seen, json!({"c": cursor(10, Some(30))})).await;
    for query in ["{ projects { totalCount } }", "{ nonsense }"] {
        let answer = fixture.ask(query, json!({})).await;
        let known = json!({"epoch": EPOCH, "completedPrefix": "7"});
        assert_eq!(answer["extensions"]["foldline"], known, "{query}");
    }
}

#[tokio::test]
async fn notifications_wake_readers_and_survive_a_lost_connection() {
    let fixture = start(Limits::default(), Hears::Notifications).await;
    fixture.fold_all(1).await;
    fixture.data(QUERY, json!({"c": cursor(1, None)})).await;
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid()",
    )
    .execute(&fixture.owner)
    .await
    .unwrap();
    let folding = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        fixture.fold_all(2).await;
        sqlx::query("select pg_notify('foldline_views', '')")
            .execute(&fixture.owner)
            .await
            .unwrap();
    };
    let (data, ()) = within(5, async {
        tokio::join!(fixture.data(QUERY, json!({"c": cursor(2, None)})), folding)
    })
    .await;
    assert_eq!(data["projects"]["nodes"], json!([]));
    assert!(fixture.state.is_ready());
}

#[tokio::test]
async fn a_read_says_what_is_parked_of_what_it_reads_and_with_at_least_it_is_an_error() {
    let fixture = fixture().await;
    let (parked, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    for (id, name) in [(parked, "Garden"), (other, "House")] {
        fixture.project("acme", id, name, 10, 3).await;
        fixture.project("zeta", id, name, 10, 3).await;
    }
    let stream = tasks::project_stream(parked);
    let partition = partition_of(&tenant("acme"), &stream);
    fixture.park("acme", "project_view", &stream, 7).await;
    fixture.fold_all(10).await;
    let one = "query($id: ID!, $c: String) { project(id: $id, atLeast: $c) { name } }";
    let seen = json!({"id": other, "c": cursor(10, None)});
    assert_eq!(fixture.data(one, seen).await["project"]["name"], "House");

    let parked_in = |answer: &serde_json::Value| answer["extensions"]["foldline"]["parked"].clone();
    let said = json!([{"view": "project_view", "streams": 1}]);
    let nothing = serde_json::Value::Null;
    for (query, variables, expected) in [
        (one, json!({"id": parked}), &said),
        (one, json!({"id": other}), &nothing),
        ("{ projects { totalCount } }", json!({}), &said),
    ] {
        let answer = fixture.ask(query, variables).await;
        assert_eq!(answer.get("errors"), None, "{answer}");
        assert_eq!(&parked_in(&answer), expected, "{query}");
    }
    let of_others = fixture
        .ask_as(&token("zeta"), "{ projects { totalCount } }", json!({}))
        .await;
    assert_eq!(parked_in(&of_others), nothing);

    // What the cursor covers is what may be missing.
    let list = "query($c: String) { projects(atLeast: $c) { totalCount } }";
    for (position, partition, is_covered) in [
        (10, None, true),
        (7, Some(partition), true),
        (6, Some(partition), false),
        (10, Some((partition + 1) % 32), false),
    ] {
        let of_list = json!({"c": cursor(position, partition)});
        let of_one = json!({"id": parked, "c": cursor(position, partition)});
        if is_covered {
            assert_eq!(fixture.code(list, of_list).await, "PARKED", "{position}");
            assert_eq!(fixture.code(one, of_one).await, "PARKED", "{position}");
        } else {
            fixture.data(list, of_list).await;
            fixture.data(one, of_one).await;
        }
    }

    // What is read below a field is read, too.
    let task = tasks::task_stream(Uuid::from_u128(3));
    fixture.park("acme", "task_view", &task, 8).await;
    fixture.fold_all(10).await;
    let of_tasks = json!([{"view": "task_view", "streams": 1}]);
    let below =
        "query($id: ID!, $c: String) { project(id: $id, atLeast: $c) { tasks { totalCount } } }";
    let answer = fixture.ask(below, json!({"id": other})).await;
    let parked_of_tasks = parked_in(&answer);
    let named = parked_of_tasks.as_array().unwrap();
    assert!(named.contains(&of_tasks[0]), "{answer}");
    let covered = json!({"id": other, "c": cursor(10, None)});
    assert_eq!(fixture.code(below, covered).await, "PARKED");

    sqlx::query("delete from views.parked")
        .execute(&fixture.owner)
        .await
        .unwrap();
    fixture.wake();
    let released = async {
        while parked_in(&fixture.ask("{ projects { totalCount } }", json!({})).await) != nothing {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(5, released).await;
    fixture.data(list, json!({"c": cursor(10, None)})).await;
}
