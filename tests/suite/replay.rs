//! `foldline replay`: every event with the state that it leaves, forward, back and from anywhere; what led to what; and on a
//! terminal.

mod by_hand;
mod terminal;

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use foldline_events::{Encoded, Tenant};
use foldline_log::{Append, Expected, Log, LogOptions, NewEvent, Service, Write};
use foldline_schema::testing::TestDatabase;
use serde_json::{Value, json};

use self::by_hand::{changed, filled, folded};
use crate::{
    client::new_id,
    processes::{TENANT, Up, finished, foldline, until},
    stored, verify,
};

/// So many events are read at a time.
const PAGE_EVENTS: usize = 250;

fn replay(log_url: &str, arguments: &[&str]) -> Command {
    let mut command = foldline();
    command
        .args(["replay", "--tenant", TENANT])
        .args(arguments)
        .env("LOG_URL", log_url);
    command
}

/// What it says as NDJSON, and its exit code.
async fn lines(log_url: &str, arguments: &[&str]) -> (i32, Vec<Value>) {
    let arguments = [arguments, &["--format", "ndjson"]].concat();
    let (status, said) = finished(replay(log_url, &arguments)).await;
    let lines = said.lines().map(|line| serde_json::from_str(line).unwrap());
    (status.code().unwrap(), lines.collect())
}

async fn code_of(log_url: &str, arguments: &[&str]) -> i32 {
    lines(log_url, arguments).await.0
}

fn positions(lines: &[Value]) -> Vec<i64> {
    let position = |line: &Value| line["position"].as_str().unwrap().parse().unwrap();
    lines.iter().map(position).collect()
}

/// A log of many streams, longer than several pages, and nobody at work on it.
async fn filled_log() -> TestDatabase {
    let folder = foldline_local::temporary_folder().unwrap();
    let database = TestDatabase::empty().await;
    let up = Up::start(folder.path(), Some(&database.url)).await;
    verify::import(
        &verify::commands(folder.path()),
        &up.client_of_tests().await,
    )
    .await;
    // Of its own tenant, in between and at the end.
    let project = json!({"id": new_id(), "name": "Not of the tests"});
    up.client.accepted("/projects", &project).await;
    database
}

#[tokio::test]
async fn beside_each_event_stands_the_state_that_the_payloads_so_far_make_and_back_is_forward_turned_round()
 {
    let database = filled_log().await;
    let url = &database.url;
    let stored = stored::events(url).await;
    let ours: Vec<&stored::Event> = stored
        .iter()
        .filter(|it| it.key.starts_with("acme/"))
        .collect();
    assert!(ours.len() > 4 * PAGE_EVENTS && ours.len() < stored.len());
    let (code, forward) = lines(url, &[]).await;
    assert_eq!((code, forward.len()), (0, ours.len()));
    let mut states: HashMap<String, Value> = HashMap::new();
    for (line, event) in forward.iter().zip(&ours) {
        let position = event.position.to_string();
        assert_eq!(
            (&line["position"], &line["eventId"]),
            (&json!(position), &json!(event.id))
        );
        let data: Value = serde_json::from_str(&event.payload).unwrap();
        assert_eq!(line["data"], data, "{position}");
        let state = states.entry(event.key.clone()).or_default();
        let before = state.clone();
        folded(state, &event.attributes.event_type, &data);
        assert_eq!(&line["state"], state, "{position}");
        let changes = line["changes"].as_array().unwrap();
        assert_eq!(
            filled(&changed(&before, changes)),
            filled(state),
            "{position}: {changes:?}"
        );
        assert_eq!(line["stateUnknownSince"], Value::Null);
    }
    let (code, mut backward) = lines(url, &["--backward"]).await;
    backward.reverse();
    assert_eq!((code, &backward), (0, &forward));

    // One stream, by its name and by its UUID, is what the log has of it.
    let longest = &forward
        .iter()
        .max_by_key(|it| it["version"].as_str().unwrap().parse::<i64>().unwrap())
        .unwrap()["stream"];
    let longest = longest.as_str().unwrap();
    let of_stream: Vec<Value> = forward
        .iter()
        .filter(|it| it["stream"] == longest)
        .cloned()
        .collect();
    let (_, by_name) = lines(url, &["--stream", longest]).await;
    assert_eq!(by_name, of_stream);
    let (_, id) = longest.split_once('-').unwrap();
    let (_, mut by_id) = lines(url, &[id, "--backward"]).await;
    by_id.reverse();
    assert_eq!(by_id, of_stream);

    // The one document has the same, and whoever stops reading ends it quietly.
    let (status, document) = finished(replay(url, &["--format", "json"])).await;
    let document: Vec<Value> = serde_json::from_str(&document).unwrap();
    assert!(status.success() && document == forward);
    for format in ["table", "json", "ndjson"] {
        closed_after_a_line(url, format);
    }
}

