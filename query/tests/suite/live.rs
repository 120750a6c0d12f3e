//! Subscriptions: first the row as it is, then as it becomes.

use foldline_events::{partition_of, tasks};
use serde_json::json;
use uuid::Uuid;

use crate::{
    support::{Fixture, cursor, fixture, tenant},
    ws::Socket,
};

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

async fn rename(fixture: &Fixture, project: Uuid, name: &str, position: i64) {
    sqlx::query("update views.project_view set name = $1, position = $2, version = version + 1 where project_id = $3")
        .bind(name)
        .bind(position)
        .bind(project)
        .execute(&fixture.owner)
        .await
        .unwrap();
    let partition = partition_of(&tenant("acme"), &tasks::project_stream(project));
    fixture.fold("project_view", partition, position).await;
}

async fn touch_task(fixture: &Fixture, task: Uuid, position: i64) {
    sqlx::query(
        "update views.task_view set position = $1, version = version + 1 where task_id = $2",
    )
    .bind(position)
    .bind(task)
    .execute(&fixture.owner)
    .await
    .unwrap();
    let partition = partition_of(&tenant("acme"), &tasks::task_stream(task));
    fixture.fold("task_view", partition, position).await;
}

const PROJECT: &str = "subscription($id: ID!) { projectChanged(id: $id) { name version } }";

#[tokio::test]
async fn a_project_is_sent_as_it_is_and_then_when_it_changed() {
    let fixture = fixture().await;
    fixture.fold_all(1).await;
    fixture.project("acme", id(1), "one", 10, 1).await;
    let mut socket = Socket::ready(&fixture).await;
    socket.subscribe("a", PROJECT, json!({"id": id(1)})).await;
    assert_eq!(
        socket.data().await,
        json!({"projectChanged": {"name": "one", "version": "1"}})
    );
    rename(&fixture, id(1), "two", 2).await;
    assert_eq!(
        socket.data().await,
        json!({"projectChanged": {"name": "two", "version": "2"}})
    );
    // What moves without changing the project says nothing.
    fixture.fold_all(3).await;
    socket.is_silent().await;
    rename(&fixture, id(1), "three", 4).await;
    let message = socket.receive().await;
    assert_eq!(
        message["payload"]["data"]["projectChanged"]["name"],
        "three"
    );
    assert_eq!(
        message["payload"]["extensions"]["foldline"]["completedPrefix"],
        "3"
    );
}

#[tokio::test]
async fn a_project_that_does_not_exist_yet_is_sent_when_it_does() {
    let fixture = fixture().await;
    let mut socket = Socket::ready(&fixture).await;
    socket.subscribe("a", PROJECT, json!({"id": id(1)})).await;
    socket.is_silent().await;
    fixture.project("acme", id(1), "new", 10, 1).await;
    rename(&fixture, id(1), "newer", 2).await;
    assert_eq!(socket.data().await["projectChanged"]["name"], "newer");
}

#[tokio::test]
async fn another_tenants_project_is_never_sent() {
    let fixture = fixture().await;
    fixture.project("globex", id(1), "theirs", 10, 1).await;
    fixture.fold_all(1).await;
    let mut socket = Socket::ready(&fixture).await;
    socket.subscribe("a", PROJECT, json!({"id": id(1)})).await;
    fixture.fold_all(2).await;
    socket.is_silent().await;
}

#[tokio::test]
async fn one_task_is_followed_by_its_id() {
    let fixture = fixture().await;
    fixture.task("acme", id(2), id(1), 10, 1).await;
    let mut socket = Socket::ready(&fixture).await;
    let query =
        "subscription($id: ID!) { taskChanged(id: $id) { taskId position project { name } } }";
    socket.subscribe("a", query, json!({"id": id(2)})).await;
    let at = |position: &str| json!({"taskChanged": {"taskId": id(2), "position": position, "project": null}});
    assert_eq!(socket.data().await, at("1"));
    touch_task(&fixture, id(2), 5).await;
    assert_eq!(socket.data().await, at("5"));
}

#[tokio::test]
async fn every_task_of_a_project_is_followed_across_partitions() {
    let fixture = fixture().await;
    for n in 2..6 {
        fixture
            .task("acme", id(n), id(1), 10, i64::try_from(n).unwrap())
            .await;
    }
    fixture.task("acme", id(9), id(8), 10, 1).await;
    let mut socket = Socket::ready(&fixture).await;
    let query = "subscription($id: ID!) { taskChanged(projectId: $id) { taskId } }";
    socket.subscribe("a", query, json!({"id": id(1)})).await;
    for n in 2..6 {
        assert_eq!(socket.data().await["taskChanged"]["taskId"], json!(id(n)));
    }
    // Folded out of order: what comes later at a lower position, in another partition, is not lost.
    touch_task(&fixture, id(2), 20).await;
    assert_eq!(socket.data().await["taskChanged"]["taskId"], json!(id(2)));
    touch_task(&fixture, id(3), 15).await;
    assert_eq!(socket.data().await["taskChanged"]["taskId"], json!(id(3)));
    touch_task(&fixture, id(9), 21).await;
    socket.is_silent().await;
}

