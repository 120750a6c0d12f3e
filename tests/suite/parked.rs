//! `foldline parked`: one stream waits and everything else goes on, until somebody lets it go on, or leaves an event out.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    client::new_id,
    processes::{Role, Stack, finished, foldline, is_soak, until},
    stored,
};

/// What `foldline parked … --json` says, line by line, and its exit code.
async fn parked(url: &str, arguments: &[&str]) -> (i32, Vec<Value>) {
    let mut command = foldline();
    command.arg("parked").args(arguments);
    command.arg("--json").env("DATABASE_URL", url);
    let (status, said) = finished(command).await;
    let lines = said.lines().map(|line| serde_json::from_str(line).unwrap());
    (status.code().unwrap(), lines.collect())
}

async fn set_type(url: &str, position: i64, event_type: &str) {
    let changed = sqlx::query("update log.events set type = $1 where position = $2")
        .bind(event_type)
        .bind(position)
        .execute(&mut stored::connect(url).await)
        .await
        .unwrap();
    assert_eq!(changed.rows_affected(), 1);
}

#[tokio::test]
async fn a_stream_with_an_event_of_the_future_waits_alone_and_goes_on_when_it_is_tried_again() {
    let mut stack = Stack::started().await;
    let url = stack.database.url.clone();
    let client = stack.client().await;
    stack.stop(Role::Relay).await;
    for name in ["Garden", "House", "Boat"] {
        client.accepted("/projects", &json!({"name": name})).await;
    }
    set_type(&url, 2, "tasks.ProjectImagined").await;
    stack.start(Role::Relay).await;
    stored::folded(&url, 3).await;

    let mut status = foldline();
    status.args(["status", "--json"]).env("DATABASE_URL", &url);
    let (status, said) = finished(status).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    let reason = "project_view leaves out what waits in 1 parked streams";
    assert_eq!(
        (status.code(), &said["lagging"]),
        (Some(1), &json!([reason]))
    );
    let (code, list) = parked(&url, &["list"]).await;
    assert_eq!((code, list.len()), (1, 1), "{list:?}");
    let entry = &list[0];
    assert_eq!(
        (&entry["view"], &entry["position"], &entry["eventType"]),
        (
            &json!("project_view"),
            &json!("2"),
            &json!("tasks.ProjectImagined")
        )
    );
    assert_eq!(entry["needsNewerBuild"], true);
    let mut verify = foldline();
    verify.args(["verify", "--json"]).env("DATABASE_URL", &url);
    let (_, said) = finished(verify).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["parked"], "1", "{said}");
    let (tenant, stream) = (
        entry["tenant"].as_str().unwrap(),
        entry["stream"].as_str().unwrap(),
    );
    let (code, shown) = parked(&url, &["show", stream, "--tenant", tenant]).await;
    assert_eq!((code, &shown[0]["parked"][0]), (1, entry));
    let names = "{ projects { nodes { name } } }";
    let all = |names: &[&str]| {
        let nodes: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        json!({"projects": {"nodes": nodes}})
    };
    assert_eq!(client.ask(names, json!({})).await, all(&["Garden", "Boat"]));

    // In vain; of another tenant there is nothing; and another event than the one it waits at is never left out.
    let (code, said) = parked(&url, &["retry", "--all"]).await;
    let in_vain = json!({"asked": 1, "released": 0, "waiting": 1, "untried": 0});
    assert_eq!((code, said), (1, vec![in_vain]));
    let (code, said) = parked(&url, &["retry", "--tenant", "nobody"]).await;
    assert_eq!((code, &said[0]["asked"]), (0, &json!(0)));
    let skip = |event: &'static str| {
        let (stream, tenant) = (stream.to_owned(), tenant.to_owned());
        let url = url.clone();
        async move {
            let which = ["skip", &stream, "--tenant", &tenant, "--in", "project_view"];
            let why = [
                "--event",
                event,
                "--reason",
                "it was imagined",
                "--by",
                "ada",
            ];
            parked(&url, &[which.as_slice(), why.as_slice()].concat()).await
        }
    };
    assert_eq!(skip("7").await, (2, vec![]));

    set_type(&url, 2, "tasks.ProjectCreated").await;
    let (code, said) = parked(&url, &["retry", stream, "--tenant", tenant]).await;
    let gone_on = json!({"asked": 1, "released": 1, "waiting": 0, "untried": 0});
    assert_eq!((code, said), (0, vec![gone_on]));
    assert_eq!(parked(&url, &["list"]).await, (0, vec![]));
    until("the list to be whole", async || {
        let said = client.ask(names, json!({})).await;
        (said == all(&["Garden", "House", "Boat"])).then_some(())
    })
    .await;
}

/// How many streams are parked at a time.
fn many() -> usize {
    if is_soak() { 10_000 } else { 300 }
}

/// Of a projector that has that many parked.
const MEMORY_MIB_MAX: u64 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_parked_streams_are_listed_and_go_on_and_take_little_memory() {
    let mut stack = Stack::new().await;
    stack.start(Role::Command).await;
    let url = stack.database.url.clone();
    let client = stack.client().await;
    let project = new_id();
    let command = |kind: &str, aggregate: Uuid, data: Value| json!({"id": new_id(), "type": format!("tasks.{kind}"), "aggregate": aggregate, "data": data});
    let mut commands = vec![command("create_project", project, json!({"name": "Load"}))];
    for number in 0..many() {
        let task = new_id();
        let title =
            json!({"projectId": project, "title": format!("No. {number}"), "priority": "low"});
        commands.push(command("create_task", task, title));
        commands.push(command("add_label", task, json!({"label": "late"})));
        commands.push(command("start_task", task, json!({})));
    }
    for some in commands.chunks(1_000) {
        let answer = client.accepted("/commands", &json!(some)).await;
        assert_eq!(answer["accepted"], json!(some.len()), "{answer}");
    }
    let head = stored::head(&url).await;
    // The second event of each task, of a type that nobody knows yet.
    let change = "update log.events set type = $1 where version = 2 and stream like 'task-%'";
    let of_type = async |event_type: &str| {
        let mut owner = stored::connect(&url).await;
        let changed = sqlx::query(change).bind(event_type).execute(&mut owner);
        assert_eq!(changed.await.unwrap().rows_affected(), many() as u64);
    };
    of_type("tasks.TaskPainted").await;
    for role in [Role::Relay, Role::Projector] {
        stack.start(role).await;
    }
    stored::folded(&url, head).await;

    let (code, list) = parked(&url, &["list"]).await;
    let of_each = ["task_view", "task_history", "task_dashboard"].len();
    assert_eq!((code, list.len()), (1, of_each * many()));
    of_type("tasks.TaskLabelAdded").await;
    let (code, said) = parked(&url, &["retry", "--all", "--wait-max", "600"]).await;
    assert_eq!((code, &said[0]["waiting"]), (0, &json!(0)), "{said:?}");
    assert_eq!(parked(&url, &["list"]).await, (0, vec![]));
    let mib = stack.peak_mib(Role::Projector);
    eprintln!(
        "{} streams parked in each of {of_each} views: {mib} MiB at most",
        many()
    );
    assert!(mib < MEMORY_MIB_MAX, "{mib} MiB");

    stack.has_the_rows_of_a_replay(&url).await;
}
