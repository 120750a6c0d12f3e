//! A server's data folder: made when absent, held by one process at a time, with the server's log in it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc::O_NOFOLLOW;

use crate::Error;

const LOCK: &str = "foldline.lock";

/// How often, and after what pauses, a lock that this process itself seems to hold is tried for.
const LOCK_TRIES_MAX: u32 = 50;
const LOCK_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// A log above this is set aside at the next start; one earlier log is kept.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// How much of a log's end an error quotes.
const TAIL_LINES: usize = 6;
const TAIL_BYTES_MAX: u64 = 8 << 10;

/// Held until it is dropped, or the process ends in whatever way: the lock is the kernel's.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        // Open to pass through, so that root's PostgreSQL reaches its part of it; what is secret inside is closed itself.
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(path)
            .map_err(Error::folder("make the data folder", path))?;
        let path = path
            .canonicalize()
            .map_err(Error::folder("find the data folder", path))?;
        let lock = lock(&path)?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the log for appending.
    pub(crate) fn log(&self, name: &'static str) -> Result<Log, Error> {
        let path = self.path.join(name);
        if fs::metadata(&path).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
            fs::rename(&path, path.with_extension("log.old"))
                .map_err(Error::folder("set aside", &path))?;
        }
        let file = private_file(&path, OpenOptions::new().append(true).create(true))
            .map_err(Error::folder("write", &path))?;
        let start = file.metadata().map_err(Error::folder("read", &path))?.len();
        Ok(Log { path, file, start })
    }
}

fn lock(data: &Path) -> Result<File, Error> {
    let path = data.join(LOCK);
    let mut file = private_file(
        &path,
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false),
    )
    .map_err(Error::folder("write", &path))?;
    let mut tries = 1;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => {
                let pid = holder(&mut file);
                // A child that another thread is starting right now has our open files until it becomes another program.
                if pid != std::process::id().to_string() || tries == LOCK_TRIES_MAX {
                    return Err(Error::FolderInUse {
                        data: data.to_owned(),
                        pid,
                    });
                }
                tries += 1;
                std::thread::sleep(LOCK_AGAIN_AFTER);
            }
            Err(TryLockError::Error(source)) => return Err(Error::folder("lock", path)(source)),
        }
    }
    file.rewind()
        .and_then(|()| file.set_len(0))
        .and_then(|()| write!(file, "{}", std::process::id()))
        .map_err(Error::folder("write", &path))?;
    Ok(file)
}

/// Whose process it says it is.
fn holder(file: &mut File) -> String {
    let mut pid = String::new();
    let read = file
        .rewind()
        .and_then(|()| file.read_to_string(&mut pid).map(drop));
    if read.is_ok() && !pid.is_empty() {
        pid
    } else {
        "of another foldline".to_owned()
    }
}

/// Only its owner may read it, and nobody may have put a link in its place: root writes here too.
pub(crate) fn private_file(path: &Path, options: &mut OpenOptions) -> std::io::Result<File> {
    options.mode(0o600).custom_flags(O_NOFOLLOW).open(path)
}

#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    start: u64,
}

impl Log {
    pub(crate) fn writer(&self) -> Result<File, Error> {
        self.file
            .try_clone()
            .map_err(Error::folder("write", &self.path))
    }

    /// What was written since the log was opened, or the end of it where that is long.
    pub(crate) fn since_start(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = File::open(&self.path)?;
            let end = file.metadata()?.len();
            file.seek(SeekFrom::Start(
                self.start.max(end.saturating_sub(TAIL_BYTES_MAX)),
            ))?;
            let mut bytes = Vec::new();
            file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_default()
    }

    /// The last lines since the log was opened, for an error.
    pub(crate) fn tail(&self) -> String {
        let tail = reason_in(&self.since_start());
        if tail.is_empty() {
            format!("its log is empty ({})", self.path.display())
        } else {
            tail
        }
    }
}

/// The end of a program's output on one line.
pub(crate) fn reason_in(output: &str) -> String {
    let lines: Vec<&str> = output
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join(" | ")
}
