//! Everything that can go wrong in a read or a forwarded command, and how GraphQL says it.
//!
//! Resolvers return [`Error`] with `?`; async-graphql carries it as the error's source to the edge, where
//! [`answered`] gives every error of a response its `extensions.code`, and logs those that are ours, once.

use std::sync::Arc;

use async_graphql::{ErrorExtensionValues, Response, ServerError, Value};
use chrono::{DateTime, Utc};
use foldline_events::cursor::InvalidCursor;
use foldline_gate::Problem;
use uuid::Uuid;

use crate::{
    read::SETTLED_SECS,
    schema::{COMPLEXITY_MAX, DEPTH_MAX},
};

/// Cloned to everybody who waited for the same loader, hence the shared sources.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("{problem}")]
    BadId { problem: String },
    #[error("{problem}")]
    BadInput { problem: String },
    #[error("{problem}")]
    BadPage { problem: String },
    #[error("{InvalidCursor}")]
    BadCursor,
    #[error(
        "the cursor is of another epoch: the log was restored or replaced since; the present one is {present}"
    )]
    WrongEpoch { present: Uuid },
    #[error(
        "the views had not folded up to the cursor, or to the position of asOf, within {waited_ms} ms; try again in a moment"
    )]
    AtLeastTimeout { waited_ms: u64 },
    #[error(
        "after {waited_ms} ms it was not known yet what was recorded up to {at}: the views must hold something later, or all of a \
         log whose end was seen {SETTLED_SECS} s after that; try again in a moment, or ask as of a position"
    )]
    TimeNotSettled { at: DateTime<Utc>, waited_ms: u64 },
    #[error(
        "the log does not hold everything that the views were folded from: it was restored, or lost its end, so no cursor \
         says whether they are far enough; an operator has to give it a new epoch, and the projectors empty views"
    )]
    LogLost,
    #[error(
        "position {position}, of the cursor or of asOf, lies behind the log's end, {head}: it was made up, or is of events \
         that the log has lost since"
    )]
    BeyondHead { position: i64, head: i64 },
    #[error(
        "the views do not hold everything up to the cursor: {streams} streams that this reads wait at an event that could \
         not be folded; ask without atLeast for what there is, and let an operator look at `foldline parked list`"
    )]
    Parked { streams: i64 },
    #[error("the request was not finished within {waited_ms} ms")]
    Timeout { waited_ms: u64 },
    #[error("the service is shutting down; try again")]
    Closing,
    /// The command side's "no", as its HTTP interface would have answered.
    #[error("{}", .0.detail.as_ref().unwrap_or(&.0.title))]
    Refused(Box<Problem>),
    /// As the database says it, with the view and the positions.
    #[error("{problem}; ask as of a later moment")]
    NotKept { problem: String },
    #[error("cannot read the views")]
    Read(#[source] Arc<sqlx::Error>),
    #[error("{detail}")]
    Role { detail: String },
    #[error(
        "the command service did not answer; whether the command was recorded is unknown, retry it with the same id"
    )]
    Forward(#[source] Arc<reqwest::Error>),
    #[error(
        "the command service did not answer, so it is not known what the command would do; ask again"
    )]
    Unasked(#[source] Arc<reqwest::Error>),
    #[error("the command service answered {status}, with a body that is not its own")]
    ForeignAnswer { status: u16 },
    #[error("a request reached a resolver without its context")]
    NoContext,
}

