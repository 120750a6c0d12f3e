//! `foldline what-if`, as scripts use it.

use std::{fs, path::Path, process::Stdio};

use foldline_schema::testing::TestDatabase;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    client::new_id,
    processes::{TENANT, Up, finished, foldline},
};

/// The exit code and what is printed.
async fn what_if(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = foldline();
    command
        .arg("what-if")
        .args(arguments)
        .args(["--tenant", TENANT, "--data"])
        .arg(folder.join("data"));
    let (status, said) = finished(command).await;
    (status.code().unwrap_or(-1), said)
}

/// The exit code where nobody reads what is printed.
async fn unread(folder: &Path, arguments: &[&str]) -> Option<i32> {
    let (nobody, output) = std::io::pipe().unwrap();
    drop(nobody);
    let mut command = foldline();
    command
        .arg("what-if")
        .args(arguments)
        .args(["--tenant", TENANT, "--data"])
        .arg(folder.join("data"))
        .stdin(Stdio::null())
        .stdout(output);
    let status = tokio::process::Command::from(command).status().await;
    status.unwrap().code()
}

fn line(id: Uuid, command_type: &str, data: &Value) -> String {
    json!({"id": new_id(), "type": command_type, "aggregate": id, "data": data}).to_string()
}

#[tokio::test]
async fn the_exit_code_says_what_would_become_of_a_command() {
    let folder = foldline_local::temporary_folder().unwrap();
    let database = TestDatabase::empty().await;
    let up = Up::start(folder.path(), Some(&database.url)).await;
    let client = up.client_of_tests().await;
    let project = new_id();
    let create = line(project, "tasks.create_project", &json!({"name": "Moon"}));
    let file = folder.path().join("create.json");
    fs::write(&file, &create).unwrap();
    let file = file.to_str().unwrap();

    let (code, said) = what_if(folder.path(), &[file, "--json"]).await;
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (code, &answer["verdict"]),
        (0, &json!("recorded")),
        "{said}"
    );
    assert_eq!(answer["events"][0]["data"], json!({"name": "Moon"}));
    let before = answer["asOf"].as_str().unwrap().to_owned();
    let (code, said) = what_if(folder.path(), &[file]).await;
    assert_eq!(code, 0);
    let shown = format!("version 1 of project-{project}");
    assert!(
        said.contains(&shown) && said.contains(r#"{"name":"Moon"}"#),
        "{said}"
    );

    let body: Value = serde_json::from_str(&format!("[{create}]")).unwrap();
    let (status, _) = client.try_post("/commands", &body).await.unwrap();
    assert_eq!(status, 200);
    // Under another id it would create what is there.
    let again = line(project, "tasks.create_project", &json!({"name": "Moon"}));
    let (code, said) = what_if(folder.path(), &["--command", &again]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("PROJECT_EXISTS"), "{said}");
    let past = ["--command", &again, "--as-of", &before, "--json"];
    let (code, said) = what_if(folder.path(), &past).await;
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &answer["asOf"]), (0, &json!(before)), "{said}");
    let past = ["--command", &again, "--as-of", "1970-01-01T00:00:00Z"];
    assert_eq!(what_if(folder.path(), &past).await.0, 0);
    assert_eq!(unread(folder.path(), &["--command", &again]).await, Some(1));

    for unknown in [
        vec!["--command", "{}", "--as-of", "999999"],
        vec!["--command", "{"],
        vec!["--command", "{} {}"],
        vec!["no/such/file"],
        vec![file, "--server", "http://127.0.0.1:9", "--token", "x"],
    ] {
        let mut command = foldline();
        command.arg("what-if").args(&unknown);
        if !unknown.contains(&"--server") {
            command.arg("--data").arg(folder.path().join("data"));
        }
        command.stderr(Stdio::null());
        let (status, said) = finished(command).await;
        assert_eq!(status.code(), Some(2), "{unknown:?}: {said}");
    }
}
