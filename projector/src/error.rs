//! Everything that can go wrong while projecting, and what can be done about each.

use foldline_events::{Partition, Position};
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use uuid::Uuid;

use crate::View;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot install the tables of {view}")]
    Install {
        view: View,
        #[source]
        source: sqlx::Error,
    },
    #[error(
        "the view database was not prepared for this build, or not for the role foldline_projector; run `foldline \
         migrate` first"
    )]
    NotMigrated(#[source] sqlx::Error),
    #[error("cannot take or renew the leases of partitions")]
    Leases(#[source] sqlx::Error),
    #[error("the session that held the leases of partitions was lost")]
    LeasesLost,
    #[error("cannot take over partitions")]
    TakeOver(#[source] sqlx::Error),
    #[error("cannot begin to write a delivery")]
    Begin(#[source] sqlx::Error),
    #[error("cannot read or write the rows of {view}")]
    Rows {
        view: View,
        #[source]
        source: sqlx::Error,
    },
    #[error("cannot move the checkpoints")]
    Checkpoints(#[source] sqlx::Error),
    #[error("cannot commit a delivery")]
    Commit(#[source] sqlx::Error),
    #[error("a delivery was not written within {waited_ms} ms")]
    Stuck { waited_ms: u64 },
    #[error("cannot tell how far behind the views are")]
    Lag(#[source] sqlx::Error),
    #[error("cannot make indexes that were left for later")]
    LateIndexes(#[source] sqlx::Error),
    #[error("cannot write when events were recorded")]
    Times(#[source] sqlx::Error),
    #[error("cannot clear away rows of the past")]
    Retention(#[source] sqlx::Error),
    #[error("cannot compare rows with the log")]
    Proof(#[source] sqlx::Error),
    #[error("cannot read or change which builds of the views there are")]
    Builds(#[source] sqlx::Error),
    #[error("somebody else folds builds at the moment; wait for it, or end it")]
    BeingRebuilt,
    #[error(
        "the build gets no further in partition {partition}: {why}. Mend what is parked and begin again, or drop it with --drop"
    )]
    BuildStalls { partition: Partition, why: String },
    #[error(
        "build {version} of {view}, which readers saw before, was folded by projection {projection}, which this program does not know, \
         and stands behind what readers see now: say --rollback with the program that knows it"
    )]
    BehindAndUnknown {
        view: View,
        version: i32,
        projection: i32,
    },
    #[error("there is no build of {view} that readers saw before")]
    NoBuildBefore { view: View },
    #[error(
        "the build is folded, and could not be shown in {tries} tries: somebody holds a lock on views.active or on the views that \
         readers read (`select pid from pg_locks`), or what readers see moves faster than the build. Try again"
    )]
    NotShown { tries: u32 },
    #[error(
        "readers saw a build of {view} by projection {projection}, and it was taken back with --rollback: start the older program, or \
         let readers see a newer build again with `foldline rebuild {view}`"
    )]
    TakenBack { view: View, projection: i32 },
    /// Readers see what this program folds no more, or not any more: it begins again with what they see now.
    #[error("readers see other builds of the views now")]
    OtherBuilds,
    #[error(
        "readers see builds of {views:?} that an older projection folded; newer ones are to be folded beside them"
    )]
    OlderProjection { views: Vec<View> },
    #[error(
        "readers see a build of {view} by projection {shown}, and this program knows projection {ours}: start a newer one, or let \
         readers see the older build again with `foldline rebuild {view} --rollback` of this program"
    )]
    NewerProjection { view: View, shown: i32, ours: i32 },
    #[error("cannot read or write which rows are to be folded again")]
    Rebuilds(#[source] sqlx::Error),
    #[error("there are more than {events_max} events to fold again in one transaction")]
    TooManyEvents { events_max: usize },
    #[error("the projector did not turn to anything for {seconds} s")]
    Stands { seconds: u64 },
    #[error("cannot read or write which streams are parked")]
    Parked(#[source] sqlx::Error),
    /// An event that will fail every time; only its stream has to wait for it.
    #[error("{view} cannot fold the event at position {position}: {why}")]
    Unfoldable {
        view: View,
        partition: Partition,
        position: Position,
        why: String,
    },
    /// Another writer took these over, so nothing was written.
    #[error("partitions {partitions:?} were taken over by another projector")]
    Lost { partitions: Vec<Partition> },
    /// A crash of the view server took commits back.
    #[error(
        "the view server lost its last commits of partitions {partitions:?} in a crash; what is missing is folded again"
    )]
    SetBack { partitions: Vec<Partition> },
    #[error(
        "partition {partition} of {view} was folded from the log {checkpoint}, but this log is {log}: it was restored \
         or replaced. Point the projector at the log that belongs to these views, or make an empty view database, run \
         `foldline migrate` on it and start again: the views are then folded from the beginning"
    )]
    AnotherEpoch {
        view: View,
        partition: Partition,
        checkpoint: Uuid,
        log: Uuid,
    },
    #[error(
        "these views were folded from another log. Point the projector at the log that belongs to them, or make an \
         empty view database, run `foldline migrate` on it and start again: the views are then folded from the \
         beginning"
    )]
    AnotherLog(#[source] foldline_log::Error),
    #[error("cannot read the feed")]
    Feed(#[source] foldline_log::Error),
}

/// What helps against an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Taking the partitions over again and going on from the stored checkpoints.
    Retry,
    /// Finding the event whose data the database refuses, and going on without its partition.
    Isolate,
    /// Nothing that this process could do.
    Stop,
}

