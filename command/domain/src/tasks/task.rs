//! A task: open, in progress, completed or cancelled; with an assignee, labels and steps.

use std::collections::{BTreeMap, BTreeSet};

use foldline_events::{
    Event, Hours,
    tasks::{
        Metadata, Priority, TaskAssigned, TaskCancelled, TaskCompleted, TaskCreated, TaskEvent,
        TaskLabelAdded, TaskReopened, TaskStarted, TaskStepAdded, TaskStepCompleted,
    },
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Rejection, canonical,
    limits::{
        LABEL_CHARS_MAX, LABELS_PER_TASK_MAX, REASON_CHARS_MAX, STEP_CHARS_MAX, STEPS_PER_TASK_MAX,
        TITLE_CHARS_MAX, check_hours, check_metadata, check_text,
    },
};
use crate::Decider;

#[derive(Debug, Clone, PartialEq)]
pub enum TaskCommand {
    Create(CreateTask),
    Assign(AssignTask),
    AddLabel(AddLabel),
    Start(StartTask),
    AddStep(AddStep),
    CompleteStep(CompleteStep),
    Complete(CompleteTask),
    Reopen(ReopenTask),
    Cancel(CancelTask),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateTask {
    pub project_id: Uuid,
    pub title: String,
    pub priority: Priority,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_hours: Option<Hours>,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AssignTask {
    pub assignee_id: Uuid,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddLabel {
    pub label: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartTask {}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddStep {
    pub step_id: Uuid,
    pub content: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompleteStep {
    pub step_id: Uuid,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompleteTask {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual_hours: Option<Hours>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReopenTask {
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CancelTask {
    pub reason: String,
}

/// What decisions need of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    status: Status,
    assignee: Option<Uuid>,
    labels: BTreeSet<String>,
    steps: BTreeMap<Uuid, Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Open,
    InProgress,
    Completed { actual_hours: Option<Hours> },
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    content: String,
    done: bool,
}

/// What a decision about a task needs to know of its project; only creating one asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// `None` when there is no such project.
    pub project: Option<ProjectFacts>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProjectFacts {
    pub archived: bool,
}

impl TaskCommand {
    pub fn context_type(&self) -> &'static str {
        match self {
            Self::Create(_) => "tasks.create_task",
            Self::Assign(_) => "tasks.assign_task",
            Self::AddLabel(_) => "tasks.add_label",
            Self::Start(_) => "tasks.start_task",
            Self::AddStep(_) => "tasks.add_step",
            Self::CompleteStep(_) => "tasks.complete_step",
            Self::Complete(_) => "tasks.complete_task",
            Self::Reopen(_) => "tasks.reopen_task",
            Self::Cancel(_) => "tasks.cancel_task",
        }
    }

    pub(crate) fn canonical_data(&self) -> String {
        match self {
            Self::Create(data) => canonical(data),
            Self::Assign(data) => canonical(data),
            Self::AddLabel(data) => canonical(data),
            Self::Start(data) => canonical(data),
            Self::AddStep(data) => canonical(data),
            Self::CompleteStep(data) => canonical(data),
            Self::Complete(data) => canonical(data),
            Self::Reopen(data) => canonical(data),
            Self::Cancel(data) => canonical(data),
        }
    }
}

impl Decider for Task {
    type Command = TaskCommand;
    type Facts = Facts;
    type Event = TaskEvent;
    type Rejection = Rejection;

    fn evolve(state: Option<Self>, event: &TaskEvent) -> Option<Self> {
        if let TaskEvent::Created(_) = event {
            return Some(state.unwrap_or_else(Self::new));
        }
        let mut task = state?;
        match event {
            TaskEvent::Created(_) => {} // Seen above: the one event that needs no task to happen to.
            TaskEvent::Assigned(event) => task.assignee = Some(event.assignee_id),
            TaskEvent::LabelAdded(event) => {
                task.labels.insert(event.label.clone());
            }
            TaskEvent::Started(TaskStarted {}) => task.status = Status::InProgress,
            TaskEvent::StepAdded(event) => {
                let step = Step {
                    content: event.content.clone(),
                    done: false,
                };
                task.steps.insert(event.step_id, step);
            }
            TaskEvent::StepCompleted(event) => {
                if let Some(step) = task.steps.get_mut(&event.step_id) {
                    step.done = true;
                }
            }
            TaskEvent::Completed(event) => {
                task.status = Status::Completed {
                    actual_hours: event.actual_hours,
                }
            }
            TaskEvent::Reopened(_) => task.status = Status::Open,
            TaskEvent::Cancelled(_) => task.status = Status::Cancelled,
        }
        Some(task)
    }

    fn decide(
        state: Option<&Self>,
        facts: &Facts,
        command: TaskCommand,
    ) -> Result<Vec<TaskEvent>, Rejection> {
        check(&command)?;
        let task = || state.ok_or(Rejection::UnknownTask);
        match command {
            TaskCommand::Create(command) => create(state, facts, command),
            TaskCommand::Assign(command) => Ok(task()?.assign(command)),
            TaskCommand::AddLabel(command) => task()?.add_label(command),
            TaskCommand::Start(StartTask {}) => task()?.start(),
            TaskCommand::AddStep(command) => task()?.add_step(command),
            TaskCommand::CompleteStep(command) => task()?.complete_step(command),
            TaskCommand::Complete(command) => task()?.complete(command),
            TaskCommand::Reopen(command) => task()?.reopen(command),
            TaskCommand::Cancel(command) => task()?.cancel(command),
        }
    }

    fn widen(event: TaskEvent) -> Event {
        Event::Task(event)
    }

    fn narrow(event: Event) -> Option<TaskEvent> {
        match event {
            Event::Task(event) => Some(event),
            Event::Project(_) => None,
        }
    }
}

/// What is wrong with the command whatever the task is like.
fn check(command: &TaskCommand) -> Result<(), Rejection> {
    match command {
        TaskCommand::Create(command) => {
            check_text("title", &command.title, TITLE_CHARS_MAX)?;
            check_hours("estimatedHours", command.estimated_hours)?;
            check_metadata(&command.metadata)
        }
        TaskCommand::AddLabel(command) => check_text("label", &command.label, LABEL_CHARS_MAX),
        TaskCommand::AddStep(command) => check_text("content", &command.content, STEP_CHARS_MAX),
        TaskCommand::Complete(command) => check_hours("actualHours", command.actual_hours),
        TaskCommand::Reopen(command) => check_text("reason", &command.reason, REASON_CHARS_MAX),
        TaskCommand::Cancel(command) => check_text("reason", &command.reason, REASON_CHARS_MAX),
        TaskCommand::Assign(_) | TaskCommand::Start(_) | TaskCommand::CompleteStep(_) => Ok(()),
    }
}

fn create(
    state: Option<&Task>,
    facts: &Facts,
    command: CreateTask,
) -> Result<Vec<TaskEvent>, Rejection> {
    if state.is_some() {
        return Err(Rejection::TaskExists);
    }
    match facts.project {
        None => Err(Rejection::UnknownProject),
        Some(ProjectFacts { archived: true }) => Err(Rejection::ProjectArchived),
        Some(ProjectFacts { archived: false }) => Ok(vec![TaskEvent::Created(TaskCreated {
            project_id: command.project_id,
            title: command.title,
            priority: command.priority,
            estimated_hours: command.estimated_hours,
            metadata: command.metadata,
        })]),
    }
}

impl Task {
    fn new() -> Self {
        Self {
            status: Status::Open,
            assignee: None,
            labels: BTreeSet::new(),
            steps: BTreeMap::new(),
        }
    }

    /// Roughly how much memory it holds: caches are bounded by it.
    pub fn size_bytes(&self) -> usize {
        let labels: usize = self
            .labels
            .iter()
            .map(|label| size_of::<String>() + label.len())
            .sum();
        let steps: usize = (self.steps.values())
            .map(|step| size_of::<(Uuid, Step)>() + step.content.len())
            .sum();
        size_of::<Self>() + labels + steps
    }

    fn assign(&self, command: AssignTask) -> Vec<TaskEvent> {
        if self.assignee == Some(command.assignee_id) {
            return vec![];
        }
        vec![TaskEvent::Assigned(TaskAssigned {
            assignee_id: command.assignee_id,
        })]
    }

    fn add_label(&self, command: AddLabel) -> Result<Vec<TaskEvent>, Rejection> {
        if self.labels.contains(&command.label) {
            Ok(vec![])
        } else if self.labels.len() >= LABELS_PER_TASK_MAX {
            Err(Rejection::TooManyLabels)
        } else {
            Ok(vec![TaskEvent::LabelAdded(TaskLabelAdded {
                label: command.label,
            })])
        }
    }

    fn start(&self) -> Result<Vec<TaskEvent>, Rejection> {
        match self.status {
            Status::Open => Ok(vec![TaskEvent::Started(TaskStarted {})]),
            Status::InProgress => Ok(vec![]),
            Status::Completed { .. } => Err(Rejection::TaskCompleted),
            Status::Cancelled => Err(Rejection::TaskCancelled),
        }
    }

    fn add_step(&self, command: AddStep) -> Result<Vec<TaskEvent>, Rejection> {
        match self.steps.get(&command.step_id) {
            Some(step) if step.content == command.content => Ok(vec![]),
            Some(_) => Err(Rejection::StepDiffers),
            None => {
                self.must_not_be_closed()?;
                if self.steps.len() >= STEPS_PER_TASK_MAX {
                    return Err(Rejection::TooManySteps);
                }
                Ok(vec![TaskEvent::StepAdded(TaskStepAdded {
                    step_id: command.step_id,
                    content: command.content,
                })])
            }
        }
    }

    fn complete_step(&self, command: CompleteStep) -> Result<Vec<TaskEvent>, Rejection> {
        let step = self
            .steps
            .get(&command.step_id)
            .ok_or(Rejection::UnknownStep)?;
        if step.done {
            return Ok(vec![]);
        }
        self.must_not_be_closed()?;
        Ok(vec![TaskEvent::StepCompleted(TaskStepCompleted {
            step_id: command.step_id,
        })])
    }

    fn complete(&self, command: CompleteTask) -> Result<Vec<TaskEvent>, Rejection> {
        match self.status {
            Status::Cancelled => return Err(Rejection::TaskCancelled),
            Status::Completed { actual_hours } if actual_hours == command.actual_hours => {
                return Ok(vec![]);
            }
            Status::Completed { .. } => return Err(Rejection::CompletedDifferently),
            Status::Open | Status::InProgress => {}
        }
        let open = self.steps.values().filter(|step| !step.done).count();
        if open > 0 {
            return Err(Rejection::OpenSteps { open });
        }
        Ok(vec![TaskEvent::Completed(TaskCompleted {
            actual_hours: command.actual_hours,
        })])
    }

    fn reopen(&self, command: ReopenTask) -> Result<Vec<TaskEvent>, Rejection> {
        match self.status {
            Status::Completed { .. } | Status::Cancelled => {
                Ok(vec![TaskEvent::Reopened(TaskReopened {
                    reason: command.reason,
                })])
            }
            Status::Open | Status::InProgress => Err(Rejection::TaskNotClosed),
        }
    }

    fn cancel(&self, command: CancelTask) -> Result<Vec<TaskEvent>, Rejection> {
        match self.status {
            Status::Open | Status::InProgress => Ok(vec![TaskEvent::Cancelled(TaskCancelled {
                reason: command.reason,
            })]),
            // It is given up already; a second reason adds nothing to that.
            Status::Cancelled => Ok(vec![]),
            // What was done cannot be given up unsaid: whoever means it says first that it is open again.
            Status::Completed { .. } => Err(Rejection::TaskCompleted),
        }
    }

    fn must_not_be_closed(&self) -> Result<(), Rejection> {
        match self.status {
            Status::Open | Status::InProgress => Ok(()),
            Status::Completed { .. } => Err(Rejection::TaskCompleted),
            Status::Cancelled => Err(Rejection::TaskCancelled),
        }
    }
}
