//! The files of one PostgreSQL: its data, its password, its socket, and what it says of itself while it runs.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::unistd::geteuid;
use tokio::time::timeout;

use super::binaries::Binaries;
use super::settings::{self, SUPERUSER};
use crate::Error;
use crate::account::Account;
use crate::folder::{DataFolder, private_file, reason_in};

const CLUSTER: &str = "cluster";
const PARTIAL: &str = "cluster.partial.";
const PASSWORD: &str = "password";
const SOCKETS: &str = "run";

/// The kernel's bound is 107 bytes and a terminating zero on Linux, 103 on macOS.
const SOCKET_PATH_BYTES_MAX: usize = 103;
const SOCKET_NAME: &str = "/.s.PGSQL.65535.lock";

/// From this version on its own collation of Unicode's code points is built in; before, plain C serves.
const BUILTIN_LOCALE_MAJOR_MIN: u32 = 17;

const ANSWER_SECONDS_MAX: u64 = 10;

pub(super) fn path_in(data: &Path) -> PathBuf {
    data.join(CLUSTER)
}

/// The major version that made the folder; `None` when nothing is in it yet.
pub(super) fn major_of(data: &Path) -> Result<Option<u32>, Error> {
    let path = path_in(data).join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(version) => Ok(version.trim().parse().ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::folder("read", path)(error)),
    }
}

#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) path: PathBuf,
    pub(super) password: String,
    pub(super) sockets: PathBuf,
}

/// What a server writes of itself into `postmaster.pid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) pid: i32,
    pub(super) port: u16,
    pub(super) ready: bool,
}

impl Cluster {
    /// Initialises the folder when it is new.
    pub(super) async fn open(
        folder: &DataFolder,
        binaries: &Binaries,
        account: Option<&Account>,
    ) -> Result<Self, Error> {
        let data = folder.path();
        if let Some(account) = account {
            account.check_reach(data)?;
        }
        let path = path_in(data);
        if !path.exists() {
            initialise(data, binaries, account).await?;
        }
        let password = data.join(PASSWORD);
        let password = fs::read_to_string(&password).map_err(Error::folder("read", password))?;
        let sockets = socket_folder(data);
        own_folder(&sockets, account)?;
        Ok(Self {
            path,
            password,
            sockets,
        })
    }

    pub(super) fn server(&self) -> Option<Server> {
        parse_server(&fs::read_to_string(self.server_file()).ok()?)
    }

    pub(super) fn server_file(&self) -> PathBuf {
        self.path.join("postmaster.pid")
    }

    /// Asks the server with our password whether it is the one of this folder.
    pub(super) async fn check_answer(&self, binaries: &Binaries, port: u16) -> Result<(), Error> {
        let mut psql = tokio::process::Command::new(binaries.program("psql"));
        psql.args([
            "-XAtq",
            "-h",
            "127.0.0.1",
            "-U",
            SUPERUSER,
            "-d",
            "postgres",
            "-p",
            &port.to_string(),
        ])
        .args(["-c", "show data_directory"])
        .env_clear()
        .envs(settings::environment())
        .env("PGPASSWORD", &self.password)
        .env("PGSSLMODE", "disable")
        .stdin(Stdio::null())
        .kill_on_drop(true);
        let failed = |output: String| Error::Failed {
            program: "a first query to PostgreSQL",
            output,
        };
        let output = timeout(Duration::from_secs(ANSWER_SECONDS_MAX), psql.output())
            .await
            .map_err(|_elapsed| failed(format!("no answer in {ANSWER_SECONDS_MAX} s")))?
            .map_err(Error::run(binaries.program("psql")))?;
        if !output.status.success() {
            return Err(failed(reason_in(&String::from_utf8_lossy(&output.stderr))));
        }
        let answer = String::from_utf8_lossy(&output.stdout);
        if Path::new(answer.trim()) == self.path {
            Ok(())
        } else {
            Err(failed(format!(
                "port {port} belongs to the server of {}",
                answer.trim()
            )))
        }
    }
}

/// Made beside its place and renamed, so that an interrupted start leaves nothing that looks complete.
async fn initialise(
    data: &Path,
    binaries: &Binaries,
    account: Option<&Account>,
) -> Result<(), Error> {
    tracing::info!(data = %data.display(), version = binaries.version(), "initialising postgres");
    remove_partial(data)?;
    // A name of its own: the initdb of a start that was killed may still be at work on another.
    let partial = data.join(format!("{PARTIAL}{:08x}", rand::random::<u32>()));
    own_folder(&partial, account)?;
    let password = data.join(PASSWORD);
    write_password(&password, account)?;

    let mut initdb = Command::new(binaries.program("initdb"));
    initdb
        .args(initdb_arguments(&partial, &password, binaries.major()))
        .env_clear()
        .envs(settings::environment())
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null());
    if let Some(account) = account {
        initdb.uid(account.uid).gid(account.gid);
    }
    let output = tokio::process::Command::from(initdb)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(Error::run(binaries.program("initdb")))?;
    if !output.status.success() {
        let output = reason_in(&String::from_utf8_lossy(&output.stderr));
        return Err(Error::Failed {
            program: "PostgreSQL's initdb",
            output,
        });
    }
    let path = path_in(data);
    // The new name has to be on disk before anything that is acknowledged is under it.
    fs::rename(&partial, &path)
        .and_then(|()| File::open(data)?.sync_all())
        .map_err(Error::folder("make", path))
}

