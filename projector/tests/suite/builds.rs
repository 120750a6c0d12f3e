//! A view is folded again beside the build that readers see, and shown in its place: nobody sees anything else than rows that
//! their events leave.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use foldline_events::{PARTITIONS, Partition, Position, Recorded};
use foldline_log::{Log, Service};
use foldline_projector::{
    Builds, Differences, Error, Progress, Rebuild, Rebuilt, Stage, View, builds,
};
use sqlx::{Connection, PgConnection, postgres::PgPoolOptions};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    log::{PATIENCE, Running, append, open, replayed},
    proof::execute,
    seeded::seeded,
    support::Views,
};

/// What folds builds in these tests, with what it is told to end by.
struct Folder {
    rebuild: Rebuild,
    told: watch::Receiver<Progress>,
    shutdown: CancellationToken,
}

impl Folder {
    async fn of(views: &Views) -> Self {
        let direct = views.options().options([("role", "foldline_projector")]);
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .connect_with(direct.clone())
            .await
            .unwrap();
        let (progress, told) = watch::channel(Progress::default());
        Self {
            rebuild: Rebuild {
                views: pool,
                direct,
                log: open(views.options(), Service::Projector).await,
                long_log_events: 100,
                progress,
            },
            told,
            shutdown: CancellationToken::new(),
        }
    }

    async fn forward(&self, view: View) -> Rebuilt {
        self.rebuild
            .forward(&[view], false, &self.shutdown)
            .await
            .unwrap()
    }

    async fn back(&self, view: View) -> Rebuilt {
        self.rebuild.back(view, &self.shutdown).await.unwrap()
    }
}

/// The version of a view that readers see.
async fn shown(views: &Views, view: View) -> i32 {
    let statement = format!(
        "select version from views.active where view = '{}'",
        view.name()
    );
    views.all::<i32>(&statement).await.remove(0)
}

fn same(rebuilt: &Rebuilt) -> bool {
    match rebuilt {
        Rebuilt::Shown { differences, .. } => *differences == Differences::default(),
        Rebuilt::Refused(_) | Rebuilt::Ended => false,
    }
}

/// What differs, of a build that was not shown.
fn refused(rebuilt: Rebuilt) -> Differences {
    match rebuilt {
        Rebuilt::Refused(differences) => differences,
        Rebuilt::Shown { .. } | Rebuilt::Ended => panic!("{rebuilt:?}"),
    }
}

/// A log with its first events, and the rest of them.
async fn started(
    views: &Views,
    seed: u64,
    events: usize,
    first: usize,
) -> (Log, Vec<Recorded>, Vec<String>) {
    let history = seeded(seed, events);
    let log = open(views.options(), Service::Command).await;
    let expected = replayed(&history).await;
    let (now, later) = history.events.split_at(first);
    append(&log, now).await;
    (log, later.to_vec(), expected)
}

#[tokio::test]
async fn every_view_is_folded_again_while_events_come_and_can_be_taken_back() {
    let views = Views::new().await;
    let history = seeded(91, 900).events;
    let (log, later, expected) = started(&views, 91, 900, 500).await;
    let running = Running::start(&views).await;
    running.folded(500).await;
    let folder = Folder::of(&views).await;
    let ends = AtomicBool::new(false);
    let appending = append(&log, &later);
    let rebuilding = async {
        for view in View::ALL {
            let before = shown(&views, view).await;
            let rebuilt = folder.forward(view).await;
            assert!(same(&rebuilt), "{view}: {rebuilt:?}");
            assert_eq!(shown(&views, view).await, before + 1, "{view}");
        }
        ends.store(true, Ordering::Relaxed);
    };
    let reading = reads_are_whole(&views, &history, &ends);
    tokio::join!(appending, rebuilding, reading);
    running.folded(900).await;
    assert_eq!(views.rows().await, expected);

    for view in View::ALL {
        let rebuilt = folder.back(view).await;
        assert!(same(&rebuilt), "{view}: {rebuilt:?}");
        assert_eq!(shown(&views, view).await, view.projection(), "{view}");
    }
    assert_eq!(views.rows().await, expected);
    running
        .until(|status| {
            status
                .views
                .iter()
                .all(|it| it.version == 3 || it.version == 4)
        })
        .await;
    for view in View::ALL {
        let dropped = folder.rebuild.drop_others(view).await.unwrap();
        assert_eq!(dropped.len(), 1, "{view}: {dropped:?}");
    }
    let left: Vec<String> = views
        .all("select relname::text from pg_class where relname ~ '_v[0-9]+$' and relkind = 'r' and relname ~ '_v[56]$'")
        .await;
    assert_eq!(left, [""; 0]);
    let written = builds::all(&views.pool).await.unwrap();
    let kept = written.iter().filter(|it| !it.is_dropped).count();
    assert_eq!(kept, View::ALL.len());
    // The number of what was dropped is not given again: sessions may know its tables still.
    assert!(same(&folder.forward(View::TaskView).await));
    assert_eq!(shown(&views, View::TaskView).await, 6);
    running.folded(900).await;
    running.end().await;
}

