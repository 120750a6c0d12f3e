//! An Apache Kafka that we run ourselves: one node, broker and controller in one, on the loopback, in KRaft mode.
//!
//! For tests, and for `foldline up-kafka`; production brings its own. Owns the program, its data folder and its ports; it
//! creates no topic. A node left behind by a process that was killed is stopped before a new one starts.

mod java;
mod properties;

use std::env;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use crate::Error;
use crate::folder::{DataFolder, Log, private_file, reason_in};
use crate::places::cache_folder;
use crate::process::{Launch, Lifetime, POLL, Process, arguments_of, is_alive};
use java::Java;
use properties::{Ports, Properties};

const NAME: &str = "Apache Kafka";
const LOG: &str = "kafka.log";
const PID: &str = "kafka.pid";

/// The version, as in `deploy/kafka/pom.xml`.
const FETCHED: &str = "kafka-4.2.0";

/// Written once by `StorageTool`, last of all; a folder without it is not formatted.
const FORMATTED: &str = "meta.properties";

const HEAP: &str = "-Xmx512m";

/// 3 s on an idle machine; a cold one, or one that compiles beside it, takes many times that.
const READY_SECONDS_MAX: u64 = 180;
const READY: &str = "Kafka Server started";

/// A free port can be taken by another process before Kafka binds it.
const STARTS_MAX: usize = 3;

const STOP: [(Signal, Duration); 2] = [
    (Signal::SIGTERM, Duration::from_secs(30)),
    (Signal::SIGKILL, Duration::from_secs(10)),
];

const KILL: [(Signal, Duration); 1] = [(Signal::SIGKILL, Duration::from_secs(10))];

#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// Made when absent. Two nodes need two folders.
    pub data: PathBuf,
    /// On 127.0.0.1; when absent, the one of the last start if it is free, else any.
    pub broker_port: Option<u16>,
    pub lifetime: Lifetime,
}

#[derive(Debug)]
pub struct KafkaServer {
    process: Process,
    broker_port: u16,
    /// Last: the folder is free when the server is gone.
    folder: DataFolder,
}

impl KafkaServer {
    /// Returns when the node serves requests. Formats the folder when it is new, or has been emptied.
    pub async fn start(options: KafkaOptions) -> Result<Self, Error> {
        let program = cache_folder()?.join(FETCHED);
        if !program.is_dir() {
            return Err(Error::KafkaMissing { folder: program });
        }
        let java = Java::find().await?;
        let folder = DataFolder::open(&options.data)?;
        stop_orphan(folder.path()).await?;
        let node = Node {
            program,
            java,
            folder: &folder,
            lifetime: options.lifetime,
        };
        let (process, broker_port) = node.start(options.broker_port).await?;
        tracing::info!(pid = process.pid(), broker_port, "kafka ready");
        Ok(Self {
            process,
            broker_port,
            folder,
        })
    }

    /// For `bootstrap.servers`.
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.broker_port)
    }

    pub fn broker_port(&self) -> u16 {
        self.broker_port
    }

    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    /// Stops it in an orderly way. The folder can be used again afterwards.
    pub async fn stop(self) -> Result<(), Error> {
        self.process.stop(&STOP).await
    }

    /// Kills it as a crash would. The folder, and the port, can be used again afterwards.
    pub async fn kill(self) -> Result<(), Error> {
        self.process.stop(&KILL).await
    }
}

struct Node<'a> {
    program: PathBuf,
    java: Java,
    folder: &'a DataFolder,
    lifetime: Lifetime,
}

