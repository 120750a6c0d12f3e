//! Why a command was not done, and how that looks as a problem document.

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use foldline_domain::{Rejection, RejectionKind};
use foldline_events::Version;
use foldline_gate::{Problem, Role};
use foldline_log::Full;
use tracing::{error, warn};

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error("{command_type} takes the role {needs}, and this token has {has}")]
    Forbidden {
        command_type: &'static str,
        needs: Role,
        has: Role,
    },
    #[error("version {expected} was expected, and the stream is at version {current}")]
    StaleVersion { expected: Version, current: Version },
    #[error("this command id was used before with another input; use a new one for a new command")]
    CommandIdReused,
    #[error("{at} lies before 1970 or more than a day ahead, so it cannot be when this happened")]
    OccurredAtOutOfRange { at: DateTime<Utc> },
    #[error("what would be recorded has {bytes} bytes, and at most {bytes_max} can be")]
    EventTooLarge { bytes: usize, bytes_max: usize },
    #[error("others changed the same stream {attempts} times meanwhile; try again")]
    Contended { attempts: u32 },
    #[error(transparent)]
    Log(#[from] foldline_log::Error),
}

impl Failure {
    /// What the client is told. A fault of ours is logged here, once, with everything behind it.
    pub fn into_problem(self) -> Problem {
        let detail = self.to_string();
        match self {
            Self::Rejected(rejection) => rejected(&rejection, detail),
            Self::Forbidden { .. } => Problem::forbidden(detail),
            Self::StaleVersion { current, .. } => {
                titled(StatusCode::PRECONDITION_FAILED, "VERSION_STALE")
                    .detail(detail)
                    .current_version(current)
            }
            Self::CommandIdReused => {
                titled(StatusCode::CONFLICT, "COMMAND_ID_REUSED").detail(detail)
            }
            Self::OccurredAtOutOfRange { .. } => {
                titled(StatusCode::UNPROCESSABLE_ENTITY, "OCCURRED_AT_OUT_OF_RANGE")
                    .detail(detail.clone())
                    .fault("/at", detail)
            }
            Self::EventTooLarge { .. } => {
                titled(StatusCode::UNPROCESSABLE_ENTITY, "EVENT_TOO_LARGE").detail(detail)
            }
            Self::Contended { .. } => Problem {
                retry_after_seconds: Some(foldline_gate::RETRY_AFTER_S),
                ..titled(StatusCode::SERVICE_UNAVAILABLE, "CONTENDED").detail(detail)
            },
            Self::Log(error) => failed(&error),
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        failure.into_problem()
    }
}

fn rejected(rejection: &Rejection, detail: String) -> Problem {
    let status = match rejection.kind() {
        RejectionKind::Unknown => StatusCode::NOT_FOUND,
        RejectionKind::Conflict => StatusCode::CONFLICT,
        RejectionKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let problem = titled(status, rejection.code()).detail(detail.clone());
    match rejection.pointer() {
        Some(pointer) => problem.fault(pointer, detail),
        None => problem,
    }
}

fn failed(error: &foldline_log::Error) -> Problem {
    use foldline_log::Error;
    match error {
        // It may be the read that was to tell whether an earlier try was recorded.
        Error::Overloaded {
            full: full @ Full::ReadsOfTenant,
            ..
        } => Problem::unavailable(format!(
            "{}, so it is not known whether this was recorded; repeating it with the same command id is safe",
            waiting(*full)
        )),
        Error::Overloaded { full, .. } => {
            Problem::unavailable(format!("{}, so this one was not recorded", waiting(*full)))
        }
        Error::Unavailable {
            is_unknown: false, ..
        } => {
            warn!(error = chain(error), "the log cannot be written");
            Problem::unavailable(
                "the log cannot be written now, so this try recorded nothing; repeating it with the same command id is safe",
            )
        }
        Error::Connect(_)
        | Error::NotMigrated { .. }
        | Error::Read(_)
        | Error::Unavailable { .. }
        | Error::Unanswered
        | Error::Closed => {
            warn!(error = chain(error), "the log cannot be used");
            Problem::unavailable(
                "the log cannot be used now, so it is not known whether this was recorded; \
                 repeating it with the same command id is safe",
            )
        }
        Error::AnotherLog { .. } | Error::AnotherEpoch { .. } | Error::BeyondHead { .. } => {
            error!(error = chain(error), "the log was replaced");
            Problem::unavailable(
                "the log was restored or replaced, so it is not known whether this was recorded; repeating it with the \
                 same command id is safe once this service has begun anew",
            )
        }
        Error::Install(_)
        | Error::InstallBlocked { .. }
        | Error::NotEmpty { .. }
        | Error::Refused(_)
        | Error::Snapshot(_)
        | Error::SnapshotTooLarge { .. }
        | Error::Malformed(_)
        | Error::Gap { .. }
        | Error::Tenant(_)
        | Error::Decode(_)
        | Error::Kafka { .. }
        | Error::TopicPartitions { .. }
        | Error::TopicOfAnotherLog { .. }
        | Error::NoTopic { .. }
        | Error::NotCarried { .. }
        | Error::InUse { .. }
        | Error::NewEpoch(_)
        | Error::ForeignRecord { .. } => {
            error!(error = chain(error), "a command could not be handled");
            Problem::internal()
        }
    }
}

fn waiting(full: Full) -> &'static str {
    match full {
        Full::AppendsOfTenant => "too many commands of this tenant are waiting already",
        Full::BytesOfTenant => {
            "the commands of this tenant that are waiting are too large together"
        }
        Full::Appends => "too many commands are waiting already",
        Full::Bytes => "the commands that are waiting are too large together",
        Full::ReadsOfTenant => "too many commands of this tenant wait for what they read",
    }
}

/// With all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The title says in words what the code says.
fn titled(status: StatusCode, code: &str) -> Problem {
    let mut words = code.replace('_', " ").to_ascii_lowercase();
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Problem::new(status, code, &words)
}
