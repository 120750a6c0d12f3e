//! Throw-away servers around one command: starts them on free ports, tells the command where they are, and stops
//! everything when it ends, is interrupted, or is killed.
//!
//! `foldline-servers --postgres 18 --postgres 16 --kafka -- cargo test --workspace`
//!
//! The command finds the first PostgreSQL in `TEST_POSTGRES_URL`, the folder of its programs in `TEST_POSTGRES_PROGRAMS`, a
//! further one of version NN in `TEST_POSTGRESNN_URL`, and Kafka in `KAFKA_BROKERS`. Where a variable is set already, that server is used and none is started.

use std::env;
use std::error::Error as StdError;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use foldline_local::kafka::{KafkaOptions, KafkaServer};
use foldline_local::postgres::{PostgresOptions, PostgresServer};
use foldline_local::{Error, Lifetime, temporary_folder};
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::time::{sleep, timeout};

/// Tests run beside each other, each with pools of its own. Durability stays as it is: tests kill these servers.
const SETTINGS: [(&str, &str); 1] = [("max_connections", "400")];

/// How long the command may take to end after it was asked to.
const COMMAND_STOP: Duration = Duration::from_secs(30);

const REMOVE_TRIES_MAX: usize = 50;
const REMOVE_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Leads the command's process group, and kills all of it when its standard input ends, which is when we do. It goes on
/// after a signal meant for the command, to tell us the command's exit code.
const GUARDIAN: &str = r#"
exec 3<&0
trap : HUP INT TERM
( trap '' HUP INT TERM; read -r _ <&3; kill -s KILL 0 ) &
watch=$!
"$@" </dev/null 3<&-
code=$?
kill -s KILL "$watch"
exit "$code"
"#;

/// Runs a command with throw-away servers.
#[derive(Parser)]
struct Arguments {
    /// Major version of a PostgreSQL to start; may be repeated.
    #[arg(long = "postgres", value_name = "MAJOR")]
    postgres: Vec<u32>,

    /// Start an Apache Kafka.
    #[arg(long)]
    kafka: bool,

    /// Keep the servers' data in this folder, instead of a temporary one that is removed.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,

    /// The command and its arguments, after `--`.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<u8, Error> {
    let mut interrupts = Interrupts::new().map_err(run_error("signal handlers"))?;
    let temporary = if arguments.data.is_none() {
        Some(temporary_folder()?.keep())
    } else {
        None
    };
    let data = arguments
        .data
        .clone()
        .or_else(|| temporary.clone())
        .expect("one of both is there");
    let result = tokio::select! {
        signal = interrupts.next() => Ok(code_of(signal)),
        started = Servers::start(&arguments, &data) => match started {
            Ok(servers) => run_with(servers, &arguments.command, &mut interrupts).await,
            Err(error) => Err(error),
        },
    };
    if let Some(folder) = temporary {
        remove(&folder).await;
    }
    result
}

async fn run_with(
    servers: Servers,
    command: &[OsString],
    interrupts: &mut Interrupts,
) -> Result<u8, Error> {
    let code = run_command(command, &servers.environment, interrupts).await;
    let stopped = servers.stop().await;
    code.and_then(|code| stopped.map(|()| code))
}

#[derive(Default)]
struct Servers {
    postgres: Vec<PostgresServer>,
    kafka: Option<KafkaServer>,
    environment: Vec<(String, String)>,
}

impl Servers {
    async fn start(arguments: &Arguments, data: &Path) -> Result<Self, Error> {
        let (mut servers, kafka) = tokio::try_join!(
            Self::start_postgres(&arguments.postgres, data),
            start_kafka(arguments.kafka, data)
        )?;
        servers.environment.extend(
            kafka
                .as_ref()
                .map(|kafka| ("KAFKA_BROKERS".to_owned(), kafka.brokers())),
        );
        servers.kafka = kafka;
        Ok(servers)
    }

