//! Reading part of the log: what is selected, in which order, and what it costs.

use chrono::{DateTime, Duration, Utc};
use foldline_events::{Recorded, Tenant, Version};
use foldline_log::{
    AnyLog, Append, EVENTS_PER_APPEND_MAX, Error, Expected, Log, PAGE_EVENTS_MAX, Selection,
    Service, TAGGED_POSITIONS_MAX, WALK_PAGE_EVENTS, WINDOW_POSITIONS_MAX,
};
use foldline_schema::testing::TestDatabase;
use futures_util::{StreamExt, TryStreamExt};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use uuid::Uuid;

use crate::{
    guards::ended,
    store::{
        append, appended, both, database, database_with_large_segments, event, open, owner, tenant,
    },
};

const TYPES: [&str; 3] = ["test.Happened", "test.Renamed", "test.Archived"];
const TAGS: [&str; 3] = ["a:1", "a:2", "b_%:1"];
/// Two of them begin alike, and the characters that `like` would take for others are in one.
const STREAMS: [&str; 4] = ["task-1", "task-10", "ta_k-1", "project-1"];

fn of(name: &str) -> Tenant {
    Tenant::parse(name).unwrap()
}

/// One of these, or none.
fn maybe<T: Clone>(random: &mut StdRng, choices: &[T]) -> Option<T> {
    let choice = random.random_range(0..=choices.len());
    choices.get(choice).cloned()
}

fn any_append(random: &mut StdRng) -> Append {
    let stream = maybe(random, &STREAMS).unwrap_or("task-1");
    let events = (0..random.random_range(1..4)).map(|_| {
        let tags: Vec<&str> = TAGS
            .iter()
            .filter_map(|tag| maybe(random, &[*tag]))
            .collect();
        event(maybe(random, &TYPES).unwrap_or(TYPES[0]), &tags)
    });
    let events = events.collect();
    Append {
        tenant: maybe(random, &[of("other")]).unwrap_or_else(tenant),
        ..append(stream, Expected::Any, events)
    }
}

