//! The binary as processes: started on free ports, waited for, signalled, and gone when a test ends in whatever way.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use foldline_schema::testing::TestDatabase;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    checks,
    client::{self, Client},
    stored,
};

/// For whatever a process has to get done: recovery on a loaded machine, not speed.
pub const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);
/// How much of a process's log is shown when its test fails.
const LOG_LINES_SHOWN: usize = 30;
const SECRET: &str = "5ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7e75ec7";
/// The tenant of the tests; `dev` is that of `foldline up` itself.
pub const TENANT: &str = "acme";
/// Settings that must not leak from the environment of the run into a process.
const SETTINGS: [&str; 10] = [
    "DATABASE_URL",
    "LOG_URL",
    "LOG_URL_DIRECT",
    "VIEW_URL",
    "VIEW_URL_DIRECT",
    "KAFKA_BROKERS",
    "KAFKA_PROPERTIES",
    "FOLDLINE_SECRET",
    "FOLDLINE_SECRET_FILE",
    "FOLDLINE_FEED",
];

/// The binary under test, without any setting.
pub fn foldline() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foldline"));
    for name in SETTINGS {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs to the end a subcommand that ends by itself; its standard output, and whether it went well.
pub async fn finished(mut command: Command) -> (ExitStatus, String) {
    let ended = tokio::task::spawn_blocking(move || command.output());
    let output = tokio::time::timeout(5 * PATIENCE, ended)
        .await
        .expect("the subcommand ends")
        .unwrap()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    }
    (output.status, said)
}

#[expect(clippy::disallowed_methods, reason = "a test is an edge")]
pub fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run `make test`"))
}

/// Whether the checks run at full size.
#[expect(clippy::disallowed_methods, reason = "a test is an edge")]
pub fn is_soak() -> bool {
    std::env::var("FOLDLINE_SOAK").is_ok()
}

/// Asks again until it is so.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// A process that does not outlive the test.
pub struct Process {
    child: Child,
    log: PathBuf,
    lines: mpsc::Receiver<String>,
}

impl Process {
    /// Its standard error goes to a file in `folder`.
    pub fn start(mut command: Command, folder: &Path) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let log = folder.join(format!("process-{number}.log"));
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel(16);
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, log, lines }
    }

    /// The line of JSON that says it is ready.
    pub async fn ready_line(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.lines.recv())
            .await
            .expect("a line comes in time")
            .expect("it does not end before it is ready");
        serde_json::from_str(&line).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, signal).unwrap();
    }

    /// The processes that it started and that still run.
    pub fn children(&self) -> Vec<Pid> {
        let pid = self.child.id();
        // A thread's children are its own, and any thread may have started one.
        let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let children = threads.map(|thread| {
            let listed = thread.unwrap().path().join("children");
            fs::read_to_string(listed).unwrap_or_default()
        });
        children
            .flat_map(|listed| {
                let pids = listed.split_whitespace();
                pids.map(|pid| Pid::from_raw(pid.parse().unwrap()))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// The most memory that it ever had, in MiB.
    pub fn peak_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|peak| peak.split_whitespace().next());
        kib.unwrap().parse::<u64>().unwrap() / 1024
    }

    /// Whether it has ended by now.
    pub fn try_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub async fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.try_ended() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the process does not end");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
            eprintln!("--- {}\n{}", self.log.display(), shown.join("\n"));
        }
    }
}

/// `foldline up` over a data folder.
pub struct Up {
    pub process: Process,
    data: PathBuf,
    pub client: Client,
}

impl Up {
    /// With a Postgres of its own, unless `database_url` names one: of that the rows are compared, so there no worker adds events
    /// at the times of the test.
    pub async fn start(folder: &Path, database_url: Option<&str>) -> Self {
        let data = folder.join("data");
        let mut command = foldline();
        command
            .args(["up", "--json", "--port", "0", "--data"])
            .arg(&data);
        if let Some(url) = database_url {
            command.arg("--no-worker").env("DATABASE_URL", url);
        }
        let mut process = Process::start(command, folder);
        let ready = process.ready_line().await;
        let api = ready["api"].as_str().unwrap().replace("/api/v1", "");
        let query = ready["graphql"].as_str().unwrap().replace("/graphql", "");
        let token = ready["token"].as_str().unwrap();
        let up = Self {
            process,
            client: Client::new(&api, &query, token),
            data,
        };
        up.client.is_ready(&query).await;
        up
    }