fn remove_partial(data: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(data)
        .map_err(Error::folder("read", data))?
        .flatten()
    {
        if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            fs::remove_dir_all(entry.path()).map_err(Error::folder("remove", entry.path()))?;
        }
    }
    Ok(())
}

fn initdb_arguments(cluster: &Path, password: &Path, major: u32) -> Vec<OsString> {
    let mut pwfile = OsString::from("--pwfile=");
    pwfile.push(password);
    let mut arguments: Vec<OsString> = vec![
        "-D".into(),
        cluster.into(),
        "-U".into(),
        SUPERUSER.into(),
        pwfile,
    ];
    let plain = [
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--data-checksums",
        "--no-instructions",
    ];
    arguments.extend(plain.map(OsString::from));
    if major >= BUILTIN_LOCALE_MAJOR_MIN {
        arguments
            .extend(["--locale-provider=builtin", "--builtin-locale=C.UTF-8"].map(OsString::from));
    }
    arguments
}

fn write_password(path: &Path, account: Option<&Account>) -> Result<(), Error> {
    let password: [u8; 24] = rand::random();
    let password: String = password.iter().map(|byte| format!("{byte:02x}")).collect();
    private_file(
        path,
        OpenOptions::new().write(true).create(true).truncate(true),
    )
    .and_then(|mut file| file.write_all(password.as_bytes()))
    .map_err(Error::folder("write", path))?;
    // initdb reads it as the account.
    account.map_or(Ok(()), |account| account.own(path))
}

/// A folder that nobody else may enter, made when absent. One that exists has to be ours: others can write to `/tmp`.
fn own_folder(path: &Path, account: Option<&Account>) -> Result<(), Error> {
    let us = [
        geteuid().as_raw(),
        account.map_or(geteuid().as_raw(), |account| account.uid),
    ];
    let made =
        DirBuilder::new().mode(0o700).create(path).or_else(|error| {
            match fs::symlink_metadata(path) {
                Ok(found) if found.is_dir() && us.contains(&found.uid()) => Ok(()),
                Ok(_) | Err(_) => Err(error),
            }
        });
    made.map_err(Error::folder("make", path))?;
    account.map_or(Ok(()), |account| account.own(path))
}

/// In the data folder where the path is short enough; else in the system's folder for temporary files, under a name
/// that two data folders don't share.
fn socket_folder(data: &Path) -> PathBuf {
    let fits =
        |folder: &Path| folder.as_os_str().len() + SOCKET_NAME.len() <= SOCKET_PATH_BYTES_MAX;
    let own = data.join(SOCKETS);
    // A comma separates folders in PostgreSQL's setting.
    if fits(&own) && !own.to_string_lossy().contains(',') {
        return own;
    }
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    let owner = fs::metadata(data).map_or(0, |data| data.uid());
    Path::new("/tmp").join(format!("foldline-{owner}-{:016x}", hasher.finish()))
}

fn parse_server(file: &str) -> Option<Server> {
    let lines: Vec<&str> = file.lines().collect();
    Some(Server {
        pid: lines.first()?.trim().parse().ok()?,
        port: lines
            .get(3)
            .and_then(|port| port.trim().parse().ok())
            .unwrap_or_default(),
        ready: lines.get(7).is_some_and(|status| status.trim() == "ready"),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{SOCKET_NAME, SOCKET_PATH_BYTES_MAX, Server, parse_server, socket_folder};

    #[test]
    fn a_long_data_folder_has_a_socket_with_a_short_path() {
        let long = format!("/{}", "long/".repeat(40));
        let folders = [long.as_str(), "/short"].map(|data| socket_folder(Path::new(data)));
        for folder in folders {
            assert!(folder.as_os_str().len() + SOCKET_NAME.len() <= SOCKET_PATH_BYTES_MAX);
        }
    }

    #[test]
    fn a_server_is_ready_when_it_says_so() {
        let file = "4711\n/data\n1700000000\n15432\n/run\n127.0.0.1\n  123 0\nready   \n";
        assert_eq!(
            parse_server(file),
            Some(Server {
                pid: 4711,
                port: 15432,
                ready: true
            })
        );
        assert_eq!(
            parse_server("4711\n/data\n"),
            Some(Server {
                pid: 4711,
                port: 0,
                ready: false
            })
        );
        assert_eq!(parse_server(""), None);
    }
}
