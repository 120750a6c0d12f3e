//! `foldline up-kafka`: the five roles as processes of their own, over an embedded Postgres and a local Kafka.
//!
//! The same program starts itself five times. A role that ends unasked is started again.

use std::{
    net::SocketAddr,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context;
use foldline_events::Cursor;
use foldline_local::{
    Lifetime,
    kafka::{KafkaOptions, KafkaServer},
};
use foldline_log::Service;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{UpArgs, UpConfig},
    folder::{Databases, Folder},
    migrate, roles, serve, shutdown,
    telemetry::LogArgs,
    up::{self, Announced, Ready, Running, sample},
};

/// How long a role may take to answer that it is ready.
const READY_SECONDS_MAX: u64 = 60;
const READY_PAUSE_MS: u64 = 100;
/// How long a role may take to end after it was asked.
const END_SECONDS_MAX: u64 = 30;
/// The pauses before a role that ended unasked is started again: twice as long each time, unless it had run for a while.
const RESTART_PAUSE_MS: u64 = 1_000;
const RESTART_PAUSE_MS_MAX: u64 = 60_000;
const RUN_FOR_A_WHILE_MS: u64 = 60_000;

/// Settings of this process's surroundings that would contradict what the roles are told.
const NOT_INHERITED: [&str; 4] = [
    "DATABASE_URL",
    "FOLDLINE_FEED",
    "FOLDLINE_LISTEN",
    "FOLDLINE_SECRET",
];

pub async fn run(args: UpArgs, logs: &LogArgs) -> anyhow::Result<()> {
    let config = args.read()?;
    let shutdown = shutdown::on_signal()?;
    let folder = Folder::open(config.data.as_deref())?;
    folder.secret()?;
    // First of all, because a port that is taken is the likeliest failure.
    let ports = Ports::choose(config.listen.port(), config.worker).await?;
    let (databases, embedded) = folder.databases(config.databases.clone()).await?;
    let work = async {
        migrate::log(&databases.log.direct, "main").await?;
        migrate::views(&databases.view.direct).await?;
        let start = create_sample(&databases, &folder).await?;
        let saying = Saying {
            as_json: args.json,
            start,
        };
        let kafka = Kafka::find(&config, &folder).await?;
        let passed = Passed {
            logs,
            keep_past: args.projecting.retention.keep_past.clone(),
            proof_pause: args.projecting.proof_pause,
        };
        let ended = run_on(
            saying, passed, &folder, &databases, &kafka, &ports, &shutdown,
        )
        .await;
        let stopped = kafka.stop().await;
        ended.and(stopped)
    };
    embedded.under(work, &shutdown).await
}

/// What the roles are told as this process was.
struct Passed<'a> {
    logs: &'a LogArgs,
    keep_past: Option<String>,
    proof_pause: u32,
}

/// The roles, over databases and a Kafka that whoever calls stops afterwards.
async fn run_on(
    saying: Saying,
    passed: Passed<'_>,
    folder: &Folder,
    databases: &Databases,
    kafka: &Kafka,
    ports: &Ports,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let mut environment = vec![
        ("LOG_URL", databases.log.to_text()),
        ("LOG_URL_DIRECT", databases.log.direct_to_text()),
        ("VIEW_URL", databases.view.to_text()),
        ("VIEW_URL_DIRECT", databases.view.direct_to_text()),
        ("KAFKA_BROKERS", kafka.brokers()),
        (
            "FOLDLINE_SECRET_FILE",
            folder.secret_file().display().to_string(),
        ),
        ("COMMAND_URL", origin(ports.command)),
    ];
    environment.push(("FOLDLINE_PROOF_PAUSE", passed.proof_pause.to_string()));
    environment.extend(passed.keep_past.map(|keep| ("FOLDLINE_KEEP_PAST", keep)));
    let roles = ports.roles().into_iter().map(|(role, port)| Role {
        name: role,
        listen: SocketAddr::from(([127, 0, 0, 1], port)),
        environment: environment.clone(),
        logs: passed.logs.clone(),
    });
    let keeping: Vec<_> = roles
        .map(|role| tokio::spawn(role.keep(shutdown.clone())))
        .collect();
    let announced = announce(saying, folder, ports, shutdown).await;
    if announced.is_err() {
        shutdown.cancel();
    }
    // What says where the roles are is taken back when they have ended.
    let (_announced, mut ended) = match announced {
        Ok(announced) => (announced, Ok(())),
        Err(error) => (None, Err(error)),
    };
    for role in keeping {
        let kept = role.await.context("a role's keeper failed");
        ended = ended.and(kept.and_then(|kept| kept));
    }
    ended
}