fn any_selection(random: &mut StdRng, times: &[DateTime<Utc>], events: &[Recorded]) -> Selection {
    let many = |random: &mut StdRng, choices: &[&str]| {
        let chosen = choices.iter().filter_map(|it| maybe(random, &[*it, *it]));
        chosen.take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    Selection {
        tenant: maybe(random, &[tenant(), of("other"), of("nobody")]),
        stream_prefix: maybe(random, &["task-1", "ta_", "t%", ""]).map(str::to_owned),
        types: if random.random_bool(0.5) {
            vec![]
        } else {
            many(random, &TYPES)
        },
        tags: if random.random_bool(0.3) {
            vec![]
        } else {
            many(random, &TAGS)
        },
        named: any_id(random, events, |event| [event.id, event.command_id]),
        correlation_id: any_id(random, events, |event| [event.correlation_id, event.id]),
        recorded_from: maybe(random, times).filter(|_| random.random_bool(0.3)),
        recorded_before: maybe(random, times).filter(|_| random.random_bool(0.3)),
    }
}

/// Seldom one of the ids of an event, most often none.
fn any_id(
    random: &mut StdRng,
    events: &[Recorded],
    ids: impl Fn(&Recorded) -> [Uuid; 2],
) -> Option<Uuid> {
    let event = &events[random.random_range(0..events.len())];
    maybe(random, &ids(event)).filter(|_| random.random_bool(0.1))
}

/// All pages of a selection, newest first; each must keep what a page promises.
async fn all_pages_backward(
    log: &AnyLog,
    selection: &Selection,
    before: i64,
    limit: usize,
) -> Vec<Recorded> {
    let (mut all, mut before) = (vec![], before);
    loop {
        let page = log.read_selected_backward(selection, before, limit);
        let page = page.await.unwrap();
        assert!(page.events.len() <= limit);
        let within = |event: &Recorded| page.through <= event.position && event.position < before;
        assert!(page.events.iter().all(within));
        all.extend(page.events);
        if page.through == 0 {
            return all;
        }
        assert!(page.through < before, "a page that does not advance");
        before = page.through;
    }
}

/// All pages of a selection; each must keep what a page promises.
async fn all_pages(log: &AnyLog, selection: &Selection, after: i64, limit: usize) -> Vec<Recorded> {
    let (mut all, mut after) = (vec![], after);
    loop {
        let page = log.read_selected(selection, after, limit).await.unwrap();
        assert!(page.events.len() <= limit);
        let within = |event: &Recorded| after < event.position && event.position <= page.through;
        assert!(page.events.iter().all(within));
        all.extend(page.events);
        if page.through == page.head {
            return all;
        }
        assert!(after < page.through, "a page that does not advance");
        after = page.through;
    }
}

#[tokio::test]
async fn every_selection_gives_what_fulfils_it_in_order_whatever_the_page() {
    const SEED: u64 = 20_240_203;
    for log in both().await {
        let mut random = StdRng::seed_from_u64(SEED);
        for _ in 0..150 {
            appended(log.append(any_append(&mut random)).await.unwrap());
        }
        let events = log.read(0, 1_000).await.unwrap();
        let mut times: Vec<DateTime<Utc>> = events.iter().map(|it| it.recorded_at).collect();
        // Between two microseconds, which are all that the log keeps; and beyond what the database knows.
        times.extend(
            times
                .clone()
                .iter()
                .map(|at| *at + Duration::nanoseconds(500)),
        );
        times.extend([DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC].repeat(20));
        let mut found = 0;
        for _ in 0..300 {
            let selection = any_selection(&mut random, &times, &events);
            let after = random.random_range(0..=100);
            let limit = random.random_range(1..20);
            let selected = events
                .iter()
                .filter(|event| event.position > after && selection.selects(event));
            let selected: Vec<Recorded> = selected.cloned().collect();
            let paged = all_pages(&log, &selection, after, limit).await;
            assert_eq!(paged, selected, "{selection:?} after {after}, by {limit}");
            let walked: Vec<Recorded> = log.walk(&selection, after).try_collect().await.unwrap();
            assert_eq!(walked, selected, "{selection:?} after {after}, walked");
            let back = all_pages_backward(&log, &selection, i64::MAX, limit).await;
            let all = events.iter().filter(|event| selection.selects(event)).rev();
            assert!(all.eq(&back), "{selection:?} by {limit}, backward");
            found += usize::from(!selected.is_empty());
        }
        assert!(found > 100, "too few selections found anything: {found}");
    }
}

#[tokio::test]
async fn a_stream_and_the_log_are_walked_over_all_their_pages() {
    let more_than_two_pages = 2 * WALK_PAGE_EVENTS + 1;
    for log in both().await {
        let events = (0..more_than_two_pages).map(|_| event("test.Happened", &[]));
        let many = append("task-1", Expected::NoStream, events.collect());
        let last = appended(log.append(many).await.unwrap()).version;
        let forward = log.walk_stream(&tenant(), "task-1", 1);
        let forward = forward
            .map_ok(|event| event.version)
            .try_collect::<Vec<_>>();
        assert_eq!(forward.await.unwrap(), (2..=last).collect::<Vec<_>>());
        let positions = log.walk(&Selection::default(), 1);
        let positions = positions
            .map_ok(|event| event.position)
            .try_collect::<Vec<_>>();
        assert_eq!(positions.await.unwrap(), (2..=last).collect::<Vec<_>>());
        let backward = log.walk_stream_backward(&tenant(), "task-1", Version::MAX);
        let backward = backward
            .map_ok(|event| event.version)
            .try_collect::<Vec<_>>();
        assert_eq!(
            backward.await.unwrap(),
            (1..=last).rev().collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn a_page_holds_no_more_than_its_maximum_and_begins_nowhere_beyond_the_head() {
    // By tag, a page ends after some segments, so they are as large as in production.
    let database = database_with_large_segments().await;
    let [_, in_memory] = both().await;
    let in_postgres = AnyLog::Postgres(open(&database, Service::Command).await);
    for log in [in_postgres, in_memory] {
        for n in 0..2 {
            let events = (0..EVENTS_PER_APPEND_MAX).map(|_| event("test.Happened", &["a:1"]));
            let many = append(&format!("task-{n}"), Expected::Any, events.collect());
            appended(log.append(many).await.unwrap());
        }
        let head = log.head().await.unwrap().position;
        for tags in [vec![], vec!["a:1".to_owned()]] {
            let selection = Selection {
                tenant: Some(tenant()),
                tags,
                ..Selection::default()
            };
            let page = log.read_selected(&selection, 0, usize::MAX).await.unwrap();
            assert_eq!(page.events.len(), PAGE_EVENTS_MAX);
            assert_eq!((page.through, page.head), (1_000, head));
            let page = log.read_selected(&selection, head, 10).await.unwrap();
            assert!(page.events.is_empty() && page.through == head);
            let beyond = log.read_selected(&selection, head + 1, 10).await;
            assert!(
                matches!(beyond, Err(Error::BeyondHead { position, head: at }) if (position, at) == (head + 1, head))
            );
        }
    }
}

#[tokio::test]
async fn a_reader_with_no_right_to_the_table_of_tags_reads_by_tags_all_the_same() {
    let database = database().await;
    let log = open(&database, Service::Command).await;
    for tags in [&["a:1"][..], &["a:2"], &["a:1", "a:2"]] {
        let tagged = append("task-1", Expected::Any, vec![event("test.Happened", tags)]);
        appended(log.append(tagged).await.unwrap());
    }
    let selection = Selection {
        tenant: Some(tenant()),
        tags: vec!["a:1".to_owned()],
        ..Selection::default()
    };
    for service in [Service::Relay, Service::Projector] {
        let reader = open(&database, service).await;
        let page = reader.read_selected(&selection, 0, 10).await.unwrap();
        let positions = page.events.iter().map(|event| event.position);
        assert_eq!(positions.collect::<Vec<_>>(), [1, 3], "{service:?}");
    }
}

/// How many events the log of the tests below holds: several windows.
const MANY: usize = 3 * WINDOW_POSITIONS_MAX;
const PER_APPEND: usize = EVENTS_PER_APPEND_MAX;

/// All events carry `common:1`, of two types; the 1,000th of each append `rare:1`; the one before it is `test.Rare`.
async fn large_log() -> TestDatabase {
    let database = database_with_large_segments().await;
    let log = open(&database, Service::Command).await;
    for n in 0..MANY / PER_APPEND {
        let events = (1..=PER_APPEND).map(|n| match PER_APPEND - n {
            0 => event("test.Happened", &["common:1", "rare:1"]),
            1 => event("test.Rare", &["common:1"]),
            n if n % 2 == 0 => event("test.Happened", &["common:1"]),
            _ => event("test.Renamed", &["common:1"]),
        });
        let many = append(&format!("task-{n}"), Expected::Any, events.collect());
        appended(log.append(many).await.unwrap());
    }
    drop(log);
    let analyze = sqlx::raw_sql("analyze");
    analyze.execute(&mut owner(&database).await).await.unwrap();
    ended(&database).await;
    database
}

/// How many rows of the events and the tags were read, by whatever way, by those who have ended.
async fn rows_read(database: &TestDatabase) -> i64 {
    sqlx::query_scalar(
        "select (
             select sum(seq_tup_read)
             from pg_stat_user_tables
             where relname ~ '^(events|tags)_'
         )::bigint + (
             select sum(idx_tup_read)
             from pg_stat_user_indexes
             where relname ~ '^(events|tags)_'
         )::bigint",
    )
    .fetch_one(&mut owner(database).await)
    .await
    .unwrap()
}

/// How many rows are read for what is done with a log.
async fn cost(database: &TestDatabase, read: impl AsyncFnOnce(Log)) -> usize {
    let before = rows_read(database).await;
    read(open(database, Service::Projector).await).await;
    ended(database).await;
    usize::try_from(rows_read(database).await - before).unwrap()
}

fn tagged(tags: &[&str]) -> Selection {
    Selection {
        tenant: Some(tenant()),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..Selection::default()
    }
}

#[tokio::test]
async fn what_a_page_reads_is_bounded_however_long_the_log() {
    let database = large_log().await;
    let rare = MANY / PER_APPEND;
    let head = i64::try_from(MANY).unwrap();

    let by_rare_tag = cost(&database, async |log| {
        let selection = tagged(&["common:1", "rare:1"]);
        let page = log.read_selected(&selection, 0, 100).await.unwrap();
        assert_eq!((page.events.len(), page.through), (rare, head));
    });
    let bound = TAGGED_POSITIONS_MAX * 3 + rare * 2 + 50;
    assert!(by_rare_tag.await <= bound, "the rare of two tags");

    let by_common_tag = cost(&database, async |log| {
        for _ in 0..10 {
            let selection = tagged(&["common:1"]);
            let page = log.read_selected(&selection, 20_000, 10).await.unwrap();
            assert_eq!((page.events.len(), page.through), (10, 20_010));
        }
    });
    let bound = 10 * (TAGGED_POSITIONS_MAX * 4 + 50);
    assert!(by_common_tag.await <= bound, "a tag that all events carry");

    let by_tag_and_type = cost(&database, async |log| {
        let selection = Selection {
            types: vec!["test.Rare".to_owned()],
            ..tagged(&["common:1"])
        };
        let page = log.read_selected(&selection, 0, 100).await.unwrap();
        assert_eq!((page.events.len(), page.through), (rare, head));
    });
    assert!(by_tag_and_type.await <= rare * 2 + 50, "a tag and a type");

    let by_time = cost(&database, async |log| {
        let last = log.read(head - 1, 1).await.unwrap();
        let selection = Selection {
            recorded_from: Some(last[0].recorded_at),
            ..Selection::default()
        };
        let page = log.read_selected(&selection, 0, 10).await.unwrap();
        assert_eq!(page.events[0].position, head - 999);
    });
    assert!(by_time.await <= 10 + 100, "a time");
}

#[tokio::test]
async fn a_page_that_found_nothing_says_how_far_it_looked_and_looked_no_further() {
    let database = large_log().await;
    let nobody = Selection {
        tenant: Some(of("nobody")),
        ..Selection::default()
    };
    let no_stream = Selection {
        tenant: Some(tenant()),
        stream_prefix: Some("project-".to_owned()),
        ..Selection::default()
    };
    let no_type = Selection {
        types: vec!["test.Never".to_owned()],
        ..Selection::default()
    };
    let of_all_tenants = Selection {
        tenant: None,
        ..tagged(&["rare:2"])
    };
    let window = i64::try_from(WINDOW_POSITIONS_MAX).unwrap();
    for selection in [nobody, no_stream, no_type, of_all_tenants] {
        let read = cost(&database, async |log| {
            let page = log.read_selected(&selection, 5, 10).await.unwrap();
            assert_eq!((page.events.len(), page.through), (0, window + 5));
        });
        let read = read.await;
        assert!(read <= WINDOW_POSITIONS_MAX + 10, "{read}: {selection:?}");
        let read = cost(&database, async |log| {
            let page = log.read_selected_backward(&selection, 20_000, 10);
            let page = page.await.unwrap();
            assert_eq!((page.events.len(), page.through), (0, 20_000 - window));
        });
        let read = read.await;
        assert!(
            read <= WINDOW_POSITIONS_MAX + 10,
            "{read} backward: {selection:?}"
        );
    }
    // Not so by tag: what carries none is not looked at.
    let read = cost(&database, async |log| {
        let page = log
            .read_selected(&tagged(&["rare:2"]), 5, 10)
            .await
            .unwrap();
        assert_eq!((page.events.len(), page.through), (0, page.head));
    });
    assert!(read.await <= 10);
}

#[tokio::test]
async fn a_walk_reads_no_further_than_its_events_are_taken() {
    let database = large_log().await;
    let taken = WALK_PAGE_EVENTS + 1;
    let read = cost(&database, async |log| {
        let mut walk = log.walk(&Selection::default(), 0).take(taken);
        while let Some(event) = walk.next().await {
            event.unwrap();
        }
    });
    let read = read.await;
    assert!((taken..=3 * WALK_PAGE_EVENTS).contains(&read), "{read}");
}

#[tokio::test]
async fn whoever_reads_the_whole_log_stops_where_an_event_is_missing() {
    let database = database().await;
    let log = open(&database, Service::Command).await;
    for _ in 0..3 {
        let one = append("task-1", Expected::Any, vec![event("test.Happened", &[])]);
        appended(log.append(one).await.unwrap());
    }
    let damage = sqlx::raw_sql("delete from log.events where position = 2");
    damage.execute(&mut owner(&database).await).await.unwrap();
    let everything = Selection::default();
    let found = log.read_selected(&everything, 0, 10).await;
    assert!(matches!(found, Err(Error::Gap { after: 1, found: 3 })));
    let walked: Result<Vec<Recorded>, Error> = log.walk(&everything, 0).try_collect().await;
    assert!(matches!(walked, Err(Error::Gap { after: 1, found: 3 })));
    let back = log.read_selected_backward(&everything, i64::MAX, 10).await;
    assert!(matches!(back, Err(Error::Gap { after: 1, found: 3 })));
    let damage = sqlx::raw_sql("delete from log.events where position < 3");
    damage.execute(&mut owner(&database).await).await.unwrap();
    let back = log.read_selected_backward(&everything, i64::MAX, 10).await;
    assert!(matches!(back, Err(Error::Gap { after: 0, found: 3 })));
}

#[tokio::test]
async fn whoever_reads_the_whole_log_stops_where_its_last_events_are_missing() {
    let database = database().await;
    let log = open(&database, Service::Command).await;
    for _ in 0..3 {
        let one = append("task-1", Expected::Any, vec![event("test.Happened", &[])]);
        appended(log.append(one).await.unwrap());
    }
    let everything = Selection::default();
    let before_the_first = log.read_selected(&everything, -7, 10).await.unwrap();
    assert_eq!(before_the_first.events.len(), 3);
    for (kept, after) in [(2, 0), (2, 2), (0, 0)] {
        let damage = format!("delete from log.events where position > {kept}");
        let damage = sqlx::raw_sql(sqlx::AssertSqlSafe(damage));
        damage.execute(&mut owner(&database).await).await.unwrap();
        // One that has not seen what is gone.
        let log = open(&database, Service::Projector).await;
        let found = log.read_selected(&everything, after, 10).await;
        let is_gap = matches!(found, Err(Error::Gap { after, found: 4 }) if after == kept);
        assert!(is_gap, "{found:?}");
    }
}
