//! What was recorded of a task, and what people said about it.

use foldline_events::{
    Hours,
    tasks::{
        TaskBlocked, TaskCommentAdded, TaskCompleted, TaskEvent, TaskReopened, TaskUnassigned,
    },
};
use serde_json::{Value, json};

use crate::{
    story::{Story, id, instant},
    support::{Fixture, fixture},
};

async fn told() -> (Fixture, Story) {
    let fixture = fixture().await;
    let mut story = Story::seeded(&[("acme", 1)]);
    let task = story.of("acme")[0].id;
    let text = |text: &str| text.to_owned();
    for event in [
        TaskEvent::Blocked(TaskBlocked {
            reason: text("no spade"),
        }),
        TaskEvent::CommentAdded(TaskCommentAdded {
            comment_id: id(51),
            text: text("buy one"),
        }),
        TaskEvent::Unassigned(TaskUnassigned {}),
        TaskEvent::CommentAdded(TaskCommentAdded {
            comment_id: id(52),
            text: text("bought"),
        }),
        TaskEvent::Completed(TaskCompleted {
            actual_hours: Some(Hours::from_hundredths(350)),
        }),
        TaskEvent::Reopened(TaskReopened {
            reason: text("not deep enough"),
        }),
        TaskEvent::CommentAdded(TaskCommentAdded {
            comment_id: id(53),
            text: text("dig"),
        }),
    ] {
        story.task("acme", task, event);
    }
    story.fold(&fixture).await;
    (fixture, story)
}

#[tokio::test]
async fn a_history_tells_every_recorded_event_in_words_and_in_full() {
    let (fixture, story) = told().await;
    let task = story.of("acme")[0].id;
    let query = "query($id: ID!) { taskHistory(id: $id, first: 100) { totalCount nodes {
        eventId version position type schemaVersion at recordedAt actor commandId correlationId causationId data summary
    } } }";
    let history = fixture.data(query, json!({"id": task})).await["taskHistory"].clone();
    let recorded: Vec<_> = (story.events.iter())
        .filter(|event| event.aggregate() == Some(task))
        .collect();
    let nodes = history["nodes"].as_array().unwrap();
    assert_eq!(history["totalCount"], recorded.len());
    assert_eq!(nodes.len(), recorded.len());
    for (node, event) in nodes.iter().zip(recorded) {
        let data: Value = serde_json::from_str(&event.payload).unwrap();
        let summary = node["summary"].as_str().unwrap();
        assert!(!summary.is_empty());
        let at = |at: &Value| instant(at.as_str().unwrap());
        assert_eq!(
            (at(&node["at"]), at(&node["recordedAt"])),
            (event.occurred_at, event.recorded_at)
        );
        let expected = json!({
            "eventId": event.id, "version": event.version.to_string(), "position": event.position.to_string(),
            "type": event.event_type, "schemaVersion": 1, "at": node["at"], "recordedAt": node["recordedAt"],
            "actor": "ada", "commandId": event.command_id, "correlationId": event.correlation_id,
            "causationId": event.causation_id, "data": data, "summary": summary
        });
        assert_eq!(*node, expected);
    }
    let summaries: Vec<&str> = nodes
        .iter()
        .map(|node| node["summary"].as_str().unwrap())
        .collect();
    for words in [
        "blocked: “no spade”",
        "completed after 3.5 hours",
        "reopened: “not deep enough”",
    ] {
        assert!(summaries.contains(&words), "{words} in {summaries:?}");
    }
}

