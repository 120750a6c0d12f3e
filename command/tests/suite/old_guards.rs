//! What a guard costs does not depend on how long ago the project changed that it is about.

use std::time::Duration;

use foldline_command::Handler;
use foldline_log::install;
use foldline_schema::testing::TestDatabase;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::service::{done, handler, project, task_data};

/// How many segments there are then, from eight on of which guards are looked after as that is cheapest.
const SEGMENTS: i64 = 12;
const SEGMENT_POSITIONS: i64 = 20;
/// The server counts what its sessions did a second later.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

/// How often each segment's index of tags was looked into.
async fn looks(owner: &mut PgConnection) -> (i64, i64) {
    let of = "select coalesce(sum(idx_scan) filter (where relname = 'tags_0'), 0)::bigint,
                  coalesce(sum(idx_scan) filter (where relname <> 'tags_0'), 0)::bigint
              from pg_stat_user_tables
              where schemaname = 'log' and relname like 'tags\\_%'";
    sqlx::query_as(of).fetch_one(owner).await.unwrap()
}

async fn create(handler: &Handler, project: Uuid) {
    let data = task_data(project);
    done(handler, Uuid::now_v7(), "tasks.create_task", &data)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_task_of_a_project_of_long_ago_is_created_without_a_look_into_old_segments() {
    let database = TestDatabase::empty().await;
    let mut owner = PgConnection::connect(&database.url).await.unwrap();
    foldline_schema::migrate_log(&mut owner, "test", SEGMENT_POSITIONS)
        .await
        .unwrap();
    install(&mut owner).await.unwrap();
    let handler = handler(&database).await;
    let old = project(&handler).await;
    create(&handler, old).await;
    let other = project(&handler).await;
    for n in 0..SEGMENTS * SEGMENT_POSITIONS {
        let name = format!(r#"{{"name":"Name {n}"}}"#);
        done(&handler, other, "tasks.rename_project", &name)
            .await
            .unwrap();
    }
    // A session says what it did with the first statement after a second.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    done(
        &handler,
        other,
        "tasks.rename_project",
        r#"{"name":"Last"}"#,
    )
    .await
    .unwrap();
    tokio::time::sleep(PAUSE).await;
    let (before, began) = looks(&mut owner).await;
    let creating = async {
        loop {
            create(&handler, old).await;
            // Counted together: where the later ones are, the first one's is, too.
            let (of_first, of_later) = looks(&mut owner).await;
            if of_later > began {
                return of_first;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let after = tokio::time::timeout(PATIENCE, creating).await.unwrap();
    assert_eq!(after, before);
}
