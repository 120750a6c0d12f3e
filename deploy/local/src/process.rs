//! A server's process: started apart from our terminal, watched, and stopped within bounds.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::time::{Instant, sleep, timeout};

use crate::Error;
use crate::account::Account;

/// What becomes of a server when the process that started it ends without stopping it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// It goes on, and the next start on its data folder takes it over.
    OutlivesUs,
    /// It is killed, also when we are: for tests. Dropping its value kills it too.
    DiesWithUs,
}

pub(crate) const POLL: Duration = Duration::from_millis(20);

const PID_SECONDS_MAX: u64 = 10;

/// Stays the server's parent, and kills it when its own standard input ends, which is when we do. The kernel's
/// `PDEATHSIG` would not serve: it follows the thread that forked, not the process, and is lost with a change of user.
/// As the parent it also keeps the pid from being given to another process before it has seen the server's end.
const GUARDIAN: &str = r#"
exec 3<&0
signal=$1
shift
"$@" </dev/null >&2 3<&- &
server=$!
echo "$server"
( read -r _ <&3; kill -s "$signal" "$server" ) 2>/dev/null &
watch=$!
exec 3<&-
wait "$server"
code=$?
kill -s KILL "$watch" 2>/dev/null
exit "$code"
"#;

/// How a server is to be run. Its environment is this one and no more; both its outputs go to the log.
pub(crate) struct Launch<'a> {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) account: Option<&'a Account>,
    pub(crate) log: File,
    pub(crate) lifetime: Lifetime,
    /// What the guardian sends.
    pub(crate) death: Signal,
    /// What is sent when the start is given up half-way.
    pub(crate) cancel: Signal,
}

#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    pid: Pid,
    /// Absent when another process started it.
    child: Option<Child>,
    /// Closing it wakes the guardian.
    _guardian: Option<ChildStdin>,
    /// Present until the server is ready.
    cancel: Option<Signal>,
}

/// A start that is not waited for (an interrupt came first) leaves nothing running, whatever the lifetime.
impl Drop for Process {
    fn drop(&mut self) {
        if let Some(signal) = self.cancel
            && !self.has_ended()
            && let Err(error) = kill(self.pid, signal)
        {
            tracing::warn!(server = self.name, pid = self.pid(), %error, "signal not sent");
        }
    }
}

impl Process {
    pub(crate) async fn spawn(name: &'static str, launch: Launch<'_>) -> Result<Self, Error> {
        let program = launch.program.clone();
        Self::start(name, launch).await.map_err(Error::run(program))
    }

    async fn start(name: &'static str, launch: Launch<'_>) -> io::Result<Self> {
        let mut command = match launch.lifetime {
            Lifetime::OutlivesUs => {
                let mut command = Command::new(&launch.program);
                command.stdin(Stdio::null()).stdout(launch.log.try_clone()?);
                command
            }
            Lifetime::DiesWithUs => {
                let mut command = Command::new("/bin/sh");
                let death = launch.death.as_str().trim_start_matches("SIG");
                command
                    .args(["-c", GUARDIAN, name, death])
                    .arg(&launch.program);
                command.stdin(Stdio::piped()).stdout(Stdio::piped());
                command
            }
        };
        // Its own group: a Ctrl-C in our terminal is for us, and we stop the server when nobody needs it any more.
        command
            .args(launch.arguments)
            .stderr(launch.log)
            .process_group(0)
            .current_dir("/");
        command.env_clear().envs(launch.environment);
        if let Some(account) = launch.account {
            command.uid(account.uid).gid(account.gid);
        }
        let mut child = tokio::process::Command::from(command).spawn()?;
        let gone = || io::Error::other("it ended at once");
        let pid = match child.stdout.take() {
            None => child.id().ok_or_else(gone)?.cast_signed(),
            Some(stdout) => {
                let mut lines = BufReader::new(stdout).lines();
                let line = timeout(Duration::from_secs(PID_SECONDS_MAX), lines.next_line());
                let line = line.await.map_err(|_elapsed| gone())??;
                line.and_then(|pid| pid.parse().ok()).ok_or_else(gone)?
            }
        };
        Ok(Self {
            name,
            pid: Pid::from_raw(pid),
            _guardian: child.stdin.take(),
            child: Some(child),
            cancel: Some(launch.cancel),
        })
    }

    /// A server that somebody else started, and that the caller has recognised.
    pub(crate) fn adopted(name: &'static str, pid: Pid) -> Self {
        Self {
            name,
            pid,
            child: None,
            cancel: None,
            _guardian: None,
        }
    }

    /// From now on the lifetime that was asked for holds.
    pub(crate) fn ready(mut self) -> Self {
        self.cancel = None;
        self
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        match &mut self.child {
            Some(child) => !matches!(child.try_wait(), Ok(None)),
            None => !is_alive(self.pid),
        }
    }

    pub(crate) async fn ends_within(&mut self, bound: Duration) -> bool {
        let end = Instant::now() + bound;
        while !self.has_ended() {
            if Instant::now() >= end {
                return false;
            }
            sleep(POLL).await;
        }
        true
    }

    /// Sends one signal after the other, each with the time given to it.
    pub(crate) async fn stop(mut self, steps: &[(Signal, Duration)]) -> Result<(), Error> {
        for (signal, bound) in steps {
            if self.has_ended() {
                return Ok(());
            }
            match kill(self.pid, *signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => {
                    tracing::warn!(server = self.name, pid = self.pid(), %error, "signal not sent")
                }
            }
            if self.ends_within(*bound).await {
                return Ok(());
            }
            tracing::warn!(
                server = self.name,
                pid = self.pid(),
                signal = signal.as_str(),
                "did not stop in time"
            );
        }
        Err(Error::NotStopped {
            program: self.name,
            pid: self.pid(),
        })
    }
}

/// A process whose parent has not noticed its end (in a container, often nobody does) is not alive.
pub(crate) fn is_alive(pid: Pid) -> bool {
    if matches!(kill(pid, None), Err(Errno::ESRCH)) {
        return false;
    }
    // The state follows the name in parentheses, which may itself hold any character.
    let state = fs::read_to_string(format!("/proc/{pid}/stat"));
    !state.is_ok_and(|stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('Z'))
    })
}

/// The arguments with which a process runs, the program first; empty when it can't be seen.
pub(crate) fn arguments_of(pid: Pid) -> Vec<String> {
    if Path::new("/proc/self/cmdline").exists() {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let arguments = line
            .split(|byte| *byte == 0)
            .map(|argument| String::from_utf8_lossy(argument).into_owned());
        return arguments.filter(|argument| !argument.is_empty()).collect();
    }
    let ps = Command::new("ps")
        .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
        .output();
    let line = ps
        .map(|ps| String::from_utf8_lossy(&ps.stdout).into_owned())
        .unwrap_or_default();
    line.split_whitespace().map(str::to_owned).collect()
}
