use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use foldline_command::{BULK_BODY_BYTES_MAX, COMMANDS_PER_REQUEST_MAX, Failure, Verdict, Verdicts};
use foldline_events::Tenant;
use foldline_gate::{Caller, Role};
use futures_util::future::join_all;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use uuid::Uuid;

use crate::service::{JSON, Service, caller, recorded, request, task_data, token, token_of};

const COMMANDS: &str = "/api/v1/commands";

fn item(command_type: &str, aggregate: Uuid, data: &str) -> String {
    let id = Uuid::now_v7();
    format!(
        r#"{{"id":"{id}","type":"{command_type}","aggregate":"{aggregate}","at":"2024-03-01T12:00:00Z","data":{data}}}"#
    )
}

fn code(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Accepted(_) => "accepted",
        Verdict::Known(_) => "known",
        Verdict::Rejected { problem, .. } => &problem.code,
    }
}

fn codes(verdicts: &Verdicts) -> Vec<&str> {
    verdicts.verdicts.iter().map(code).collect()
}

#[tokio::test]
async fn items_keep_the_order_that_they_depend_on() {
    let service = Service::start().await;
    let mut items = Vec::new();
    let projects: Vec<Uuid> = (0..5).map(|_| Uuid::now_v7()).collect();
    for project in &projects {
        items.push(item("tasks.create_project", *project, r#"{"name":"Moon"}"#));
        for _ in 0..10 {
            let (task, step) = (Uuid::now_v7(), Uuid::now_v7());
            items.push(item("tasks.create_task", task, &task_data(*project)));
            items.push(item("tasks.start_task", task, "{}"));
            items.push(item(
                "tasks.add_step",
                task,
                &format!(r#"{{"stepId":"{step}","content":"burn"}}"#),
            ));
            items.push(item(
                "tasks.complete_step",
                task,
                &format!(r#"{{"stepId":"{step}"}}"#),
            ));
            items.push(item("tasks.complete_task", task, "{}"));
        }
        items.push(item("tasks.archive_project", *project, "{}"));
        items.push(item(
            "tasks.create_task",
            Uuid::now_v7(),
            &task_data(*project),
        ));
    }
    let body = format!("[{}]", items.join(","));
    let verdicts: Verdicts = service.post(COMMANDS, &body).await.json();
    assert_eq!(
        (verdicts.accepted, verdicts.known, verdicts.rejected),
        (260, 0, 5),
        "{verdicts:?}"
    );
    for last in verdicts.verdicts.chunks(53).map(|project| &project[52]) {
        assert_eq!(code(last), "PROJECT_ARCHIVED");
    }

    let again: Verdicts = service.post(COMMANDS, &body).await.json();
    assert_eq!((again.accepted, again.known, again.rejected), (0, 260, 5));
    assert_eq!(recorded(&service.log).await.len(), 260);
}

#[tokio::test]
async fn a_malformed_item_gets_its_own_problem_and_the_others_go_on() {
    let service = Service::start().await;
    let id = Uuid::now_v7();
    let fine = || item("tasks.create_project", Uuid::now_v7(), r#"{"name":"Moon"}"#);
    let items = [
        fine(),
        "7".to_owned(),
        r#"{"id":"x"}"#.to_owned(),
        fine().replace(r#""at""#, r#""when""#),
        fine().replace("create_project", "explode_project"),
        fine().replace("Moon", "Mo\\u0000on"),
        fine().replace("Moon", ""),
        fine().replace(r#""name""#, r#""nmae""#),
        fine().replace("2024-03-01T12:00:00Z", "1024-03-01T12:00:00Z"),
        item("tasks.start_task", id, "{}"),
        item("tasks.start_task", id, "[[[["),
        fine(),
    ];
    let malformed = service
        .post(COMMANDS, &format!("[{}]", items.join(",")))
        .await
        .problem();
    assert_eq!(
        (malformed.status, malformed.code.as_str()),
        (400, "JSON_MALFORMED")
    );
    assert_eq!(recorded(&service.log).await.len(), 0);

    let items = [&items[..10], &items[11..]].concat();
    let body = format!(r#"{{"commands":[{}]}}"#, items.join(","));
    let answer = service.post(COMMANDS, &body).await;
    assert_eq!(answer.status, 200);
    let verdicts: Verdicts = answer.json();
    let expected = [
        "accepted",
        "BODY_INVALID",
        "BODY_INVALID",
        "BODY_INVALID",
        "UNKNOWN_COMMAND_TYPE",
        "TEXT_WITH_NUL",
        "TEXT_BLANK",
        "BODY_INVALID",
        "OCCURRED_AT_OUT_OF_RANGE",
        "UNKNOWN_TASK",
        "accepted",
    ];
    assert_eq!(codes(&verdicts), expected);
    let pointers: Vec<Option<&str>> = verdicts
        .verdicts
        .iter()
        .map(|verdict| match verdict {
            Verdict::Accepted(_) | Verdict::Known(_) => None,
            Verdict::Rejected { problem, .. } => {
                problem.errors.first().map(|fault| fault.pointer.as_str())
            }
        })
        .collect();
    assert_eq!(
        pointers[3..9],
        [
            Some("/when"),
            Some("/type"),
            None,
            Some("/data/name"),
            Some("/data/nmae"),
            Some("/at"),
        ]
    );
    assert_eq!(recorded(&service.log).await.len(), 2);
}

#[tokio::test]
async fn one_request_brings_no_more_than_its_limit() {
    let service = Service::start().await;
    let items: Vec<String> = (0..=COMMANDS_PER_REQUEST_MAX)
        .map(|_| item("tasks.create_project", Uuid::now_v7(), r#"{"name":"Moon"}"#))
        .collect();
    let problem = service
        .post(COMMANDS, &format!("[{}]", items.join(",")))
        .await
        .problem();
    assert_eq!(
        (problem.status, problem.code.as_str()),
        (422, "TOO_MANY_COMMANDS")
    );
    assert_eq!(recorded(&service.log).await.len(), 0);

    let body = format!("[{}]", items[1..].join(","));
    assert!(body.len() > 100 * 1_024);
    let verdicts: Verdicts = service.post(COMMANDS, &body).await.json();
    assert_eq!(verdicts.accepted, COMMANDS_PER_REQUEST_MAX);
}

#[tokio::test]
async fn rights_are_judged_item_by_item() {
    let service = Service::start().await;
    let project = Uuid::now_v7();
    let items = [
        item("tasks.create_project", project, r#"{"name":"Moon"}"#),
        item("tasks.archive_project", project, "{}"),
    ];
    let authorization = format!("authorization: Bearer {}", token(Role::Member));
    let body = format!("[{}]", items.join(","));
    let answer = service
        .send(
            &format!("POST {COMMANDS}"),
            &[&authorization, JSON],
            body.as_bytes(),
        )
        .await;
    assert_eq!(codes(&answer.json()), ["accepted", "FORBIDDEN"]);
}

/// A body of so many commands, each on a stream of its own.
fn projects(count: usize) -> String {
    let create = |_| item("tasks.create_project", Uuid::now_v7(), r#"{"name":"Moon"}"#);
    let items: Vec<String> = (0..count).map(create).collect();
    format!("[{}]", items.join(","))
}

#[tokio::test]
async fn a_tenants_flood_of_many_commands_does_not_keep_another_tenant_waiting() {
    let service = Service::start().await;
    let (requests, of_each) = (12, 1_000);
    let bodies: Vec<String> = (0..requests).map(|_| projects(of_each)).collect();
    let flood = join_all(bodies.iter().map(|body| service.post(COMMANDS, body)));
    let other = async {
        while recorded(&service.log).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let of_another = Caller {
            tenant: Tenant::parse("globex").unwrap(),
            ..caller(Role::Member)
        };
        let authorization = format!("authorization: Bearer {}", token_of(&of_another));
        let body = projects(1);
        let answer = service
            .send(
                &format!("POST {COMMANDS}"),
                &[&authorization, JSON],
                body.as_bytes(),
            )
            .await;
        assert_eq!(codes(&answer.json()), ["accepted"]);
        service.log.head().await.unwrap().position
    };
    let (flood, head) = tokio::join!(flood, other);
    for answer in flood {
        assert_eq!(answer.json::<Verdicts>().accepted, of_each);
    }
    let in_all = i64::try_from(requests * of_each).unwrap();
    assert!(head < in_all / 2, "it waited for {head} of {in_all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_flood_of_commands_that_read_does_not_keep_another_tenant_waiting() {
    let handler = Service::start().await.handler;
    let of = |tenant: &str| Caller {
        tenant: Tenant::parse(tenant).unwrap(),
        ..caller(Role::Member)
    };
    let (acme, globex) = (of("acme"), of("globex"));
    // Each on a project of its own, which has to be looked for.
    let rename = || request(Uuid::now_v7(), "tasks.rename_project", r#"{"name":"Mars"}"#);
    let answered = AtomicUsize::new(0);
    let commands = 2_000;
    let flood = join_all((0..commands).map(|_| async {
        let _answer = handler.handle(&acme, rename()).await;
        answered.fetch_add(1, Ordering::Relaxed);
    }));
    let other = async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let before = answered.load(Ordering::Relaxed);
        let refused = handler.handle(&globex, rename()).await.unwrap_err();
        assert!(matches!(refused, Failure::Rejected(_)), "{refused:?}");
        answered.load(Ordering::Relaxed) - before
    };
    let (_, waited_for) = tokio::join!(flood, other);
    assert!(
        waited_for < commands / 4,
        "it waited for {waited_for} of {commands}"
    );
}

#[tokio::test]
async fn requests_of_many_commands_fill_no_queue_however_many_there_are() {
    let service = Service::start().await;
    let requests = 12;
    let requests = (0..requests).map(|_| async { service.post(COMMANDS, &projects(400)).await });
    for answer in join_all(requests).await {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json::<Verdicts>().accepted, 400);
    }
}

/// Sends all of the longest body that there may be, but its last byte.
async fn hold(service: &Service, caller: &Caller) -> TcpStream {
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    let token = token_of(caller);
    let head = format!(
        "POST {COMMANDS} HTTP/1.1\r\nhost: foldline\r\nauthorization: Bearer {token}\r\n{JSON}\r\n\
         content-length: {BULK_BODY_BYTES_MAX}\r\n\r\n["
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let rest = vec![b' '; BULK_BODY_BYTES_MAX - 2];
    stream.write_all(&rest).await.unwrap();
    // Until the service has read it, on a loaded machine, too.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    stream
}

#[tokio::test]
async fn large_requests_wait_for_room_and_are_told_to_come_back_when_there_is_none() {
    let service = Service::start().await;
    let member = caller(Role::Member);
    // As many as a tenant has room for.
    let held = [hold(&service, &member).await, hold(&service, &member).await];
    let refused = service.post(COMMANDS, &projects(1)).await.problem();
    assert_eq!(
        (refused.status, refused.code.as_str()),
        (503, "UNAVAILABLE")
    );
    let body = projects(1);
    let waiting = service.post(COMMANDS, &body);
    let end = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        drop(held);
    };
    let (answer, ()) = tokio::join!(waiting, end);
    assert_eq!(codes(&answer.json()), ["accepted"]);
}

/// One has half of the room, the other a quarter, and both send no more.
#[tokio::test]
async fn tenants_that_fill_their_room_keep_no_other_tenant_s_request_waiting() {
    let service = Service::start().await;
    let of = |tenant: &str| Caller {
        tenant: Tenant::parse(tenant).unwrap(),
        ..caller(Role::Member)
    };
    let (umbrella, globex) = (of("umbrella"), of("globex"));
    let held = [
        hold(&service, &umbrella).await,
        hold(&service, &umbrella).await,
        hold(&service, &globex).await,
    ];
    let answer = service
        .post(COMMANDS, &projects(COMMANDS_PER_REQUEST_MAX))
        .await;
    assert_eq!(answer.json::<Verdicts>().accepted, COMMANDS_PER_REQUEST_MAX);
    for full in [&umbrella, &globex] {
        let token = format!("authorization: Bearer {}", token_of(full));
        let (post, body) = (
            format!("POST {COMMANDS}"),
            projects(COMMANDS_PER_REQUEST_MAX),
        );
        let refused = service.send(&post, &[&token, JSON], body.as_bytes()).await;
        assert_eq!(refused.status, 503, "{}", full.tenant);
    }
    drop(held);
}
