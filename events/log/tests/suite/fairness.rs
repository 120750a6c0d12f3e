//! Tenants share a log's queue and its batches; none can take them from the others.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use foldline_events::Tenant;
use foldline_log::{
    Append, BYTES_PER_APPEND_MAX, EVENTS_PER_APPEND_MAX, Error, Expected, Full, Log,
    PAYLOAD_BYTES_MAX, Verdict,
};
use futures_util::future::{join, join_all};

use crate::store::{append, appended, event, log, one};

/// More than may wait.
const FLOOD_APPENDS: usize = 5_000;
/// More than may wait of one tenant.
const READS: usize = 3_000;

async fn of_tenant(log: &Log, tenant: &str, append: Append) -> Result<Verdict, Error> {
    let append = Append {
        tenant: Tenant::parse(tenant).unwrap(),
        ..append
    };
    log.append(append).await
}

#[tokio::test]
async fn a_flood_of_one_tenant_neither_shuts_out_nor_holds_up_another() {
    let log = log().await;
    let flood = (0..FLOOD_APPENDS).map(|n| of_tenant(&log, "acme", one(&format!("task-{n}"))));
    let single = of_tenant(&log, "umbrella", one("task-1"));

    let (flood, single) = join(join_all(flood), single).await;

    let single = appended(single.unwrap()).cursor.position;
    let mut last = 0;
    let mut turned_away = 0;
    for verdict in flood {
        match verdict {
            Ok(verdict) => last = last.max(appended(verdict).cursor.position),
            Err(Error::Overloaded { tenant, full }) => {
                assert_eq!((tenant.as_str(), full), ("acme", Full::AppendsOfTenant));
                turned_away += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(turned_away > 0, "all {FLOOD_APPENDS} were let in");
    assert!(
        single < last,
        "the single append came last, at position {single}"
    );
}

#[tokio::test]
async fn a_flood_of_large_appends_does_not_hold_up_another_tenant() {
    let log = log().await;
    let large = |n: usize| {
        let events = vec![event("test.Happened", &[]); EVENTS_PER_APPEND_MAX];
        append(&format!("task-{n}"), Expected::Any, events)
    };
    let flood = (0..6).map(|n| of_tenant(&log, "acme", large(n)));
    let single = of_tenant(&log, "umbrella", one("task-1"));

    let (flood, single) = join(join_all(flood), single).await;

    for verdict in flood {
        appended(verdict.unwrap());
    }
    let single = appended(single.unwrap()).cursor.position;
    let one_batch = i64::try_from(EVENTS_PER_APPEND_MAX).unwrap();
    assert!(single <= one_batch + 1, "it came at position {single}");
}

#[tokio::test]
async fn what_waits_is_bounded_in_bytes_too_and_leaves_room_for_another_tenant() {
    // More than all tenants may have waiting.
    const FLOOD_APPENDS: usize = 13;
    let log = log().await;
    let large = |n: usize| {
        let mut events =
            vec![event("test.Happened", &[]); BYTES_PER_APPEND_MAX / PAYLOAD_BYTES_MAX - 1];
        for event in &mut events {
            event.encoded.payload = "1".repeat(PAYLOAD_BYTES_MAX);
        }
        append(&format!("task-{n}"), Expected::Any, events)
    };
    let flood = (0..FLOOD_APPENDS).map(|n| of_tenant(&log, "acme", large(n)));
    let single = of_tenant(&log, "umbrella", large(0));

    let (flood, single) = join(join_all(flood), single).await;

    appended(single.unwrap());
    let (mut stored, mut turned_away) = (0, 0);
    for verdict in flood {
        match verdict {
            Ok(verdict) => {
                appended(verdict);
                stored += 1;
            }
            Err(Error::Overloaded { tenant, full }) => {
                assert_eq!((tenant.as_str(), full), ("acme", Full::BytesOfTenant));
                turned_away += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(stored > 0 && turned_away > 0, "{stored} were let in");
    // It was for what waited then.
    appended(of_tenant(&log, "acme", large(FLOOD_APPENDS)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_a_tenant_that_floods_keep_no_other_tenant_s_read_waiting() {
    let log = log().await;
    let of = |name: &str| Tenant::parse(name).unwrap();
    let (flooding, other) = (of("flooding"), of("other"));
    let answered = AtomicUsize::new(0);
    let flood = join_all((0..READS).map(|n| {
        let (log, flooding, answered) = (&log, &flooding, &answered);
        async move {
            let read = log
                .read_to_fold(flooding, &format!("task-{n}"), 0, 10)
                .await;
            answered.fetch_add(1, Ordering::Relaxed);
            read
        }
    }));
    let read = async {
        // After the others have got in line.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let before = answered.load(Ordering::Relaxed);
        log.read_to_fold(&other, "task-1", 0, 10).await.unwrap();
        answered.load(Ordering::Relaxed) - before
    };
    let (flood, waited_for) = tokio::join!(flood, read);
    assert!(waited_for < READS / 4, "it waited for {waited_for}");
    let is_turned_away = |read: &Result<_, Error>| {
        let full = Full::ReadsOfTenant;
        matches!(read, Err(Error::Overloaded { full: why, .. }) if *why == full)
    };
    for read in &flood {
        assert!(read.is_ok() || is_turned_away(read), "{read:?}");
    }
    assert!(flood.iter().any(is_turned_away));
    assert!(flood.iter().any(Result::is_ok));
}
