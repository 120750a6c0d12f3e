//! A server whose Foldline was killed: taken over when it is the one we would start, else stopped.
//!
//! We hold the data folder's lock, so whatever runs on it belongs to nobody.

use std::ffi::OsString;
use std::fs;

use nix::unistd::Pid;

use super::{NAME, PostgresOptions, STOP, Start};
use crate::Error;
use crate::process::{Lifetime, Process, arguments_of, is_alive};

pub(super) async fn take_over(
    start: &Start<'_>,
    options: &PostgresOptions,
) -> Result<Option<(Process, u16)>, Error> {
    let Some(server) = start.cluster.server() else {
        return Ok(None);
    };
    let pid = Pid::from_raw(server.pid);
    if !is_alive(pid) {
        // PostgreSQL would see that too, and recover, but for one whose parent has not noticed its end yet.
        forget(start)?;
        return Ok(None);
    }
    let running = arguments_of(pid);
    if !is_server_of(&running, &start.cluster.path.to_string_lossy()) {
        // Numbers come round again, soon in a container: PostgreSQL would take the stranger for itself, and not start.
        forget(start)?;
        return Ok(None);
    }
    let process = Process::adopted(NAME, pid);
    let port_fits = options.port.is_none_or(|port| port == server.port);
    if port_fits
        && options.lifetime == Lifetime::OutlivesUs
        && server.ready
        && is_same(start, options, &running, server.port)
    {
        match start
            .cluster
            .check_answer(start.binaries, server.port)
            .await
        {
            Ok(()) => {
                tracing::info!(
                    pid = server.pid,
                    port = server.port,
                    "took over the postgres of a foldline that was killed"
                );
                return Ok(Some((process, server.port)));
            }
            Err(error) => {
                tracing::warn!(pid = server.pid, %error, "the postgres left running does not answer")
            }
        }
    }
    tracing::info!(
        pid = server.pid,
        "stopping the postgres of a foldline that was killed"
    );
    process.stop(&STOP).await?;
    Ok(None)
}

/// Removes what a server wrote of itself, when it is no more.
fn forget(start: &Start<'_>) -> Result<(), Error> {
    let file = start.cluster.server_file();
    match fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::folder("remove", file)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn is_server_of(running: &[String], cluster: &str) -> bool {
    let named = running
        .first()
        .is_some_and(|program| program.ends_with("postgres"));
    named
        && running
            .windows(2)
            .any(|pair| pair[0] == "-D" && pair[1] == cluster)
}

/// The same program with the same settings.
fn is_same(start: &Start<'_>, options: &PostgresOptions, running: &[String], port: u16) -> bool {
    let mut wanted = vec![start.binaries.program("postgres").into_os_string()];
    wanted.extend(super::settings::arguments(
        start.cluster,
        port,
        &options.settings,
    ));
    running.iter().map(OsString::from).eq(wanted)
}
