//! What a command would do is what it then does, and asking leaves no trace.

mod past;

use std::collections::{BTreeMap, BTreeSet};

use foldline_command::{Outcome, Verdict, Verdicts, WhatIf, WhatIfVerdict};
use foldline_domain::tasks::COMMAND_TYPES;
use foldline_events::{Position, Recorded, Tenant};
use foldline_gate::{Caller, Problem, Role};
use foldline_log::Log;
use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::{
    service::{
        Answer, JSON, Service, caller, database, project, recorded, task, task_data, token_of,
    },
    story::story,
};

const PATH: &str = "/api/v1/what-if";

/// What is the same of an event that would be, and of one that is.
#[derive(Debug, PartialEq, Eq)]
struct Fact {
    stream: String,
    version: i64,
    event_type: String,
    schema_version: i16,
    tags: Vec<String>,
    payload: String,
}

fn would(answer: &WhatIf) -> Vec<Fact> {
    let fact = |event: &foldline_command::Would| Fact {
        stream: event.stream.clone(),
        version: event.version,
        event_type: event.event_type.clone(),
        schema_version: event.schema_version,
        tags: event.tags.clone(),
        payload: event.data.get().to_owned(),
    };
    answer.events.iter().map(fact).collect()
}

/// What a command recorded.
fn did(events: &[Recorded], command_id: Uuid) -> Vec<Fact> {
    let of_it = |event: &&Recorded| event.command_id == command_id;
    let fact = |event: &Recorded| Fact {
        stream: event.stream.clone(),
        version: event.version,
        event_type: event.event_type.clone(),
        schema_version: event.schema_version,
        tags: event.tags.clone(),
        payload: event.payload.clone(),
    };
    events.iter().filter(of_it).map(fact).collect()
}

fn item(aggregate: Uuid, command_type: &str, data: &Value) -> Value {
    json!({"id": Uuid::now_v7(), "type": command_type, "aggregate": aggregate, "data": data})
}

fn id_of(item: &Value) -> Uuid {
    item["id"].as_str().unwrap().parse().unwrap()
}

async fn asked_as(service: &Service, caller: &Caller, body: &Value) -> Answer {
    let authorization = format!("authorization: Bearer {}", token_of(caller));
    let body = body.to_string();
    service
        .send(
            &format!("POST {PATH}"),
            &[&authorization, JSON],
            body.as_bytes(),
        )
        .await
}

async fn now(service: &Service, item: &Value) -> WhatIf {
    let body = json!({ "command": item }).to_string();
    service.post(PATH, &body).await.json()
}

async fn as_of(service: &Service, item: &Value, position: Position) -> WhatIf {
    let body = json!({"command": item, "asOf": {"position": position.to_string()}});
    let answer: WhatIf = service.post(PATH, &body.to_string()).await.json();
    assert_eq!(answer.as_of, position);
    answer
}

async fn sent(service: &Service, item: &Value) -> Verdict {
    let body = json!([item]).to_string();
    let verdicts: Verdicts = service.post("/api/v1/commands", &body).await.json();
    verdicts.verdicts.into_iter().next().unwrap()
}

async fn head(log: &Log) -> Position {
    log.head().await.unwrap().position
}

#[tokio::test]
async fn each_command_then_records_exactly_what_it_was_said_to_record() {
    let service = Service::start().await;
    let mut asked = BTreeSet::new();
    for telling in story() {
        let item = telling.item();
        let before = head(&service.log).await;
        let answer = now(&service, &item).await;
        assert_eq!(answer.verdict, WhatIfVerdict::Recorded, "{answer:?}");
        assert_eq!((answer.as_of, &answer.problem), (before, &None));
        // The same of an id that is used already, so that no state is kept in between.
        assert_eq!(would(&now(&service, &item).await), would(&answer));

        let verdict = sent(&service, &item).await;
        assert!(
            matches!(&verdict, Verdict::Accepted(accepted) if accepted.outcome == Outcome::Recorded),
            "{verdict:?}"
        );
        let events = recorded(&service.log).await;
        assert_eq!(would(&answer), did(&events, id_of(&item)));

        let again = now(&service, &item).await;
        assert_eq!(
            (again.verdict, would(&again)),
            (WhatIfVerdict::Known, vec![])
        );
        let past = as_of(&service, &item, before).await;
        assert_eq!(would(&past), would(&answer));
        asked.insert(telling.command_type);
    }
    assert_eq!(asked, COMMAND_TYPES.into_iter().collect());
}

