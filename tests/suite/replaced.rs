//! The log loses its end under the services that use it, as in a failover to a server that had not received it.

use serde_json::{Value, json};

use crate::{
    client::{Client, new_id},
    processes::{Role, Stack, until},
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
