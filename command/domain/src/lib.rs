//! The rules: what a command may do to an aggregate, and what each event makes of its state.
//!
//! Per context a module holds its aggregates; an aggregate is a [`Decider`], two pure functions. This crate must not
//! know databases, the network, clocks or randomness: times and ids arrive in commands, and the state is whatever
//! the events say. Read [`tasks`] next, then `command/src/handle.rs` for who calls it.

mod state;
pub mod tasks;

use foldline_events::Event;
use uuid::Uuid;

pub use state::State;

/// An aggregate. `Self` is its state: only what decisions need, and `None` before its first event. States are written
/// down as snapshots: what is read back must be the very same state.
pub trait Decider: Sized {
    type Command;
    /// What a decision needs to know of other streams.
    type Facts;
    type Event;
    type Rejection: Into<Rejection>;

    /// The state after one more event. It cannot fail: what is recorded has happened, so an event that makes no
    /// sense in a state leaves it as it was.
    fn evolve(state: Option<Self>, event: &Self::Event) -> Option<Self>;

    /// What the command makes happen: events, none when it is already so, or a "no".
    fn decide(
        state: Option<&Self>,
        facts: &Self::Facts,
        command: Self::Command,
    ) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// The event among those of all contexts.
    fn widen(event: Self::Event) -> Event;

    /// The event as this aggregate's own; `None` when it belongs to another.
    fn narrow(event: Event) -> Option<Self::Event>;
}

/// Any command of any context.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    Project(tasks::ProjectCommand),
    Task(tasks::TaskCommand),
}

/// Why text is not a command.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCommand {
    #[error("there is no command type {0:?}")]
    UnknownType(String),
    #[error("the data of {command_type} is not as it must be")]
    Data {
        command_type: String,
        /// JSON pointer into the data; empty for the data itself.
        pointer: String,
        #[source]
        source: serde_json::Error,
    },
}

impl InvalidCommand {
    /// What is wrong, in words. Line and column are left out: they are of the data as it was handed over, which is not as
    /// somebody wrote it.
    pub fn problem(&self) -> String {
        match self {
            Self::UnknownType(_) => self.to_string(),
            Self::Data { source, .. } => {
                let text = source.to_string();
                let place = format!(" at line {} column {}", source.line(), source.column());
                text.strip_suffix(&place).map(str::to_owned).unwrap_or(text)
            }
        }
    }
}

impl Command {
    /// Reads a command from its type, such as `tasks.create_task`, and its data as JSON text. Unknown fields are
    /// refused.
    pub fn parse(command_type: &str, data: &str) -> Result<Self, InvalidCommand> {
        tasks::parse(command_type, data)?
            .ok_or_else(|| InvalidCommand::UnknownType(command_type.to_owned()))
    }

    /// `context.imperative`, such as `tasks.complete_task`.
    pub fn context_type(&self) -> &'static str {
        match self {
            Self::Project(command) => command.context_type(),
            Self::Task(command) => command.context_type(),
        }
    }

    /// The data as JSON, always spelled the same for the same command: digests are made of it.
    pub fn canonical_data(&self) -> String {
        match self {
            Self::Project(command) => command.canonical_data(),
            Self::Task(command) => command.canonical_data(),
        }
    }

    /// The stream that the command writes.
    pub fn stream(&self, aggregate: Uuid) -> String {
        match self {
            Self::Project(_) => foldline_events::tasks::project_stream(aggregate),
            Self::Task(_) => foldline_events::tasks::task_stream(aggregate),
        }
    }
}

/// A "no" of any context: the user's answer, not an error of ours. Its text is for people, its code for programs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error(transparent)]
    Tasks(#[from] tasks::Rejection),
}

/// What sort of "no" it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectionKind {
    /// What the command names does not exist.
    Unknown,
    /// The state forbids it.
    Conflict,
    /// The command's own values are out of bounds.
    Invalid,
}

impl Rejection {
    /// Stable, in SCREAMING_SNAKE_CASE.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Tasks(rejection) => rejection.code(),
        }
    }

    pub fn kind(&self) -> RejectionKind {
        match self {
            Self::Tasks(rejection) => rejection.kind(),
        }
    }

    /// JSON pointer into the command's data, where one value is to blame.
    pub fn pointer(&self) -> Option<String> {
        match self {
            Self::Tasks(rejection) => rejection.pointer(),
        }
    }
}
