//! The log loses its end under the services that use it, as in a failover to a server that had not received it.

use foldline_schema::testing::TestDatabase;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    client::{Client, new_id},
    processes::{Role, Stack, Up, finished, foldline, until},
    stored,
};

async fn rename(client: &Client, project: &Value, name: &str) -> Option<(u16, Value)> {
    let path = format!("/projects/{}/rename", project.as_str().unwrap());
    client.try_post(&path, &json!({"name": name})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_service_decides_nothing_on_what_the_log_has_lost() {
    let mut stack = Stack::new().await;
    stack.start(Role::Command).await;
    let client = stack.client().await;
    let project = json!(new_id());
    let created = json!({"id": project, "name": "first"});
    client.accepted("/projects", &created).await;
    let kept = stored::head(&stack.database.url).await;
    for name in ["second", "third"] {
        let (status, answer) = rename(&client, &project, name).await.unwrap();
        assert!(status < 300, "{answer}");
    }
    stack.database.lose_end(kept).await;

    // It has "third" in memory. Whatever it is asked from now on, nothing is recorded by it.
    let refused = rename(&client, &project, "third").await;
    assert!(
        refused.as_ref().is_none_or(|(status, _)| *status == 503),
        "{refused:?}"
    );
    assert!(!stack.ended(Role::Command).await.success());
    assert_eq!(stored::head(&stack.database.url).await, kept);

    stack.start(Role::Command).await;
    let renamed = until("the service to begin anew", async || {
        let (status, answer) = rename(&client, &project, "third").await?;
        (status < 300).then_some(answer)
    })
    .await;
    assert_eq!(renamed["version"], 2, "{renamed}");
    assert_eq!(stored::head(&stack.database.url).await, kept + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn projectors_end_and_readers_are_told_when_the_log_has_lost_what_was_folded() {
    let mut stack = Stack::new().await;
    for role in Role::ALL {
        stack.start(role).await;
    }
    let views = TestDatabase::empty().await;
    let mut from_postgres = stack.replay_into(&views).await;
    let client = stack.client().await;
    let url = stack.database.url.clone();
    let project = json!(new_id());
    let created = json!({"id": project, "name": "first"});
    client.accepted("/projects", &created).await;
    let kept = stored::head(&url).await;
    let (status, answer) = rename(&client, &project, "second").await.unwrap();
    assert!(status < 300, "{answer}");
    let head = stored::head(&url).await;
    for views in [&url, &views.url] {
        stored::folded(views, head).await;
    }
    stack.database.lose_end(kept).await;

    assert!(!stack.ended(Role::Projector).await.success());
    assert!(!from_postgres.ended().await.success());
    let mut status = foldline();
    status.args(["status", "--json"]).env("DATABASE_URL", &url);
    let (status, said) = finished(status).await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("was folded from another log"), "{said}");

    // The log goes on in another way than the views did, and no answer takes the one for the other.
    let _refused = rename(&client, &project, "third").await;
    assert!(!stack.ended(Role::Command).await.success());
    stack.start(Role::Command).await;
    let created = client
        .accepted("/projects", &json!({"id": new_id(), "name": "another"}))
        .await;
    let read = "query($c: String) { projects(atLeast: $c) { totalCount } }";
    let answer = client.answer(read, json!({"c": created["cursor"]})).await;
    let code = &answer["errors"][0]["extensions"]["code"];
    assert_eq!(code, "VIEWS_OF_ANOTHER_LOG", "{answer}");
}

/// Its views lie beside the log and are of the log that was; nobody could give them another database.
#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_whose_log_got_another_epoch_starts_again_and_is_folded_again() {
    const NAMES: &str = "query ($atLeast: String) {
        projects(first: 5, atLeast: $atLeast) { nodes { name } }
    }";
    let folder = foldline_local::temporary_folder().unwrap();
    let mut up = Up::start(folder.path(), None).await;
    let client = up.client_of_tests().await;
    let created = json!({"name": "Moon"});
    client.accepted("/projects", &created).await;
    up.process.signal(Signal::SIGTERM);
    assert!(up.process.ended().await.success());

    let mut new_epoch = foldline();
    new_epoch
        .args(["log", "new-epoch", "--data"])
        .arg(folder.path().join("data"));
    let (status, said) = finished(new_epoch).await;
    assert!(status.success(), "{said}");

    let up = Up::start(folder.path(), None).await;
    let client = up.client_of_tests().await;
    let created = client.accepted("/projects", &json!({"name": "Mars"})).await;
    let read = client
        .ask(NAMES, json!({"atLeast": created["cursor"]}))
        .await;
    let mut names: Vec<&str> = read["projects"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["Mars", "Moon"]);
}
