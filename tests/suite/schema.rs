//! `foldline schema check`: a repository with the event schemas in it, a change, and what the program makes of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::processes::foldline;

const SCHEMAS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/events");

/// A repository of its own, with what is released committed.
struct Repository(TempDir);

impl Repository {
    /// With the schemas of all events, all of them released.
    fn released() -> Self {
        let repository = Self::with_schemas();
        repository.commit();
        repository
    }

    /// Nothing is released yet.
    fn with_schemas() -> Self {
        let repository = Self(TempDir::new().unwrap());
        fs::create_dir_all(repository.schemas()).unwrap();
        for entry in fs::read_dir(SCHEMAS).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), repository.file(entry.file_name())).unwrap();
        }
        repository.git(&["init", "--quiet"]);
        repository
    }

    fn schemas(&self) -> PathBuf {
        self.0.path().join("schema/events")
    }

    fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.schemas().join(name)
    }

    fn git(&self, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.args(arguments).current_dir(self.0.path());
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            git.env_remove(name);
        }
        for name in ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"] {
            git.env(name, "/dev/null");
        }
        for name in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{name}_NAME"), "tester");
            git.env(format!("GIT_{name}_EMAIL"), "tester@localhost");
        }
        let output = git.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "Release"]);
    }

    /// Changes a schema by a JSON pointer.
    fn set(&self, file: &str, at: &str, value: Value) {
        let path = self.file(file);
        let mut schema: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let (parent, name) = at.rsplit_once('/').unwrap();
        schema.pointer_mut(parent).unwrap()[name] = value;
        fs::write(path, schema.to_string()).unwrap();
    }

    fn check(&self, arguments: &[&str]) -> Said {
        let mut command = foldline();
        command.args(["schema", "check"]).args(arguments);
        // Of another repository, as a hook of git would have it.
        command.env("GIT_DIR", "elsewhere");
        let output = command.current_dir(self.0.path()).output().unwrap();
        Said {
            status: output.status,
            found: String::from_utf8(output.stdout).unwrap(),
            complaint: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

#[derive(Debug)]
struct Said {
    status: ExitStatus,
    found: String,
    complaint: String,
}

impl Said {
    #[track_caller]
    fn found(&self, code: i32, lines: &[&str]) {
        assert_eq!(self.status.code(), Some(code), "{self:?}");
        for line in lines {
            let is_there = self.found.lines().any(|found| found.trim() == *line);
            assert!(is_there, "{line:?} is not in {self:#?}");
        }
    }

    #[track_caller]
    fn not_checked(&self, why: &str) {
        assert_eq!(self.status.code(), Some(2), "{self:?}");
        assert!(self.complaint.contains(why), "{why:?} is not in {self:?}");
        assert_eq!(self.found, "");
    }
}

#[test]
fn schemas_that_stay_or_say_more_break_no_reader_and_what_is_new_is_named() {
    let repository = Repository::with_schemas();
    fs::rename(
        repository.file("tasks.TaskMoved.v1.json"),
        repository.0.path().join("unreleased"),
    )
    .unwrap();
    repository.commit();
    let same = repository.check(&["--against", "HEAD"]);
    same.found(0, &[]);
    assert_eq!(same.found.lines().count(), 1, "{same:?}");

    fs::rename(
        repository.0.path().join("unreleased"),
        repository.file("tasks.TaskMoved.v1.json"),
    )
    .unwrap();
    let more = json!({"type": ["string", "null"]});
    repository.set("tasks.TaskRenamed.v1.json", "/properties/why", more);
    repository.set(
        "tasks.TaskStarted.v1.json",
        "/description",
        json!("It began."),
    );
    repository.check(&["--against", "HEAD"]).found(
        0,
        &[
            "tasks.TaskMoved version 1 is a new event type",
            "tasks.TaskRenamed version 1 has a new optional field, /why",
            "tasks.TaskStarted version 1 is said otherwise, and means the same",
        ],
    );
}

#[test]
fn an_incompatible_change_is_named_with_its_place_and_the_reader_that_it_breaks() {
    let old_events = "breaks this build, reading events recorded before:";
    let old_builds = "breaks readers built on the schema before (those of others, and older builds), reading new events:";
    for (file, at, value, said) in [
        (
            "tasks.TaskCreated.v1.json",
            "/required",
            json!(["projectId", "title", "priority", "key"]),
            format!(
                "tasks.TaskCreated version 1 {old_events} /key is required now, and events recorded before may lack it"
            ),
        ),
        (
            "tasks.TaskCreated.v1.json",
            "/required",
            json!(["projectId", "title"]),
            format!("tasks.TaskCreated version 1 {old_builds} /priority may be absent now"),
        ),
        (
            "tasks.TaskCreated.v1.json",
            "/$defs/Priority/enum",
            json!(["low", "medium", "high"]),
            format!(
                "tasks.TaskCreated version 1 {old_events} /priority is not read any more as \"critical\""
            ),
        ),
        (
            "tasks.TaskCreated.v1.json",
            "/$defs/Priority/enum",
            json!(["low", "medium", "high", "critical", "urgent"]),
            format!("tasks.TaskCreated version 1 {old_builds} /priority may now be \"urgent\""),
        ),
        (
            "tasks.TaskRenamed.v1.json",
            "/properties/title/type",
            json!(["string", "null"]),
            format!("tasks.TaskRenamed version 1 {old_builds} /title may now be: null"),
        ),
        (
            "tasks.TaskEstimated.v1.json",
            "/properties/estimatedHours/type",
            json!("number"),
            format!(
                "tasks.TaskEstimated version 1 {old_events} /estimatedHours is not read any more where it is: null"
            ),
        ),
        (
            "tasks.TaskRenamed.v1.json",
            "/properties/title/not",
            json!({"const": ""}),
            format!(
                "tasks.TaskRenamed version 1 {old_events} /title changed in a way that cannot be judged here"
            ),
        ),
    ] {
        let repository = Repository::released();
        repository.set(file, at, value);
        let checked = repository.check(&["--against", "HEAD"]);
        checked.found(1, &[&said]);
        assert!(
            checked.found.contains("give the event a new version"),
            "{checked:?}"
        );
    }
}

#[test]
fn a_schema_that_is_gone_breaks_whoever_reads_by_it() {
    let repository = Repository::released();
    fs::remove_file(repository.file("tasks.TaskMoved.v1.json")).unwrap();
    let gone = "tasks.TaskMoved version 1 breaks whoever reads by what was released: the file is gone: the file of a \
        released version stays, whatever comes after it";
    repository.check(&["--against", "HEAD"]).found(1, &[gone]);
}

#[test]
fn of_a_version_that_has_a_later_one_only_descriptions_may_change() {
    let repository = Repository::released();
    let (first, second) = ("tasks.TaskRenamed.v1.json", "tasks.TaskRenamed.v2.json");
    fs::copy(repository.file(first), repository.file(second)).unwrap();
    repository.set(first, "/examples/0/title", json!("Another"));
    let changed = "tasks.TaskRenamed version 1 breaks whoever reads by what was released: /examples/0/title is not as it \
        was released: of a version that has a later one only descriptions may change";
    // A version for which nothing was written in the code is no version.
    let unknown = "tasks.TaskRenamed version 2 breaks this build, reading events recorded before: the payload is not known \
        to be read: event type tasks.TaskRenamed in schema version 2 is not known to this build; run a newer one (is the \
        program built from these sources?)";
    let checked = repository.check(&["--against", "HEAD"]);
    checked.found(1, &[changed, unknown]);
}

#[test]
fn what_was_released_and_this_build_cannot_read_breaks_this_build() {
    let repository = Repository::with_schemas();
    let example = json!([{"title": 7}]);
    repository.set("tasks.TaskRenamed.v1.json", "/examples", example);
    repository.commit();
    let checked = repository.check(&["--against", "HEAD"]);
    checked.found(1, &[]);
    let unread = "tasks.TaskRenamed version 1 breaks this build, reading events recorded before: the payload cannot be read";
    assert!(checked.found.contains(unread), "{checked:?}");
}

#[test]
fn the_folder_is_found_from_anywhere_in_the_repository_or_named() {
    let repository = Repository::released();
    let main = ["--against", "HEAD", "--folder"];
    let named = repository.schemas();
    let checked = repository.check(&[&main[..], &[named.to_str().unwrap()]].concat());
    checked.found(0, &[]);
    let relative = repository.check(&[&main[..], &["schema/events"]].concat());
    relative.found(0, &[]);
    let mut within = foldline();
    let arguments = ["schema", "check", "--against", "HEAD"];
    within.args(arguments).current_dir(repository.schemas());
    assert!(within.output().unwrap().status.success());
}

#[test]
fn what_could_not_be_checked_is_told_apart_from_what_is_well_and_what_is_not() {
    let repository = Repository::with_schemas();
    let check = |against: &str| repository.check(&[&format!("--against={against}")]);
    check("HEAD").not_checked("\"HEAD\" is no revision here");
    repository.commit();
    check("HEAD").found(0, &[]);
    for other in ["unheard-of", "--help", "HEAD:schema", ""] {
        check(other).not_checked("is no revision here");
    }
    let of = |folder: &str| repository.check(&["--against", "HEAD", "--folder", folder]);
    of("nowhere").not_checked("cannot read the event schemas in nowhere");
    of("schema").not_checked("there are no event schemas in schema");
    // A folder that is new at the place holds nothing that was released.
    let (moved, at) = (repository.0.path().join("moved"), repository.schemas());
    fs::rename(&at, &moved).unwrap();
    of("moved").not_checked("there are no event schemas in moved at HEAD");
    fs::rename(&moved, &at).unwrap();

    fs::write(repository.file("README.md"), "Not a schema.").unwrap();
    check("HEAD").found(0, &[]);
    fs::write(repository.file("tasks.TaskMoved.v2.json"), "{").unwrap();
    check("HEAD").not_checked("tasks.TaskMoved.v2.json is not JSON");
    fs::remove_file(repository.file("tasks.TaskMoved.v2.json")).unwrap();
    fs::write(repository.file("tasks.TaskMoved.json"), "{}").unwrap();
    check("HEAD").not_checked("tasks.TaskMoved.json is no schema of an event");
}

#[test]
fn without_git_or_its_history_nothing_can_be_checked() {
    let repository = Repository::released();
    fs::remove_dir_all(repository.0.path().join(".git")).unwrap();
    let here = repository.check(&["--against", "HEAD"]);
    here.not_checked("the current folder lies in no git repository");
    let named = repository.check(&["--against", "HEAD", "--folder", "schema/events"]);
    named.not_checked("schema/events lies in no working tree of a git repository");
    let mut without_git = foldline();
    without_git
        .args(["schema", "check", "--against", "HEAD"])
        .env("PATH", "");
    let output = without_git.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("git is not installed"));
}
