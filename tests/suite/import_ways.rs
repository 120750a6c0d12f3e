//! The ways of an import: from standard input, to whoever runs over a data folder, past everybody into an empty log, and
//! killed on the way. Whichever it takes, the views become the same.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use flate2::{Compression, write::GzEncoder};
use foldline_schema::testing::TestDatabase;
use nix::sys::signal::Signal;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::{
    import::{history, slice_of_history},
    processes::{Process, TENANT, Up, finished, foldline, is_soak, until},
    recount::dashboards_equal_the_recount,
    stored,
    verify::verify,
};

/// How many lines go these ways, when not all do.
const SLICE: usize = 3_000;
/// How often an import is killed at full size.
const KILLS: usize = 10;
const SECRET: &str = "0f0e0d0c0b0a09080706050403020100f0e0d0c0b0a090807060504030201000";

/// `foldline import` as the tenant of the tests, to whoever runs over a folder's data.
fn import(file: &Path, folder: &Path) -> Command {
    let mut command = foldline();
    command
        .arg("import")
        .arg(file)
        .args(["--tenant", TENANT, "--json", "--data"])
        .arg(folder.join("data"));
    command
}

/// The same past the service, into the log of a database.
pub fn import_offline(file: &Path, folder: &Path, log_url: &str) -> Command {
    let mut command = import(file, folder);
    command.arg("--offline").env("LOG_URL", log_url);
    command
}

/// The summary of an import that ends, and its exit code.
pub async fn summary(command: Command) -> (i32, Value) {
    let (status, said) = finished(command).await;
    let summary = serde_json::from_str(&said).unwrap_or(Value::Null);
    (status.code().unwrap_or(-1), summary)
}