/// The roles are not there yet, so this process writes the sample itself, as a command service would.
async fn create_sample(databases: &Databases, folder: &Folder) -> anyhow::Result<sample::Start> {
    let log = roles::open_log(&databases.log, Service::Command).await?;
    let (_routes, handler) = roles::command_routes(&log, &folder.secret()?);
    sample::create_when_empty(&log, &handler).await
}

/// The brokers: somebody else's, or a node of our own.
enum Kafka {
    Given(String),
    Ours(Box<KafkaServer>),
}

impl Kafka {
    async fn find(config: &UpConfig, folder: &Folder) -> anyhow::Result<Self> {
        if let Some(given) = &config.kafka {
            return Ok(Self::Given(given.brokers.clone()));
        }
        let options = KafkaOptions {
            data: folder.path().join("kafka"),
            broker_port: None,
            lifetime: Lifetime::OutlivesUs,
        };
        Ok(Self::Ours(Box::new(KafkaServer::start(options).await?)))
    }

    fn brokers(&self) -> String {
        match self {
            Self::Given(brokers) => brokers.clone(),
            Self::Ours(server) => server.brokers(),
        }
    }

    async fn stop(self) -> anyhow::Result<()> {
        match self {
            Self::Given(_) => Ok(()),
            Self::Ours(server) => server.stop().await.context("cannot stop the local Kafka"),
        }
    }
}

/// What is to be said when all is ready, and how.
#[derive(Clone, Copy)]
struct Saying {
    as_json: bool,
    start: sample::Start,
}

/// Waits until all roles are ready, and says so. `None` when they need not be any more.
async fn announce(
    saying: Saying,
    folder: &Folder,
    ports: &Ports,
    shutdown: &CancellationToken,
) -> anyhow::Result<Option<Announced>> {
    let client = reqwest::Client::new();
    for (role, port) in ports.roles() {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            ready = becomes_ready(&client, port) => {
                ready.with_context(|| format!("the {role} role is not ready; its log lines above say why"))?;
            }
        }
    }
    let secret = folder.secret()?;
    let role = foldline_gate::Role::Admin;
    let token = crate::token::issue(&secret, up::TENANT, "developer", role, up::TOKEN_DAYS)?;
    let (api, query) = (origin(ports.command), origin(ports.query));
    if let sample::Start::First(whole) = saying.start {
        sample::say_unless_seen(has_folded(&client, &query, &token, &whole).await);
    }
    let announced = Running::announce(folder.path(), &api, &query)?;
    Ready::of(&api, &query, token, folder.path())
        .offering(saying.start)
        .announce(saying.as_json)?;
    Ok(Some(announced))
}

/// Waits until the query role shows what a cursor stands for, as long as it lets a read wait.
async fn has_folded(
    client: &reqwest::Client,
    query: &str,
    token: &str,
    whole: &Cursor,
) -> anyhow::Result<()> {
    let asked = format!("{{ projects(atLeast: \"{whole}\") {{ totalCount }} }}");
    let request = client
        .post(format!("{query}/graphql"))
        .bearer_auth(token)
        .json(&serde_json::json!({ "query": asked }));
    let answer: serde_json::Value = request.send().await?.error_for_status()?.json().await?;
    match answer.get("errors") {
        Some(errors) => anyhow::bail!("the query role answered {errors}"),
        None => Ok(()),
    }
}

