//! The rules of projects and tasks.
//!
//! [`project`] and [`task`] hold one aggregate each: its commands, its state, `evolve` and `decide`. Here are what
//! they share: the rejections, and how a command is read from text. [`limits`] says how much of everything is
//! allowed. This context must not know any other.

pub mod limits;
mod project;
mod rejection;
mod task;

pub use project::{
    ArchiveProject, CreateProject, DescribeProject, Project, ProjectCommand, RenameProject,
    RestoreProject,
};
pub use rejection::{Rejection, TextFault};
pub use task::{
    Facts, KeyFacts, ProjectFacts, Task,
    commands::{
        AddComment, AddLabel, AddStep, AssignTask, BlockTask, CancelTask, CompleteStep,
        CompleteTask, CreateTask, DeleteTask, DescribeTask, EstimateTask, MoveTask,
        NoteDueDayPassed, RecordAiReview, RemoveLabel, RemoveMetadata, RemoveStep, RenameTask,
        ReopenTask, RequestAiReview, RestoreTask, SetDueDate, SetKey, SetMetadata, SetPriority,
        StartTask, SuggestCompletion, TaskCommand, UnassignTask, UnblockTask,
    },
};

use foldline_events::{Event, tasks::KeyEvent};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{Command, InvalidCommand};

/// Every command type of this context that may be sent to it. What reactions alone ask for is none of these, and is read from
/// no request.
pub const COMMAND_TYPES: [&str; 33] = [
    "tasks.create_project",
    "tasks.rename_project",
    "tasks.describe_project",
    "tasks.archive_project",
    "tasks.restore_project",
    "tasks.create_task",
    "tasks.rename_task",
    "tasks.describe_task",
    "tasks.set_priority",
    "tasks.estimate_task",
    "tasks.set_due_date",
    "tasks.set_key",
    "tasks.assign_task",
    "tasks.unassign_task",
    "tasks.add_label",
    "tasks.remove_label",
    "tasks.set_metadata",
    "tasks.remove_metadata",
    "tasks.add_comment",
    "tasks.start_task",
    "tasks.block_task",
    "tasks.unblock_task",
    "tasks.add_step",
    "tasks.complete_step",
    "tasks.remove_step",
    "tasks.complete_task",
    "tasks.reopen_task",
    "tasks.cancel_task",
    "tasks.delete_task",
    "tasks.restore_task",
    "tasks.move_task",
    "tasks.request_ai_review",
    "tasks.record_ai_review",
];

/// Who has a key after an event of its stream.
pub fn holder_after(holder: Option<Uuid>, event: &Event) -> Option<Uuid> {
    match event {
        Event::TaskKey(KeyEvent::Reserved(event)) => Some(event.task_id),
        Event::TaskKey(KeyEvent::Released(_)) => None,
        Event::Project(_) | Event::Task(_) => holder,
    }
}

/// `None` for a type that is not of this context.
pub(crate) fn parse(command_type: &str, data: &str) -> Result<Option<Command>, InvalidCommand> {
    let from = Data { command_type, data };
    Ok(Some(match command_type {
        "tasks.create_project" => Command::Project(ProjectCommand::Create(from.read()?)),
        "tasks.rename_project" => Command::Project(ProjectCommand::Rename(from.read()?)),
        "tasks.describe_project" => Command::Project(ProjectCommand::Describe(from.read()?)),
        "tasks.archive_project" => Command::Project(ProjectCommand::Archive(from.read()?)),
        "tasks.restore_project" => Command::Project(ProjectCommand::Restore(from.read()?)),
        "tasks.create_task" => Command::Task(TaskCommand::Create(from.read()?)),
        "tasks.rename_task" => Command::Task(TaskCommand::Rename(from.read()?)),
        "tasks.describe_task" => Command::Task(TaskCommand::Describe(from.read()?)),
        "tasks.set_priority" => Command::Task(TaskCommand::SetPriority(from.read()?)),
        "tasks.estimate_task" => Command::Task(TaskCommand::Estimate(from.read()?)),
        "tasks.set_due_date" => Command::Task(TaskCommand::SetDueDate(from.read()?)),
        "tasks.set_key" => Command::Task(TaskCommand::SetKey(from.read()?)),
        "tasks.assign_task" => Command::Task(TaskCommand::Assign(from.read()?)),
        "tasks.unassign_task" => Command::Task(TaskCommand::Unassign(from.read()?)),
        "tasks.add_label" => Command::Task(TaskCommand::AddLabel(from.read()?)),
        "tasks.remove_label" => Command::Task(TaskCommand::RemoveLabel(from.read()?)),
        "tasks.set_metadata" => Command::Task(TaskCommand::SetMetadata(from.read()?)),
        "tasks.remove_metadata" => Command::Task(TaskCommand::RemoveMetadata(from.read()?)),
        "tasks.add_comment" => Command::Task(TaskCommand::AddComment(from.read()?)),
        "tasks.start_task" => Command::Task(TaskCommand::Start(from.read()?)),
        "tasks.block_task" => Command::Task(TaskCommand::Block(from.read()?)),
        "tasks.unblock_task" => Command::Task(TaskCommand::Unblock(from.read()?)),
        "tasks.add_step" => Command::Task(TaskCommand::AddStep(from.read()?)),
        "tasks.complete_step" => Command::Task(TaskCommand::CompleteStep(from.read()?)),
        "tasks.remove_step" => Command::Task(TaskCommand::RemoveStep(from.read()?)),
        "tasks.complete_task" => Command::Task(TaskCommand::Complete(from.read()?)),
        "tasks.reopen_task" => Command::Task(TaskCommand::Reopen(from.read()?)),
        "tasks.cancel_task" => Command::Task(TaskCommand::Cancel(from.read()?)),
        "tasks.delete_task" => Command::Task(TaskCommand::Delete(from.read()?)),
        "tasks.restore_task" => Command::Task(TaskCommand::Restore(from.read()?)),
        "tasks.move_task" => Command::Task(TaskCommand::Move(from.read()?)),
        "tasks.request_ai_review" => Command::Task(TaskCommand::RequestAiReview(from.read()?)),
        "tasks.record_ai_review" => Command::Task(TaskCommand::RecordAiReview(from.read()?)),
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
