//! A key belongs to one task of its tenant, whoever asks at the same time.

use std::collections::{BTreeMap, BTreeSet};

use foldline_command::{Accepted, Failure, Handler, Outcome, Verdict, Verdicts};
use foldline_events::{
    Event, Recorded, Tenant,
    tasks::{KeyEvent, TaskEvent, task_stream},
};
use foldline_gate::{Caller, Role};
use futures_util::future::join_all;
use serde_json::json;
use uuid::Uuid;

use crate::service::{
    Service, caller, database, done, handler, log, project, recorded, request, task,
};

const ROUNDS: usize = 8;
/// Tasks that want one key at the same time.
const RIVALS: usize = 24;

fn keyed(project: Uuid, key: &str) -> String {
    json!({"projectId": project, "title": "Land", "priority": "high", "key": key}).to_string()
}

fn set(key: Option<&str>) -> String {
    json!({ "key": key }).to_string()
}

fn code(failure: &Failure) -> &'static str {
    let Failure::Rejected(rejection) = failure else {
        panic!("{failure}")
    };
    rejection.code()
}

/// The one that was accepted; all others were told that the key is taken.
#[track_caller]
fn only(answers: Vec<Result<Accepted, Failure>>) -> Uuid {
    let (accepted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    for refused in &refused {
        assert_eq!(code(refused.as_ref().unwrap_err()), "TASK_KEY_TAKEN");
    }
    let [Ok(accepted)] = &accepted[..] else {
        panic!("{} tasks got the key", accepted.len())
    };
    accepted.id
}

/// All tasks ask at the same time, half of them of each handler.
async fn at_once(
    handlers: [&Handler; 2],
    tasks: &[Uuid],
    command_type: &str,
    data: &str,
) -> Vec<Result<Accepted, Failure>> {
    let handlers = handlers.into_iter().cycle();
    let asking = tasks
        .iter()
        .zip(handlers)
        .map(|(task, handler)| done(handler, *task, command_type, data));
    join_all(asking).await
}

/// Reads the whole log as a suspicious person would: in each key's stream only a free key is reserved and only its
/// holder gives it back; each of these stands in one append with what the task says of its key, and the other way round.
/// Answers who holds a key at the end.
#[track_caller]
fn holders(events: &[Recorded]) -> BTreeSet<Uuid> {
    let mut holders: BTreeMap<&str, Option<Uuid>> = BTreeMap::new();
    // Per command: positions, keys that its task gets, reservations.
    let mut appends: BTreeMap<Uuid, (Vec<i64>, usize, usize)> = BTreeMap::new();
    for event in events {
        let (positions, gets, reserved) = appends.entry(event.command_id).or_default();
        positions.push(event.position);
        match event.event().unwrap() {
            Event::TaskKey(KeyEvent::Reserved(reservation)) => {
                let before = holders.insert(&event.stream, Some(reservation.task_id));
                assert_eq!(before.flatten(), None, "taken from somebody: {event:?}");
                *reserved += 1;
            }
            Event::TaskKey(KeyEvent::Released(release)) => {
                let before = holders.insert(&event.stream, None);
                assert_eq!(before.flatten(), Some(release.task_id), "{event:?}");
            }
            Event::Task(TaskEvent::Created(created)) => *gets += usize::from(created.key.is_some()),
            Event::Task(TaskEvent::KeySet(set)) => *gets += usize::from(set.key.is_some()),
            Event::Task(_) | Event::Project(_) => {}
        }
    }
    for (positions, gets, reserved) in appends.values() {
        assert_eq!(
            gets, reserved,
            "a key without its reservation, or the reverse"
        );
        let together = positions.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        assert!(together, "one command in two appends: {positions:?}");
    }
    holders.into_values().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_tasks_that_want_a_key_at_once_one_gets_it() {
    let database = database().await;
    let (mine, other) = (handler(&database).await, handler(&database).await);
    let handlers = [&mine, &other];
    let project = project(&mine).await;
    let mut held = BTreeSet::new();
    for round in 0..ROUNDS {
        let key = format!("LM-{round}");
        let tasks: Vec<Uuid> = (0..RIVALS).map(|_| Uuid::now_v7()).collect();
        let created = at_once(handlers, &tasks, "tasks.create_task", &keyed(project, &key)).await;
        let first = only(created);

        // Those that are refused are not there at all; they come without it, and want it again once it is given back.
        let rivals: Vec<Uuid> = tasks.into_iter().filter(|task| *task != first).collect();
        let bare = json!({"projectId": project, "title": "Land", "priority": "low"}).to_string();
        for created in at_once(handlers, &rivals, "tasks.create_task", &bare).await {
            assert_eq!(created.unwrap().version, 1);
        }
        let refused = at_once(handlers, &rivals, "tasks.set_key", &set(Some(&key))).await;
        assert!(refused.iter().all(Result::is_err));
        done(&other, first, "tasks.set_key", &set(None))
            .await
            .unwrap();
        let second = only(at_once(handlers, &rivals, "tasks.set_key", &set(Some(&key))).await);
        held.insert(second);
    }
    assert_eq!(holders(&recorded(&log(&database).await).await), held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_given_back_and_wanted_at_once_is_never_held_twice() {
    let database = database().await;
    let (mine, other) = (handler(&database).await, handler(&database).await);
    let (one, two) = (task(&mine).await, task(&mine).await);
    for round in 0..4 * ROUNDS {
        // Each tries to take the key and to give it back, at moments that fall differently each time.
        let (key, free) = (set(Some("LM-5")), set(None));
        let (first, second) = if round % 2 == 0 {
            (&key, &free)
        } else {
            (&free, &key)
        };
        let answers = tokio::join!(
            done(&mine, one, "tasks.set_key", first),
            done(&other, two, "tasks.set_key", second),
            done(&other, one, "tasks.set_key", second),
            done(&mine, two, "tasks.set_key", first),
        );
        for answer in [answers.0, answers.1, answers.2, answers.3] {
            if let Err(failure) = answer {
                assert_eq!(code(&failure), "TASK_KEY_TAKEN");
            }
        }
    }
    assert!(holders(&recorded(&log(&database).await).await).len() <= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_gives_a_task_the_key_that_it_is_just_getting_is_told_so() {
    let database = database().await;
    let (mine, other) = (handler(&database).await, handler(&database).await);
    for round in 0..4 * ROUNDS {
        let task = task(&mine).await;
        let key = set(Some(&format!("LM-{round}")));
        let (one, twin) = tokio::join!(
            done(&mine, task, "tasks.set_key", &key),
            done(&other, task, "tasks.set_key", &key),
        );
        let mut outcomes = [one.unwrap(), twin.unwrap()].map(|answer| answer.outcome);
        outcomes.sort_by_key(|outcome| *outcome != Outcome::Recorded);
        assert_eq!(outcomes, [Outcome::Recorded, Outcome::Unchanged]);
    }
}

#[tokio::test]
async fn a_task_that_changes_its_key_gives_the_old_one_back_in_the_same_append() {
    let database = database().await;
    let handler = handler(&database).await;
    let (project, task, next) = (project(&handler).await, Uuid::now_v7(), Uuid::now_v7());
    let create = keyed(project, "LM-5");
    done(&handler, task, "tasks.create_task", &create)
        .await
        .unwrap();
    let changed = done(&handler, task, "tasks.set_key", &set(Some("LM-6")))
        .await
        .unwrap();
    assert_eq!((changed.version, changed.stream), (2, task_stream(task)));
    let events = recorded(&log(&database).await).await;
    let types: Vec<&str> = (events.iter())
        .map(|event| event.event_type.as_str())
        .collect();
    assert_eq!(
        types[1..],
        [
            "tasks.TaskCreated",
            "tasks.TaskKeyReserved",
            "tasks.TaskKeySet",
            "tasks.TaskKeyReleased",
            "tasks.TaskKeyReserved",
        ]
    );
    assert_eq!(events[2].stream, events[4].stream);
    // Streams do not say whose keys they are.
    assert!(events.iter().all(|event| !event.stream.contains("LM")));
    done(&handler, next, "tasks.create_task", &create)
        .await
        .unwrap();
    assert_eq!(
        holders(&recorded(&log(&database).await).await),
        [task, next].into()
    );
}

#[tokio::test]
async fn what_is_refused_reserves_nothing() {
    let service = Service::start().await;
    let handler = &service.handler;
    let (open, archived) = (project(handler).await, project(handler).await);
    done(handler, archived, "tasks.archive_project", "{}")
        .await
        .unwrap();
    let before = recorded(&service.log).await.len();
    let create = async |project, key: &str| {
        let data = keyed(project, key);
        let created = done(handler, Uuid::now_v7(), "tasks.create_task", &data).await;
        created.map_err(|failure| code(&failure))
    };
    assert_eq!(create(archived, "LM-5").await, Err("PROJECT_ARCHIVED"));
    assert_eq!(create(Uuid::now_v7(), "LM-5").await, Err("UNKNOWN_PROJECT"));
    let unknown = done(handler, Uuid::now_v7(), "tasks.set_key", &set(Some("LM-5"))).await;
    assert_eq!(code(&unknown.unwrap_err()), "UNKNOWN_TASK");
    assert_eq!(recorded(&service.log).await.len(), before);
    let holder = create(open, "LM-5").await.unwrap().id;
    assert_eq!(create(open, "LM-5").await, Err("TASK_KEY_TAKEN"));
    assert_eq!(recorded(&service.log).await.len(), before + 2);

    let path = format!("/api/v1/tasks/{}/key", task(handler).await);
    let problem = service.post(&path, &set(Some("LM-5"))).await.problem();
    assert_eq!(
        (problem.status, problem.code.as_str()),
        (409, "TASK_KEY_TAKEN")
    );
    assert_eq!(problem.errors[0].pointer, "/key");
    assert_eq!(holders(&recorded(&service.log).await), [holder].into());
}

#[tokio::test]
async fn a_deleted_task_keeps_its_key() {
    let database = database().await;
    let handler = handler(&database).await;
    let (one, two) = (task(&handler).await, task(&handler).await);
    let key = set(Some("LM-5"));
    done(&handler, one, "tasks.set_key", &key).await.unwrap();
    done(&handler, one, "tasks.delete_task", "{}")
        .await
        .unwrap();
    let refused = done(&handler, two, "tasks.set_key", &key).await;
    assert_eq!(code(&refused.unwrap_err()), "TASK_KEY_TAKEN");
}

#[tokio::test]
async fn each_tenant_has_its_own_keys() {
    let database = database().await;
    let handler = handler(&database).await;
    let elsewhere = Caller {
        tenant: Tenant::parse("globex").unwrap(),
        ..caller(Role::Admin)
    };
    for caller in [caller(Role::Admin), elsewhere] {
        let (project, task) = (Uuid::now_v7(), Uuid::now_v7());
        for request in [
            request(project, "tasks.create_project", r#"{"name":"Moon"}"#),
            request(task, "tasks.create_task", &keyed(project, "LM-5")),
        ] {
            handler.handle(&caller, request).await.unwrap();
        }
    }
    let events = recorded(&log(&database).await).await;
    assert_eq!(holders(&events).len(), 2);
    let streams: BTreeSet<&str> = (events.iter())
        .filter(|event| event.event_type == "tasks.TaskKeyReserved")
        .map(|event| event.stream.as_str())
        .collect();
    assert_eq!(streams.len(), 2);
}

/// Of many commands in one request the first that wants a key has it, and whoever comes after it was given back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_in_one_request_go_in_its_order() {
    let service = Service::start().await;
    let project = project(&service.handler).await;
    for round in 0..ROUNDS {
        let tasks: Vec<Uuid> = (0..4).map(|_| Uuid::now_v7()).collect();
        let key = format!("LM-{round}");
        let create = |task: usize| ("tasks.create_task", tasks[task], keyed(project, &key));
        let give = |task: usize, key: Option<&str>| ("tasks.set_key", tasks[task], set(key));
        let other = format!("{key}-b");
        let items: Vec<String> = [
            create(0),
            create(1),
            give(0, Some(&other)),
            create(1),
            create(2),
            give(1, None),
            create(2),
            create(3),
        ]
        .into_iter()
        .map(|(command_type, task, data)| {
            let id = Uuid::now_v7();
            format!(r#"{{"id":"{id}","type":"{command_type}","aggregate":"{task}","data":{data}}}"#)
        })
        .collect();
        let body = format!("[{}]", items.join(","));
        let verdicts: Verdicts = service.post("/api/v1/commands", &body).await.json();
        let codes: Vec<&str> = (verdicts.verdicts.iter())
            .map(|verdict| match verdict {
                Verdict::Accepted(_) => "accepted",
                Verdict::Known(_) => "known",
                Verdict::Rejected { problem, .. } => &problem.code,
            })
            .collect();
        let (yes, no) = ("accepted", "TASK_KEY_TAKEN");
        assert_eq!(
            codes,
            [yes, no, yes, yes, no, yes, yes, no],
            "round {round}"
        );
    }
    holders(&recorded(&service.log).await);
}