#[tokio::test]
async fn a_deleted_task_is_sent_once_more_and_then_is_not_there() {
    let fixture = fixture().await;
    for n in [2, 3] {
        fixture
            .task("acme", id(n), id(1), 10, i64::try_from(n).unwrap())
            .await;
    }
    let query = "subscription($id: ID!) { taskChanged(projectId: $id) { taskId deletedAt } }";
    let mut socket = Socket::ready(&fixture).await;
    socket.subscribe("a", query, json!({"id": id(1)})).await;
    for n in [2, 3] {
        let there = json!({"taskChanged": {"taskId": id(n), "deletedAt": null}});
        assert_eq!(socket.data().await, there);
    }
    sqlx::query("update views.task_view set deleted_at = now() where task_id = $1")
        .bind(id(2))
        .execute(&fixture.owner)
        .await
        .unwrap();
    touch_task(&fixture, id(2), 20).await;
    let gone = socket.data().await["taskChanged"].clone();
    assert_eq!(gone["taskId"], json!(id(2)));
    assert!(gone["deletedAt"].is_string());

    let mut late = Socket::ready(&fixture).await;
    late.subscribe("a", query, json!({"id": id(1)})).await;
    assert_eq!(late.data().await["taskChanged"]["taskId"], json!(id(3)));
    late.is_silent().await;
    // Restored, it is there again.
    sqlx::query("update views.task_view set deleted_at = null where task_id = $1")
        .bind(id(2))
        .execute(&fixture.owner)
        .await
        .unwrap();
    touch_task(&fixture, id(2), 21).await;
    assert_eq!(
        late.data().await["taskChanged"],
        json!({"taskId": id(2), "deletedAt": null})
    );
}

#[tokio::test]
async fn what_is_deleted_while_the_tasks_are_still_being_sent_is_sent_once_more() {
    // More than one read takes, and too much for the connection to hold: the service waits for whoever reads.
    const TASKS: usize = 1_200;
    let fixture = fixture().await;
    sqlx::query(
        "insert into views.task_view
             (tenant, task_id, project_id, title, description, priority, priority_rank, status, due_rank, labels,
              metadata, steps, steps_total, steps_completed, comments_total, review_status, review_needed, created_by,
              created_at, updated_at, version, position, partition)
         select 'acme', gen_random_uuid(), $1, 'Write', repeat('x', 10000), 'high', 3, 'open', '9999-12-31', '{}', '{}',
             '[]', 0, 0, 0, 'none', false, 'ada', now(), now(), 1, n, n % 32
         from generate_series(1, $2) as n",
    )
    .bind(id(1))
    .bind(i32::try_from(TASKS).unwrap())
    .execute(&fixture.owner)
    .await
    .unwrap();
    fixture.fold_all(i64::try_from(TASKS).unwrap()).await;
    let query =
        "subscription($id: ID!) { taskChanged(projectId: $id) { taskId description deletedAt } }";
    let mut socket = Socket::ready(&fixture).await;
    socket.subscribe("a", query, json!({"id": id(1)})).await;
    let first = socket.data().await["taskChanged"]["taskId"].clone();
    let deleted: i16 = sqlx::query_scalar(
        "update views.task_view set deleted_at = now(), position = 2000 where task_id = $1 returning partition",
    )
    .bind(first.as_str().unwrap().parse::<Uuid>().unwrap())
    .fetch_one(&fixture.owner)
    .await
    .unwrap();
    fixture.fold("task_view", deleted, 2_000).await;
    for _ in 1..TASKS {
        assert_eq!(socket.data().await["taskChanged"]["deletedAt"], json!(null));
    }
    let gone = socket.data().await["taskChanged"].clone();
    assert_eq!(gone["taskId"], first);
    assert!(gone["deletedAt"].is_string());
}

#[tokio::test]
async fn a_subscription_waits_for_its_cursor_or_fails_with_a_code() {
    let fixture = fixture().await;
    fixture.fold_all(1).await;
    let mut socket = Socket::ready(&fixture).await;
    let query =
        "subscription($id: ID!, $c: String) { projectChanged(id: $id, atLeast: $c) { name } }";
    socket
        .subscribe("a", query, json!({"id": id(1), "c": cursor(2, None)}))
        .await;
    fixture.project("acme", id(1), "there", 10, 2).await;
    fixture.fold_all(2).await;
    assert_eq!(socket.data().await["projectChanged"]["name"], "there");
    socket
        .subscribe("b", query, json!({"id": id(1), "c": "?"}))
        .await;
    let message = socket.receive().await;
    assert!(message.to_string().contains("BAD_CURSOR"), "{message}");
}