#[tokio::test]
async fn a_history_is_read_by_pages_from_both_ends_under_the_task_too() {
    let (fixture, story) = told().await;
    let task = story.of("acme")[0].id;
    let query = "query($id: ID!, $first: Int, $after: String, $last: Int, $before: String) {
        root: taskHistory(id: $id, first: $first, after: $after, last: $last, before: $before) { ...Page }
        task(id: $id) { nested: history(first: $first, after: $after, last: $last, before: $before) { ...Page } }
    }
    fragment Page on TaskHistoryEntryConnection { nodes { version } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }";
    let all = i64::try_from(
        story
            .events
            .iter()
            .filter(|event| event.aggregate() == Some(task))
            .count(),
    )
    .unwrap();
    let page = async |variables: Value| {
        let data = fixture.data(query, variables).await;
        assert_eq!(data["root"], data["task"]["nested"]);
        let versions = data["root"]["nodes"].as_array().unwrap().iter();
        let versions: Vec<i64> = versions
            .map(|node| node["version"].as_str().unwrap().parse().unwrap())
            .collect();
        (versions, data["root"]["pageInfo"].clone())
    };
    let (first, info) = page(json!({"id": task, "first": 3})).await;
    assert_eq!(first, [1, 2, 3]);
    let (second, _) = page(json!({"id": task, "first": 2, "after": info["endCursor"]})).await;
    assert_eq!(second, [4, 5]);
    let (last, info) = page(json!({"id": task, "last": 2})).await;
    assert_eq!(last, [all - 1, all]);
    let (before, info) =
        page(json!({"id": task, "last": 100, "before": info["startCursor"]})).await;
    assert_eq!(before, (1..=all - 2).collect::<Vec<i64>>());
    assert_eq!(
        (&info["hasPreviousPage"], &info["hasNextPage"]),
        (&json!(false), &json!(true))
    );
}

#[tokio::test]
async fn the_history_of_nothing_is_empty() {
    let fixture = fixture().await;
    let query = "query($id: ID!) { taskHistory(id: $id) { totalCount nodes { version } } }";
    let history = fixture.data(query, json!({"id": id(404)})).await;
    assert_eq!(
        history["taskHistory"],
        json!({"totalCount": 0, "nodes": []})
    );
}

#[tokio::test]
async fn an_event_of_tomorrow_is_shown_without_words() {
    let fixture = fixture().await;
    sqlx::query(
        "insert into views.task_history
             (tenant, task_id, version, position, event_id, event_type, schema_version, payload, actor, command_id,
              correlation_id, causation_id, occurred_at, recorded_at, partition)
         values ('acme', $1, 1, 1, $1, 'tasks.TaskPainted', 1, '{\"colour\": \"red\"}', 'ada', $1, $1, $1, now(), now(), 0)",
    )
    .bind(id(2))
    .execute(&fixture.owner)
    .await
    .unwrap();
    let query = "query($id: ID!) { taskHistory(id: $id) { nodes { type data summary } } }";
    let history = fixture.data(query, json!({"id": id(2)})).await;
    let entry = &history["taskHistory"]["nodes"][0];
    assert_eq!(entry["data"], json!({"colour": "red"}));
    assert!(
        entry["summary"]
            .as_str()
            .unwrap()
            .contains("tasks.TaskPainted")
    );
}

#[tokio::test]
async fn comments_are_read_by_pages_in_the_order_in_which_they_were_made() {
    let (fixture, story) = told().await;
    let task = story.of("acme")[0].id;
    let query = "query($id: ID!, $after: String) { task(id: $id) { commentsTotal
        comments(first: 2, after: $after) { totalCount nodes { commentId text author createdAt } pageInfo { hasNextPage endCursor } }
        latest: comments(last: 1) { nodes { text } }
    } }";
    let first = fixture.data(query, json!({"id": task})).await["task"].clone();
    let own = first["commentsTotal"].as_i64().unwrap() - 3;
    assert_eq!(first["comments"]["totalCount"], own + 3);
    assert_eq!(first["latest"]["nodes"], json!([{"text": "dig"}]));
    let (mut said, mut page) = (Vec::new(), first);
    loop {
        said.extend(page["comments"]["nodes"].as_array().unwrap().clone());
        if page["comments"]["pageInfo"]["hasNextPage"] == false {
            break;
        }
        let after = page["comments"]["pageInfo"]["endCursor"].clone();
        page = fixture
            .data(query, json!({"id": task, "after": after}))
            .await["task"]
            .clone();
    }
    let texts: Vec<&str> = said
        .iter()
        .map(|comment| comment["text"].as_str().unwrap())
        .collect();
    assert_eq!(
        texts[usize::try_from(own).unwrap()..],
        ["buy one", "bought", "dig"]
    );
    let last = said.last().unwrap();
    assert_eq!(
        (&last["author"], &last["commentId"]),
        (&json!("ada"), &json!(id(53)))
    );
}