    /// Its own Postgres, as that wrote it down.
    pub fn postgres(&self) -> Option<Pid> {
        let file = self.data.join("postgres/cluster/postmaster.pid");
        let text = fs::read_to_string(file).ok()?;
        Some(Pid::from_raw(text.lines().next()?.trim().parse().ok()?))
    }

    /// A client of the tests' own tenant.
    pub async fn client_of_tests(&self) -> Client {
        let mut command = foldline();
        command
            .args(["token", "--tenant", TENANT, "--role", "admin", "--data"])
            .arg(&self.data);
        let (status, token) = finished(command).await;
        assert!(status.success());
        self.client.with_token(token.trim())
    }
}

impl Drop for Up {
    /// Its Postgres outlives a kill, by design; here it must not.
    fn drop(&mut self) {
        if self.process.try_ended().is_none() {
            self.process.signal(Signal::SIGTERM);
            let began = Instant::now();
            while self.process.try_ended().is_none() && began.elapsed() < PATIENCE {
                thread::sleep(PAUSE);
            }
        }
        if let Some(pid) = self.postgres() {
            let _ = kill(pid, Signal::SIGQUIT);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Command,
    Relay,
    Projector,
    Query,
    Worker,
}

impl Role {
    pub const ALL: [Self; 5] = [
        Self::Command,
        Self::Relay,
        Self::Projector,
        Self::Query,
        Self::Worker,
    ];
    /// What a command needs to get to whoever asks. A worker adds events of its own to what tests send.
    const SERVING: [Self; 4] = [Self::Command, Self::Relay, Self::Projector, Self::Query];

    fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Relay => "relay",
            Self::Projector => "projector",
            Self::Query => "query",
            Self::Worker => "worker",
        }
    }
}

/// The roles as processes over a database and a topic of their own, on ports that survive a restart.
pub struct Stack {
    pub database: TestDatabase,
    pub topic: String,
    brokers: String,
    ports: BTreeMap<Role, u16>,
    running: BTreeMap<Role, Process>,
    /// Outlives the processes, which show their logs when a test fails.
    folder: TempDir,
}

impl Stack {
    /// Nothing runs yet.
    pub async fn new() -> Self {
        Self::over(setting("KAFKA_BROKERS")).await
    }

    /// The same over a Kafka of the test's own.
    pub async fn over(brokers: String) -> Self {
        let database = TestDatabase::empty().await;
        let cell = format!("t-{}", &client::new_id().simple().to_string()[16..]);
        let mut migrate = foldline();
        migrate
            .args(["migrate", "--cell", &cell])
            .env("DATABASE_URL", &database.url);
        assert!(finished(migrate).await.0.success());
        // Held all at once, so that they differ.
        let held = Role::ALL.map(|role| (role, TcpListener::bind("127.0.0.1:0").unwrap()));
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        Self {
            database,
            topic: format!("foldline.{cell}.events"),
            brokers,
            folder: foldline_local::temporary_folder().unwrap(),
            ports: held
                .iter()
                .map(|(role, listener)| (*role, port(listener)))
                .collect(),
            running: BTreeMap::new(),
        }
    }

    /// Everything but a worker runs.
    pub async fn started() -> Self {
        let mut stack = Self::new().await;
        for role in Role::SERVING {
            stack.start(role).await;
        }
        stack
    }

    pub async fn start(&mut self, role: Role) {
        self.start_with(role, "").await;
    }

    /// With crash points switched on, in the notation of the `fail` crate.
    pub async fn start_with(&mut self, role: Role, failpoints: &str) {
        let process = self.process(role, self.ports[&role], failpoints).await;
        self.running.insert(role, process);
    }

    /// A second process of a role, on a port of its own.
    pub async fn start_another(&self, role: Role) -> Process {
        self.process(role, 0, "").await
    }

    async fn process(&self, role: Role, port: u16, failpoints: &str) -> Process {
        let mut command = foldline();
        command
            .args([
                role.name(),
                "--json",
                "--listen",
                &format!("127.0.0.1:{port}"),
            ])
            .env("DATABASE_URL", &self.database.url)
            .env("FAILPOINTS", failpoints);
        match role {
            Role::Command | Role::Worker => command.env("FOLDLINE_SECRET", SECRET),
            Role::Relay | Role::Projector => command.env("KAFKA_BROKERS", &self.brokers),
            Role::Query => command
                .env("FOLDLINE_SECRET", SECRET)
                .env("COMMAND_URL", self.origin(Role::Command)),
        };
        let mut process = Process::start(command, self.folder.path());
        process.ready_line().await;
        process
    }

