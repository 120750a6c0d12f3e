//! "No event of these types with these tags after that position."

use foldline_events::Tenant;
use foldline_log::{Append, Expected, Guard, Verdict};
use futures_util::future::join_all;

use crate::store::{append, appended, event, log, one};

fn guarded(stream: &str, after: i64) -> Append {
    let mut request = one(stream);
    request.guards.push(Guard {
        tag: "project:1".to_owned(),
        event_types: vec!["test.Archived".to_owned(), "test.Deleted".to_owned()],
        after,
    });
    request
}

fn archive() -> Append {
    append(
        "project-1",
        Expected::Any,
        vec![event("test.Archived", &["project:1"])],
    )
}

#[tokio::test]
async fn a_guard_sees_only_its_types_its_tags_its_tenant_and_later_positions() {
    let log = log().await;
    let renamed = append(
        "project-1",
        Expected::Any,
        vec![event("test.Renamed", &["project:1"])],
    );
    appended(log.append(renamed).await.unwrap());
    let other_tag = append(
        "project-2",
        Expected::Any,
        vec![event("test.Archived", &["project:2"])],
    );
    appended(log.append(other_tag).await.unwrap());
    let mut other_tenant = archive();
    other_tenant.tenant = Tenant::parse("other").unwrap();
    appended(log.append(other_tenant).await.unwrap());
    appended(log.append(guarded("task-1", 0)).await.unwrap());

    let archived = appended(log.append(archive()).await.unwrap())
        .cursor
        .position;
    assert_eq!(
        log.append(guarded("task-2", archived - 1)).await.unwrap(),
        Verdict::Guarded { by: archived }
    );
    appended(log.append(guarded("task-3", archived)).await.unwrap());
}

#[tokio::test]
async fn nothing_guarded_follows_what_its_guard_excludes_however_they_race() {
    for _ in 0..20 {
        let log = log().await;
        let mut race: Vec<_> = (0..20)
            .map(|n| log.append(guarded(&format!("task-{n}"), 0)))
            .collect();
        race.insert(10, log.append(archive()));
        join_all(race).await.into_iter().for_each(|verdict| {
            verdict.unwrap();
        });
        let events = log.read(0, 100).await.unwrap();
        let archived = events
            .iter()
            .position(|event| event.event_type == "test.Archived")
            .unwrap();
        assert_eq!(
            archived,
            events.len() - 1,
            "a guarded append came after the archive"
        );
    }
}
