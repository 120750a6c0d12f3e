//! The rules of projects and tasks.
//!
//! [`project`] and [`task`] hold one aggregate each: its commands, its state, `evolve` and `decide`. Here are what
//! they share: the rejections, and how a command is read from text. [`limits`] says how much of everything is
//! allowed. This context must not know any other.

pub mod limits;
mod project;
mod rejection;
mod task;

pub use project::{ArchiveProject, CreateProject, Project, ProjectCommand, RenameProject};
pub use rejection::{Rejection, TextFault};
pub use task::{
    AddLabel, AddStep, AssignTask, CancelTask, CompleteStep, CompleteTask, CreateTask, Facts,
    ProjectFacts, ReopenTask, StartTask, Task, TaskCommand,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Command, InvalidCommand};

/// Every command type of this context.
pub const COMMAND_TYPES: [&str; 12] = [
    "tasks.create_project",
    "tasks.rename_project",
    "tasks.archive_project",
    "tasks.create_task",
    "tasks.assign_task",
    "tasks.add_label",
    "tasks.start_task",
    "tasks.add_step",
    "tasks.complete_step",
    "tasks.complete_task",
    "tasks.reopen_task",
    "tasks.cancel_task",
];

/// `None` for a type that is not of this context.
pub(crate) fn parse(command_type: &str, data: &str) -> Result<Option<Command>, InvalidCommand> {
    let from = Data { command_type, data };
    Ok(Some(match command_type {
        "tasks.create_project" => Command::Project(ProjectCommand::Create(from.read()?)),
        "tasks.rename_project" => Command::Project(ProjectCommand::Rename(from.read()?)),
        "tasks.archive_project" => Command::Project(ProjectCommand::Archive(from.read()?)),
        "tasks.create_task" => Command::Task(TaskCommand::Create(from.read()?)),
        "tasks.assign_task" => Command::Task(TaskCommand::Assign(from.read()?)),
        "tasks.add_label" => Command::Task(TaskCommand::AddLabel(from.read()?)),
        "tasks.start_task" => Command::Task(TaskCommand::Start(from.read()?)),
        "tasks.add_step" => Command::Task(TaskCommand::AddStep(from.read()?)),
        "tasks.complete_step" => Command::Task(TaskCommand::CompleteStep(from.read()?)),
        "tasks.complete_task" => Command::Task(TaskCommand::Complete(from.read()?)),
        "tasks.reopen_task" => Command::Task(TaskCommand::Reopen(from.read()?)),
        "tasks.cancel_task" => Command::Task(TaskCommand::Cancel(from.read()?)),
        _ => return Ok(None),
    }))
}

struct Data<'a> {
    command_type: &'a str,
    data: &'a str,
}

impl Data<'_> {
    fn read<T: DeserializeOwned>(&self) -> Result<T, InvalidCommand> {
        let mut reader = serde_json::Deserializer::from_str(self.data);
        // serde takes an array for a struct, field by field in order. That is not how commands are written.
        let is_array = self.data.trim_start().starts_with('[');
        let fault = |pointer, source| InvalidCommand::Data {
            command_type: self.command_type.to_owned(),
            pointer,
            source,
        };
        if is_array {
            let found = serde::de::Unexpected::Seq;
            let error = serde::de::Error::invalid_type(found, &"an object");
            return Err(fault(String::new(), error));
        }
        let read = serde_path_to_error::deserialize(&mut reader)
            .map_err(|error| fault(pointer_to(error.path()), error.into_inner()))?;
        reader.end().map_err(|error| fault(String::new(), error))?;
        Ok(read)
    }
}

/// RFC 6901, of the place where reading stopped.
fn pointer_to(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", escape(key)),
            Segment::Enum { variant } => format!("/{}", escape(variant)),
            Segment::Unknown => String::new(),
        })
        .collect()
}

/// One reference token of an RFC 6901 pointer.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn canonical(data: &impl Serialize) -> String {
    serde_json::to_string(data)
        .expect("commands hold text, numbers and maps with text keys, which JSON can write")
}
