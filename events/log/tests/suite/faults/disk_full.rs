//! No space left for the server, neither for its tables nor for its WAL.

use std::{
    fs::{self, File},
    io::Write as _,
    path::PathBuf,
    process::Command,
};

use foldline_log::{Error, Service};
use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
};
use sqlx::{Connection, PgConnection};

use super::{Load, is_soak, server::Server, settle};
use crate::store::open;

/// What a cluster takes when it is new, and room for a load.
const DISK: &str = "size=256m,mode=0755";
const APPENDERS: usize = 12;
/// How many appends must be given up while nothing can be stored.
const FAILED_MIN: usize = APPENDERS;
const SETTINGS: [(&str, &str); 2] = [("max_wal_size", "32MB"), ("min_wal_size", "32MB")];

/// Set for the copy of this test that runs in a namespace where it may mount.
const IN_NAMESPACE: &str = "FOLDLINE_TEST_IN_NAMESPACE";
const UNSHARE: [&str; 3] = ["-Um", "--map-current-user", "--keep-caps"];
const NAME: &str = "faults::disk_full::a_full_disk_loses_nothing_acknowledged_and_the_log_goes_on_once_there_is_space";

/// A small file system of its own.
struct Disk {
    path: PathBuf,
}

impl Disk {
    fn mount(path: PathBuf) -> Result<Self, Errno> {
        fs::create_dir(&path).unwrap();
        mount(
            Some("tmpfs"),
            &path,
            Some("tmpfs"),
            MsFlags::empty(),
            Some(DISK),
        )?;
        Ok(Self { path })
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    fn fill(&self) {
        let mut file = File::create(self.ballast()).unwrap();
        let block = vec![0; 4096];
        while file.write_all(&block).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(&self.path, MntFlags::MNT_DETACH);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_acknowledged_and_the_log_goes_on_once_there_is_space() {
    let folder = foldline_local::temporary_folder().unwrap();
    match Disk::mount(folder.path().join("disk")) {
        Ok(disk) => fill_under_load(&disk).await,
        Err(Errno::EPERM) if std::env::var_os(IN_NAMESPACE).is_none() => in_a_namespace(),
        Err(error) => panic!("cannot mount: {error}"),
    }
}

async fn fill_under_load(disk: &Disk) {
    let server = Server::start(&disk.path.join("data"), &SETTINGS).await;
    let log = open(&server.database, Service::Command).await;
    let load = Load::start(&[log], APPENDERS);
    for round in 1..=if is_soak() { 6 } else { 1 } {
        load.goes_on(100).await;
        disk.fill();
        let due = load.failed() + FAILED_MIN;
        // Not in every round at full size: before the WAL is used up, tables can't grow.
        if round % 2 == 1 {
            use_up_the_wal(&server.database.url).await;
        }
        super::until("appends to be given up", async || load.failed() >= due).await;
        disk.free();
        load.goes_on(100).await;
        eprintln!(
            "filled {round}: {} acknowledged so far",
            load.acknowledged()
        );
    }
    let (complaints, sent) = settle(&server.database, load).await;
    assert_eq!(complaints, [""; 0]);
    let failures = sent.iter().filter_map(|sent| sent.answer.as_ref().err());
    let others: Vec<&Error> = failures
        .filter(|error| !matches!(error, Error::Unavailable { .. }))
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

/// Until the server, which can't write what it must, goes down.
async fn use_up_the_wal(url: &str) {
    let Ok(mut connection) = PgConnection::connect(url).await else {
        return;
    };
    for _ in 0..20 {
        let switched = sqlx::raw_sql(
            "select pg_switch_wal(); create table if not exists log.t (); drop table log.t",
        )
        .execute(&mut connection)
        .await;
        if let Err(error) = switched {
            eprintln!("the WAL is used up: {error}");
            return;
        }
    }
    panic!("the WAL is never used up");
}

/// This test once more, where an ordinary user may mount: namespaces of users are allowed on most systems.
fn in_a_namespace() {
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(UNSHARE);
        command
    };
    let is_allowed = unshare()
        .arg("true")
        .output()
        .is_ok_and(|done| done.status.success());
    if !is_allowed {
        not_checked();
        return;
    }
    let status = unshare()
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(IN_NAMESPACE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "it failed in a namespace of its own");
}

/// Past the test harness, which swallows what a test prints that ends well.
fn not_checked() {
    let what =
        "\nNOT CHECKED: a full disk. This takes root, or a namespace of users (`unshare -Um`).\n";
    assert!(!is_soak(), "{what}");
    std::io::stderr().write_all(what.as_bytes()).unwrap();
}

#[test]
fn the_test_that_is_run_again_by_its_name_is_there() {
    let listed = Command::new(std::env::current_exe().unwrap())
        .args(["--list", "--exact", NAME])
        .output()
        .unwrap();
    assert!(String::from_utf8(listed.stdout).unwrap().contains("1 test"));
}