/// Reads, as a query service does, how far a view is and its rows: they are what the events up to there leave, and nobody is ever
/// taken back.
async fn reads_are_whole(views: &Views, history: &[Recorded], ends: &AtomicBool) {
    let mut reader = views.query(Some("acme")).await;
    let mut furthest = [0; PARTITIONS as usize];
    let mut reads = 0;
    while !ends.load(Ordering::Relaxed) {
        let mut transaction = reader
            .begin_with("begin read only; lock table views.active in access share mode")
            .await
            .unwrap();
        let found: Vec<(Partition, Position, i64)> = sqlx::query_as(
            "select
                 c.partition,
                 c.position,
                 coalesce(sum(t.version), 0)::bigint
             from views.checkpoints c
             join views.active a
                 on a.view = c.view
                 and a.version = c.version
             left join views.task_view t
                 on t.tenant = 'acme'
                 and t.partition = c.partition
             where c.view = 'task_view'
             group by
                 c.partition,
                 c.position",
        )
        .fetch_all(&mut *transaction)
        .await
        .unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(found.len(), furthest.len());
        for (partition, position, versions) in found {
            let before = &mut furthest[usize::try_from(partition).unwrap()];
            assert!(
                position >= *before,
                "taken back from {before} to {position}"
            );
            *before = position;
            let is_folded = |event: &&Recorded| {
                event.tenant.as_str() == "acme"
                    && event.stream.starts_with("task-")
                    && event.partition == partition
                    && event.position <= position
            };
            let events = history.iter().filter(is_folded).count();
            assert_eq!(i64::try_from(events).unwrap(), versions, "up to {position}");
        }
        reads += 1;
    }
    assert!(reads > 50, "{reads}");
}

#[tokio::test]
async fn a_build_that_differs_is_not_shown_unless_that_is_expected() {
    let views = Views::new().await;
    let (_log, _, expected) = started(&views, 92, 400, 400).await;
    let running = Running::start(&views).await;
    running.folded(400).await;
    for (view, wrong, row, field) in [
        (
            View::TaskView,
            "update views.task_view_v4 set title = 'forged' where ctid = (select min(ctid) from views.task_view_v4)",
            "task_view {",
            Some("title"),
        ),
        (
            View::TaskHistory,
            "delete from views.task_history_v3 where ctid = (select min(ctid) from views.task_history_v3)",
            "task_history {",
            None,
        ),
        (
            View::TaskDashboard,
            "update views.task_dashboard_v3 set total = total + 1, open = open + 1, low = low + 1
             where ctid = (select min(ctid) from views.task_dashboard_v3)",
            "task_dashboard {",
            Some("total"),
        ),
    ] {
        execute(&views, wrong).await;
        let folder = Folder::of(&views).await;
        let before = shown(&views, view).await;
        let differences = refused(folder.forward(view).await);
        assert_eq!(
            (differences.count, differences.rows.len()),
            (1, 1),
            "{differences:?}"
        );
        let difference = &differences.rows[0];
        assert!(difference.row.starts_with(row), "{difference:?}");
        assert_eq!(
            difference
                .fields
                .iter()
                .any(|it| Some(it.as_str()) == field),
            field.is_some(),
            "{difference:?}"
        );
        assert_eq!(
            shown(&views, view).await,
            before,
            "readers see what they saw"
        );
        let of_view = [view];
        let expecting = folder.rebuild.forward(&of_view, true, &folder.shutdown);
        let Rebuilt::Shown { differences, .. } = expecting.await.unwrap() else {
            panic!("it is expected");
        };
        assert_eq!(differences.count, 1);
        assert_eq!(shown(&views, view).await, before + 1);
    }
    assert_eq!(views.rows().await, expected);
    running.end().await;
}