async fn becomes_ready(client: &reqwest::Client, port: u16) -> anyhow::Result<()> {
    let url = format!("{}/health/ready", origin(port));
    let asking = async {
        loop {
            match client.get(&url).send().await {
                Ok(response) if response.status().is_success() => return,
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(READY_PAUSE_MS)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(READY_SECONDS_MAX), asking)
        .await
        .with_context(|| format!("{url} was not ready within {READY_SECONDS_MAX} s"))
}

fn origin(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// The port asked for is the query service's: it is the one that people open.
struct Ports {
    query: u16,
    command: u16,
    projector: u16,
    relay: u16,
    /// Where there is to be one.
    worker: Option<u16>,
}

impl Ports {
    async fn choose(query: u16, worker: bool) -> anyhow::Result<Self> {
        // Held all at once, so that they differ; then let go for the roles to bind.
        let mut held = Vec::new();
        for offset in 0..5 {
            // Neighbours of a port that was chosen, so that scripts find them again.
            let port = if query == 0 {
                0
            } else {
                query.saturating_add(offset)
            };
            let listener = serve::bind(SocketAddr::from(([127, 0, 0, 1], port)))
                .await
                .context("see --port")?;
            held.push(listener);
        }
        let port = |index: usize| held[index].local_addr().map(|address| address.port());
        Ok(Self {
            query: port(0)?,
            command: port(1)?,
            projector: port(2)?,
            relay: port(3)?,
            worker: worker.then(|| port(4)).transpose()?,
        })
    }

    fn roles(&self) -> Vec<(&'static str, u16)> {
        let worker = self.worker.map(|port| ("worker", port));
        [
            ("command", self.command),
            ("relay", self.relay),
            ("projector", self.projector),
            ("query", self.query),
        ]
        .into_iter()
        .chain(worker)
        .collect()
    }
}

struct Role {
    name: &'static str,
    listen: SocketAddr,
    environment: Vec<(&'static str, String)>,
    logs: LogArgs,
}

impl Role {
    /// Runs the role until `shutdown`, again whenever it ends by itself.
    async fn keep(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut pause = Duration::from_millis(RESTART_PAUSE_MS);
        while !shutdown.is_cancelled() {
            let started = Instant::now();
            let mut process = self.start()?;
            // Taken, because waiting would close it.
            let _held = process.stdin.take();
            tokio::select! {
                () = shutdown.cancelled() => return end(process).await,
                ended = process.wait() => {
                    let status = ended.context("cannot wait for a role")?;
                    if started.elapsed() >= Duration::from_millis(RUN_FOR_A_WHILE_MS) {
                        pause = Duration::from_millis(RESTART_PAUSE_MS);
                    }
                    tracing::warn!(role = self.name, %status, ?pause, "ended unasked; starting it again");
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(Duration::from_millis(RESTART_PAUSE_MS_MAX));
        }
        Ok(())
    }

    fn start(&self) -> anyhow::Result<Child> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = Command::new(program);
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        command
            .arg(self.name)
            .args(["--listen", &self.listen.to_string()])
            .args(self.logs.to_arguments())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            // Held by us alone: the role ends with us, also when we are killed.
            .arg("--end-with-input")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // A Ctrl-C at the terminal is for us; we tell the roles.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start the {} role", self.name))
    }
}

async fn end(mut process: Child) -> anyhow::Result<()> {
    if let Some(pid) = process.id() {
        let pid = Pid::from_raw(i32::try_from(pid).context("a pid beyond 2^31")?);
        kill(pid, Signal::SIGTERM).context("cannot signal a role")?;
    }
    let patience = Duration::from_secs(END_SECONDS_MAX);
    if tokio::time::timeout(patience, process.wait())
        .await
        .is_err()
    {
        process.kill().await.context("cannot kill a role")?;
    }
    Ok(())
}