/// Who has to do something about it.
enum Blame {
    /// The asker, or nobody: said as it is.
    Asker(&'static str),
    /// The asker, by a problem document of the command side.
    Command(Box<Problem>),
    /// A service that we need is not there: said, and worth another try.
    Away(&'static str),
    /// Us: logged, and said without details.
    Us,
}

/// What `views.keeps` says where rows of the past may be gone.
const NOT_KEPT: &str = "FL001";

/// What is answered when the fault is ours.
const INTERNAL: &str = "something went wrong on our side; the server's log says more";

impl Error {
    pub fn read(source: sqlx::Error) -> Self {
        if let Some(error) = source.as_database_error()
            && error.code().is_some_and(|code| code == NOT_KEPT)
        {
            let problem = error.message().to_owned();
            return Self::NotKept { problem };
        }
        Self::Read(Arc::new(source))
    }

    fn blame(&self) -> Blame {
        match self {
            Self::BadId { .. } => Blame::Asker("BAD_ID"),
            Self::BadInput { .. } => Blame::Asker("BAD_USER_INPUT"),
            Self::BadPage { .. } => Blame::Asker("BAD_PAGE"),
            Self::BadCursor => Blame::Asker("BAD_CURSOR"),
            Self::WrongEpoch { .. } => Blame::Asker("WRONG_EPOCH"),
            Self::AtLeastTimeout { .. } | Self::TimeNotSettled { .. } => {
                Blame::Asker("AT_LEAST_TIMEOUT")
            }
            Self::LogLost => Blame::Asker("VIEWS_OF_ANOTHER_LOG"),
            Self::BeyondHead { .. } => Blame::Asker("CURSOR_BEYOND_HEAD"),
            Self::Parked { .. } => Blame::Asker("PARKED"),
            Self::NotKept { .. } => Blame::Asker("HISTORY_NOT_KEPT"),
            Self::Timeout { .. } => Blame::Asker("TIMEOUT"),
            Self::Closing => Blame::Asker("UNAVAILABLE"),
            Self::Refused(problem) => Blame::Command(problem.clone()),
            Self::Forward(_) | Self::Unasked(_) => Blame::Away("UNAVAILABLE"),
            Self::Read(source) if is_away(source) => Blame::Away("UNAVAILABLE"),
            Self::Read(source) if is_cancelled(source) => Blame::Asker("TIMEOUT"),
            Self::Read(_) | Self::Role { .. } | Self::ForeignAnswer { .. } | Self::NoContext => {
                Blame::Us
            }
        }
    }
}

/// Whether a statement took longer than a request may.
fn is_cancelled(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == "57014")
}

/// Whether the database was not there, rather than wrong.
fn is_away(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
    )
}

/// Gives every error its code and takes out what is nobody's business.
pub fn answered(mut response: Response) -> Response {
    let request_error = is_request_error(&response);
    for error in &mut response.errors {
        code(error, request_error);
    }
    response
}

/// Whether the request was refused before anything was executed: then there is no `data`, not even null.
pub fn is_request_error(response: &Response) -> bool {
    let nowhere = |error: &ServerError| error.path.is_empty();
    !response.errors.is_empty()
        && response.data == Value::Null
        && response.errors.iter().all(nowhere)
}

fn code(error: &mut ServerError, request_error: bool) {
    let given = error.source::<Error>().cloned();
    let Some(cause) = given else {
        let foreign = error.source.is_some();
        let extensions = error.extensions.get_or_insert_default();
        if foreign {
            // A source that is not ours slipped past the resolvers; its text may name tables or hosts.
            tracing::error!(error = %error.message, "a resolver failed with a foreign error");
            INTERNAL.clone_into(&mut error.message);
            extensions.set("code", "INTERNAL");
        } else if extensions.get("code").is_none() {
            bounded(&mut error.message);
            // From async-graphql itself: before execution the document, during it an argument's value.
            let code = if request_error {
                "GRAPHQL_VALIDATION_FAILED"
            } else {
                "BAD_USER_INPUT"
            };
            extensions.set("code", code);
        }
        return;
    };
    let extensions = error.extensions.get_or_insert_default();
    match cause.blame() {
        Blame::Asker(code) => extensions.set("code", code),
        Blame::Command(problem) => command_problem(extensions, &problem),
        Blame::Away(code) => {
            tracing::warn!(error = chain(&cause), "what a request needs is away");
            extensions.set("code", code);
        }
        Blame::Us => {
            tracing::error!(error = chain(&cause), "a request failed");
            INTERNAL.clone_into(&mut error.message);
            extensions.set("code", "INTERNAL");
        }
    }
}

/// The library says that a document is too much, and not how much it may be.
fn bounded(message: &mut String) {
    match message.as_str() {
        "Query is too complex." => {
            *message = format!(
                "the query may cost too much: every field counts 1, below a list as often as the list may have entries, \
                 and all together may count {COMPLEXITY_MAX}; ask for fewer entries or fields"
            );
        }
        "Query is nested too deep." => {
            *message = format!("the query may be nested {DEPTH_MAX} deep");
        }
        _ => {}
    }
}

fn command_problem(extensions: &mut ErrorExtensionValues, problem: &Problem) {
    extensions.set("code", problem.code.clone());
    let document = serde_json::to_value(problem).expect("a problem document is text and numbers");
    let document = Value::from_json(document).expect("JSON without raw values is a GraphQL value");
    extensions.set("problem", document);
}

/// An error with its sources, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}
