//! A `foldline command` process, of the release binary that lies beside the benchmark's own, and a client that speaks to it
//! over HTTP as any client does. What is sent are commands that create a task: each appends one event to a new stream, with a
//! payload of 200 bytes and one tag, that of its project, and guards that the project is not archived.

use std::{env, path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use anyhow::Context;
use chrono::{TimeDelta, Utc};
use foldline_events::{
    Cursor, Tenant,
    tasks::{Priority, TaskCreated},
};
use foldline_gate::{Gate, Role, Secret};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use uuid::Uuid;

use crate::{database::Database, memory, sample::PAYLOAD_BYTES};

const SECRET: &str = "the secret of a server that lives for some seconds";
const TOKEN_HOURS: i64 = 24;
/// How long the process may take to be ready, and to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many projects the tasks are in: each is the tag of one event of a thousand.
const PROJECTS: usize = 1_000;

pub struct Service {
    process: Child,
    pub client: Client,
}

/// What a process says when it is ready.
#[derive(Deserialize)]
pub struct Ready {
    listen: String,
}

impl Service {
    /// Over a database with an empty log, in which it creates the projects.
    pub async fn start(database: &Database) -> anyhow::Result<Self> {
        let (process, ready) = start(
            &["command"],
            &[
                ("DATABASE_URL", &database.url()),
                ("FOLDLINE_SECRET", SECRET),
            ],
        )
        .await?;
        let client = Client::of_new_projects(ready.listen).await?;
        Ok(Self { process, client })
    }

    /// The most memory that it ever had, in MiB.
    pub fn peak_mib(&self) -> anyhow::Result<f64> {
        memory::peak_mib(self.process.id().context("it has ended")?)
    }

    pub async fn stop(mut self) -> anyhow::Result<()> {
        Ok(self.process.kill().await?)
    }
}

/// The program, of the release binaries that the benchmark is one of.
pub fn program() -> anyhow::Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name("foldline"))
}

/// A role as a process, once it is ready.
pub async fn start(
    arguments: &[&str],
    settings: &[(&str, &str)],
) -> anyhow::Result<(Child, Ready)> {
    let program = program()?;
    let mut process = Command::new(&program)
        .args(arguments)
        .args(["--json", "--listen", "127.0.0.1:0"])
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let said = process.stdout.take().context("its output is not piped")?;
    let mut lines = BufReader::new(said).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await??;
    let ready = serde_json::from_str(&line.context("it ended before it was ready")?)?;
    Ok((process, ready))
}

/// Sends commands. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    origin: String,
    token: String,
    /// The data of a command that creates a task, for each project.
    tasks: Arc<[String]>,
}

/// The counts of an answer to many commands; what it says of each is passed over.
#[derive(Deserialize)]
struct Verdicts {
    accepted: usize,
}

/// Of an answer to one command, what is of interest here.
#[derive(Deserialize)]
struct Accepted {
    cursor: String,
}

impl Client {
    async fn of_new_projects(origin: String) -> anyhow::Result<Self> {
        let projects: Vec<Uuid> = (0..PROJECTS).map(|_| new_id()).collect();
        let tasks: anyhow::Result<Arc<[String]>> =
            projects.iter().map(|project| task_in(*project)).collect();
        let client = Self {
            http: reqwest::Client::builder().timeout(PATIENCE).build()?,
            origin,
            token: token()?,
            tasks: tasks?,
        };
        let create =
            |project: &Uuid| item("tasks.create_project", *project, r#"{"name":"Apollo"}"#);
        let created: Vec<String> = projects.iter().map(create).collect();
        client.send(&Many::of(&created)).await?;
        Ok(client)
    }

    /// So many commands for one request, of which each creates a task.
    pub fn many(&self, commands: usize) -> Many {
        let create = |n| item("tasks.create_task", new_id(), self.task(n));
        let items: Vec<String> = (0..commands).map(create).collect();
        Many::of(&items)
    }

    /// One request of many commands; all are accepted.
    pub async fn send(&self, many: &Many) -> anyhow::Result<()> {
        let answer = self.post("/commands", new_id(), many.body.clone()).await?;
        let verdicts: Verdicts = serde_json::from_str(&answer)?;
        anyhow::ensure!(
            verdicts.accepted == many.commands,
            "{} of {} commands were accepted",
            verdicts.accepted,
            many.commands
        );
        Ok(())
    }

    /// One command, by the route of its own; the cursor of its event.
    pub async fn create_task(&self, n: usize) -> anyhow::Result<Cursor> {
        let task = self.task(n).to_owned();
        let answer = self.post("/tasks", new_id(), task).await?;
        let accepted: Accepted = serde_json::from_str(&answer)?;
        Ok(accepted.cursor.parse()?)
    }

    fn task(&self, n: usize) -> &str {
        &self.tasks[n % PROJECTS]
    }

    /// The answer of a request that succeeds.
    async fn post(&self, path: &str, id: Uuid, body: String) -> anyhow::Result<String> {
        let response = self
            .http
            .post(format!("{}/api/v1{path}", self.origin))
            .bearer_auth(&self.token)
            .header("content-type", "application/json")
            .header("idempotency-key", id.to_string())
            .body(body)
            .send()
            .await?;
        let status = response.status();
        let answer = response.text().await?;
        anyhow::ensure!(status.is_success(), "{path}: {status} {answer}");
        Ok(answer)
    }
}

/// The body of a request of many commands.
pub struct Many {
    body: String,
    commands: usize,
}

impl Many {
    fn of(items: &[String]) -> Self {
        Self {
            body: format!("[{}]", items.join(",")),
            commands: items.len(),
        }
    }
}

fn item(command_type: &str, aggregate: Uuid, data: &str) -> String {
    let id = new_id();
    format!(r#"{{"id":"{id}","type":"{command_type}","aggregate":"{aggregate}","data":{data}}}"#)
}

/// The command says what its event does, so the one is as long as the other.
fn task_in(project_id: Uuid) -> anyhow::Result<String> {
    let task = |description: String| {
        serde_json::to_string(&TaskCreated {
            project_id,
            title: "Land".to_owned(),
            description: Some(description),
            priority: Priority::High,
            estimated_hours: None,
            due_date: None,
            key: None,
            metadata: std::collections::BTreeMap::new(),
        })
    };
    let bytes_around = task(String::new())?.len();
    Ok(task("x".repeat(PAYLOAD_BYTES - bytes_around))?)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is an edge")]
fn token() -> anyhow::Result<String> {
    let gate = Gate::new(&Secret::from_text(SECRET)?);
    let tenant = Tenant::parse("bench")?;
    let lifetime = TimeDelta::hours(TOKEN_HOURS);
    Ok(gate.issue(&tenant, "bench", Role::Member, lifetime, Utc::now())?)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is an edge")]
fn new_id() -> Uuid {
    Uuid::now_v7()
}