/// Like `| head -1`.
fn closed_after_a_line(url: &str, format: &str) {
    let mut command = replay(url, &["--format", format]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), said.as_str()),
        (Some(0), ""),
        "{format}"
    );
}

#[tokio::test]
async fn a_replay_begins_and_ends_at_a_position_a_time_an_event_or_a_command() {
    let database = filled_log().await;
    let url = &database.url;
    let (_, all) = lines(url, &[]).await;
    let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
    for at in [
        0,
        1,
        PAGE_EVENTS - 1,
        PAGE_EVENTS,
        3 * PAGE_EVENTS + 7,
        all.len() - 1,
    ] {
        let line = &all[at];
        for field in ["position", "recordedAt", "eventId", "commandId"] {
            let place = text(line, field);
            // Several events may have been recorded at once, or by one command.
            let is_same = |it: &&Value| it[field] == line[field];
            let first = all.iter().position(|it| is_same(&it)).unwrap();
            let last = all.iter().rposition(|it| is_same(&it)).unwrap();
            let (_, from) = lines(url, &["--from", &place, "--limit", "3"]).await;
            let three = (first + 3).min(all.len());
            assert_eq!(from, all[first..three], "from {field} {place}");
            let (_, to) = lines(url, &["--to", &place, "--backward", "--limit", "2"]).await;
            let mut two = all[(last + 1).saturating_sub(2)..=last].to_vec();
            two.reverse();
            assert_eq!(to, two, "to {field} {place}");
        }
    }
    let (from, to) = (text(&all[10], "eventId"), text(&all[600], "position"));
    let (_, between) = lines(url, &["--from", &from, "--to", &to]).await;
    assert_eq!(between, all[10..=600]);

    // Of one stream: from a moment that is none of its own, too.
    let stream = text(&all[700], "stream");
    let of_stream: Vec<Value> = all
        .iter()
        .filter(|it| it["stream"] == stream.as_str())
        .cloned()
        .collect();
    let later: Vec<i64> = positions(&of_stream)
        .into_iter()
        .filter(|it| *it >= 650)
        .collect();
    let (code, from) = lines(url, &["--stream", &stream, "--from", "650"]).await;
    assert_eq!((code, positions(&from)), (0, later.clone()));
    assert_eq!(from.last(), of_stream.last());
    let (code, to) = lines(url, &["--stream", &stream, "--to", "649"]).await;
    assert_eq!((code, to.len()), (0, of_stream.len() - later.len()));

    // Nothing there, no such thing, no sense, nobody there.
    let head = stored::head(url).await.to_string();
    assert_eq!(lines(url, &["--from", &head]).await, (0, vec![]));
    let (early, late) = ("2001-01-01T00:00:00Z", "2099-01-01T00:00:00Z");
    for empty in [
        &["--to", early][..],
        &["--from", early, "--to", early],
        &["--from", late, "--to", late],
        &["--stream", &stream, "--from", late, "--backward"],
        &["--from", late, "--to", "1"],
    ] {
        assert_eq!(lines(url, empty).await, (0, vec![]), "{empty:?}");
    }
    let nobody = new_id().to_string();
    for missing in [
        &["--stream", "task-1"][..],
        &[&nobody],
        &["--from", &nobody],
        &["--to", &nobody],
        &["--causation", &nobody],
    ] {
        assert_eq!(code_of(url, missing).await, 1, "{missing:?}");
    }
    for nonsense in [
        &["--from", "now"][..],
        &["--from", "9", "--to", "8"],
        &["--from", late, "--to", early],
        &["--stream", "task-1", "--causation", &nobody],
    ] {
        assert_eq!(code_of(url, nonsense).await, 2, "{nonsense:?}");
    }
    assert_eq!(
        code_of("postgres://nobody@127.0.0.1:1/nothing", &[]).await,
        2
    );
    // Nothing here is a terminal.
    let stepping = replay(url, &["--step"]).output().unwrap();
    let said = String::from_utf8(stepping.stderr).unwrap();
    assert_eq!(stepping.status.code(), Some(2), "{said}");
    assert!(said.contains("--step takes over a terminal"), "{said}");
    let mut stranger = replay(url, &[]);
    stranger.args(["--tenant", "stranger"]);
    // Given twice it is refused; of a tenant without events there is nothing to show.
    assert_eq!(finished(stranger).await.0.code(), Some(2));
    let mut stranger = foldline();
    stranger
        .args(["replay", "--tenant", "stranger"])
        .env("LOG_URL", url);
    assert_eq!(finished(stranger).await.0.code(), Some(1));
}