impl Node<'_> {
    async fn start(&self, asked: Option<u16>) -> Result<(Process, u16), Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            let ports = Ports::choose(asked, self.folder.path())?;
            let properties = Properties::write(self.folder.path(), ports)?;
            if !properties.storage.join(FORMATTED).exists() {
                self.format(&properties).await?;
            }
            match self.launch(&properties).await {
                Ok(process) => return Ok((process, ports.broker)),
                Err(Error::NotStarted { log, .. })
                    if log.contains("Address already in use") && tries < STARTS_MAX => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn arguments(&self, main: &str) -> Vec<OsString> {
        let mut classes = self.program.join("libs").into_os_string();
        classes.push("/*");
        let mut logging = OsString::from("-Dlog4j2.configurationFile=");
        logging.push(self.program.join("log4j2.properties"));
        vec!["-cp".into(), classes, HEAP.into(), logging, main.into()]
    }

    async fn format(&self, properties: &Properties) -> Result<(), Error> {
        let cluster = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>());
        let output = tokio::process::Command::new(&self.java.program)
            .args(self.arguments("kafka.tools.StorageTool"))
            // As one word: the identifier may begin with a dash.
            .args([
                "format",
                "--standalone",
                &format!("--cluster-id={cluster}"),
                "--config",
            ])
            .arg(&properties.file)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(Error::run(&self.java.program))?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        Err(Error::Failed {
            program: "formatting Kafka's storage",
            output: reason_in(&String::from_utf8_lossy(&said)),
        })
    }

    async fn launch(&self, properties: &Properties) -> Result<Process, Error> {
        let log = self.folder.log(LOG)?;
        let mut arguments = self.arguments("kafka.Kafka");
        arguments.push(properties.file.clone().into_os_string());
        let launch = Launch {
            program: self.java.program.clone(),
            arguments,
            environment: env::vars_os().collect(),
            account: None,
            log: log.writer()?,
            lifetime: self.lifetime,
            death: Signal::SIGKILL,
            cancel: Signal::SIGTERM,
        };
        let process = Process::spawn(NAME, launch).await?;
        write_pid(self.folder.path(), process.pid())?;
        wait_until_ready(process, properties.ports.broker, &log).await
    }
}

async fn wait_until_ready(
    mut process: Process,
    broker_port: u16,
    log: &Log,
) -> Result<Process, Error> {
    let broker = SocketAddr::from((Ipv4Addr::LOCALHOST, broker_port));
    let end = Instant::now() + Duration::from_secs(READY_SECONDS_MAX);
    loop {
        if process.has_ended() {
            return Err(Error::NotStarted {
                program: NAME,
                log: log.tail(),
            });
        }
        if log.since_start().contains(READY) && TcpStream::connect_timeout(&broker, POLL).is_ok() {
            return Ok(process.ready());
        }
        if Instant::now() >= end {
            let error = Error::NotReady {
                program: NAME,
                seconds: READY_SECONDS_MAX,
                log: log.tail(),
            };
            process.stop(&KILL).await?;
            return Err(error);
        }
        sleep(POLL).await;
    }
}

/// We hold the folder's lock, so a node that still runs on it belongs to nobody.
async fn stop_orphan(data: &Path) -> Result<(), Error> {
    let Some(pid) = fs::read_to_string(data.join(PID))
        .ok()
        .and_then(|pid| pid.trim().parse().ok())
    else {
        return Ok(());
    };
    let pid = Pid::from_raw(pid);
    let properties = properties::file_in(data);
    let is_ours = || {
        arguments_of(pid)
            .last()
            .is_some_and(|last| Path::new(last) == properties)
    };
    if is_alive(pid) && is_ours() {
        tracing::info!(
            pid = pid.as_raw(),
            "stopping the kafka of a process that was killed"
        );
        Process::adopted(NAME, pid).stop(&STOP).await?;
    }
    Ok(())
}

fn write_pid(data: &Path, pid: i32) -> Result<(), Error> {
    let path = data.join(PID);
    private_file(
        &path,
        OpenOptions::new().write(true).create(true).truncate(true),
    )
    .and_then(|mut file| write!(file, "{pid}"))
    .map_err(Error::folder("write", path))
}

#[cfg(test)]
mod tests {
    use super::FETCHED;

    #[test]
    fn the_version_looked_for_is_the_version_fetched() {
        let version = FETCHED.trim_start_matches("kafka-");
        let pom = include_str!("../../kafka/pom.xml");
        assert!(pom.contains(&format!(
            "<artifactId>kafka_2.13</artifactId>\n      <version>{version}</version>"
        )));
    }
}
