//! Every command by its own route and among many: it does the same, and whoever may not does nothing.

use std::collections::BTreeSet;

use foldline_command::{Accepted, Outcome, Verdict, Verdicts};
use foldline_domain::tasks::COMMAND_TYPES;
use foldline_events::Recorded;
use foldline_gate::Role;
use foldline_log::Log;

use crate::{
    service::{JSON, Service, recorded, token},
    story::{routes, story},
};

#[test]
fn every_command_type_has_exactly_one_route() {
    for (command_type, paths) in routes() {
        assert_eq!(paths.len(), 1, "{command_type}: {paths:?}");
    }
}

#[test]
fn the_story_has_every_command_type() {
    let told: BTreeSet<&str> = story().iter().map(|telling| telling.command_type).collect();
    assert_eq!(told, COMMAND_TYPES.into_iter().collect());
}

#[tokio::test]
async fn each_route_does_what_its_command_says_and_so_does_it_among_many() {
    let (alone, among_many) = (Service::start().await, Service::start().await);
    for telling in story() {
        let (path, body) = telling.request();
        let answer = alone
            .post(&path, &serde_json::to_string(&body).unwrap())
            .await;
        let expected = if telling.creates() { 201 } else { 200 };
        assert_eq!(answer.status, expected, "{path}: {answer:?}");
        let accepted: Accepted = answer.json();
        assert_eq!(accepted.outcome, Outcome::Recorded, "{path}");
        assert_eq!(accepted.id, telling.aggregate, "{path}");
    }

    let items: Vec<_> = story().iter().map(|telling| telling.item()).collect();
    let body = serde_json::to_string(&items).unwrap();
    let verdicts: Verdicts = among_many.post("/api/v1/commands", &body).await.json();
    assert_eq!(verdicts.accepted, items.len(), "{verdicts:?}");
    for verdict in verdicts.verdicts {
        assert!(
            matches!(verdict, Verdict::Accepted(accepted) if accepted.outcome == Outcome::Recorded)
        );
    }

    let facts = facts(&alone.log).await;
    assert_eq!(facts, self::facts(&among_many.log).await);
    let types: BTreeSet<&str> = (facts.iter())
        .map(|fact| fact.event_type.as_str())
        .collect();
    let known = foldline_events::examples();
    // What reactions alone say nobody can send.
    let by_reactions = ["tasks.TaskDueDayPassed", "tasks.TaskCompletionSuggested"];
    let by_commands = known.iter().map(|example| example.event_type);
    assert_eq!(
        types,
        by_commands
            .filter(|event_type| !by_reactions.contains(event_type))
            .collect()
    );
}

/// What is the same however it was sent: streams are independent of each other, so their order is.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fact {
    stream: String,
    version: i64,
    event_type: String,
    payload: String,
    tags: Vec<String>,
    occurred_at: String,
}

async fn facts(log: &Log) -> Vec<Fact> {
    let fact = |event: Recorded| Fact {
        stream: event.stream,
        version: event.version,
        event_type: event.event_type,
        payload: event.payload,
        tags: event.tags,
        occurred_at: event.occurred_at.to_string(),
    };
    let mut facts: Vec<Fact> = recorded(log).await.into_iter().map(fact).collect();
    facts.sort();
    facts
}

/// The answer to a command by its route.
async fn told_as(role: Role, service: &Service, path: &str, body: &str) -> u16 {
    let authorization = format!("authorization: Bearer {}", token(role));
    let answer = service
        .send(
            &format!("POST {path}"),
            &[&authorization, JSON],
            body.as_bytes(),
        )
        .await;
    if answer.status == 403 {
        assert_eq!(answer.problem().code, "FORBIDDEN", "{path}");
    }
    answer.status
}

#[tokio::test]
async fn a_viewer_does_nothing_and_a_member_all_but_archive_and_restore_projects() {
    let service = Service::start().await;
    for telling in story() {
        let (path, body) = telling.request();
        let body = serde_json::to_string(&body).unwrap();
        assert_eq!(told_as(Role::Viewer, &service, &path, &body).await, 403);
    }
    assert_eq!(recorded(&service.log).await, []);
    for telling in story() {
        let (path, body) = telling.request();
        let body = serde_json::to_string(&body).unwrap();
        let for_admins = matches!(
            telling.command_type,
            "tasks.archive_project" | "tasks.restore_project"
        );
        let status = told_as(Role::Member, &service, &path, &body).await;
        assert_eq!(status == 403, for_admins, "{path}: {status}");
        if for_admins {
            let status = told_as(Role::Admin, &service, &path, &body).await;
            assert_eq!(status, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn no_route_takes_a_field_twice_or_one_that_it_does_not_know() {
    let service = Service::start().await;
    for telling in story() {
        let (path, body) = telling.request();
        let text = serde_json::to_string(&body).unwrap();
        let fields = text.strip_prefix('{').unwrap();
        for (name, value) in &body {
            let twice = format!(r#"{{"{name}":{value},{fields}"#);
            let problem = service.post(&path, &twice).await.problem();
            assert_eq!(
                (problem.status, problem.code.as_str()),
                (422, "BODY_INVALID")
            );
            assert!(problem.detail.unwrap().contains("twice"), "{twice}");
        }
        let unknown = format!(r#"{{"colour":"grey",{fields}"#);
        let problem = service.post(&path, &unknown).await.problem();
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (422, "BODY_INVALID")
        );
        assert_eq!(problem.errors[0].pointer, "/colour", "{path}");
    }
    assert_eq!(recorded(&service.log).await, []);
}
