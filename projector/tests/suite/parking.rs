//! An event that a view cannot fold parks its own stream in that view, from itself on, and nothing else.

use foldline_events::{PARTITIONS, Recorded, partition_of, tasks::task_stream};
use foldline_projector::{Parked, View, parking::PARKED_MAX};
use uuid::Uuid;

use crate::{
    history::{History, task_created},
    seeded::seeded,
    support::{Views, apply},
};

/// The views that fold streams of tasks.
const OF_TASKS: [View; 3] = [View::TaskView, View::TaskHistory, View::TaskDashboard];

/// An event of a task in the middle of a history: one after which its stream goes on.
fn victim(history: &History) -> Recorded {
    let goes_on = |event: &Recorded| {
        let later = |other: &&Recorded| other.stream == event.stream;
        history.events.iter().rfind(later).unwrap().position > event.position
    };
    let fits = |event: &&Recorded| {
        event.position > 100
            && event.version > 1
            && event.stream.starts_with("task-")
            && goes_on(event)
    };
    history.events.iter().find(fits).unwrap().clone()
}

/// A history of which one event is spoilt, folded as a whole: the views, and what was parked.
async fn spoilt(spoil: impl Fn(&mut Recorded)) -> (Views, Recorded, Vec<Parked>) {
    let mut history = seeded(10, 400);
    let victim = victim(&history);
    spoil(&mut history.events[usize::try_from(victim.position - 1).unwrap()]);

    let views = Views::new().await;
    let mut writer = views.writer().await;
    let applied = writer.apply(history.whole()).await.unwrap();
    assert_eq!(applied.poisoned, []);
    assert!(writer.folds(victim.partition));
    let positions = "select distinct position from views.checkpoints";
    assert_eq!(views.all::<i64>(positions).await, [history.head()]);
    assert_eq!(writer.parked(), applied.parked.len());

    // In two deliveries, and by another writer, the later one finds the stream parked.
    let cut = Views::new().await;
    let mut writer = cut.writer().await;
    writer
        .apply(history.slices(0, victim.position))
        .await
        .unwrap();
    let mut writer = cut.writer().await;
    let rest = history.slices(victim.position, history.head());
    let later = writer.apply(rest).await.unwrap();
    assert_eq!((later.parked, later.poisoned), (vec![], vec![]));
    assert_eq!(cut.rows().await, views.rows().await);
    (views, victim, applied.parked)
}

/// The rows of the same history without the stream of the spoilt event, from there on.
async fn without(victim: &Recorded) -> Vec<String> {
    let history = seeded(10, 400);
    let slices = history.whole().into_iter().map(|mut slice| {
        slice
            .events
            .retain(|event| event.stream != victim.stream || event.position < victim.position);
        slice
    });
    let views = Views::new().await;
    apply(&mut views.writer().await, slices.collect()).await;
    views.rows().await
}

fn views_of(parked: &[Parked]) -> Vec<View> {
    parked.iter().map(|parked| parked.view).collect()
}

#[tokio::test]
async fn an_unknown_event_type_parks_its_stream_in_every_view_that_folds_it() {
    let (views, victim, parked) =
        spoilt(|event| event.event_type = "tasks.TaskAbducted".to_owned()).await;
    assert_eq!(views_of(&parked), OF_TASKS);
    for parked in &parked {
        assert_eq!(
            (parked.position, &parked.stream),
            (victim.position, &victim.stream)
        );
        assert!(parked.why.needs_newer_build);
        assert!(parked.why.text.contains("run a newer one"), "{parked:?}");
    }
    assert_eq!(views.rows().await, without(&victim).await);
}

#[tokio::test]
async fn an_unreadable_payload_parks_its_stream() {
    let (views, victim, parked) = spoilt(|event| event.payload = "{\"label\":1".to_owned()).await;
    assert_eq!(views_of(&parked), OF_TASKS);
    assert!(parked.iter().all(|parked| !parked.why.needs_newer_build));
    assert_eq!(views.rows().await, without(&victim).await);
}

#[tokio::test]
async fn a_missing_event_parks_its_stream_in_the_view_that_misses_it() {
    let (views, victim, parked) = spoilt(|event| event.version += 1_000).await;
    assert_eq!(views_of(&parked), [View::TaskView]);
    assert!(parked[0].why.text.contains("version"), "{parked:?}");
    let of_the_stream = format!(
        "select max(position) from views.task_view where task_id = '{}'",
        victim.aggregate().unwrap()
    );
    let position = views.all::<i64>(&of_the_stream).await[0];
    assert!(position < victim.position, "{position}");
}

#[tokio::test]
async fn an_event_of_a_stream_that_no_view_folds_parks_nothing() {
    let mut history = seeded(12, 100);
    for event in &mut history.events {
        if event.stream.starts_with("taskkey-") {
            event.event_type = "tasks.TaskKeyAbducted".to_owned();
        }
    }
    let views = Views::new().await;
    let applied = apply(&mut views.writer().await, history.whole()).await;
    assert_eq!(applied.parked, []);
}

#[tokio::test]
async fn an_event_that_the_database_refuses_parks_its_stream() {
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
    let parked: Vec<(View, i64)> = applied
        .parked
        .iter()
        .map(|parked| (parked.view, parked.position))
        .collect();
    // The dashboard takes nothing of the title, and the history keeps it as it was written.
    assert_eq!(parked, [(View::TaskView, 21)]);
    let total = "select total from views.project_dashboard";
    assert_eq!(views.all::<i64>(total).await, [40]);
    let rows = "select count(*) from views.task_view";
    assert_eq!(views.all::<i64>(rows).await, [39]);
}

#[tokio::test]
async fn a_partition_stops_before_it_parks_more_streams_than_its_bound() {
    let mut history = History::default();
    let project = Uuid::from_u128(1);
    let streams = PARKED_MAX / OF_TASKS.len() + 1;
    let tenant = foldline_events::Tenant::parse("acme").unwrap();
    let in_one_partition = |task: &Uuid| partition_of(&tenant, &task_stream(*task)) == 7;
    let tasks = (0..).map(Uuid::from_u128).filter(in_one_partition);
    for task in tasks.take(streams) {
        history.task_once("acme", task, task_created(project, "unreadable", None));
    }
    for event in &mut history.events {
        event.event_type = "tasks.TaskAbducted".to_owned();
    }
    let views = Views::new().await;
    let mut writer = views.writer().await;
    let applied = writer.apply(history.whole()).await.unwrap();
    assert_eq!(applied.poisoned.len(), 1);
    let poison = &applied.poisoned[0];
    assert_eq!((poison.partition, poison.position), (7, history.head()));
    assert!(poison.why.contains("parked already"), "{}", poison.why);
    assert!(!writer.folds(7));
    assert_eq!(writer.parked(), (streams - 1) * OF_TASKS.len());
    let others = "select count(*) from views.checkpoints where position = ";
    let others = format!("{others}{}", history.head());
    let views_of_others = i64::from(PARTITIONS - 1) * 4;
    assert_eq!(views.all::<i64>(&others).await, [views_of_others]);
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
    let applied = apply(&mut writer, history.whole()).await;
    assert_eq!(applied.parked, []);
}