/// Of every table of the log's database what it holds, as one hash each.
async fn everything(owner: &mut PgConnection) -> BTreeMap<String, String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', schemaname, tablename)
         from pg_tables
         where schemaname not in ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&mut *owner)
    .await
    .unwrap();
    assert!(tables.iter().any(|table| table == "log.commands"));
    let mut hashes = BTreeMap::new();
    for table in tables {
        let query = format!(
            "select coalesce(md5(string_agg(t::text, e'\\n' order by t::text)), '') from {table} t"
        );
        let hash = sqlx::query_scalar(AssertSqlSafe(query));
        hashes.insert(table, hash.fetch_one(&mut *owner).await.unwrap());
    }
    hashes
}

#[tokio::test]
async fn asking_stores_nothing_and_every_command_can_be_sent_afterwards_under_its_id() {
    let database = database().await;
    let service = Service::over(&database).await;
    let (project, task) = (
        project(&service.handler).await,
        task(&service.handler).await,
    );
    let (new_project, new_task) = (Uuid::now_v7(), Uuid::now_v7());
    let keyed = json!({"projectId": project, "title": "Land", "priority": "high", "key": "LM-5"});
    let questions = [
        item(task, "tasks.set_key", &json!({"key": "LM-6"})),
        item(new_task, "tasks.create_task", &keyed),
        item(
            new_project,
            "tasks.create_project",
            &json!({"name": "Mars"}),
        ),
        item(task, "tasks.complete_task", &json!({})),
        item(task, "tasks.start_task", &json!({})),
    ];
    let mut owner = PgConnection::connect(&database.url).await.unwrap();
    let before = everything(&mut owner).await;
    let newest = head(&service.log).await;
    for question in &questions {
        for position in 0..=newest {
            as_of(&service, question, position).await;
        }
        let answer = now(&service, question).await;
        assert_eq!(answer.verdict, WhatIfVerdict::Recorded, "{question}");
        // A task that would have been created, completed or keyed is not, for whoever asks next.
        let again = now(&service, question).await;
        assert_eq!(would(&again), would(&answer));
    }
    assert_eq!(everything(&mut owner).await, before);

    // The last one before the one that would complete the task.
    for index in [0, 1, 2, 4, 3] {
        let verdict = sent(&service, &questions[index]).await;
        assert!(
            matches!(&verdict, Verdict::Accepted(accepted) if accepted.outcome == Outcome::Recorded),
            "{verdict:?}"
        );
    }
}

/// The problem that a command gets when it is sent.
async fn refused(service: &Service, item: &Value) -> Problem {
    match sent(service, item).await {
        Verdict::Rejected { problem, .. } => problem,
        Verdict::Accepted(accepted) | Verdict::Known(accepted) => {
            panic!("{item}: {accepted:?}")
        }
    }
}

