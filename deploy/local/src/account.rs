//! As whom PostgreSQL runs when we are root, which it refuses.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{Uid, User, geteuid};

use crate::Error;
use crate::places::ROOT_FOLDER;

const USER: &str = "foldline";

/// Every system has it, so it serves where no user can be added (a container with a read-only `/etc`).
const FALLBACK_USER: &str = "nobody";

#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    name: String,
}

impl Account {
    /// `None` when we are an ordinary user, and PostgreSQL runs as the same one.
    ///
    /// A cluster that exists is run by its owner: PostgreSQL refuses every other.
    pub(crate) fn for_cluster(cluster: &Path) -> Option<Self> {
        if !geteuid().is_root() {
            return None;
        }
        let owner = fs::metadata(cluster)
            .ok()
            .filter(|cluster| cluster.uid() != 0);
        if let Some(owner) = owner {
            let name = User::from_uid(Uid::from_raw(owner.uid()))
                .ok()
                .flatten()
                .map(|user| user.name);
            let name = name.unwrap_or_else(|| owner.uid().to_string());
            return Some(Self {
                uid: owner.uid(),
                gid: owner.gid(),
                name,
            });
        }
        Self::named(USER)
            .or_else(Self::added)
            .or_else(|| Self::named(FALLBACK_USER))
            .or_else(|| {
                // A container without a user list: the number that stands for nobody nearly everywhere.
                Some(Self {
                    uid: 65_534,
                    gid: 65_534,
                    name: FALLBACK_USER.to_owned(),
                })
            })
    }

    fn named(name: &str) -> Option<Self> {
        let user = User::from_name(name)
            .ok()
            .flatten()
            .filter(|user| !user.uid.is_root())?;
        Some(Self {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            name: user.name,
        })
    }

    fn added() -> Option<Self> {
        let options = [
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir",
            ROOT_FOLDER,
        ];
        let added = Command::new("useradd")
            .args(options)
            .args(["--shell", "/usr/sbin/nologin", USER])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        tracing::debug!(user = USER, ?added, "system user added");
        // Looked up whatever useradd said: another start may have added it at the same moment.
        Self::named(USER)
    }

    pub(crate) fn own(&self, path: &Path) -> Result<(), Error> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(Error::folder("hand over", path))
    }

    /// Every folder above the data must let the account pass; its own folders inside do.
    pub(crate) fn check_reach(&self, data: &Path) -> Result<(), Error> {
        match data
            .ancestors()
            .filter(|folder| !self.may_pass(folder))
            .last()
        {
            None => Ok(()),
            Some(closed) => Err(Error::FolderClosed {
                data: data.to_owned(),
                closed: closed.to_owned(),
                user: self.name.clone(),
            }),
        }
    }

    pub(crate) fn can_reach(&self, path: &Path) -> bool {
        path.ancestors().skip(1).all(|folder| self.may_pass(folder))
    }

    fn may_pass(&self, folder: &Path) -> bool {
        let Ok(metadata) = fs::metadata(folder) else {
            return false;
        };
        let mode = metadata.permissions().mode();
        let bit = if metadata.uid() == self.uid {
            0o100
        } else if metadata.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        mode & bit != 0
    }
}

/// A copy of fetched programs at a place which the account can reach; made once, complete or not at all.
pub(crate) fn copy_for_everybody(fetched: &Path) -> Result<PathBuf, Error> {
    let name = fetched
        .file_name()
        .expect("a folder in the cache has a name");
    let copy = Path::new(ROOT_FOLDER).join(name);
    if copy.is_dir() {
        return Ok(copy);
    }
    tracing::info!(from = %fetched.display(), to = %copy.display(), "copying programs that an ordinary user can run");
    fs::create_dir_all(ROOT_FOLDER).map_err(Error::folder("make", ROOT_FOLDER))?;
    let partial = tempfile::Builder::new()
        .prefix("partial.")
        .tempdir_in(ROOT_FOLDER)
        .map_err(Error::folder("make a folder in", ROOT_FOLDER))?;
    copy_folder(fetched, partial.path())
        .map_err(Error::folder("copy PostgreSQL into", ROOT_FOLDER))?;
    let renamed = fs::rename(partial.path(), &copy);
    // Where another start was faster, its copy is as good.
    if renamed.is_err() && !copy.is_dir() {
        renamed.map_err(Error::folder("make", &copy))?;
    }
    Ok(copy)
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
