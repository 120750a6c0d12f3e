//! Where things are on this machine: the cache of fetched programs, the data, folders that are thrown away.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::Error;

/// What belongs to Foldline when root runs it: PostgreSQL refuses root, and root's home is closed to everybody else.
pub(crate) const ROOT_FOLDER: &str = "/var/lib/foldline";

/// The folder into which `make postgres` and `make kafka` put what they fetch.
pub(crate) fn cache_folder() -> Result<PathBuf, Error> {
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("foldline"))
        .ok_or(Error::CacheUnknown)
}

/// Where data is kept when nobody says otherwise: `/var/lib/foldline/data` for root, else
/// `$XDG_DATA_HOME/foldline` or `~/.local/share/foldline`.
pub fn default_data_folder() -> Result<PathBuf, Error> {
    if geteuid().is_root() {
        return Ok(PathBuf::from(ROOT_FOLDER).join("data"));
    }
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("foldline"))
        .ok_or(Error::CacheUnknown)
}

/// A folder that goes away with its value, and that the unprivileged user of root's PostgreSQL can pass through
/// (`tempfile`'s own are closed to all others).
pub fn temporary_folder() -> Result<TempDir, Error> {
    let folder = TempDir::with_prefix("foldline-")
        .map_err(Error::folder("make a folder in", env::temp_dir()))?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o711))
        .map_err(Error::folder("open", folder.path()))?;
    Ok(folder)
}

/// The XDG rules say that a relative path is to be ignored.
fn absolute(variable: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}
