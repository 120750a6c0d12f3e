//! However a history is cut into deliveries, and however often they come, the rows are the same.

use foldline_events::{
    PARTITIONS,
    tasks::{
        ProjectArchived, ProjectDescribed, ProjectEvent, ProjectRestored, TaskDescribed, TaskEvent,
    },
};
use foldline_log::Slice;
use uuid::Uuid;

use crate::{
    history::{History, completed, partitions_used, project_created, reopened, task_created},
    seeded::{Random, seeded},
    support::{Views, all_partitions, apply, sized},
};

const EVENTS: usize = 600;

#[tokio::test]
async fn every_delivery_made_twice_changes_nothing() {
    let history = seeded(1, EVENTS);
    let once = Views::new().await;
    let mut writer = once.writer().await;
    apply(&mut writer, history.whole()).await;

    let twice = Views::new().await;
    let mut writer = twice.writer().await;
    for after in (0..history.head()).step_by(50) {
        let through = (after + 50).min(history.head());
        let first = apply(&mut writer, history.slices(after, through)).await;
        assert!(first.events > 0);
        let again = apply(&mut writer, history.slices(after, through)).await;
        assert_eq!((again.events, again.committed_at), (0, None));
    }
    // A successor starts from what is stored, and is given everything once more.
    let mut successor = twice.writer().await;
    let again = apply(&mut successor, history.whole()).await;
    assert_eq!((again.events, again.committed_at), (0, None));
    assert_eq!(twice.rows().await, once.rows().await);
}

#[tokio::test]
async fn any_split_into_deliveries_gives_the_same_rows() {
    let history = seeded(2, EVENTS);
    assert!(partitions_used(&history) > 20);
    let whole = Views::new().await;
    apply(&mut whole.writer().await, history.whole()).await;
    let expected = whole.rows().await;
    assert!(expected.len() > 50);

    for seed in 0..sized(6, 200) {
        let views = Views::new().await;
        let mut writer = views.writer().await;
        for slices in split(&history, seed) {
            apply(&mut writer, slices).await;
        }
        assert_eq!(views.rows().await, expected, "seed {seed}");
    }
}

/// Of each of their events the row before is kept, and some are written before the delivery is folded: none twice, and none is
/// lost.
#[tokio::test]
async fn large_rows_that_change_often_in_one_delivery_give_the_same_rows() {
    let mut history = History::default();
    let (project, task) = (Uuid::from_u128(1), Uuid::from_u128(2));
    history.project("acme", project, project_created("Garden"));
    history.task("acme", task, task_created(project, "Dig", None));
    history.project(
        "acme",
        project,
        ProjectEvent::Described(ProjectDescribed {
            description: Some("p".repeat(3 << 20)),
        }),
    );
    history.task(
        "acme",
        task,
        TaskEvent::Described(TaskDescribed {
            description: Some("t".repeat(3 << 20)),
        }),
    );
    for _ in 0..4 {
        history.task("acme", task, completed(None));
        history.task("acme", task, reopened());
        let archived = ProjectEvent::Archived(ProjectArchived {});
        history.project("acme", project, archived);
        let restored = ProjectEvent::Restored(ProjectRestored {});
        history.project("acme", project, restored);
    }
    let whole = Views::new().await;
    apply(&mut whole.writer().await, history.whole()).await;
    let one_by_one = Views::new().await;
    let mut writer = one_by_one.writer().await;
    for position in 1..=history.head() {
        apply(&mut writer, history.slices(position - 1, position)).await;
    }
    assert_eq!(whole.rows().await, one_by_one.rows().await);
    let past = "select count(*) from views.task_view_past_v4";
    assert_eq!(whole.all::<i64>(past).await, [9]);
}