impl From<foldline_log::Error> for Error {
    fn from(error: foldline_log::Error) -> Self {
        let foreign = matches!(
            error,
            foldline_log::Error::AnotherLog { .. }
                | foldline_log::Error::AnotherEpoch { .. }
                | foldline_log::Error::BeyondHead { .. }
        );
        if foreign {
            Self::AnotherLog(error)
        } else {
            Self::Feed(error)
        }
    }
}

impl Error {
    pub(crate) fn remedy(&self) -> Remedy {
        match self {
            Self::Leases(source)
            | Self::TakeOver(source)
            | Self::Begin(source)
            | Self::Rows { source, .. }
            | Self::Checkpoints(source)
            | Self::Lag(source)
            | Self::LateIndexes(source)
            | Self::Times(source)
            | Self::Retention(source)
            | Self::Proof(source)
            | Self::Builds(source)
            | Self::Rebuilds(source)
            | Self::Parked(source)
            | Self::Commit(source) => of_database(source),
            Self::LeasesLost
            | Self::OtherBuilds
            | Self::OlderProjection { .. }
            | Self::NewerProjection { .. }
            | Self::TakenBack { .. }
            | Self::BeingRebuilt
            | Self::BuildStalls { .. }
            | Self::NotShown { .. }
            | Self::Stands { .. }
            | Self::Stuck { .. }
            | Self::Lost { .. }
            | Self::SetBack { .. } => Remedy::Retry,
            Self::Unfoldable { .. } | Self::TooManyEvents { .. } => Remedy::Isolate,
            Self::Install { .. }
            | Self::NotMigrated(_)
            | Self::NoBuildBefore { .. }
            | Self::BehindAndUnknown { .. }
            | Self::AnotherEpoch { .. }
            | Self::AnotherLog(_) => Remedy::Stop,
            Self::Feed(source) => of_log(source),
        }
    }
}

/// No such column, table, type, function or schema, and no right to it: what the migration makes is not there.
const UNPREPARED: [&str; 6] = ["42703", "42P01", "42704", "42883", "3F000", "42501"];

/// What to call an error of the database: `otherwise`, unless the tables are not there at all.
pub(crate) fn unless_unprepared(
    otherwise: impl Fn(sqlx::Error) -> Error,
) -> impl Fn(sqlx::Error) -> Error {
    move |source| {
        let code = source.as_database_error().and_then(|error| error.code());
        let is_unprepared = code.is_some_and(|code| UNPREPARED.contains(&code.as_ref()));
        // Rows are written as values of their table's type, which the driver looks up first.
        if is_unprepared || matches!(source, sqlx::Error::TypeNotFound { .. }) {
            Error::NotMigrated(source)
        } else {
            otherwise(source)
        }
    }
}

fn of_log(error: &foldline_log::Error) -> Remedy {
    use foldline_log::Error as Log;
    match error {
        Log::Connect(_) | Log::Unavailable { .. } | Log::Overloaded { .. } | Log::Kafka { .. } => {
            Remedy::Retry
        }
        Log::Read(source) => match of_database(source) {
            Remedy::Retry => Remedy::Retry,
            Remedy::Isolate | Remedy::Stop => Remedy::Stop,
        },
        Log::NotMigrated { .. }
        | Log::Install(_)
        | Log::InstallBlocked { .. }
        | Log::NotEmpty { .. }
        | Log::Refused(_)
        | Log::Snapshot(_)
        | Log::SnapshotTooLarge { .. }
        | Log::Malformed(_)
        | Log::Unanswered
        | Log::Closed
        | Log::Gap { .. }
        | Log::AnotherLog { .. }
        | Log::AnotherEpoch { .. }
        | Log::BeyondHead { .. }
        | Log::Tenant(_)
        | Log::Decode(_)
        | Log::TopicPartitions { .. }
        | Log::TopicOfAnotherLog { .. }
        | Log::NoTopic { .. }
        | Log::NotCarried { .. }
        | Log::InUse { .. }
        | Log::NewEpoch(_)
        | Log::ForeignRecord { .. } => Remedy::Stop,
    }
}

/// Connection exceptions, rollbacks for concurrency, resources, locks, operators, the system, and a server that is
/// read-only because it is not the primary any more.
const PASSING: [&str; 7] = ["08", "40", "53", "55", "57", "58", "25006"];

/// Data exceptions, violated constraints, limits exceeded: the same rows would fail again.
const OF_DATA: [&str; 3] = ["22", "23", "54"];

fn of_database(error: &sqlx::Error) -> Remedy {
    let transport = matches!(
        error,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed
    );
    if transport {
        return Remedy::Retry;
    }
    if matches!(error, sqlx::Error::Encode(_)) {
        return Remedy::Isolate;
    }
    // Whatever the code: the session is gone, because the process stood still in a transaction, say.
    let said = error
        .as_database_error()
        .and_then(|said| said.try_downcast_ref::<PgDatabaseError>());
    if said.is_some_and(|said| matches!(said.severity(), PgSeverity::Fatal | PgSeverity::Panic)) {
        return Remedy::Retry;
    }
    let Some(code) = error.as_database_error().and_then(|error| error.code()) else {
        return Remedy::Stop;
    };
    let within = |classes: &[&str]| classes.iter().any(|class| code.starts_with(class));
    if within(&PASSING) {
        Remedy::Retry
    } else if within(&OF_DATA) {
        Remedy::Isolate
    } else {
        Remedy::Stop
    }
}

/// An error with its causes, for where one line has to say it all.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}
