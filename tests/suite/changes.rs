//! `foldline history`, `diff` and `blame`: what changed, as a person and as a script ask a running service.

use serde_json::{Value, json};

use crate::{
    client::{Client, new_id},
    processes::{Role, Stack, finished, foldline, until},
};

/// What a subcommand says, and its exit code.
async fn run(client: &Client, arguments: &[&str]) -> (i32, String) {
    let mut command = foldline();
    command
        .args(arguments)
        .args(["--server", &client.query, "--token", &client.token]);
    let (status, said) = finished(command).await;
    (status.code().unwrap(), said)
}

async fn lines(client: &Client, arguments: &[&str]) -> (i32, Vec<Value>) {
    let (code, said) = run(client, &[arguments, &["--json"]].concat()).await;
    let lines = said.lines().map(|line| serde_json::from_str(line).unwrap());
    (code, lines.collect())
}

#[tokio::test]
async fn what_changed_is_told_to_people_and_scripts_with_exit_codes() {
    let stack = Stack::started().await;
    let client = stack.client().await;
    let (project, task) = (new_id(), new_id());
    let command = |kind: &str, aggregate, data: Value| json!({"id": new_id(), "type": format!("tasks.{kind}"), "aggregate": aggregate, "data": data});
    let commands = [
        command("create_project", project, json!({"name": "Garden"})),
        command(
            "create_task",
            task,
            json!({"projectId": project, "title": "Dig", "priority": "low", "key": "G-1"}),
        ),
        command("rename_task", task, json!({"title": "Dig deep"})),
        command("rename_project", project, json!({"name": "Orchard"})),
    ];
    let answer = client.accepted("/commands", &json!(commands)).await;
    assert_eq!(answer["accepted"], json!(4), "{answer}");
    let task_id = task.to_string();
    let (code, changes) = until("the views to hold them", async || {
        let (code, changes) = lines(&client, &["history", &task_id]).await;
        (changes.len() == 2).then_some((code, changes))
    })
    .await;
    assert_eq!(code, 0);
    let renamed = json!([{"field": "title", "before": "Dig", "after": "Dig deep"}]);
    assert_eq!(changes[1]["changes"], renamed);
    assert_eq!(changes[1]["event"]["type"], "tasks.TaskRenamed");
    let positions: Vec<&str> = changes
        .iter()
        .map(|change| change["position"].as_str().unwrap())
        .collect();

    // By its key, and as of then.
    let (code, then) = lines(&client, &["history", "G-1", "--as-of", positions[0]]).await;
    assert_eq!((code, then), (0, vec![changes[0].clone()]));
    let between = ["diff", "G-1", "--from", positions[0], "--to", positions[1]];
    let (code, differs) = lines(&client, &between).await;
    assert_eq!((code, &differs[0]["changes"]), (1, &renamed));
    let (code, said) = run(&client, &between).await;
    let expected = format!(
        "from position {} to position {}\n  title: \"Dig\" → \"Dig deep\"\n",
        positions[0], positions[1]
    );
    assert_eq!((code, said), (1, expected));
    let (code, said) = run(&client, &["diff", &task_id, "--from", positions[1]]).await;
    assert!(code == 0 && said.ends_with("no field differs\n"), "{said}");

    let (code, blame) = lines(&client, &["blame", "G-1"]).await;
    let title = blame.iter().find(|it| it["field"] == "title").unwrap();
    assert_eq!((code, &title["value"]), (0, &json!("Dig deep")));
    assert_eq!(title["change"]["position"], positions[1]);
    let (code, said) = run(&client, &["blame", &project.to_string()]).await;
    assert!(code == 0 && said.contains("\"Orchard\""), "{said}");

    // What is not there, and who does not answer.
    for missing in ["G-404", &new_id().to_string()] {
        assert_eq!(run(&client, &["history", missing]).await.0, 1);
        assert_eq!(run(&client, &["blame", missing]).await.0, 1);
        assert_eq!(run(&client, &["diff", missing, "--from", "0"]).await.0, 2);
    }
    let nonsense = "x".repeat(51);
    assert_eq!(run(&client, &["blame", &nonsense]).await.0, 2);
    assert_eq!(run(&client, &["blame", "G-1", "--as-of", "now"]).await.0, 2);
    let stranger = client.with_token("nobody");
    assert_eq!(run(&stranger, &["blame", "G-1"]).await.0, 2);
    let mut stack = stack;
    stack.stop(Role::Query).await;
    assert_eq!(run(&client, &["blame", "G-1"]).await.0, 2);
}
