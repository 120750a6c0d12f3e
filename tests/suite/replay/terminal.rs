//! Stepping on a real terminal.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    pty::{Winsize, openpty},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{filled_log, replay};
use crate::processes::PATIENCE;

/// A terminal of a size, and what runs on it.
struct Terminal {
    keys: File,
    screen: mpsc::Receiver<Vec<u8>>,
    seen: String,
    child: Child,
}

impl Terminal {
    fn start(mut command: Command) -> Self {
        let size = Winsize {
            ws_row: 40,
            ws_col: 140,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(Some(&size), None).unwrap();
        let slave = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
        command
            .stdin(slave(&pty.slave))
            .stdout(slave(&pty.slave))
            .stderr(slave(&pty.slave));
        let child = command.spawn().unwrap();
        drop((command, pty.slave));
        let mut master = File::from(pty.master.try_clone().unwrap());
        let (sender, screen) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = master.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            keys: pty.master.into(),
            screen,
            seen: String::new(),
            child,
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the terminal was sent some text.
    fn sees(&mut self, text: &str) {
        let began = Instant::now();
        while !self.seen.contains(text) {
            assert!(
                began.elapsed() < PATIENCE,
                "{text:?} is not in {:?}",
                self.seen
            );
            if let Ok(bytes) = self.screen.recv_timeout(Duration::from_millis(100)) {
                self.seen.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
    }

    fn ended(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Terminal {
    /// It holds the terminal itself, so no end of that ends it.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn stepping_takes_over_a_terminal_and_gives_it_back_at_q_and_at_a_signal() {
    const TAKEN: &str = "\u{1b}[?1049h";
    const GIVEN_BACK: &str = "\u{1b}[?1049l";
    let database = filled_log().await;
    for is_signal in [false, true] {
        let mut terminal = Terminal::start(replay(&database.url, &["--step"]));
        terminal.sees(TAKEN);
        terminal.sees("tasks.ProjectCreated");
        // From the first event to the 700th.
        terminal.press("g700\r");
        // The line that is looked at is drawn the other way round.
        terminal.sees("\u{1b}[7m      700 ");
        assert!(!terminal.seen.contains(GIVEN_BACK));
        if is_signal {
            kill(
                Pid::from_raw(terminal.child.id().cast_signed()),
                Signal::SIGTERM,
            )
            .unwrap();
        } else {
            terminal.press("q");
        }
        assert_eq!(terminal.ended(), Some(0));
        terminal.sees(GIVEN_BACK);
    }
    // There is nothing to step through: it says so where the terminal was.
    let mut terminal = Terminal::start(replay(&database.url, &["--step", "--stream", "task-1"]));
    terminal.sees("no stream task-1");
    assert_eq!(terminal.ended(), Some(1));
    assert!(!terminal.seen.contains(TAKEN));
}
