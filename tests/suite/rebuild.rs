//! `foldline rebuild`: what was done to rows by hand is found, named and mended, whoever dies in between.

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::{
    checks,
    processes::{PATIENCE, Role, Stack, TENANT, finished, foldline, until},
    stored,
    verify::{commands, import, verify},
};

/// What `foldline rebuild … --json` says, and its exit code.
async fn rebuild(url: &str, arguments: &[&str]) -> (i32, Value) {
    let mut command = foldline();
    command
        .arg("rebuild")
        .args(arguments)
        .arg("--json")
        .env("DATABASE_URL", url);
    let (status, said) = finished(command).await;
    let said = said.lines().next().unwrap_or("null");
    (
        status.code().unwrap(),
        serde_json::from_str(said).unwrap_or(Value::Null),
    )
}

/// The rows that a statement returns.
async fn changed(url: &str, statement: &str) -> Vec<String> {
    let mut connection = stored::connect(url).await;
    let rows = sqlx::query_scalar(AssertSqlSafe(statement.to_owned()));
    rows.fetch_all(&mut connection).await.unwrap()
}

#[tokio::test]
async fn what_was_done_to_rows_by_hand_is_found_named_and_mended_even_if_the_projector_dies_of_it()
{
    let folder = foldline_local::temporary_folder().unwrap();
    let mut stack = Stack::started().await;
    let url = stack.database.url.clone();
    let client = stack.client().await;
    import(&commands(folder.path()), &client).await;
    stored::folded(&url, stored::head(&url).await).await;
    let before = stored::rows(&url, TENANT, &[]).await;
    let (code, report) = verify(&url, &[]).await;
    assert_eq!(code, 0, "{report}");

    let by_hand = format!(
        "update views.task_view_comment_v4 set text = 'never said'
         where ctid = (select min(ctid) from views.task_view_comment_v4 where tenant = '{TENANT}')
         returning task_id::text"
    );
    let task = changed(&url, &by_hand).await.remove(0);
    let (code, report) = verify(&url, &["task_view"]).await;
    assert_eq!(code, 1);
    let named = report["checks"].to_string();
    assert!(
        named.contains(&task) && named.contains("never said"),
        "{named}"
    );

    // It dies in the middle of it, and whoever comes next does it.
    stack.stop(Role::Projector).await;
    stack
        .start_with(Role::Projector, "projector_rebuilding=return")
        .await;
    let stream = format!("task-{task}");
    let of_stream = ["task_view", "--tenant", TENANT, "--stream", &stream];
    let (code, said) = rebuild(&url, &[&of_stream[..], &["--wait-max", "1"]].concat()).await;
    assert_eq!((code, &said["toDo"]), (2, &json!(1)), "{said}");
    let began = std::time::Instant::now();
    while !stack.has_aborted(Role::Projector) {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let (code, _) = verify(&url, &["task_view"]).await;
    assert_eq!(code, 1, "nothing was replaced");
    stack.start(Role::Projector).await;
    until("it is done", async || {
        let ended = "select why_not is null from views.rebuilds where ended_at is not null";
        let mut connection = stored::connect(&url).await;
        let done: Option<bool> = sqlx::query_scalar(ended)
            .fetch_optional(&mut connection)
            .await
            .unwrap();
        done.filter(|done| *done)
    })
    .await;
    assert_eq!(
        checks::same_rows(&stored::rows(&url, TENANT, &[]).await, &before),
        [""; 0]
    );

    let sums = format!(
        "update views.task_dashboard_v3 set total = total + 1, open = open + 1, low = low + 1
         where ctid = (select min(ctid) from views.task_dashboard_v3 where tenant = '{TENANT}')
         returning owner_id::text"
    );
    let owner = changed(&url, &sums).await.remove(0);
    let (code, report) = verify(&url, &["task_dashboard"]).await;
    assert_eq!(code, 1);
    assert!(report["checks"].to_string().contains(&owner), "{report}");
    let (code, said) = rebuild(&url, &["task_dashboard", "--tenant", TENANT]).await;
    assert_eq!(
        (code, &said["done"], &said["refused"]),
        (0, &json!(32), &json!([]))
    );
    assert_eq!(
        checks::same_rows(&stored::rows(&url, TENANT, &[]).await, &before),
        [""; 0]
    );
    assert_eq!(verify(&url, &[]).await.0, 0);
}

#[test]
fn what_names_no_rows_is_refused_before_any_database_is_asked() {
    for (arguments, why) in [
        (&["tasks", "--tenant", TENANT][..], "there is no view"),
        (&["task_view", "--tenant", "A B"], "--tenant"),
        (&["task_view", "--stream", "task-1"], "--tenant"),
        (
            &["task_view", "--tenant", TENANT, "--rollback"],
            "--rollback",
        ),
        (&["task_view", "--drop", "--expect-differences"], "--drop"),
        (
            &["task_view", "--tenant", TENANT, "--stream", "project-1"],
            "folds no streams of this kind",
        ),
    ] {
        let mut command = foldline();
        let nowhere = "postgres://nobody@127.0.0.1:1/none";
        command
            .arg("rebuild")
            .args(arguments)
            .env("DATABASE_URL", nowhere);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
}
