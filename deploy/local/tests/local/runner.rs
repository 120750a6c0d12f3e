use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use foldline_local::temporary_folder;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{is_alive, wait_until};

const POSTGRES_PID: &str = "postgres-18/cluster/postmaster.pid";

/// Without the servers of the run that we are part of.
fn runner() -> Command {
    let mut runner = Command::new(env!("CARGO_BIN_EXE_foldline-servers"));
    runner
        .env_remove("TEST_POSTGRES_URL")
        .env_remove("KAFKA_BROKERS")
        .stdin(Stdio::null());
    runner
}

/// Ended in every case: a test that fails leaves nothing running either.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).unwrap();
    }
}

/// A runner whose command has written its pid and then sleeps, and the pids of all that it started.
fn sleeping_runner(data: &Path, servers: &[&str], pid_files: &[&str]) -> (Running, Vec<i32>) {
    let pid_file = data.join("command.pid");
    let command = format!(
        "echo $$ > '{0}.new'; mv '{0}.new' '{0}'; sleep 600",
        pid_file.display()
    );
    let runner = runner()
        .args(servers)
        .arg("--data")
        .arg(data)
        .args(["--", "sh", "-c", &command])
        .spawn()
        .map(Running)
        .unwrap();
    wait_until("the command", || pid_file.exists());
    let pids: Vec<i32> = ["command.pid"]
        .iter()
        .chain(pid_files)
        .map(|file| {
            fs::read_to_string(data.join(file))
                .unwrap()
                .lines()
                .next()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    (runner, pids)
}

#[test]
fn the_command_gets_its_servers_and_its_exit_code_is_the_runners() {
    let script = "case $TEST_POSTGRES_URL in postgres://*) ;; *) exit 1 ;; esac
        case $TEST_POSTGRES16_URL in postgres://*) ;; *) exit 2 ;; esac
        exit 7";
    let status = runner()
        .args([
            "--postgres",
            "18",
            "--postgres",
            "16",
            "--",
            "sh",
            "-c",
            script,
        ])
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(7));
}

#[test]
fn servers_that_are_named_already_are_used() {
    let status = runner()
        .args([
            "--postgres",
            "18",
            "--kafka",
            "--",
            "sh",
            "-c",
            "test $TEST_POSTGRES_URL$KAFKA_BROKERS = theirs-too",
        ])
        .envs([("TEST_POSTGRES_URL", "theirs"), ("KAFKA_BROKERS", "-too")])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn nothing_is_left_running_when_the_runner_is_killed() {
    let folder = temporary_folder().unwrap();
    let files = ["kafka/kafka.pid", POSTGRES_PID];
    let (runner, pids) = sleeping_runner(folder.path(), &["--postgres", "18", "--kafka"], &files);
    drop(runner);
    wait_until("the end of all that was started", || {
        !pids.iter().any(|pid| is_alive(*pid))
    });
}

#[test]
fn an_interrupt_stops_the_command_and_its_servers() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let folder = temporary_folder().unwrap();
        let (mut runner, pids) =
            sleeping_runner(folder.path(), &["--postgres", "18"], &[POSTGRES_PID]);
        kill(Pid::from_raw(runner.0.id().cast_signed()), signal).unwrap();
        assert_eq!(runner.0.wait().unwrap().code(), Some(code));
        assert!(!pids.iter().any(|pid| is_alive(*pid)));
    }
}
