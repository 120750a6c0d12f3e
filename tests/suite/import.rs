//! The main job, on real input: a year of six repositories as 87,806 commands, and dashboards that equal a recount.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::{
    client::Client,
    import_ways::digests,
    processes::{Stack, TENANT, Up, finished, foldline, is_soak},
    recount::{FIGURES, dashboards_equal_the_recount, recount, shown},
    stored,
};

pub const HISTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/history.ndjson.gz");
pub const COMMANDS: usize = 87_806;
/// How many of its lines go the second way, when not all do.
const SLICE: usize = 5_000;

/// The first lines of the history, as a plain file.
pub fn slice_of_history(folder: &Path, lines: usize) -> PathBuf {
    let path = folder.join("slice.ndjson");
    let history = BufReader::new(GzDecoder::new(File::open(HISTORY).unwrap()));
    let mut slice = File::create(&path).unwrap();
    for line in history.lines().take(lines) {
        writeln!(slice, "{}", line.unwrap()).unwrap();
    }
    path
}

/// All of the history at full size, and else its first lines; and how many commands that are.
pub fn history(folder: &Path, lines: usize) -> (PathBuf, usize) {
    if is_soak() {
        (PathBuf::from(HISTORY), COMMANDS)
    } else {
        (slice_of_history(folder, lines), lines)
    }
}

/// What `foldline import --json` says, and its exit code.
async fn import(file: &Path, client: &Client) -> (i32, Value) {
    let mut command = foldline();
    command.arg("import").arg(file).args([
        "--server",
        &client.api,
        "--token",
        &client.token,
        "--json",
    ]);
    let (status, said) = finished(command).await;
    (
        status.code().unwrap(),
        serde_json::from_str(&said).unwrap_or(Value::Null),
    )
}

/// Imports all of the file, then again; nothing is rejected, and the second time changes nothing.
async fn imports_once(file: &Path, commands: usize, client: &Client, log_url: &str) {
    let (code, summary) = import(file, client).await;
    eprintln!("{commands} commands imported: {summary}");
    assert_eq!(
        (code, &summary["accepted"]),
        (0, &json!(commands)),
        "{summary}"
    );
    assert_eq!(
        (&summary["known"], &summary["rejected"]),
        (&json!(0), &json!(0)),
        "{summary}"
    );

    let head = stored::head(log_url).await;
    let (code, summary) = import(file, client).await;
    eprintln!("and again: {summary}");
    assert_eq!(
        (code, &summary["known"]),
        (0, &json!(commands)),
        "{summary}"
    );
    assert_eq!(
        stored::head(log_url).await,
        head,
        "the second import records nothing"
    );
}

/// Every project's dashboard, as GraphQL shows it, is what the recount says; and so is every other figure in the views.
async fn all_dashboards_equal_the_recount(file: &Path, client: &Client, log_url: &str) {
    dashboards_equal_the_recount(file, log_url).await;
    let at_least = stored::cursor_of_all(log_url).await;
    let dashboard = format!(
        "query ($id: ID!, $atLeast: String) {{
            projectDashboard(projectId: $id, atLeast: $atLeast) {{ {FIGURES} }}
        }}"
    );
    for (project, count) in recount(file).await["projects"].as_object().unwrap() {
        let variables = json!({"id": project, "atLeast": at_least});
        let answer = client.ask(&dashboard, variables).await;
        assert_eq!(
            answer["projectDashboard"],
            shown(count),
            "project {project}"
        );
    }
}

#[tokio::test]
async fn the_whole_history_is_imported_once_and_its_dashboards_are_right() {
    let folder = foldline_local::temporary_folder().unwrap();
    let database = foldline_schema::testing::TestDatabase::empty().await;
    let up = Up::start(folder.path(), Some(&database.url)).await;
    let client = up.client_of_tests().await;
    let history = Path::new(HISTORY);
    imports_once(history, COMMANDS, &client, &database.url).await;
    all_dashboards_equal_the_recount(history, &client, &database.url).await;
}

#[tokio::test]
async fn one_process_and_four_with_kafka_in_the_middle_make_the_same_rows() {
    let folder = foldline_local::temporary_folder().unwrap();
    let (file, commands) = history(folder.path(), SLICE);
    let stack = Stack::started().await;
    let client = stack.client().await;
    imports_once(&file, commands, &client, &stack.database.url).await;
    all_dashboards_equal_the_recount(&file, &client, &stack.database.url).await;
    let four = digests(&stack.database.url).await;
    drop(stack);

    let database = foldline_schema::testing::TestDatabase::empty().await;
    let up = Up::start(folder.path(), Some(&database.url)).await;
    let client = up.client_of_tests().await;
    let (code, _) = import(&file, &client).await;
    assert_eq!(code, 0);
    assert_eq!(digests(&database.url).await, four);
}

#[tokio::test]
async fn what_is_wrong_in_a_file_is_counted_and_told_and_the_rest_is_imported() {
    let folder = foldline_local::temporary_folder().unwrap();
    let database = foldline_schema::testing::TestDatabase::empty().await;
    let up = Up::start(folder.path(), Some(&database.url)).await;
    let client = up.client_of_tests().await;
    let file = slice_of_history(folder.path(), 3);
    let mut text = std::fs::read_to_string(&file).unwrap();
    let unknown = text
        .lines()
        .nth(1)
        .unwrap()
        .replace("create_task", "paint_task");
    text.push_str(&format!("not a command\n{unknown}\n"));
    std::fs::write(&file, text).unwrap();

    let (code, summary) = import(&file, &client).await;
    assert_eq!(code, 1, "{summary}");
    assert_eq!(
        (&summary["accepted"], &summary["rejected"]),
        (&json!(3), &json!(2)),
        "{summary}"
    );
    for (code, line) in [("LINE_MALFORMED", 4), ("UNKNOWN_COMMAND_TYPE", 5)] {
        let reason = &summary["reasons"][code];
        assert_eq!(
            (&reason["count"], &reason["examples"][0]["line"]),
            (&json!(1), &json!(line)),
            "{summary}"
        );
    }
}

#[tokio::test]
async fn an_import_that_cannot_go_on_says_why() {
    let folder = foldline_local::temporary_folder().unwrap();
    let database = foldline_schema::testing::TestDatabase::empty().await;
    let up = Up::start(folder.path(), Some(&database.url)).await;
    let file = slice_of_history(folder.path(), 3);
    let nonsense = folder.path().join("nonsense");
    std::fs::write(&nonsense, "PK\u{3}\u{4}").unwrap();
    let good = &up.client;
    let nobody = Client::new("http://127.0.0.1:9", "", &good.token);
    for (file, client, why) in [
        (
            file.as_path(),
            &good.with_token("nobody"),
            "refuses the token",
        ),
        (file.as_path(), &nobody, "cannot reach"),
        (nonsense.as_path(), good, "neither NDJSON nor gzip"),
        (Path::new("/nowhere"), good, "cannot open /nowhere"),
    ] {
        let mut command = foldline();
        command
            .arg("import")
            .arg(file)
            .args(["--server", &client.api, "--token", &client.token]);
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(why), "{why}: {said}");
    }
    assert_eq!(stored::rows(&database.url, TENANT, &[]).await, [""; 0]);
}
