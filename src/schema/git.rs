//! What git knows of a folder at a revision. It is asked as a program: whoever has the history has it.

use std::{
    fmt,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use tokio::{process::Command, time::timeout};

/// How long git may take for an answer.
const GIT_SECONDS_MAX: u64 = 60;

/// They would name another repository than that of the folder; git sets them for its hooks.
const OF_ANOTHER: [&str; 4] = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"];

/// A folder as it was at a revision.
pub(super) struct Revision {
    folder: PathBuf,
    /// As it was asked for.
    given: String,
    commit: String,
}

/// A file at a revision.
pub(super) struct File {
    pub(super) name: String,
    object: String,
}

/// The top of the repository around the current folder.
pub(super) async fn top() -> anyhow::Result<PathBuf> {
    let here = Path::new(".");
    let output = git(here, &["rev-parse", "--show-toplevel"]).await?;
    ensure!(
        output.status.success(),
        "the current folder lies in no git repository, and --folder is not given: {}",
        said(&output)
    );
    Ok(PathBuf::from(line(&output.stdout)))
}

impl Revision {
    /// What a name such as `main` stands for in the repository around the folder.
    pub(super) async fn find(folder: &Path, given: &str) -> anyhow::Result<Self> {
        let within = git(folder, &["rev-parse", "--is-inside-work-tree"]).await?;
        ensure!(
            within.status.success() && line(&within.stdout) == "true",
            "{} lies in no working tree of a git repository: {}",
            folder.display(),
            said(&within)
        );
        // Whatever it looks like, it is a revision and no option.
        let wanted = format!("{given}^{{commit}}");
        let arguments = ["rev-parse", "--verify", "--end-of-options", &wanted];
        let found = git(folder, &arguments).await?;
        ensure!(
            found.status.success(),
            "{given:?} is no revision here (a shallow clone has to fetch it first): {}",
            said(&found)
        );
        Ok(Self {
            folder: folder.to_owned(),
            given: given.to_owned(),
            commit: line(&found.stdout),
        })
    }

    /// The files directly in the folder; none, where it was not there.
    pub(super) async fn files(&self) -> anyhow::Result<Vec<File>> {
        let listed = self.answer(&["ls-tree", "-z", &self.commit]).await?;
        let listed = String::from_utf8_lossy(&listed);
        let files = listed.split_terminator('\0').map(|entry| {
            let (about, name) = entry.split_once('\t')?;
            let [_mode, kind, object] = about.split(' ').collect::<Vec<_>>()[..] else {
                return None;
            };
            let file = File {
                name: name.to_owned(),
                object: object.to_owned(),
            };
            Some((kind == "blob").then_some(file))
        });
        let files: Option<Vec<Option<File>>> = files.collect();
        let files = files.context("git lists files in a way that is not known")?;
        Ok(files.into_iter().flatten().collect())
    }

    pub(super) async fn content(&self, file: &File) -> anyhow::Result<Vec<u8>> {
        self.answer(&["cat-file", "blob", &file.object]).await
    }

    async fn answer(&self, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
        let output = git(&self.folder, arguments).await?;
        ensure!(
            output.status.success(),
            "git cannot read {} at {self}: {}",
            self.folder.display(),
            said(&output)
        );
        Ok(output.stdout)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// As many letters as people tell commits apart by.
        const SHORT: usize = 10;
        let commit = self.commit.get(..SHORT).unwrap_or(&self.commit);
        write!(f, "{} ({commit})", self.given)
    }
}

async fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for name in OF_ANOTHER {
        command.env_remove(name);
    }
    let answered = timeout(Duration::from_secs(GIT_SECONDS_MAX), command.output())
        .await
        .with_context(|| format!("git did not answer within {GIT_SECONDS_MAX} s"))?;
    match answered {
        Ok(output) => Ok(output),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("git is not installed, or not in PATH")
        }
        Err(error) => Err(error).context("cannot start git"),
    }
}

fn line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

/// What git complained of.
fn said(output: &Output) -> String {
    let said = line(&output.stderr);
    said.lines()
        .next()
        .unwrap_or("git does not say why")
        .to_owned()
}
