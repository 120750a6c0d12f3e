//! "No event of these types with these tags after that position."

use std::time::Duration;

use foldline_events::{Position, Tenant};
use foldline_log::{
    Append, EVENTS_PER_APPEND_MAX, Error, Expected, GUARD_SEEKS_MAX, GUARD_TAGS_MAX,
    GUARD_TYPES_MAX, GUARDS_PER_APPEND_MAX, Guard, SEEKS_PER_APPEND_MAX, Service, Verdict,
};
use foldline_schema::testing::TestDatabase;
use futures_util::future::join_all;

use crate::store::{
    SEGMENT_POSITIONS, append, appended, both, database_with_large_segments, event, log, one, open,
    owner,
};

fn by_tags(stream: &str, tags: &[&str], event_types: &[&str], after: Position) -> Append {
    let owned = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
    let mut request = one(stream);
    request.guards.push(Guard {
        tags: owned(tags),
        event_types: owned(event_types),
        after,
    });
    request
}

fn guarded(stream: &str, after: i64) -> Append {
    let mut request = one(stream);
    request.guards.push(Guard {
        tags: vec!["project:1".to_owned()],
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
    for log in both().await {
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

#[tokio::test]
async fn a_guard_with_several_tags_sees_only_events_that_carry_all_of_them() {
    const TAGS: [&str; 3] = ["term:1", "course:1", "student:1"];
    let enrolled = |tags: &[&str]| {
        let events = vec![event("test.Enrolled", tags)];
        append("course-1", Expected::Any, events)
    };
    for log in both().await {
        for tags in [&TAGS[..2], &TAGS[1..], &["term:1", "course:2", "student:1"]] {
            appended(log.append(enrolled(tags)).await.unwrap());
        }
        let apart = TAGS.map(|tag| event("test.Enrolled", &[tag]));
        appended(
            log.append(append("course-1", Expected::Any, apart.into()))
                .await
                .unwrap(),
        );
        let of_other_type = append(
            "course-1",
            Expected::Any,
            vec![event("test.Left", &TAGS), event("test.Enrolled", &[])],
        );
        appended(log.append(of_other_type).await.unwrap());
        let mut of_other_tenant = enrolled(&TAGS);
        of_other_tenant.tenant = Tenant::parse("other").unwrap();
        appended(log.append(of_other_tenant).await.unwrap());
        let types = ["test.Enrolled", "test.Expelled"];
        let guarded = |after| by_tags("task-1", &TAGS, &types, after);
        appended(log.append(guarded(0)).await.unwrap());

        let all = enrolled(&["student:1", "other:1", "term:1", "course:1"]);
        let by = appended(log.append(all).await.unwrap()).cursor.position;
        appended(log.append(enrolled(&TAGS[1..])).await.unwrap());
        for after in [0, by - 1] {
            let found = log.append(guarded(after)).await.unwrap();
            assert_eq!(found, Verdict::Guarded { by });
        }
        appended(log.append(guarded(by)).await.unwrap());
        // Each of several guards is to hold, and the newest of what they exclude is named.
        let mut both_guards = guarded(by);
        both_guards.guards.insert(0, guarded(0).guards.remove(0));
        let found = log.append(both_guards).await.unwrap();
        assert_eq!(found, Verdict::Guarded { by });
    }
}

#[tokio::test]
async fn a_guard_names_some_tags_and_types_and_not_too_many() {
    let many = |max: usize| (0..=max).map(|n| n.to_string()).collect::<Vec<_>>();
    for log in both().await {
        let with = |tags: Vec<String>, event_types: Vec<String>| Guard {
            tags,
            event_types,
            after: 0,
        };
        let type_of = || vec!["test.Happened".to_owned()];
        for malformed in [
            with(vec![], type_of()),
            with(many(GUARD_TAGS_MAX), type_of()),
            with(vec!["a:1\u{1f}b:1".to_owned()], type_of()),
            with(vec!["a:1".to_owned(), String::new()], type_of()),
            with(vec!["a:1".to_owned()], vec![]),
            with(vec!["a:1".to_owned()], many(GUARD_TYPES_MAX)),
        ] {
            let mut request = one("task-1");
            request.guards.push(malformed.clone());
            let found = log.append(request).await;
            assert!(matches!(found, Err(Error::Malformed(_))), "{malformed:?}");
        }
        let mut request = one("task-1");
        request.guards = vec![
            with(many(GUARD_TAGS_MAX - 1), type_of()),
            with(vec!["a:1".to_owned()], many(GUARD_TYPES_MAX - 1)),
        ];
        appended(log.append(request).await.unwrap());
    }
}

/// How many types a guard with several tags may have, if it is the only one.
const COSTLY_TYPES: usize = SEEKS_PER_APPEND_MAX / GUARD_SEEKS_MAX;

fn guard(tags: &[&str], types: usize) -> Guard {
    Guard {
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        event_types: (0..types).map(|n| n.to_string()).collect(),
        after: 0,
    }
}

#[tokio::test]
async fn what_all_guards_of_an_append_may_cost_together_is_bounded() {
    const TWO: [&str; 2] = ["a:1", "b:1"];
    for log in both().await {
        let with = |guards: Vec<Guard>| Append {
            guards,
            ..one("task-1")
        };
        for within in [
            vec![guard(&TWO, COSTLY_TYPES)],
            vec![guard(&TWO, 1); GUARDS_PER_APPEND_MAX],
            vec![
                guard(&["a:1"], GUARD_TYPES_MAX),
                guard(&TWO, COSTLY_TYPES - 1),
            ],
        ] {
            appended(log.append(with(within)).await.unwrap());
        }
        let other = |n: usize| Guard {
            after: i64::try_from(n).unwrap(),
            ..guard(&TWO, 1)
        };
        for beyond in [
            vec![guard(&TWO, COSTLY_TYPES + 1)],
            vec![guard(&TWO, COSTLY_TYPES), guard(&["a:1"], 1)],
            (0..=COSTLY_TYPES).map(other).collect(),
        ] {
            let found = log.append(with(beyond)).await;
            assert!(matches!(found, Err(Error::Malformed(_))), "{found:?}");
        }
    }
}

#[tokio::test]
async fn what_guards_say_twice_is_not_paid_twice() {
    let twice = |guard: &Guard| {
        let each_twice = |names: &[String]| {
            let twice = names.iter().flat_map(|name| [name.clone(), name.clone()]);
            twice.collect()
        };
        let guard = Guard {
            tags: each_twice(&guard.tags),
            event_types: each_twice(&guard.event_types),
            after: guard.after,
        };
        [guard.clone(), guard]
    };
    for log in both().await {
        let with = |guard: &Guard| Append {
            guards: twice(guard).into(),
            ..one("task-1")
        };
        for once in [
            guard(&["a:1"], GUARD_TYPES_MAX / 2),
            guard(&["a:1", "b:1"], COSTLY_TYPES),
        ] {
            appended(log.append(with(&once)).await.unwrap());
        }
        // Nor is it looked for twice: that would come to the bound before the end.
        let pair = ["a:1", "b:1"].map(|tag| event("test.Happened", &[tag]));
        let pairs = vec![pair; GUARD_SEEKS_MAX / 2 - 1].concat();
        appended(
            log.append(append("task-2", Expected::Any, pairs))
                .await
                .unwrap(),
        );
        let once = Guard {
            event_types: vec!["test.Happened".to_owned()],
            ..guard(&["a:1", "b:1"], 1)
        };
        appended(log.append(with(&once)).await.unwrap());
    }
}

/// How many entries of the tags' indexes were read, by whoever has ended.
async fn tags_read(database: &TestDatabase) -> i64 {
    sqlx::query_scalar(
        "select sum(idx_tup_read)::bigint
         from pg_stat_user_indexes
         where relname like 'tags\\_%'",
    )
    .fetch_one(&mut owner(database).await)
    .await
    .unwrap()
}

#[tokio::test]
async fn what_a_guard_costs_does_not_grow_with_what_it_passes_over() {
    const PASSED_OVER: usize = 20_000;
    const GUARDED: i64 = 100;
    let database = database_with_large_segments().await;
    let log = open(&database, Service::Command).await;
    let happened = || event("test.Happened", &["project:1"]);
    for n in 0..PASSED_OVER / EVENTS_PER_APPEND_MAX {
        let events = (0..EVENTS_PER_APPEND_MAX).map(|_| happened()).collect();
        appended(
            log.append(append(&format!("other-{n}"), Expected::Any, events))
                .await
                .unwrap(),
        );
    }
    drop(log);
    sqlx::raw_sql("analyze")
        .execute(&mut owner(&database).await)
        .await
        .unwrap();
    ended(&database).await;

    let before = tags_read(&database).await;
    let log = open(&database, Service::Command).await;
    for n in 0..GUARDED {
        appended(log.append(guarded(&format!("task-{n}"), 0)).await.unwrap());
    }
    drop(log);
    ended(&database).await;
    let read = tags_read(&database).await - before;
    assert!(read <= 10 * GUARDED, "{read} entries were read");
}

#[tokio::test]
async fn of_several_tags_the_rarest_leads_whichever_it_is() {
    const COMMON: usize = 20_000;
    const RARE: usize = 10;
    const GUARDED: usize = 20;
    let database = database_with_large_segments().await;
    let log = open(&database, Service::Command).await;
    for n in 0..COMMON / EVENTS_PER_APPEND_MAX {
        let of_rare = n % (COMMON / EVENTS_PER_APPEND_MAX / RARE) == 0;
        let events = (0..EVENTS_PER_APPEND_MAX).map(|index| match index {
            500 if of_rare => event("test.Happened", &["rare:1"]),
            _ => event("test.Happened", &["common:1", "common:2"]),
        });
        let many = append(&format!("other-{n}"), Expected::Any, events.collect());
        appended(log.append(many).await.unwrap());
    }
    drop(log);
    sqlx::raw_sql("analyze")
        .execute(&mut owner(&database).await)
        .await
        .unwrap();
    for place in 0..3 {
        ended(&database).await;
        let mut tags = vec!["common:1", "common:2"];
        tags.insert(place, "rare:1");
        let before = tags_read(&database).await;
        let log = open(&database, Service::Command).await;
        for n in 0..GUARDED {
            let stream = format!("task-{place}-{n}");
            let guarded = by_tags(&stream, &tags, &["test.Happened"], 0);
            appended(log.append(guarded).await.unwrap());
        }
        drop(log);
        ended(&database).await;
        let read = tags_read(&database).await - before;
        let of_each = i64::try_from(GUARDED * (RARE + 1) * 4).unwrap();
        assert!(read <= of_each, "{read} entries were read with {tags:?}");
    }
}

#[tokio::test]
async fn a_guard_whose_tags_have_not_agreed_within_its_bound_is_answered_as_if_they_had() {
    // Each pair is an entry of the one tag after an entry of the other.
    let pairs = |count: usize| {
        let pair = ["a:1", "b:1"].map(|tag| event("test.Happened", &[tag]));
        vec![pair; count].concat()
    };
    for log in both().await {
        let within = append("task-1", Expected::Any, pairs(GUARD_SEEKS_MAX / 2 - 1));
        appended(log.append(within).await.unwrap());
        let guarded = |after| by_tags("task-2", &["a:1", "b:1"], &["test.Happened"], after);
        appended(log.append(guarded(0)).await.unwrap());
        let beyond = append("task-1", Expected::Any, pairs(2));
        let end = appended(log.append(beyond).await.unwrap()).cursor.position;
        // What is newer than the position named is not excluded: whoever loads anew gets further.
        let by = 2;
        let found = log.append(guarded(0)).await.unwrap();
        assert_eq!(found, Verdict::Guarded { by });
        appended(log.append(guarded(by)).await.unwrap());
        appended(log.append(guarded(end)).await.unwrap());
    }
}

/// Waits until nobody is connected any more: what a session counted is seen when it ends.
pub async fn ended(database: &TestDatabase) {
    let mut owner = owner(database).await;
    for _ in 0..200 {
        let others: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
        )
        .fetch_one(&mut owner)
        .await
        .unwrap();
        if others == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("somebody stays connected");
}

#[tokio::test]
async fn a_guard_beyond_the_head_is_refused_as_one_whatever_shares_its_batch() {
    for log in both().await {
        // Over many segments, which decides how guards are looked for.
        let tagged = (0..10 * SEGMENT_POSITIONS).map(|_| event("test.Happened", &["project:7"]));
        appended(
            log.append(append("task-1", Expected::NoStream, tagged.collect()))
                .await
                .unwrap(),
        );
        // One of its guards is hit, too.
        let mut request = by_tags("task-2", &["project:7"], &["test.Happened"], 0);
        request.guards.push(Guard {
            after: Position::MAX,
            ..request.guards[0].clone()
        });
        let again = Append {
            command_id: uuid::Uuid::now_v7(),
            ..request.clone()
        };
        let conflicting = append(
            "task-3",
            Expected::Exactly(5),
            vec![event("test.Happened", &[])],
        );
        // Whatever else is in its way is said first, however far beyond it is.
        let mut stale = by_tags("task-1", &["project:7"], &["test.Happened"], Position::MAX);
        stale.writes[0].expected = Expected::Exactly(7);
        let stale = log.append(stale).await;
        assert!(matches!(stale, Ok(Verdict::Conflict { .. })), "{stale:?}");
        let alone = log.append(again).await;
        let (beside, shared) = tokio::join!(log.append(conflicting), log.append(request));
        assert!(matches!(beside, Ok(Verdict::Conflict { .. })), "{beside:?}");
        for found in [alone, shared] {
            assert!(matches!(found, Err(Error::BeyondHead { .. })), "{found:?}");
        }
    }
}

#[tokio::test]
async fn an_append_that_the_database_refuses_costs_those_of_its_batch_a_few_statements_and_not_one_each()
 {
    let database = database_with_large_segments().await;
    let log = open(&database, Service::Command).await;
    appended(log.append(one("task-0")).await.unwrap());
    let good = 200;
    let mut appends: Vec<Append> = (1..=good).map(|n| one(&format!("task-{n}"))).collect();
    appends.insert(70, guarded("task-bad", Position::MAX));
    let answers = join_all(appends.into_iter().map(|append| log.append(append))).await;
    let stored = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(stored, good);
    let batches: i64 = sqlx::query_scalar("select count(*) from log.batches")
        .fetch_one(&mut owner(&database).await)
        .await
        .unwrap();
    assert!(batches <= 24, "{batches} batches for {good} appends");
}
