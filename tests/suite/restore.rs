//! A log that is restored to a moment in the past, from a base backup and archived WAL: whoever is ahead of it finds
//! out by itself, at once and after it has grown past them with other events; a new epoch mends it.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

use foldline_events::Tenant;
use foldline_local::{
    Lifetime,
    postgres::{PostgresOptions, PostgresServer},
};
use foldline_log::{Append, Expected, Log, LogOptions, NewEvent, Service, Verdict, Write};
use foldline_schema::testing::TestDatabase;
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    client,
    processes::{Process, TENANT, finished, foldline, setting, until},
    stored,
};

const RESTORE_POINT: &str = "between";

/// A server of its own that archives its WAL, and what it wrote.
struct Archived {
    folder: TempDir,
    server: PostgresServer,
    cell: String,
}

fn options(data: PathBuf, settings: &[(&str, &str)]) -> PostgresOptions {
    let small = ("shared_buffers", "16MB");
    let settings = settings.iter().chain([&small]);
    PostgresOptions {
        data,
        port: None,
        version: None,
        settings: settings
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        lifetime: Lifetime::DiesWithUs,
    }
}

/// PostgreSQL may run as somebody else than we do.
fn hand_over(path: &Path, to_owner_of: &Path) {
    let owner = fs::metadata(to_owner_of).unwrap();
    chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            hand_over(&entry.unwrap().path(), to_owner_of);
        }
    }
}

impl Archived {
    async fn start() -> Self {
        let folder = foldline_local::temporary_folder().unwrap();
        let archive = folder.path().join("archive");
        fs::create_dir(&archive).unwrap();
        let command = format!("cp %p {}/%f", archive.display());
        let settings = [
            ("wal_level", "replica"),
            ("archive_mode", "on"),
            ("archive_command", command.as_str()),
        ];
        let data = folder.path().join("before");
        let server = PostgresServer::start(options(data.clone(), &settings))
            .await
            .unwrap();
        hand_over(&archive, &data.join("cluster"));
        let archived = Self {
            folder,
            server,
            cell: format!("t-{}", &client::new_id().simple().to_string()[16..]),
        };
        archived
            .execute("postgres", "create database foldline")
            .await;
        let mut migrate = foldline();
        migrate
            .args(["migrate", "--cell", &archived.cell])
            .env("LOG_URL", archived.log_url());
        assert!(finished(migrate).await.0.success());
        archived
    }

    fn log_url(&self) -> String {
        self.server.url("foldline")
    }

    async fn execute(&self, database: &str, statement: &str) {
        let mut connection = stored::connect(&self.server.url(database)).await;
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        sqlx::raw_sql(statement)
            .execute(&mut connection)
            .await
            .unwrap();
    }

    fn back_up(&self) {
        let taken = Command::new(self.server.programs().join("pg_basebackup"))
            .args(["--checkpoint=fast", "--wal-method=none", "--no-manifest"])
            .args(["--dbname", &self.server.url("postgres")])
            .arg("--pgdata")
            .arg(self.restored().join("cluster"))
            .output()
            .unwrap();
        assert!(
            taken.status.success(),
            "{}",
            String::from_utf8_lossy(&taken.stderr)
        );
    }

