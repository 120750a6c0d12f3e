//! `foldline rebuild VIEW` of a whole view, killed again and again: readers see nothing of it.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::{
    client::Client,
    faults::seed,
    processes::{Process, Stack, TENANT, finished, foldline},
    stored,
    verify::{commands, import, verify},
};

/// How often it is killed before it may end.
const KILLS: usize = 10;
/// Where it kills itself; each as often as it is passed by some times.
const POINTS: [&str; 5] = [
    "projector_before_rows",
    "projector_after_rows",
    "projector_before_commit",
    "projector_after_commit",
    "projector_showing",
];
/// How long the others live at most.
const LIVES_MS_MAX: u64 = 400;

fn rebuilding(url: &str, arguments: &[&str]) -> Command {
    let mut command = foldline();
    command
        .arg("rebuild")
        .args(arguments)
        .arg("--json")
        .env("DATABASE_URL", url);
    command
}

/// What it says, and its exit code.
async fn rebuilt(command: Command) -> (i32, Value) {
    let (status, said) = finished(command).await;
    let said = serde_json::from_str(said.trim()).unwrap_or(Value::Null);
    (status.code().unwrap(), said)
}

async fn digest(url: &str) -> Value {
    let (code, report) = verify(url, &["--digest", "--tenant", TENANT]).await;
    assert_eq!(code, 0, "{report}");
    // Whichever build readers see.
    let views = report["views"].as_array().unwrap().iter();
    let digest = |view: &Value| json!([view["view"], view["rows"], view["digest"]]);
    views.map(digest).collect()
}

async fn version(url: &str, view: &str) -> i32 {
    sqlx::query_scalar("select version from views.active where view = $1")
        .bind(view)
        .fetch_one(&mut stored::connect(url).await)
        .await
        .unwrap()
}

/// Asks again and again for what does not change, until it is told to end; every answer is the first one.
async fn reading(client: Client, ends: Arc<AtomicBool>, reads: Arc<AtomicU32>) {
    let query = "{
        projects(first: 3) { nodes { id name dashboard { total completed estimatedHours byStatus { open } } } }
        tasks(first: 50) { totalCount nodes { id title status labels version comments(first: 2) { nodes { text } } } }
    }";
    let first = client.ask(query, json!({})).await;
    while !ends.load(Ordering::Relaxed) {
        assert_eq!(client.ask(query, json!({})).await, first);
        reads.fetch_add(1, Ordering::Relaxed);
    }
}

/// Kills it at a point, or after a while; says whether it was killed.
async fn killed(url: &str, view: &str, kill: usize, random: &mut StdRng) -> bool {
    let folder = foldline_local::temporary_folder().unwrap();
    let mut command = rebuilding(url, &[view]);
    let point = POINTS.get(kill / 2).filter(|_| kill.is_multiple_of(2));
    if let Some(point) = point {
        let times = match *point {
            "projector_showing" => 0,
            _ => random.random_range(0..2),
        };
        command.env("FAILPOINTS", format!("{point}={times}*off->return"));
    }
    let mut process = Process::start(command, folder.path());
    if point.is_none() {
        let lives = Duration::from_millis(random.random_range(0..LIVES_MS_MAX));
        tokio::time::sleep(lives).await;
        process.signal(nix::sys::signal::Signal::SIGKILL);
    }
    process.ended().await.code().is_none()
}

#[tokio::test]
async fn a_rebuild_that_is_killed_ten_times_ends_with_the_same_rows_and_readers_see_nothing_of_it()
{
    let seed = seed(7);
    let mut random = StdRng::seed_from_u64(seed);
    let folder = foldline_local::temporary_folder().unwrap();
    let stack = Stack::started().await;
    let url = stack.database.url.clone();
    let client = stack.client().await;
    import(&commands(folder.path()), &client).await;
    stored::folded(&url, stored::head(&url).await).await;
    let before = digest(&url).await;
    let (ends, reads) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let reader = tokio::spawn(reading(client, ends.clone(), Arc::clone(&reads)));
    for view in ["task_view", "task_dashboard"] {
        let shown = version(&url, view).await;
        let mut kills = 0;
        for attempt in 0..2 * KILLS {
            if kills < KILLS && killed(&url, view, attempt, &mut random).await {
                kills += 1;
            }
        }
        assert_eq!(kills, KILLS, "{view}, seed {seed}");
        let (code, said) = rebuilt(rebuilding(&url, &[view])).await;
        assert_eq!(
            (code, &said["differences"]["count"]),
            (0, &json!("0")),
            "{said}"
        );
        assert!(version(&url, view).await > shown, "{view}");
        stored::folded(&url, stored::head(&url).await).await;
        assert_eq!(digest(&url).await, before, "{view}, seed {seed}");
        let (code, said) = rebuilt(rebuilding(&url, &[view, "--rollback"])).await;
        assert_eq!(code, 0, "{said}");
        assert_eq!(
            digest(&url).await,
            before,
            "{view}, taken back, seed {seed}"
        );
    }
    ends.store(true, Ordering::Relaxed);
    reader.await.unwrap();
    let reads = reads.load(Ordering::Relaxed);
    assert!(reads > 20, "{reads}");

    let (code, said) = rebuilt(rebuilding(&url, &["task_view", "--drop"])).await;
    assert_eq!(code, 0);
    assert!(!said["dropped"].as_array().unwrap().is_empty(), "{said}");
    let (code, said) = rebuilt(rebuilding(&url, &["task_view", "--rollback"])).await;
    assert_eq!(
        (code, said),
        (2, Value::Null),
        "there is nothing to take back to"
    );
    assert_eq!(digest(&url).await, before);
}

#[tokio::test]
async fn a_projection_that_was_changed_is_not_shown_and_the_report_names_the_rows() {
    let folder = foldline_local::temporary_folder().unwrap();
    let stack = Stack::started().await;
    let url = stack.database.url.clone();
    import(&commands(folder.path()), &stack.client().await).await;
    stored::folded(&url, stored::head(&url).await).await;
    let before = digest(&url).await;
    let changed = |arguments: &[&str]| {
        let mut command = rebuilding(&url, arguments);
        command.env("FAILPOINTS", "projector_changed=return");
        command
    };
    let (code, said) = rebuilt(changed(&["task_view"])).await;
    assert_eq!((code, &said["shown"]), (1, &json!([])), "{said}");
    let differences = &said["differences"];
    let row = &differences["rows"][0];
    assert!(
        row["row"].as_str().unwrap().starts_with("task_view {"),
        "{row}"
    );
    assert_eq!(row["fields"], json!(["title"]), "{row}");
    assert!(row["foldedAgain"].as_str().unwrap().contains('*'), "{row}");
    assert_eq!(version(&url, "task_view").await, 4);
    assert_eq!(digest(&url).await, before);

    let expecting = changed(&["task_view", "--expect-differences"]);
    let (code, said) = rebuilt(expecting).await;
    assert_eq!((code, &said["shown"]), (0, &json!([5])), "{said}");
    assert_ne!(digest(&url).await, before);
    let (code, _) = rebuilt(rebuilding(&url, &["task_view", "--rollback"])).await;
    assert_eq!(code, 0);
    assert_eq!(digest(&url).await, before);
}