/// What one says that does not succeed.
async fn complaint(mut command: Command) -> String {
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

fn counts(summary: &Value) -> [&Value; 3] {
    ["accepted", "known", "rejected"].map(|name| &summary[name])
}

/// One digest per view, equal for two logs of the same commands.
pub async fn digests(views_url: &str) -> Value {
    stored::folded(views_url, stored::head(views_url).await).await;
    let arguments = ["--digest", "--across-logs", "--tenant", TENANT];
    let (code, report) = verify(views_url, &arguments).await;
    assert_eq!(code, 0, "{report}");
    let views = report["views"].as_array().expect("there are views").iter();
    let digest = |view: &Value| json!([view["view"], view["rows"], view["digest"]]);
    let digests: Vec<Value> = views.map(digest).collect();
    assert!(!digests.is_empty());
    Value::Array(digests)
}

/// A database with an empty log, and a data folder whose secret is there before any `foldline up`.
pub async fn prepared(folder: &Path) -> TestDatabase {
    fs::create_dir_all(folder.join("data")).unwrap();
    fs::write(folder.join("data/secret"), SECRET).unwrap();
    let database = TestDatabase::empty().await;
    let mut migrate = foldline();
    migrate.arg("migrate").env("DATABASE_URL", &database.url);
    assert!(finished(migrate).await.0.success());
    database
}

/// What the same file becomes when it is sent undisturbed to a service of its own.
pub async fn digests_of_undisturbed(file: &Path) -> Value {
    let folder = foldline_local::temporary_folder().unwrap();
    let database = TestDatabase::empty().await;
    let _up = Up::start(folder.path(), Some(&database.url)).await;
    let (code, summary) = summary(import(file, folder.path())).await;
    assert_eq!(code, 0, "{summary}");
    digests(&database.url).await
}

#[tokio::test]
async fn standard_input_goes_to_whoever_runs_over_the_data_folder_plain_or_gzip() {
    let folder = foldline_local::temporary_folder().unwrap();
    let database = TestDatabase::empty().await;
    let _up = Up::start(folder.path(), Some(&database.url)).await;
    let plain = slice_of_history(folder.path(), 700);
    let packed = folder.path().join("slice.gz");
    let mut gzip = GzEncoder::new(File::create(&packed).unwrap(), Compression::fast());
    gzip.write_all(&fs::read(&plain).unwrap()).unwrap();
    gzip.finish().unwrap();

    let mut head = 0;
    for (file, expected) in [(&plain, [700, 0, 0]), (&packed, [0, 700, 0])] {
        let mut command = import(Path::new("-"), folder.path());
        command.stdin(Stdio::from(File::open(file).unwrap()));
        let (code, summary) = summary(command).await;
        assert_eq!(code, 0, "{summary}");
        assert_eq!(
            counts(&summary),
            expected.each_ref().map(|n| json!(n)).each_ref()
        );
        let now = stored::head(&database.url).await;
        assert!(head == 0 || head == now, "what is known changes nothing");
        head = now;
    }
}

#[tokio::test]
async fn who_runs_over_a_data_folder_is_known_while_it_runs_and_missed_when_it_was_killed() {
    let folder = foldline_local::temporary_folder().unwrap();
    let database = TestDatabase::empty().await;
    let file = slice_of_history(folder.path(), 3);
    let running = folder.path().join("data/running.json");
    let why = complaint(import(&file, folder.path())).await;
    assert!(why.contains("no `foldline up` runs over"), "{why}");

    let mut up = Up::start(folder.path(), Some(&database.url)).await;
    let said = fs::read_to_string(&running).unwrap();
    assert!(said.contains(&up.client.api), "{said}");
    assert!(!said.contains(&up.client.token), "it holds no secret");
    up.process.signal(Signal::SIGTERM);
    up.process.ended().await;
    assert!(!running.exists(), "a clean end takes it away");

    let mut up = Up::start(folder.path(), Some(&database.url)).await;
    up.process.signal(Signal::SIGKILL);
    up.process.ended().await;
    let why = complaint(import(&file, folder.path())).await;
    assert!(why.contains("nobody answers there"), "{why}");

    let _up = Up::start(folder.path(), Some(&database.url)).await;
    let (code, summary) = summary(import(&file, folder.path())).await;
    assert_eq!((code, &summary["accepted"]), (0, &json!(3)), "{summary}");
}

#[tokio::test]
async fn a_service_that_is_named_needs_a_token_and_a_token_names_its_tenant() {
    let folder = foldline_local::temporary_folder().unwrap();
    let file = slice_of_history(folder.path(), 1);
    let mut without = foldline();
    without
        .arg("import")
        .arg(&file)
        .args(["--server", "http://127.0.0.1:9"]);
    let why = complaint(without).await;
    assert!(why.contains("--server needs a --token"), "{why}");
    let mut both = foldline();
    both.arg("import")
        .arg(&file)
        .args(["--tenant", "acme", "--token", "t"]);
    let why = complaint(both).await;
    assert!(why.contains("give --token or --tenant"), "{why}");
}

/// How many events do not lie in the log at the time at which they happened, and in that order.
async fn out_of_time(log_url: &str) -> i64 {
    sqlx::query_scalar(
        "select count(*)
         from (
             select recorded_at, occurred_at, lag(recorded_at) over (order by position) as previous
             from log.events
         ) e
         where recorded_at <> occurred_at
            or recorded_at < previous",
    )
    .fetch_one(&mut stored::connect(log_url).await)
    .await
    .unwrap()
}

#[tokio::test]
async fn past_the_service_into_an_empty_log_gives_the_same_views_at_the_times_of_the_file() {
    let folder = foldline_local::temporary_folder().unwrap();
    let (file, commands) = history(folder.path(), SLICE);
    let database = prepared(folder.path()).await;
    let url = &database.url;
    let offline = || import_offline(&file, folder.path(), url);
    let (code, summary_offline) = summary(offline()).await;
    eprintln!("{commands} commands imported offline: {summary_offline}");
    assert_eq!(code, 0, "{summary_offline}");
    assert_eq!(
        counts(&summary_offline),
        [&json!(commands), &json!(0), &json!(0)]
    );
    assert_eq!(out_of_time(url).await, 0);
    let why = complaint(offline()).await;
    assert!(why.contains("this log is not empty"), "{why}");

    let head = stored::head(url).await;
    let _up = Up::start(folder.path(), Some(url)).await;
    let (code, again) = summary(import(&file, folder.path())).await;
    assert_eq!(code, 0, "{again}");
    assert_eq!(counts(&again), [&json!(0), &json!(commands), &json!(0)]);
    assert_eq!(
        stored::head(url).await,
        head,
        "the second import records nothing"
    );
    dashboards_equal_the_recount(&file, url).await;
    assert_eq!(digests(url).await, digests_of_undisturbed(&file).await);
}

#[tokio::test]
async fn an_offline_import_that_is_killed_leaves_all_or_nothing_and_can_begin_again() {
    let folder = foldline_local::temporary_folder().unwrap();
    let file = slice_of_history(folder.path(), SLICE);
    let database = prepared(folder.path()).await;
    let url = &database.url;
    let mut random = StdRng::seed_from_u64(11);
    for _ in 0..3 {
        let mut process = Process::start(import_offline(&file, folder.path(), url), folder.path());
        let pause = std::time::Duration::from_millis(random.random_range(20..400));
        tokio::time::sleep(pause).await;
        process.signal(Signal::SIGKILL);
        process.ended().await;
        let head = stored::head(url).await;
        if head > 0 {
            // It was faster than its killer; then it is whole.
            let why = complaint(import_offline(&file, folder.path(), url)).await;
            assert!(why.contains("this log is not empty"), "{why}");
            break;
        }
    }
    if stored::head(url).await == 0 {
        let (code, summary) = summary(import_offline(&file, folder.path(), url)).await;
        assert_eq!(code, 0, "{summary}");
    }
    let _up = Up::start(folder.path(), Some(url)).await;
    let (code, again) = summary(import(&file, folder.path())).await;
    assert_eq!(code, 0, "{again}");
    assert_eq!(counts(&again), [&json!(0), &json!(SLICE), &json!(0)]);
}

#[tokio::test]
async fn a_fresh_folder_can_be_filled_before_anything_runs_over_it() {
    let folder = foldline_local::temporary_folder().unwrap();
    let file = slice_of_history(folder.path(), 500);
    let mut command = import(&file, folder.path());
    command.arg("--offline");
    let (code, summary) = summary(command).await;
    assert_eq!(code, 0, "{summary}");
    assert_eq!(counts(&summary), [&json!(500), &json!(0), &json!(0)]);

    let up = Up::start(folder.path(), None).await;
    let projects = "{ projects { totalCount nodes { name } } }";
    let ours = up.client.ask(projects, json!({})).await;
    assert_eq!(ours["projects"]["totalCount"], 0, "there is no sample");
    let client = up.client_of_tests().await;
    let theirs = until("the views to follow", async || {
        let seen = client.ask(projects, json!({})).await;
        (seen["projects"]["totalCount"] != 0).then_some(seen)
    })
    .await;
    assert!(theirs["projects"]["nodes"][0]["name"].is_string());
    drop(up);
}

#[tokio::test]
async fn an_import_killed_at_any_moment_goes_on_and_changes_nothing_twice() {
    let folder = foldline_local::temporary_folder().unwrap();
    let (file, commands) = history(folder.path(), SLICE);
    let kills = if is_soak() { KILLS } else { 2 };
    let database = TestDatabase::empty().await;
    let url = &database.url;
    let _up = Up::start(folder.path(), Some(url)).await;
    let mut random = StdRng::seed_from_u64(5);
    let share = i64::try_from(commands / (kills + 1)).unwrap();
    for kill in 0..kills {
        // What was imported before is known at once, so every import comes a little further than the one before.
        let from = i64::try_from(kill).unwrap() * share;
        let at = random.random_range(from + 1..from + share);
        let mut process = Process::start(import(&file, folder.path()), folder.path());
        until(&format!("a head at {at}"), async || {
            (stored::head(url).await >= at).then_some(())
        })
        .await;
        process.signal(Signal::SIGKILL);
        process.ended().await;
    }
    let (code, summary) = summary(import(&file, folder.path())).await;
    assert_eq!(code, 0, "{summary}");
    let done = summary["accepted"].as_u64().unwrap() + summary["known"].as_u64().unwrap();
    assert_eq!((done, &summary["rejected"]), (commands as u64, &json!(0)));
    dashboards_equal_the_recount(&file, url).await;
    assert_eq!(digests(url).await, digests_of_undisturbed(&file).await);
}