    fn restored(&self) -> PathBuf {
        let folder = self.folder.path().join("restored");
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Marks the moment that is restored later.
    async fn mark(&self) {
        let mark = format!("select pg_create_restore_point('{RESTORE_POINT}')");
        self.execute("foldline", &mark).await;
    }

    /// Ends the server, and starts the backup as of the moment marked.
    async fn restore(self) -> Self {
        let mut connection = stored::connect(&self.log_url()).await;
        let file = "select pg_walfile_name(pg_switch_wal() - 1)";
        let last: String = sqlx::query_scalar(file)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        drop(connection);
        let archive = self.folder.path().join("archive");
        until("the WAL to be archived", async || {
            archive.join(&last).exists().then_some(())
        })
        .await;
        let before = self.server.data().to_owned();
        self.server.stop().await.unwrap();

        let data = self.folder.path().join("restored");
        fs::write(data.join("cluster/recovery.signal"), "").unwrap();
        hand_over(&data.join("cluster"), &before.join("cluster"));
        fs::copy(before.join("password"), data.join("password")).unwrap();
        let command = format!("cp {}/%f %p", archive.display());
        let settings = [
            ("restore_command", command.as_str()),
            ("recovery_target_name", RESTORE_POINT),
            ("recovery_target_action", "promote"),
        ];
        let server = PostgresServer::start(options(data, &settings))
            .await
            .unwrap();
        let restored = Self { server, ..self };
        until("the restored server to take writes", async || {
            let mut connection = stored::connect(&restored.log_url()).await;
            let recovers: bool = sqlx::query_scalar("select pg_is_in_recovery()")
                .fetch_one(&mut connection)
                .await
                .unwrap();
            (!recovers).then_some(())
        })
        .await;
        restored
    }

    async fn log(&self) -> Log {
        let options = LogOptions::new(self.log_url().parse().unwrap(), Service::Command);
        Log::open(options).await.unwrap()
    }

    /// Appends until the log ends at `head`.
    async fn grow(&self, head: i64) {
        let log = self.log().await;
        while log.head().await.unwrap().position < head {
            let verdict = log.append(project()).await.unwrap();
            assert!(matches!(verdict, Verdict::Appended(_)), "{verdict:?}");
        }
    }

    fn role(&self, arguments: &[&str], views: &TestDatabase) -> Command {
        let mut command = foldline();
        command
            .args(arguments)
            .env("LOG_URL", self.log_url())
            .env("VIEW_URL", &views.url)
            .env("KAFKA_BROKERS", setting("KAFKA_BROKERS"));
        command
    }

    async fn started(&self, arguments: &[&str], views: &TestDatabase) -> Process {
        let mut command = self.role(arguments, views);
        command.args(["--json", "--listen", "127.0.0.1:0"]);
        let mut process = Process::start(command, self.folder.path());
        process.ready_line().await;
        process
    }

    /// What a role says when it ends by itself, which it must.
    async fn refusal(&self, arguments: &[&str], views: &TestDatabase) -> String {
        let mut command = self.role(arguments, views);
        command.args(["--listen", "127.0.0.1:0"]);
        // One that goes on must not outlive the test.
        let mut command = tokio::process::Command::from(command);
        let ended = command.kill_on_drop(true).output();
        let output = tokio::time::timeout(crate::processes::PATIENCE, ended)
            .await
            .unwrap_or_else(|_| {
                panic!("{arguments:?} goes on over a log that is not the one it followed")
            })
            .unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    async fn verify_topic(&self, views: &TestDatabase) -> (ExitStatus, Value) {
        let (status, said) = finished(self.role(&["log", "verify-topic", "--json"], views)).await;
        (status, serde_json::from_str(said.trim()).unwrap())
    }

    /// Everybody who is ahead of the log, or has another history of it, finds out.
    async fn is_noticed(&self, views: &TestDatabase) {
        let said = self.refusal(&["relay"], views).await;
        assert!(said.contains("foldline log new-epoch"), "{said}");
        for feed in ["postgres", "kafka"] {
            let said = self.refusal(&["projector", "--feed", feed], views).await;
            assert!(said.contains("another log"), "{feed}: {said}");
        }
        let (status, said) = self.verify_topic(views).await;
        assert_eq!(status.code(), Some(1), "{said}");
    }
}

fn project() -> Append {
    let id = client::new_id();
    let encoded = foldline_events::Encoded {
        event_type: "tasks.ProjectCreated",
        schema_version: 1,
        payload: r#"{"name":"restored"}"#.to_owned(),
        tags: vec![format!("project:{id}")],
    };
    let event_id = Uuid::from_u128(id.as_u128() ^ 1);
    let created = NewEvent::new(event_id, chrono::DateTime::UNIX_EPOCH, encoded);
    let stream = format!("project-{id}");
    let writes = vec![Write::to(stream, Expected::NoStream, vec![created])];
    Append::new(Tenant::parse(TENANT).unwrap(), id, "tester", writes)
}

async fn emptied() -> TestDatabase {
    let views = TestDatabase::empty().await;
    let mut migrate = foldline();
    migrate.arg("migrate").env("VIEW_URL", &views.url);
    assert!(finished(migrate).await.0.success());
    views
}

#[tokio::test]
async fn a_log_restored_to_a_past_moment_is_noticed_by_all_and_mended_by_a_new_epoch() {
    let archived = Archived::start().await;
    let views = emptied().await;
    archived.grow(20).await;
    archived.back_up();
    let relay = archived.started(&["relay"], &views).await;
    let projector = archived.started(&["projector"], &views).await;
    archived.grow(30).await;
    stored::folded(&views.url, 30).await;
    archived.mark().await;
    archived.grow(50).await;
    stored::folded(&views.url, 50).await;
    let (status, said) = archived.verify_topic(&views).await;
    assert!(status.success(), "{said}");
    drop((relay, projector));

    let restored = archived.restore().await;
    assert_eq!(stored::head(&restored.log_url()).await, 30);
    restored.is_noticed(&views).await;
    // Past where everybody was: now only ids tell the two histories apart.
    restored.grow(60).await;
    restored.is_noticed(&views).await;

    let held = stored::connect(&restored.log_url()).await;
    let new_epoch = || restored.role(&["log", "new-epoch"], &views);
    assert!(
        !finished(new_epoch()).await.0.success(),
        "somebody is connected"
    );
    drop(held);
    until("the connection to be gone", async || {
        finished(new_epoch()).await.0.success().then_some(())
    })
    .await;
    let said = restored.refusal(&["projector"], &views).await;
    assert!(said.contains("was folded from the log"), "{said}");

    let fresh = emptied().await;
    let _relay = restored.started(&["relay"], &fresh).await;
    let _projector = restored.started(&["projector"], &fresh).await;
    stored::folded(&fresh.url, 60).await;
    let (status, said) = restored.verify_topic(&fresh).await;
    assert!(status.success(), "{said}");
    assert_eq!(said["events"], 60, "{said}");
    assert!(said["ofOtherEpochs"].as_u64().unwrap() >= 50, "{said}");
}