#[tokio::test]
async fn a_build_that_was_begun_goes_on_where_it_was() {
    let views = Views::new().await;
    let (log, later, expected) = started(&views, 93, 600, 400).await;
    let running = Running::start(&views).await;
    running.folded(400).await;
    let title = views
        .all::<String>("select title from views.task_view_v4 order by task_id limit 1")
        .await;
    let forge = |title: &str| {
        format!(
            "update views.task_view_v4 set title = '{title}'
             where task_id = (select min(task_id::text)::uuid from views.task_view_v4)"
        )
    };
    execute(&views, &forge("forged")).await;
    let folder = Folder::of(&views).await;
    refused(folder.forward(View::TaskView).await);
    // What is folded already is not folded again: this would come to light.
    execute(&views, "delete from views.task_view_comment_v5").await;
    execute(&views, "delete from views.task_view_comment_v4").await;
    execute(&views, &forge(&title[0])).await;
    append(&log, &later).await;
    assert!(same(&folder.forward(View::TaskView).await));
    assert_eq!(shown(&views, View::TaskView).await, 5);
    running.folded(600).await;
    let without_comments = |rows: Vec<String>| -> Vec<String> {
        let is_other = |row: &String| !row.starts_with("task_view_comment");
        rows.into_iter().filter(is_other).collect()
    };
    let rows = views.rows().await;
    let comments = rows.len() - without_comments(rows.clone()).len();
    let all = expected.len() - without_comments(expected.clone()).len();
    assert!(comments < all, "{comments} of {all}");
    assert_eq!(without_comments(rows), without_comments(expected));
    running.end().await;
}

#[tokio::test]
async fn two_do_not_fold_builds_at_once_and_one_that_was_told_to_end_ends() {
    let views = Views::new().await;
    let (_log, _, _) = started(&views, 94, 100, 100).await;
    let (first, second) = (Folder::of(&views).await, Folder::of(&views).await);
    let mut holder = PgConnection::connect_with(&views.options()).await.unwrap();
    // Nobody can be shown anything while somebody reads.
    let reading = "begin; lock table views.active in access share mode";
    sqlx::raw_sql(reading).execute(&mut holder).await.unwrap();
    let refusing = async {
        let mut told = first.told.clone();
        let shows = |progress: &Progress| progress.stage == Stage::Showing;
        told.wait_for(shows).await.unwrap();
        let refused = second
            .rebuild
            .forward(&[View::TaskView], false, &second.shutdown)
            .await;
        assert!(matches!(refused, Err(Error::BeingRebuilt)), "{refused:?}");
        let refused = second.rebuild.drop_others(View::TaskView).await;
        assert!(matches!(refused, Err(Error::BeingRebuilt)), "{refused:?}");
        assert_eq!(shown(&views, View::TaskView).await, 4);
        first.shutdown.cancel();
    };
    let (rebuilt, ()) = tokio::join!(first.forward(View::TaskView), refusing);
    assert_eq!(rebuilt, Rebuilt::Ended);
    sqlx::raw_sql("rollback")
        .execute(&mut holder)
        .await
        .unwrap();
    assert!(same(&second.forward(View::TaskView).await));
}

