//! Snapshots as the service makes them while it works.

use std::time::Duration;

use foldline_command::Outcome;
use foldline_events::tasks::task_stream;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::service::{database, done, handler, log, recorded, task};

/// How long a snapshot may take until it is written, at the very most.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nobody ever loads this stream: its state is in the cache from the first command on.
#[tokio::test]
async fn a_stream_that_grows_by_commands_has_its_snapshot_before_anybody_needs_it() {
    const RENAMINGS: i64 = 520;
    let database = database().await;
    let handler = handler(&database).await;
    let task = task(&handler).await;
    for n in 1..=RENAMINGS {
        let data = format!(r#"{{"title":"title {n}"}}"#);
        done(&handler, task, "tasks.rename_task", &data)
            .await
            .unwrap();
    }
    let mut owner = PgConnection::connect(&database.url).await.unwrap();
    let waiting = async {
        loop {
            let kept: Option<(i64, i64, Uuid)> =
                sqlx::query_as("select version, position, event_id from log.snapshots")
                    .fetch_optional(&mut owner)
                    .await
                    .unwrap();
            if let Some(kept) = kept {
                return kept;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let kept = tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    let events = recorded(&log(&database).await).await;
    let stream = task_stream(task);
    let event = events
        .iter()
        .find(|event| event.stream == stream && event.version == 500)
        .unwrap();
    assert_eq!(kept, (500, event.position, event.id));

    let cold = self::handler(&database).await;
    let data = format!(r#"{{"title":"title {RENAMINGS}"}}"#);
    let again = done(&cold, task, "tasks.rename_task", &data).await.unwrap();
    assert_eq!(
        (again.outcome, again.version),
        (Outcome::Unchanged, RENAMINGS + 1)
    );
}
