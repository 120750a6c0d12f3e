//! The rules of local servers, each shown with real ones: what `make postgres` and `make kafka` put into the cache.

mod kafka;
mod orphans;
mod postgres;
mod runner;

use std::time::{Duration, Instant};

use nix::sys::signal::kill;
use nix::unistd::Pid;

/// A start that takes 3 s alone takes a minute beside a few compilers.
const WAIT_MAX: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(50);

fn is_alive(pid: i32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let is_zombie = state
        .rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('Z'));
    kill(Pid::from_raw(pid), None).is_ok() && !is_zombie
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < WAIT_MAX, "waited in vain for: {what}");
        std::thread::sleep(POLL);
    }
}
