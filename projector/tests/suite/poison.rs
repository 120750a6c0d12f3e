//! An event that can never be folded stops its own partition, in front of itself, and nothing else.

use foldline_projector::Poison;

use crate::{
    history::{History, task_created},
    seeded::seeded,
    support::{Views, apply},
};
use uuid::Uuid;

/// A history and what becomes of it when one event of it is spoilt.
async fn spoilt(spoil: impl Fn(&mut foldline_events::Recorded)) -> Poison {
    let good = seeded(10, 400);
    // In the middle, with events of its partition before and after it.
    let position = 200;
    let partition = good.partition_at(position);
    let mut bad = seeded(10, 400);
    spoil(&mut bad.events[199]);

    let views = Views::new().await;
    let mut writer = views.writer().await;
    let applied = writer.apply(bad.whole()).await.unwrap();
    assert_eq!(applied.poisoned.len(), 1, "{:?}", applied.poisoned);
    assert!(!writer.folds(partition));
    assert!(writer.folded_through(partition).unwrap() < position);
    let others =
        format!("select distinct position from views.checkpoints where partition <> {partition}");
    assert_eq!(views.all::<i64>(&others).await, [good.head()]);
    let beyond = format!(
        "select count(*) from views.task_view where partition = {partition} and position >= 200"
    );
    assert_eq!(views.all::<i64>(&beyond).await, [0]);

    // Later deliveries of the partition wait, too.
    let later = bad.slice(partition, position, bad.head());
    assert_eq!(apply(&mut writer, vec![later]).await.events, 0);

    // Once it can be read, the partition goes on from its checkpoint, and nothing is missing.
    writer.take(&[partition]).await.unwrap();
    apply(&mut writer, good.whole()).await;
    let whole = Views::new().await;
    apply(&mut whole.writer().await, good.whole()).await;
    assert_eq!(views.rows().await, whole.rows().await);
    applied.poisoned.into_iter().next().unwrap()
}

#[tokio::test]
async fn an_unknown_event_type_stops_only_its_partition() {
    let poison = spoilt(|event| event.event_type = "tasks.TaskAbducted".to_owned()).await;
    assert_eq!(poison.position, 200);
    assert!(poison.why.contains("run a newer one"), "{}", poison.why);
}

#[tokio::test]
async fn an_unreadable_payload_stops_only_its_partition() {
    let poison = spoilt(|event| event.payload = "{\"label\":1".to_owned()).await;
    assert_eq!(poison.position, 200);
}

#[tokio::test]
async fn a_missing_event_stops_only_its_partition() {
    let poison = spoilt(|event| event.version += 1).await;
    assert_eq!(poison.position, 200);
    assert!(poison.why.contains("version"), "{}", poison.why);
}

#[tokio::test]
async fn an_event_that_the_database_refuses_stops_only_its_partition() {
    let mut history = History::default();
    let project = Uuid::from_u128(1);
    for n in 0..40 {
        let title = if n == 20 { "a NUL: \0" } else { "fine" };
        history.task(
            "acme",
            Uuid::from_u128(0x7000 + n),
            task_created(project, title, None),
        );
    }
    let views = Views::new().await;
    let mut writer = views.writer().await;
    let applied = writer.apply(history.whole()).await.unwrap();
    let positions: Vec<i64> = applied
        .poisoned
        .iter()
        .map(|poison| poison.position)
        .collect();
    assert_eq!(positions, [21]);
    let partition = history.partition_at(21);
    let of_others = history
        .events
        .iter()
        .filter(|event| event.partition != partition)
        .count();
    let before = history
        .events
        .iter()
        .filter(|event| event.partition == partition && event.position < 21)
        .count();
    let total = "select total from views.project_dashboard";
    assert_eq!(
        views.all::<i64>(total).await,
        [i64::try_from(of_others + before).unwrap()]
    );
}

#[tokio::test]
async fn an_event_that_was_folded_before_need_not_be_read_again() {
    let mut history = seeded(11, 100);
    let views = Views::new().await;
    let mut writer = views.writer().await;
    apply(&mut writer, history.whole()).await;
    for event in &mut history.events {
        event.event_type = "tasks.TaskAbducted".to_owned();
    }
    apply(&mut writer, history.whole()).await;
}