#[tokio::test]
async fn readers_wait_for_no_longer_than_a_build_takes_to_be_exchanged_and_see_one_build_throughout()
 {
    let views = Views::new().await;
    let (_log, _, _) = started(&views, 95, 200, 200).await;
    let running = Running::start(&views).await;
    running.folded(200).await;
    let folder = Folder::of(&views).await;
    let mut reader = views.query(Some("acme")).await;
    let mut transaction = reader
        .begin_with("begin read only; lock table views.active in access share mode")
        .await
        .unwrap();
    let which = "select version from views.active where view = 'task_view'";
    let reading = async {
        let mut told = folder.told.clone();
        let shows = |progress: &Progress| progress.stage == Stage::Showing;
        told.wait_for(shows).await.unwrap();
        // It has been tried to exchange it by then, and others come in between.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let version: i32 = sqlx::query_scalar(which)
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
        assert_eq!(version, 4);
        assert_eq!(shown(&views, View::TaskView).await, 4);
        transaction.commit().await.unwrap();
    };
    let (rebuilt, ()) = tokio::join!(folder.forward(View::TaskView), reading);
    assert!(same(&rebuilt), "{rebuilt:?}");
    assert_eq!(shown(&views, View::TaskView).await, 5);
    running.end().await;
}

/// What an older program left: what readers see of `task_view` was folded by the projection before.
async fn as_of_an_older_program(views: &Views) {
    for table in ["builds", "projections"] {
        let older = format!("update views.{table} set projection = 3 where view = 'task_view'");
        execute(views, &older).await;
    }
    let mut owner = PgConnection::connect_with(&views.options()).await.unwrap();
    foldline_projector::install(&mut owner).await.unwrap();
    assert_eq!(
        shown(views, View::TaskView).await,
        4,
        "nothing is shown at once"
    );
}

#[tokio::test]
async fn what_an_older_projection_folded_is_replaced_when_the_newer_build_is_whole() {
    let views = Views::new().await;
    let (log, later, expected) = started(&views, 96, 500, 300).await;
    let head = later.last().unwrap().position;
    let running = Running::start(&views).await;
    running.folded(300).await;
    running.end().await;
    as_of_an_older_program(&views).await;
    let refused = Builds::shown(&views.pool).await;
    assert!(
        matches!(refused, Err(Error::OlderProjection { .. })),
        "{refused:?}"
    );

    let running = Running::start(&views).await;
    let others = Running::start(&views).await;
    append(&log, &later).await;
    for one in [&running, &others] {
        one.folded(head).await;
    }
    assert_eq!(shown(&views, View::TaskView).await, 5);
    assert_eq!(views.rows().await, expected);
    others.end().await;
    running.end().await;

    // Taken back, it is not shown again by itself, and an older program goes on.
    let folder = Folder::of(&views).await;
    let by = |projection: i32| {
        format!(
            "update views.builds set projection = {projection} where view = 'task_view' and version = 4"
        )
    };
    // By the older program, which knows how to fold what it shows again.
    execute(&views, &by(4)).await;
    let rebuilt = folder.back(View::TaskView).await;
    execute(&views, &by(3)).await;
    assert!(same(&rebuilt), "{rebuilt:?}");
    assert_eq!(shown(&views, View::TaskView).await, 4);
    let running = Running::start(&views).await;
    running.waits_for("it was taken back with --rollback").await;
    running.end().await;
    folder.rebuild.drop_others(View::TaskView).await.unwrap();
    // Dropped, it is not forgotten.
    let running = Running::start(&views).await;
    running.waits_for("it was taken back with --rollback").await;
    // Of another view that is older, too, it shows a newer build as soon as nothing is in the way.
    for table in ["builds", "projections"] {
        let older = format!("update views.{table} set projection = 2 where view = 'task_history'");
        execute(&views, &older).await;
    }
    let mut owner = PgConnection::connect_with(&views.options()).await.unwrap();
    foldline_projector::install(&mut owner).await.unwrap();
    let history = shown(&views, View::TaskHistory).await;
    assert!(same(&folder.forward(View::TaskView).await));
    assert_eq!(shown(&views, View::TaskView).await, 6);
    running.folded(head).await;
    assert!(shown(&views, View::TaskHistory).await > history);
    running.end().await;
}