#[tokio::test]
async fn a_command_that_is_rejected_would_have_been_for_the_same_reason() {
    let service = Service::start().await;
    let (project, task) = (
        project(&service.handler).await,
        task(&service.handler).await,
    );
    let step = json!({"stepId": Uuid::now_v7(), "content": "burn"});
    let (add_step, archive) = (
        item(task, "tasks.add_step", &step),
        item(project, "tasks.archive_project", &json!({})),
    );
    let other = item(
        Uuid::now_v7(),
        "tasks.create_project",
        &json!({"name": "Mars"}),
    );
    let set_key = item(task, "tasks.set_key", &json!({"key": "LM-5"}));
    for done in [&add_step, &archive, &set_key, &other] {
        assert!(matches!(sent(&service, done).await, Verdict::Accepted(_)));
    }
    let with = |mut item: Value, name: &str, value: Value| {
        item[name] = value;
        item
    };
    let open = id_of_aggregate(&other);
    let keyed = json!({"projectId": open, "title": "Land", "priority": "high", "key": "LM-5"});
    let start = item(task, "tasks.start_task", &json!({}));
    let mut codes = BTreeSet::new();
    for wrong in [
        item(task, "tasks.complete_task", &json!({})),
        item(Uuid::now_v7(), "tasks.start_task", &json!({})),
        item(task, "tasks.rename_task", &json!({"title": " "})),
        item(task, "tasks.rename_task", &json!({"title": "a\u{0}b"})),
        item(task, "tasks.rename_task", &json!({"name": "Land"})),
        item(task, "tasks.launch", &json!({})),
        item(
            Uuid::now_v7(),
            "tasks.create_task",
            &serde_json::from_str(&task_data(project)).unwrap(),
        ),
        item(Uuid::now_v7(), "tasks.create_task", &keyed),
        with(start.clone(), "expectedVersion", json!(1)),
        with(start.clone(), "at", json!("1969-12-31T23:59:59Z")),
        with(start.clone(), "id", add_step["id"].clone()),
        with(start.clone(), "colour", json!("grey")),
        json!({"type": "tasks.start_task"}),
        json!(7),
        json!([]),
    ] {
        let answer = now(&service, &wrong).await;
        assert_eq!(answer.verdict, WhatIfVerdict::Rejected, "{wrong}");
        assert_eq!(would(&answer), []);
        let problem = answer.problem.unwrap();
        assert_eq!(problem, refused(&service, &wrong).await, "{wrong}");
        codes.insert(problem.code);
    }
    let expected = [
        "BODY_INVALID",
        "COMMAND_ID_REUSED",
        "OCCURRED_AT_OUT_OF_RANGE",
        "OPEN_STEPS",
        "PROJECT_ARCHIVED",
        "TASK_KEY_TAKEN",
        "TEXT_BLANK",
        "UNKNOWN_COMMAND_TYPE",
        "UNKNOWN_TASK",
        "VERSION_STALE",
    ];
    for code in expected {
        assert!(codes.contains(code), "{code}: {codes:?}");
    }
    // As of the past an id counts as new.
    let used = with(start, "id", add_step["id"].clone());
    let past = as_of(&service, &used, head(&service.log).await).await;
    assert_eq!(past.verdict, WhatIfVerdict::Recorded);
}

fn id_of_aggregate(item: &Value) -> &str {
    item["aggregate"].as_str().unwrap()
}

#[tokio::test]
async fn who_may_not_give_a_command_is_not_told_what_it_would_do() {
    let service = Service::start().await;
    for telling in story() {
        let item = telling.item();
        for role in [Role::Viewer, Role::Member] {
            let body = json!({ "command": item });
            let answer: WhatIf = asked_as(&service, &caller(role), &body).await.json();
            let for_admins = matches!(
                telling.command_type,
                "tasks.archive_project" | "tasks.restore_project"
            );
            let code = answer.problem.as_ref().map(|problem| problem.code.as_str());
            let is_refused = role == Role::Viewer || for_admins;
            assert_eq!(code == Some("FORBIDDEN"), is_refused, "{role} {item}");
            if is_refused {
                assert_eq!(would(&answer), []);
            }
        }
        assert!(matches!(sent(&service, &item).await, Verdict::Accepted(_)));
    }
}

#[tokio::test]
async fn another_tenant_is_told_nothing_and_nobody_nothing_without_a_token() {
    let service = Service::start().await;
    let task = task(&service.handler).await;
    let start = item(task, "tasks.start_task", &json!({}));
    let position = head(&service.log).await.to_string();
    let other = Caller {
        tenant: Tenant::parse("umbrella").unwrap(),
        ..caller(Role::Admin)
    };
    for as_of in [Value::Null, json!({ "position": position })] {
        let body = json!({"command": start, "asOf": as_of});
        let ours: WhatIf = service.post(PATH, &body.to_string()).await.json();
        assert_eq!(ours.verdict, WhatIfVerdict::Recorded);
        let theirs: WhatIf = asked_as(&service, &other, &body).await.json();
        assert_eq!(theirs.problem.unwrap().code, "UNKNOWN_TASK");
    }
    let body = json!({ "command": start }).to_string();
    let answer = service
        .send(&format!("POST {PATH}"), &[JSON], body.as_bytes())
        .await;
    assert_eq!(answer.problem().code, "TOKEN_MISSING");
}

