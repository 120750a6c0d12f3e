//! The main job, on real input: a year of six repositories as 87,806 commands, and dashboards that equal a recount.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::Command,
};

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::{
    checks::same_rows,
    client::Client,
    processes::{Stack, TENANT, Up, finished, foldline, is_soak},
    stored,
};

const HISTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/history.ndjson.gz");
const RECOUNT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recount.py");
const COMMANDS: usize = 87_806;
/// How many of its lines go the second way, when not all do.
const SLICE: usize = 5_000;
/// Columns that two logs of the same commands differ in.
const POSITIONS: [&str; 1] = ["position"];

const DASHBOARD: &str = "query ($id: ID!, $atLeast: String) {
    projectDashboard(projectId: $id, atLeast: $atLeast) {
        total completed byStatus { open inProgress completed cancelled }
        estimatedHours actualHours averageEfficiency
    }
}";

/// The first lines of the history, as a plain file.
fn slice_of_history(folder: &Path, lines: usize) -> PathBuf {
    let path = folder.join("slice.ndjson");
    let history = BufReader::new(GzDecoder::new(File::open(HISTORY).unwrap()));
    let mut slice = File::create(&path).unwrap();
    for line in history.lines().take(lines) {
        writeln!(slice, "{}", line.unwrap()).unwrap();
    }
    path
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

/// What an independent program counts in the same file, by project.
async fn recount(file: &Path) -> BTreeMap<String, Value> {
    let mut python = Command::new("python3");
    python.arg(RECOUNT).arg(file);
    let (status, counts) = finished(python).await;
    assert!(status.success(), "the recount succeeds");
    serde_json::from_str(&counts).unwrap()
}

/// Every project's dashboard, as GraphQL shows it, is what the recount says.
async fn dashboards_equal_the_recount(file: &Path, client: &Client, log_url: &str) {
    let head = stored::head(log_url).await;
    stored::folded(log_url, head).await;
    let at_least = stored::cursor_of_all(log_url).await;
    let counts = recount(file).await;
    assert!(!counts.is_empty());
    for (project, count) in counts {
        let variables = json!({"id": project, "atLeast": at_least});
        let shown = client.ask(DASHBOARD, variables).await;
        let expected = json!({
            "total": count["total"],
            "completed": count["completed"],
            "byStatus": {
                "open": count["open"],
                "inProgress": count["inProgress"],
                "completed": count["completed"],
                "cancelled": count["cancelled"],
            },
            "estimatedHours": count["estimatedHours"],
            "actualHours": count["actualHours"],
            "averageEfficiency": count["averageEfficiency"],
        });
        assert_eq!(shown["projectDashboard"], expected, "project {project}");
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
    dashboards_equal_the_recount(history, &client, &database.url).await;
}

#[tokio::test]
async fn one_process_and_four_with_kafka_in_the_middle_make_the_same_rows() {
    let folder = foldline_local::temporary_folder().unwrap();
    let (file, commands) = if is_soak() {
        (PathBuf::from(HISTORY), COMMANDS)
    } else {
        (slice_of_history(folder.path(), SLICE), SLICE)
    };
    let stack = Stack::started().await;
    let client = stack.client().await;
    imports_once(&file, commands, &client, &stack.database.url).await;
    dashboards_equal_the_recount(&file, &client, &stack.database.url).await;
    let four = stored::rows(&stack.database.url, TENANT, &POSITIONS).await;
    drop(stack);

    let database = foldline_schema::testing::TestDatabase::empty().await;
    let up = Up::start(folder.path(), Some(&database.url)).await;
    let client = up.client_of_tests().await;
    let (code, _) = import(&file, &client).await;
    assert_eq!(code, 0);
    stored::folded(&database.url, stored::head(&database.url).await).await;
    let one = stored::rows(&database.url, TENANT, &POSITIONS).await;
    assert_eq!(same_rows(&one, &four), [""; 0]);
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
    assert_eq!(summary["reasons"]["LINE_MALFORMED"]["line"], 4, "{summary}");
    assert_eq!(
        summary["reasons"]["UNKNOWN_COMMAND_TYPE"]["line"], 5,
        "{summary}"
    );
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