#[tokio::test]
async fn a_newer_build_that_differs_waits_for_somebody_to_expect_it() {
    let views = Views::new().await;
    let (_log, _, expected) = started(&views, 97, 200, 200).await;
    let running = Running::start(&views).await;
    running.folded(200).await;
    running.end().await;
    as_of_an_older_program(&views).await;
    execute(&views, "update views.task_view_v4 set title = 'forged'").await;
    let running = Running::start(&views).await;
    running.waits_for("--expect-differences").await;
    assert_eq!(shown(&views, View::TaskView).await, 4);
    let folder = Folder::of(&views).await;
    let expecting = folder
        .rebuild
        .forward(&[View::TaskView], true, &folder.shutdown);
    assert!(matches!(expecting.await, Ok(Rebuilt::Shown { .. })));
    running.folded(200).await;
    assert_eq!(views.rows().await, expected);
    running.end().await;
}

#[tokio::test]
async fn a_projector_waits_while_readers_see_a_newer_projection_than_it_knows_and_then_folds_on() {
    let views = Views::new().await;
    let (log, later, expected) = started(&views, 98, 200, 100).await;
    let running = Running::start(&views).await;
    running.folded(100).await;
    let by = |projection: i32| {
        format!("update views.builds set projection = {projection} where view = 'task_view'")
    };
    execute(&views, &by(99)).await;
    let rollback = "foldline rebuild task_view --rollback";
    running.waits_for(rollback).await;
    // So does one that begins then. Neither has a partition, for whoever knows the newer projection is to fold.
    let begun = Running::start(&views).await;
    begun.waits_for(rollback).await;
    append(&log, &later).await;
    let sessions = "select count(*) from views.projector_sessions";
    let nobodys = async {
        while sqlx::query_scalar::<_, i64>(sessions)
            .fetch_one(&views.pool)
            .await
            .unwrap()
            > 0
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, nobodys).await.unwrap();
    for one in [&running, &begun] {
        assert_eq!(one.health.status().owned, Vec::<Partition>::new());
    }
    let furthest: Position = sqlx::query_scalar("select max(position) from views.checkpoints")
        .fetch_one(&views.pool)
        .await
        .unwrap();
    assert_eq!(furthest, 100);

    execute(&views, &by(View::TaskView.projection())).await;
    let head = later.last().unwrap().position;
    for one in [&running, &begun] {
        one.folded(head).await;
    }
    assert_eq!(views.rows().await, expected);
    begun.end().await;
    running.end().await;
}

#[tokio::test]
async fn nobody_is_taken_back_to_a_build_that_stands_behind_and_cannot_be_folded_here() {
    let views = Views::new().await;
    let (log, later, _) = started(&views, 99, 300, 200).await;
    let folder = Folder::of(&views).await;
    let running = Running::start(&views).await;
    running.folded(200).await;
    assert!(same(&folder.forward(View::TaskView).await));
    execute(
        &views,
        "update views.builds set projection = 3 where view = 'task_view' and version = 4",
    )
    .await;
    execute(
        &views,
        "insert into views.projections select view, 3, tables, readers from views.projections where view = 'task_view'",
    )
    .await;
    // As far as what readers see, it can be shown as it is; and then it cannot any more.
    running
        .until(|status| status.views.iter().any(|it| it.version == 5))
        .await;
    append(&log, &later).await;
    running.folded(later.last().unwrap().position).await;
    let refused = folder.rebuild.back(View::TaskView, &folder.shutdown).await;
    assert!(
        matches!(refused, Err(Error::BehindAndUnknown { .. })),
        "{refused:?}"
    );
    assert_eq!(shown(&views, View::TaskView).await, 5);
    running.end().await;

    // Nor does an older program show what it folds in the place of what a newer one folded.
    execute(
        &views,
        "update views.builds set projection = 99 where version = 5",
    )
    .await;
    let refused = folder
        .rebuild
        .forward(&[View::TaskView], false, &folder.shutdown)
        .await;
    assert!(
        matches!(refused, Err(Error::NewerProjection { .. })),
        "{refused:?}"
    );
    let hostile = sqlx::query("select views.drop_build('skipped$|x', 1)")
        .execute(&views.pool)
        .await;
    assert!(hostile.is_err(), "only builds are dropped");
}