    /// A projector that folds the whole log from Postgres into the views of another, empty database.
    pub async fn replay_into(&self, views: &TestDatabase) -> Process {
        self.replay_over(&self.database.url, &views.url).await
    }

    /// The same by URLs that may lead over a network of the test's own.
    pub async fn replay_over(&self, log_url: &str, views_url: &str) -> Process {
        self.replay_with(log_url, views_url, "").await
    }

    /// The same with crash points switched on, in the notation of the `fail` crate.
    pub async fn replay_with(&self, log_url: &str, views_url: &str, failpoints: &str) -> Process {
        let mut migrate = foldline();
        migrate.arg("migrate").env("VIEW_URL", views_url);
        assert!(finished(migrate).await.0.success());
        let mut command = foldline();
        command
            .args([
                "projector",
                "--json",
                "--listen",
                "127.0.0.1:0",
                "--feed",
                "postgres",
            ])
            .env("LOG_URL", log_url)
            .env("VIEW_URL", views_url)
            .env("FAILPOINTS", failpoints);
        let mut process = Process::start(command, self.folder.path());
        process.ready_line().await;
        process
    }

    /// Once everything is folded, the rows are what a projector makes that begins anew.
    pub async fn has_the_rows_of_a_replay(&self, views_url: &str) {
        let head = stored::head(&self.database.url).await;
        stored::folded(views_url, head).await;
        let replayed = TestDatabase::empty().await;
        let _replay = self.replay_into(&replayed).await;
        stored::folded(&replayed.url, head).await;
        let live = stored::rows(views_url, TENANT, &[]).await;
        let fresh = stored::rows(&replayed.url, TENANT, &[]).await;
        assert!(!live.is_empty());
        assert_eq!(checks::same_rows(&live, &fresh), [""; 0]);
    }

    fn origin(&self, role: Role) -> String {
        format!("http://127.0.0.1:{}", self.ports[&role])
    }

    /// Every role says that it is ready.
    pub async fn client(&self) -> Client {
        let mut command = foldline();
        command
            .args(["token", "--tenant", TENANT, "--role", "admin"])
            .env("FOLDLINE_SECRET", SECRET);
        let (status, token) = finished(command).await;
        assert!(status.success());
        let (api, query) = (self.origin(Role::Command), self.origin(Role::Query));
        let client = Client::new(&api, &query, token.trim());
        for role in self.running.keys() {
            client.is_ready(&self.origin(*role)).await;
        }
        client
    }

    /// Asks it to end, and it ends well.
    pub async fn stop(&mut self, role: Role) {
        let mut process = self.running.remove(&role).unwrap();
        process.signal(Signal::SIGTERM);
        assert!(process.ended().await.success(), "{role:?} ends well");
    }

    pub fn signal(&self, role: Role, signal: Signal) {
        self.running[&role].signal(signal);
    }

    /// The most memory that it ever had, in MiB.
    pub fn peak_mib(&self, role: Role) -> u64 {
        self.running[&role].peak_mib()
    }

    /// How it ends by itself.
    pub async fn ended(&mut self, role: Role) -> ExitStatus {
        self.running.remove(&role).unwrap().ended().await
    }

    pub async fn kill(&mut self, role: Role) {
        let mut process = self.running.remove(&role).unwrap();
        process.signal(Signal::SIGKILL);
        process.ended().await;
    }

    /// Whether it has aborted at its crash point; any other end is a failure.
    pub fn has_aborted(&mut self, role: Role) -> bool {
        let Some(status) = self.running.get_mut(&role).unwrap().try_ended() else {
            return false;
        };
        assert_eq!(
            status.signal(),
            Some(Signal::SIGABRT as i32),
            "{role:?} ended by itself"
        );
        true
    }
}

/// An id that nobody else has.
pub fn unique(random: &mut rand::rngs::StdRng) -> Uuid {
    uuid::Builder::from_random_bytes(rand::RngExt::random(random)).into_uuid()
}