/// Partitions go forward each at its own pace, some together and some alone, and overlap what was delivered before.
fn split(history: &History, seed: u64) -> Vec<Vec<Slice>> {
    let mut random = Random(seed);
    let mut reached = [0; PARTITIONS as usize];
    let mut deliveries = Vec::new();
    let head = history.head();
    let pace = 1 + 40 * (1 + random.below(8));
    while reached.iter().any(|reached| *reached < head) {
        let mut slices = Vec::new();
        for partition in all_partitions() {
            let reached = &mut reached[usize::try_from(partition).unwrap()];
            if random.below(3) == 0 || *reached == head {
                continue;
            }
            let through = (*reached + 1 + i64::try_from(random.below(pace)).unwrap()).min(head);
            let overlap = i64::try_from(random.below(3)).unwrap();
            slices.push(history.slice(partition, *reached - overlap, through));
            *reached = through;
        }
        deliveries.push(slices);
    }
    deliveries
}

#[tokio::test]
async fn a_view_that_is_less_far_catches_up_alone() {
    let history = seeded(3, EVENTS);
    let whole = Views::new().await;
    apply(&mut whole.writer().await, history.whole()).await;

    let views = Views::new().await;
    apply(&mut views.writer().await, history.slices(0, 300)).await;
    for statement in [
        "delete from views.task_view_v4",
        "delete from views.task_view_comment_v4",
        "delete from views.task_view_mark_v4",
        "delete from views.task_view_past_v4",
        "delete from views.task_view_mark_past_v4",
        "delete from views.checkpoints where view = 'task_view'",
    ] {
        sqlx::query(statement).execute(&views.owner).await.unwrap();
    }
    let mut writer = views.writer().await;
    let starts = writer.starts(&all_partitions());
    assert!(starts.iter().all(|start| start.after.position == 0));
    assert_eq!(
        writer.marks(&[0]).iter().map(|mark| mark.position).max(),
        Some(300)
    );
    apply(&mut writer, history.whole()).await;
    assert_eq!(views.rows().await, whole.rows().await);
}

#[tokio::test]
async fn a_partition_without_events_moves_with_the_others() {
    let mut history = History::default();
    history.project("acme", Uuid::from_u128(1), project_created("one"));
    let views = Views::new().await;
    apply(&mut views.writer().await, history.whole()).await;
    let positions: Vec<i64> = views
        .all("select distinct position from views.checkpoints")
        .await;
    assert_eq!(positions, [1]);
    let count: Vec<i64> = views.all("select count(*) from views.checkpoints").await;
    assert_eq!(count, [4 * i64::from(PARTITIONS)]);
}

#[tokio::test]
async fn a_task_whose_project_is_not_folded_yet_is_folded() {
    let mut history = History::default();
    let (project, task) = (Uuid::from_u128(1), Uuid::from_u128(2));
    history.project("acme", project, project_created("later"));
    let position = history.task("acme", task, task_created(project, "sooner", None));
    let views = Views::new().await;
    let mut writer = views.writer().await;
    let only_the_task = history.slice(history.partition_at(position), 0, position);
    apply(&mut writer, vec![only_the_task]).await;
    let titles: Vec<String> = views.all("select title from views.task_view").await;
    assert_eq!(titles, ["sooner"]);
    let totals: Vec<i64> = views.all("select total from views.project_dashboard").await;
    assert_eq!(totals, [1]);
}

#[tokio::test]
async fn an_offset_is_kept_until_another_one_comes() {
    let mut history = History::default();
    for n in 1..=2 {
        history.project(
            "acme",
            Uuid::from_u128(1),
            project_created(&format!("named {n}")),
        );
    }
    let partition = history.partition_at(1);
    let views = Views::new().await;
    let mut writer = views.writer().await;
    let mut first = history.slice(partition, 0, 1);
    first.offset = Some(42);
    apply(&mut writer, vec![first]).await;
    apply(&mut writer, vec![history.slice(partition, 1, 2)]).await;
    let stored = views.writer().await.starts(&[partition]);
    assert_eq!(stored[0].offset, Some(42));
    assert_eq!(stored[0].after.position, 2);
}