#[tokio::test]
async fn an_event_of_a_newer_build_is_shown_as_recorded_and_the_state_is_not_known_from_there_on() {
    let database = filled_log().await;
    let url = &database.url;
    let (_, all) = lines(url, &[]).await;
    let task = all
        .iter()
        .rfind(|it| it["type"] == "tasks.TaskCreated")
        .unwrap();
    let stream = task["stream"].as_str().unwrap();
    let log = Log::open(LogOptions::new(url.parse().unwrap(), Service::Command))
        .await
        .unwrap();
    for (event_type, payload) in [
        (
            "tasks.TaskPainted",
            r#"{"colour":"\u001b[31mred","n":1.50}"#,
        ),
        ("tasks.TaskRenamed", r#"{"title":"Painted"}"#),
        ("tasks.TaskRenamed", r#"{"title":7}"#),
    ] {
        let encoded = Encoded {
            event_type,
            schema_version: 1,
            payload: payload.to_owned(),
            tags: vec![],
        };
        let event = NewEvent::new(new_id(), "2026-03-01T12:00:00Z".parse().unwrap(), encoded);
        let write = Write::to(stream, Expected::Exists, vec![event]);
        let append = Append::new(Tenant::parse(TENANT).unwrap(), new_id(), "ada", vec![write]);
        log.append(append).await.unwrap();
    }
    let (code, lines_of_stream) = lines(url, &["--stream", stream]).await;
    let [.., known, painted, renamed, damaged] = &lines_of_stream[..] else {
        panic!("{lines_of_stream:?}");
    };
    assert_eq!((code, known["stateUnknownSince"].is_null()), (0, true));
    for (line, problem) in [
        (painted, Some("not known to this build")),
        (renamed, None),
        (damaged, Some("does not fit")),
    ] {
        assert_eq!(
            (&line["state"], &line["changes"]),
            (&Value::Null, &Value::Null),
            "{line}"
        );
        assert_eq!(line["stateUnknownSince"], painted["version"], "{line}");
        let said = line["problem"].as_str();
        assert!(
            said.is_some() == problem.is_some()
                && said.unwrap_or("").contains(problem.unwrap_or("")),
            "{line}"
        );
    }
    assert_eq!(painted["data"]["colour"], "\u{1b}[31mred");
    let (status, raw) = finished(replay(url, &["--stream", stream, "--format", "ndjson"])).await;
    assert!(
        status.success() && raw.contains(r#""data":{"colour":"\u001b[31mred","n":1.50}"#),
        "{raw}"
    );
    let (status, table) = finished(replay(url, &["--stream", stream])).await;
    assert!(
        status.success()
            && table.contains("NOT READABLE BY THIS BUILD")
            && !table.contains('\u{1b}'),
        "{table}"
    );
    // Others are as they were.
    let (_, others) = lines(url, &["--to", task["position"].as_str().unwrap()]).await;
    assert!(
        others
            .iter()
            .all(|line| line["stateUnknownSince"].is_null())
    );
}

#[tokio::test]
async fn what_led_to_what_is_a_tree_from_the_command_to_the_reaction_of_its_event() {
    let folder = foldline_local::temporary_folder().unwrap();
    // With a worker, and read from the data folder of the running `up`.
    let up = Up::start(folder.path(), None).await;
    let client = up.client_of_tests().await;
    let (project, task, step, completing) = (new_id(), new_id(), new_id(), new_id());
    client
        .accepted("/projects", &json!({"id": project, "name": "Garden"}))
        .await;
    let item = |id, kind: &str, data: Value| json!({"id": id, "type": format!("tasks.{kind}"), "aggregate": task, "data": data});
    let commands = json!([
        item(
            new_id(),
            "create_task",
            json!({"projectId": project, "title": "Dig", "priority": "low", "key": "G-1"})
        ),
        item(
            new_id(),
            "add_step",
            json!({"stepId": step, "content": "find the spade"})
        ),
        item(completing, "complete_step", json!({"stepId": step})),
    ]);
    let answer = client.accepted("/commands", &commands).await;
    assert_eq!(answer["accepted"], json!(3), "{answer}");
    let data = folder.path().join("data");
    let run = async |arguments: &[&str]| {
        let mut command = foldline();
        command
            .args(["replay", "--tenant", TENANT, "--format", "ndjson", "--data"])
            .arg(&data)
            .args(arguments);
        let (status, said) = finished(command).await;
        assert_eq!(status.code(), Some(0));
        let lines = said
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.collect::<Vec<_>>()
    };
    let all = until("the worker to suggest completion", async || {
        let all = run(&[]).await;
        all.iter()
            .any(|it| it["type"] == "tasks.TaskCompletionSuggested")
            .then_some(all)
    })
    .await;
    let of_type = |name: &str| all.iter().find(|it| it["type"] == name).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (completed, suggested) = (
        of_type("tasks.TaskStepCompleted"),
        of_type("tasks.TaskCompletionSuggested"),
    );
    let tree = run(&["--causation", &text(&suggested["eventId"])]).await;
    let said: Vec<(&Value, &Value, &Value)> = tree
        .iter()
        .map(|row| match row["kind"] == "command" {
            true => (&row["depth"], &row["commandId"], &row["cause"]),
            false => (&row["depth"], &row["eventId"], &row["type"]),
        })
        .collect();
    let (zero, one, two, three) = (json!(0), json!(1), json!(2), json!(3));
    let (itself, by_event) = (json!("itself"), json!("event"));
    let completing = json!(completing);
    let expected = [
        (&zero, &completing, &itself),
        (&one, &completed["eventId"], &completed["type"]),
        (&two, &suggested["commandId"], &by_event),
        (&three, &suggested["eventId"], &suggested["type"]),
    ];
    assert_eq!(said, expected);
    // The same by the command, by the reaction's command, and by the correlation.
    for id in [
        &completing,
        &suggested["commandId"],
        &suggested["correlationId"],
    ] {
        assert_eq!(run(&["--causation", &text(id)]).await, tree, "{id}");
    }
    // One command wrote two streams.
    let created = of_type("tasks.TaskCreated");
    let both = run(&["--causation", &text(&created["eventId"])]).await;
    let types: Vec<&Value> = both.iter().map(|row| &row["type"]).collect();
    assert_eq!(
        types,
        [
            &Value::Null,
            &json!("tasks.TaskCreated"),
            &json!("tasks.TaskKeyReserved")
        ]
    );
    let holder = &of_type("tasks.TaskKeyReserved")["state"];
    assert_eq!(holder, &json!({"holder": task}));
}