#[tokio::test]
async fn a_question_without_an_answer_is_refused_and_says_where_it_is_wrong() {
    let service = Service::start().await;
    let task = task(&service.handler).await;
    let start = item(task, "tasks.start_task", &json!({}));
    let beyond = (head(&service.log).await + 1).to_string();
    for (as_of, code, pointer) in [
        (
            json!({ "position": beyond }),
            "CURSOR_BEYOND_HEAD",
            "/asOf/position",
        ),
        (json!({"position": 1}), "BODY_INVALID", "/asOf/position"),
        (json!({"position": "-1"}), "BODY_INVALID", "/asOf/position"),
        (
            json!({"recordedAt": "yesterday"}),
            "BODY_INVALID",
            "/asOf/recordedAt",
        ),
        (
            json!({"position": "1", "recordedAt": "2024-03-01T12:00:00Z"}),
            "BODY_INVALID",
            "/asOf",
        ),
        (json!({"colour": "1"}), "BODY_INVALID", "/asOf"),
        (json!({}), "BODY_INVALID", "/asOf"),
        (json!("1"), "BODY_INVALID", "/asOf"),
    ] {
        let body = json!({"command": start, "asOf": as_of}).to_string();
        let problem = service.post(PATH, &body).await.problem();
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (422, code),
            "{as_of}"
        );
        assert!(
            problem.errors[0].pointer.starts_with(pointer),
            "{problem:?}"
        );
    }
    for body in [
        json!({"command": start, "colour": "grey"}),
        json!({"asOf": {"position": "1"}}),
        json!([start, null]),
        json!(7),
    ] {
        let problem = service.post(PATH, &body.to_string()).await.problem();
        assert_eq!(problem.code, "BODY_INVALID", "{body}");
    }
    let problem = service.post(PATH, r#"{"command": {"#).await.problem();
    assert_eq!(
        (problem.status, problem.code.as_str()),
        (400, "JSON_MALFORMED")
    );
}

#[tokio::test]
async fn as_of_an_instant_counts_what_was_recorded_by_then() {
    let service = Service::start().await;
    let task = task(&service.handler).await;
    let rename = |title| item(task, "tasks.rename_task", &json!({ "title": title }));
    for title in ["a", "b", "c"] {
        assert!(matches!(
            sent(&service, &rename(title)).await,
            Verdict::Accepted(_)
        ));
    }
    for event in recorded(&service.log).await {
        let at = event.recorded_at;
        let last = service.log.position_at(at).await.unwrap();
        for (instant, position) in [
            (at, last),
            (at - chrono::TimeDelta::days(1), 0),
            (at + chrono::TimeDelta::days(1), head(&service.log).await),
        ] {
            let body = json!({"command": rename("d"), "asOf": {"recordedAt": instant}});
            let answer: WhatIf = service.post(PATH, &body.to_string()).await.json();
            assert_eq!(answer.as_of, position);
            assert_eq!(
                would(&answer),
                would(&as_of(&service, &rename("d"), position).await)
            );
        }
    }
}

#[tokio::test]
async fn many_questions_at_once_wait_for_each_other_and_all_are_answered() {
    let service = Service::start().await;
    let task = task(&service.handler).await;
    let start = item(task, "tasks.start_task", &json!({}));
    let answers = join_all((0..40).map(|_| now(&service, &start))).await;
    for answer in &answers {
        assert_eq!(would(answer), would(&answers[0]));
    }
    assert_eq!(answers[0].events.len(), 1);
}
