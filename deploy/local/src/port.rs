//! Free ports on the loopback.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use rand::RngExt;

use crate::Error;

/// Below what Linux (32768) and macOS (49152) hand out to outgoing connections: a server that comes back on its port
/// after a crash must not find a client's socket there, and a client that keeps trying must not connect to itself.
const PORTS: Range<u16> = 15_000..32_000;

const TRIES_MAX: usize = 200;

pub(crate) fn free() -> Result<u16, Error> {
    let mut random = rand::rng();
    (0..TRIES_MAX)
        .map(|_| random.random_range(PORTS))
        .find(|port| is_free(*port))
        .ok_or(Error::NoFreePort)
}

pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The asked port if it can be had, or any free one.
pub(crate) fn choose(asked: Option<u16>) -> Result<u16, Error> {
    match asked {
        Some(port) if is_free(port) => Ok(port),
        Some(port) => Err(Error::PortInUse { port }),
        None => free(),
    }
}
