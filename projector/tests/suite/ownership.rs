//! Whoever took a partition over is the only one who can write it.

use foldline_projector::Error;
use uuid::Uuid;

use crate::{
    seeded::seeded,
    support::{EPOCH, Views, all_partitions, apply},
};

#[tokio::test]
async fn a_writer_with_a_lost_fence_writes_nothing() {
    let history = seeded(7, 300);
    let views = Views::new().await;
    let mut slow = views.writer().await;
    apply(&mut slow, history.slices(0, 100)).await;
    let before = views.rows().await;

    let successor = views.writer().await;
    let applied = slow.apply(history.slices(100, 200)).await.unwrap();
    assert_eq!(applied.events, 0);
    assert_eq!(applied.lost, all_partitions());
    assert_eq!(views.rows().await, before);
    assert!(
        all_partitions()
            .into_iter()
            .all(|partition| !slow.folds(partition))
    );
    drop(successor);
}

#[tokio::test]
async fn a_writer_that_lost_some_partitions_goes_on_with_the_others() {
    // Enough to be written in several transactions at once.
    let history = seeded(8, 600);
    let whole = Views::new().await;
    apply(&mut whole.writer().await, history.whole()).await;

    let views = Views::new().await;
    let mut first = views.writer().await;
    let (half, mine): (Vec<i16>, Vec<i16>) = (0..32).partition(|partition| partition % 2 == 0);
    let mut second = views.new_writer(EPOCH).await;
    second.take(&half).await.unwrap();

    let applied = first.apply(history.whole()).await.unwrap();
    assert_eq!(applied.lost, half);
    assert!(mine.into_iter().all(|partition| first.folds(partition)));
    apply(&mut second, history.whole()).await;
    assert_eq!(views.rows().await, whole.rows().await);
}

#[tokio::test]
async fn checkpoints_of_another_log_are_refused_and_left_alone() {
    let history = seeded(9, 50);
    let views = Views::new().await;
    apply(&mut views.writer().await, history.whole()).await;
    let fences = "select fence from views.checkpoints order by view, partition";
    let before: Vec<i64> = views.all(fences).await;

    let mut stranger = views.new_writer(Uuid::from_u128(0xbad)).await;
    let refused = stranger.take(&all_partitions()).await.unwrap_err();
    assert!(
        matches!(
            refused,
            Error::AnotherEpoch {
                checkpoint: EPOCH,
                ..
            }
        ),
        "{refused}"
    );
    assert_eq!(views.all::<i64>(fences).await, before);
}
