//! How our PostgreSQL is set: for a small machine, and durable.

use std::env;
use std::ffi::OsString;

use super::cluster::Cluster;

pub(crate) const SUPERUSER: &str = "postgres";

/// Enough for every role in one process, each with a pool, and a person looking.
pub const CONNECTIONS_MAX: u32 = 200;

const SETTINGS: [(&str, &str); 16] = [
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_permissions", "0700"),
    // The defaults, said so that no configuration file, and no hurry, takes them away.
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    ("shared_buffers", "256MB"),
    // Fewer checkpoints make fewer full pages in the WAL; the price is disk, and seconds of recovery.
    ("max_wal_size", "2GB"),
    ("min_wal_size", "256MB"),
    ("checkpoint_timeout", "15min"),
    // A query over the log may touch all its segments and their indexes at once.
    ("max_locks_per_transaction", "256"),
    // The disks of today.
    ("random_page_cost", "1.1"),
    // After a large import, lists are planned badly until the tables were counted anew.
    ("autovacuum_naptime", "10s"),
    // Compiling pays off for queries of seconds; ours are of milliseconds.
    ("jit", "off"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_line_prefix", "%m [%p] %q%a "),
];

/// The whole command line but the program: later settings win, and no file in the data folder has a say before them.
pub(super) fn arguments(cluster: &Cluster, port: u16, added: &[(String, String)]) -> Vec<OsString> {
    let mut arguments = vec![OsString::from("-D"), cluster.path.clone().into_os_string()];
    let mut set = |name: &str, value: &str| {
        arguments.push("-c".into());
        arguments.push(format!("{name}={value}").into());
    };
    set("port", &port.to_string());
    set(
        "unix_socket_directories",
        &cluster.sockets.to_string_lossy(),
    );
    set("max_connections", &CONNECTIONS_MAX.to_string());
    for (name, value) in SETTINGS {
        set(name, value);
    }
    for (name, value) in added {
        set(name, value);
    }
    arguments
}

/// No `PG…` variable of the person's shell reaches the server, and its messages stay in the language that we read.
pub(super) fn environment() -> Vec<(OsString, OsString)> {
    let mut environment = vec![("LC_ALL".into(), "C".into())];
    environment.extend(env::var_os("PATH").map(|path| ("PATH".into(), path)));
    environment
}
