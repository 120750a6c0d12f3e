//! An import past the service, straight into an empty log, with the times of the file as recorded times: afterwards the
//! log looks as if it had been there all the time, and time travel has something to show.
//!
//! It is one transaction. When it breaks off, nothing was recorded, and it begins again from the start. Rules and digests
//! are those of the command service ([`foldline_command::Offline`]), so a later import of the same file through the
//! service finds everything known.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use foldline_command::{Decided, Outcome};
use foldline_events::Tenant;
use foldline_gate::{Caller, Role, Secret};
use foldline_log::{Append, Offline, OfflineAppend};
use tokio::sync::mpsc;
use uuid::{NoContext, Timestamp, Uuid};

use crate::{
    config::{Database, DatabaseArgs, LogArgs, SecretArgs},
    folder::{self, Folder},
    migrate, shutdown,
};

use super::{
    lines::Source,
    order::{Dated, in_time},
    progress::Progress,
    summary::Summary,
    target::{ACTOR, TargetArgs},
};

/// How many bytes of commands are held to be sorted. More go through the service, which needs no sorting.
const SORTED_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// How much is written by one statement.
const BATCH_APPENDS_MAX: usize = 5_000;
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many batches are decided ahead of what is written.
const BATCHES_AHEAD_MAX: usize = 2;
/// The name of the cell of an embedded log, as `foldline up` has it.
const CELL: &str = "main";

#[derive(Args)]
pub(super) struct OfflineArgs {
    /// Write straight into an empty log, that of LOG_URL or of the data folder, with the times of the file as recorded
    /// times; all or nothing
    #[arg(long)]
    pub(super) offline: bool,

    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    secret: SecretArgs,
}

/// Everything that is needed beside the log.
struct Importing {
    commands: Vec<Dated>,
    decider: foldline_command::Offline,
    now: DateTime<Utc>,
    source: Source,
    progress: Progress,
    summary: Summary,
}

/// Imports it all, and says what became of it.
pub(super) async fn run(
    source: Source,
    args: &OfflineArgs,
    target: &TargetArgs,
) -> anyhow::Result<Summary> {
    if args.log.is_given(&args.database) {
        let database = args.log.read(&args.database).map_err(anyhow::Error::msg)?;
        let secret = secret_beside(args, target.data.as_deref())?;
        let importing = Importing::read(source, &secret, target.tenant()).await?;
        return importing.into_log(&database).await;
    }
    let folder = Folder::open(target.data.as_deref())?;
    let importing = Importing::read(source, &folder.secret()?, target.tenant()).await?;
    // From here on there is a server to be stopped; before, and with a server of others, a signal simply ends us.
    let shutdown = shutdown::on_signal()?;
    let (databases, embedded) = folder.databases(None).await?;
    let mut summary = None;
    let work = async {
        migrate::log(&databases.log.direct, CELL).await?;
        tokio::select! {
            imported = importing.into_log(&databases.log) => summary = Some(imported?),
            () = shutdown.cancelled() => bail!("interrupted: nothing was recorded"),
        }
        Ok(())
    };
    embedded.under(work, &shutdown).await?;
    summary.context("the import did not end")
}

/// A secret made just now would be nobody's: the services of that log would not know what was imported.
fn secret_beside(args: &OfflineArgs, data: Option<&Path>) -> anyhow::Result<Secret> {
    if args.secret.is_given() {
        args.secret.read().map_err(anyhow::Error::msg)
    } else {
        folder::existing_secret(data)
    }
}

impl Importing {
    /// Reads all of the file and brings it into order.
    #[expect(
        clippy::disallowed_methods,
        reason = "commands enter here, and may say no time of their own"
    )]
    async fn read(mut source: Source, secret: &Secret, tenant: &str) -> anyhow::Result<Self> {
        let now = Utc::now();
        let progress = Progress::new(&source);
        let mut summary = Summary::default();
        let mut commands = Vec::new();
        let mut bytes = 0;
        while let Some(lines) = source.next().await? {
            for line in lines {
                match line.command {
                    Ok(command) => {
                        bytes += command.text.len();
                        commands.push(command);
                    }
                    Err(problem) => summary.malformed(line.number, &problem),
                }
            }
            if bytes > SORTED_BYTES_MAX {
                bail!(
                    "the file has more than {SORTED_BYTES_MAX} bytes of commands, too many to be sorted by time; \
                     import it through a running service"
                );
            }
        }
        let caller = Caller {
            tenant: Tenant::parse(tenant)?,
            actor: ACTOR.to_owned(),
            role: Role::Admin,
            // Nothing here outlives this.
            expires_at: now + TimeDelta::days(1),
        };
        Ok(Self {
            commands: in_time(commands, now),
            decider: foldline_command::Offline::new(secret, caller),
            now,
            source,
            progress,
            summary,
        })
    }

    /// Decides on a thread of its own, a little ahead of what is written.
    async fn into_log(self, database: &Database) -> anyhow::Result<Summary> {
        let mut log = Offline::connect(&database.direct).await?;
        let mut import = log.begin().await?;
        let (sender, mut batches) = mpsc::channel(BATCHES_AHEAD_MAX);
        let deciding = tokio::task::spawn_blocking(move || self.decide(&sender));
        while let Some(batch) = batches.recv().await {
            import
                .append(&batch)
                .await
                .context("the import broke off, and nothing was recorded")?;
        }
        // Only what was decided to its end is committed.
        let summary = deciding
            .await
            .context("deciding broke off, and nothing was recorded")?;
        import
            .commit()
            .await
            .context("whether the import was recorded is unknown; if so, all of it was")?;
        Ok(summary)
    }

    fn decide(mut self, batches: &mpsc::Sender<Vec<OfflineAppend>>) -> Summary {
        let mut batch = Vec::new();
        let mut bytes = 0;
        for Dated {
            recorded_at,
            command,
        } in std::mem::take(&mut self.commands)
        {
            match self.decider.decide(&command.text, self.now) {
                Decided::Record(mut append) => {
                    self.summary.accept(&command, Outcome::Recorded);
                    give_ids(&mut append, recorded_at);
                    bytes += command.text.len();
                    batch.push(OfflineAppend {
                        append: *append,
                        recorded_at,
                    });
                }
                Decided::Unchanged => self.summary.accept(&command, Outcome::Unchanged),
                Decided::Known => self.summary.accept(&command, Outcome::Known),
                Decided::Rejected(problem) => {
                    let detail = problem.detail.as_deref().unwrap_or(&problem.title);
                    self.summary.reject(&command, &problem.code, detail);
                }
            }
            if batch.len() >= BATCH_APPENDS_MAX || bytes >= BATCH_BYTES_MAX {
                self.progress.show(&self.source, &self.summary);
                bytes = 0;
                if batches.blocking_send(std::mem::take(&mut batch)).is_err() {
                    // Whoever writes has stopped, and says why.
                    return self.summary;
                }
            }
        }
        let _ = batches.blocking_send(batch);
        self.progress.finish();
        self.summary
    }
}

/// An event's id carries the time at which it was recorded.
fn give_ids(append: &mut Append, recorded_at: DateTime<Utc>) {
    let since_1970 = (recorded_at - DateTime::UNIX_EPOCH)
        .to_std()
        .unwrap_or(Duration::ZERO);
    let time = Timestamp::from_unix(NoContext, since_1970.as_secs(), since_1970.subsec_nanos());
    for event in append.writes.iter_mut().flat_map(|write| &mut write.events) {
        event.id = Uuid::new_v7(time);
    }
}