    async fn start_postgres(versions: &[u32], data: &Path) -> Result<Self, Error> {
        let mut servers = Self::default();
        for (place, version) in versions.iter().enumerate() {
            let variable = match place {
                0 => "TEST_POSTGRES_URL".to_owned(),
                _ => format!("TEST_POSTGRES{version}_URL"),
            };
            if is_set(&variable) {
                eprintln!("servers: {variable} is set, and used");
                continue;
            }
            let began = Instant::now();
            let server = PostgresServer::start(PostgresOptions {
                data: data.join(format!("postgres-{version}")),
                port: None,
                version: Some(*version),
                settings: SETTINGS
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .to_vec(),
                lifetime: Lifetime::DiesWithUs,
            })
            .await?;
            let (port, seconds) = (server.port(), began.elapsed().as_secs_f32());
            eprintln!(
                "servers: PostgreSQL {} on 127.0.0.1:{port} ({seconds:.1} s)",
                server.version()
            );
            servers.environment.push((variable, server.url("postgres")));
            if place == 0 {
                let programs = server.programs().display().to_string();
                let variable = "TEST_POSTGRES_PROGRAMS".to_owned();
                servers.environment.push((variable, programs));
            }
            servers.postgres.push(server);
        }
        Ok(servers)
    }

    async fn stop(self) -> Result<(), Error> {
        let mut result = Ok(());
        for server in self.postgres {
            result = result.and(server.stop().await);
        }
        if let Some(kafka) = self.kafka {
            // Thrown away: nothing to put in order.
            result = result.and(kafka.kill().await);
        }
        result
    }
}

async fn start_kafka(wanted: bool, data: &Path) -> Result<Option<KafkaServer>, Error> {
    if !wanted {
        return Ok(None);
    }
    if is_set("KAFKA_BROKERS") {
        eprintln!("servers: KAFKA_BROKERS is set, and used");
        return Ok(None);
    }
    let began = Instant::now();
    let options = KafkaOptions {
        data: data.join("kafka"),
        broker_port: None,
        lifetime: Lifetime::DiesWithUs,
    };
    let server = KafkaServer::start(options).await?;
    eprintln!(
        "servers: Apache Kafka on {} ({:.1} s)",
        server.brokers(),
        began.elapsed().as_secs_f32()
    );
    Ok(Some(server))
}

async fn run_command(
    command: &[OsString],
    environment: &[(String, String)],
    interrupts: &mut Interrupts,
) -> Result<u8, Error> {
    let mut guarded = Command::new("/bin/sh");
    guarded
        .args(["-c", GUARDIAN, "foldline-servers"])
        .args(command);
    guarded.envs(environment.iter().map(|(name, value)| (name, value)));
    guarded.stdin(Stdio::piped()).process_group(0);
    let mut child = guarded.spawn().map_err(run_error("/bin/sh"))?;
    // Held until the command has ended, or we have.
    let _guard = child.stdin.take();
    let group = Pid::from_raw(child.id().map_or(0, u32::cast_signed));
    let code = tokio::select! {
        status = child.wait() => status.map(|status| status.code().unwrap_or(1)).map_err(run_error("the command"))?,
        signal = interrupts.next() => {
            stop_group(&mut child, group, signal).await;
            i32::from(code_of(signal))
        }
    };
    // What the command left running.
    signal_group(group, Signal::SIGKILL);
    Ok(u8::try_from(code).unwrap_or(1))
}

async fn stop_group(child: &mut Child, group: Pid, signal: Signal) {
    signal_group(group, signal);
    if timeout(COMMAND_STOP, child.wait()).await.is_err() {
        eprintln!(
            "servers: the command did not end within {} s, killing it",
            COMMAND_STOP.as_secs()
        );
    }
}

fn signal_group(group: Pid, signal: Signal) {
    match killpg(group, signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => eprintln!("servers: {signal} not sent to the command: {error}"),
    }
}

/// The signals that end us.
struct Interrupts {
    hangup: SignalStream,
    interrupt: SignalStream,
    terminate: SignalStream,
}

impl Interrupts {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::SIGHUP,
            _ = self.interrupt.recv() => Signal::SIGINT,
            _ = self.terminate.recv() => Signal::SIGTERM,
        }
    }
}

/// What a shell says of a command that a signal ended.
fn code_of(signal: Signal) -> u8 {
    u8::try_from(128 + signal as i32).unwrap_or(u8::MAX)
}

/// Servers whose start was interrupted take a moment to go, and write until then.
async fn remove(folder: &Path) {
    for _ in 0..REMOVE_TRIES_MAX {
        if fs::remove_dir_all(folder).is_ok() || !folder.exists() {
            return;
        }
        sleep(REMOVE_AGAIN_AFTER).await;
    }
    eprintln!("servers: {} could not be removed", folder.display());
}

fn is_set(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| !value.is_empty())
}

fn run_error(program: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Run {
        program: program.into(),
        source,
    }
}

fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
