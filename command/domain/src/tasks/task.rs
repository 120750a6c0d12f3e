//! A task: open, in progress, blocked, completed or cancelled; with an assignee, labels, steps, comments and more.
//!
//! Here are its state, `evolve`, and which decision answers which command; [`commands`] are what can be asked, and
//! `decisions.rs` holds the answers.

pub mod commands;
mod decisions;

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use foldline_events::{
    Event, Hours, Version,
    tasks::{
        Metadata, Priority, ResumedStatus, ReviewStatus, TaskCreated, TaskDeleted, TaskEvent,
        TaskRestored, TaskStarted, TaskUnassigned,
    },
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::commands::TaskCommand;
use super::{Rejection, limits};
use crate::Decider;

/// What decisions need of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    project_id: Uuid,
    title: String,
    description: Option<String>,
    priority: Priority,
    estimated_hours: Option<Hours>,
    due_date: Option<NaiveDate>,
    key: Option<String>,
    metadata: Metadata,
    status: Status,
    deleted: bool,
    assignee: Option<Uuid>,
    labels: BTreeSet<String>,
    steps: BTreeMap<Uuid, Step>,
    comments: BTreeSet<Uuid>,
    review: Review,
    /// The due date of which it was said that its day has passed.
    passed: Option<NaiveDate>,
    /// Whether its completion was suggested, and nothing has been added to it since.
    completion_suggested: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", rename_all_fields = "camelCase")]
enum Status {
    Open,
    InProgress,
    Blocked {
        reason: String,
        resumed: ResumedStatus,
    },
    Completed {
        actual_hours: Option<Hours>,
    },
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Step {
    content: String,
    done: bool,
}

/// How the review by an AI stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", rename_all_fields = "camelCase")]
enum Review {
    None,
    Requested,
    Recorded {
        status: ReviewStatus,
        summary: Option<String>,
    },
}

/// What a decision about a task needs to know of other streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// The project that the command would put the task into; `None` when there is none such.
    pub project: Option<ProjectFacts>,
    /// The key that the command would give it.
    pub key: KeyFacts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProjectFacts {
    pub archived: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyFacts {
    /// The task that has it.
    pub holder: Option<Uuid>,
    /// Of the stream that says so: a reservation is written on top of it.
    pub version: Version,
}

impl Decider for Task {
    type Command = TaskCommand;
    type Facts = Facts;
    type Event = TaskEvent;
    type Rejection = Rejection;

    fn evolve(state: Option<Self>, event: &TaskEvent) -> Option<Self> {
        if let TaskEvent::Created(event) = event {
            return Some(state.unwrap_or_else(|| Self::new(event)));
        }
        let mut task = state?;
        match event {
            TaskEvent::Created(_) => {} // Seen above: the one event that needs no task to happen to.
            TaskEvent::Renamed(event) => task.title.clone_from(&event.title),
            TaskEvent::Described(event) => task.description.clone_from(&event.description),
            TaskEvent::PrioritySet(event) => task.priority = event.priority,
            TaskEvent::Estimated(event) => task.estimated_hours = event.estimated_hours,
            TaskEvent::DueDateSet(event) => task.due_date = event.due_date,
            TaskEvent::KeySet(event) => task.key.clone_from(&event.key),
            TaskEvent::Assigned(event) => task.assignee = Some(event.assignee_id),
            TaskEvent::Unassigned(TaskUnassigned {}) => task.assignee = None,
            TaskEvent::LabelAdded(event) => {
                task.labels.insert(event.label.clone());
            }
            TaskEvent::LabelRemoved(event) => {
                task.labels.remove(&event.label);
            }
            TaskEvent::MetadataSet(event) => {
                task.metadata
                    .insert(event.name.clone(), event.value.clone());
            }
            TaskEvent::MetadataRemoved(event) => {
                task.metadata.remove(&event.name);
            }
            TaskEvent::CommentAdded(event) => {
                task.comments.insert(event.comment_id);
            }
            TaskEvent::StepAdded(event) => {
                let step = Step {
                    content: event.content.clone(),
                    done: false,
                };
                task.steps.insert(event.step_id, step);
                task.completion_suggested = false;
            }
            TaskEvent::StepCompleted(event) => {
                if let Some(step) = task.steps.get_mut(&event.step_id) {
                    step.done = true;
                }
            }
            TaskEvent::StepRemoved(event) => {
                task.steps.remove(&event.step_id);
            }
            TaskEvent::Started(_)
            | TaskEvent::Blocked(_)
            | TaskEvent::Unblocked(_)
            | TaskEvent::Completed(_)
            | TaskEvent::Cancelled(_) => task.status = task.status.after(event),
            TaskEvent::Reopened(_) => {
                task.status = task.status.after(event);
                task.completion_suggested = false;
            }
            TaskEvent::Deleted(TaskDeleted {}) => task.deleted = true,
            TaskEvent::Restored(TaskRestored {}) => task.deleted = false,
            TaskEvent::Moved(event) => task.project_id = event.project_id,
            TaskEvent::AiReviewRequested(_) => task.review = Review::Requested,
            TaskEvent::AiReviewRecorded(event) => {
                task.review = Review::Recorded {
                    status: event.status,
                    summary: event.summary.clone(),
                }
            }
            TaskEvent::DueDayPassed(event) => task.passed = Some(event.due_date),
            TaskEvent::CompletionSuggested(_) => task.completion_suggested = true,
        }
        Some(task)
    }

    fn decide(
        state: Option<&Self>,
        facts: &Facts,
        command: TaskCommand,
    ) -> Result<Vec<TaskEvent>, Rejection> {
        decisions::check(&command)?;
        if let TaskCommand::Create(command) = command {
            return decisions::create(state, facts, command);
        }
        let task = state.ok_or(Rejection::UnknownTask)?;
        let yielded = match command {
            TaskCommand::Create(_) => None, // Seen above: the one command that needs no task.
            TaskCommand::Delete(_) => task.delete(),
            TaskCommand::Restore(_) => task.restore(),
            TaskCommand::NoteDueDayPassed(command) => task.note_due_day_passed(&command),
            TaskCommand::SuggestCompletion(_) => task.suggest_completion(),
            _ if task.deleted => return Err(Rejection::TaskDeleted),
            TaskCommand::Rename(command) => task.rename(command),
            TaskCommand::Describe(command) => task.describe(command),
            TaskCommand::SetPriority(command) => task.set_priority(command),
            TaskCommand::Estimate(command) => task.estimate(command),
            TaskCommand::SetDueDate(command) => task.set_due_date(command),
            TaskCommand::SetKey(command) => task.set_key(command, facts.key)?,
            TaskCommand::Assign(command) => task.assign(command),
            TaskCommand::Unassign(_) => task.unassign(),
            TaskCommand::AddLabel(command) => task.add_label(command)?,
            TaskCommand::RemoveLabel(command) => task.remove_label(command),
            TaskCommand::SetMetadata(command) => task.set_metadata(command)?,
            TaskCommand::RemoveMetadata(command) => task.remove_metadata(command),
            TaskCommand::AddComment(command) => task.add_comment(command)?,
            TaskCommand::Start(_) => task.start()?,
            TaskCommand::Block(command) => task.block(command)?,
            TaskCommand::Unblock(_) => task.unblock()?,
            TaskCommand::AddStep(command) => task.add_step(command)?,
            TaskCommand::CompleteStep(command) => task.complete_step(command)?,
            TaskCommand::RemoveStep(command) => task.remove_step(command)?,
            TaskCommand::Complete(command) => task.complete(command)?,
            TaskCommand::Reopen(command) => task.reopen(command)?,
            TaskCommand::Cancel(command) => task.cancel(command)?,
            TaskCommand::Move(command) => task.move_to(command, facts.project)?,
            TaskCommand::RequestAiReview(_) => task.request_review()?,
            TaskCommand::RecordAiReview(command) => task.record_review(command)?,
        };
        Ok(yielded.into_iter().collect())
    }

    fn widen(event: TaskEvent) -> Event {
        Event::Task(event)
    }

    fn narrow(event: Event) -> Option<TaskEvent> {
        match event {
            Event::Task(event) => Some(event),
            Event::Project(_) | Event::TaskKey(_) => None,
        }
    }
}

impl Status {
    /// Events that say nothing of it leave it.
    fn after(&self, event: &TaskEvent) -> Self {
        if let TaskEvent::Started(TaskStarted {}) = event {
            Self::InProgress
        } else if let TaskEvent::Blocked(event) = event {
            Self::Blocked {
                reason: event.reason.clone(),
                resumed: self.resumed(),
            }
        } else if let TaskEvent::Unblocked(event) = event {
            match event.status {
                ResumedStatus::Open => Self::Open,
                ResumedStatus::InProgress => Self::InProgress,
            }
        } else if let TaskEvent::Completed(event) = event {
            Self::Completed {
                actual_hours: event.actual_hours,
            }
        } else if let TaskEvent::Reopened(_) = event {
            Self::Open
        } else if let TaskEvent::Cancelled(_) = event {
            Self::Cancelled
        } else {
            self.clone()
        }
    }

    /// Where the task goes on once nothing blocks it.
    fn resumed(&self) -> ResumedStatus {
        match self {
            Self::Blocked { resumed, .. } => *resumed,
            Self::InProgress => ResumedStatus::InProgress,
            Self::Open | Self::Completed { .. } | Self::Cancelled => ResumedStatus::Open,
        }
    }
}

impl Task {
    fn new(event: &TaskCreated) -> Self {
        Self {
            project_id: event.project_id,
            title: event.title.clone(),
            description: event.description.clone(),
            priority: event.priority,
            estimated_hours: event.estimated_hours,
            due_date: event.due_date,
            key: event.key.clone(),
            metadata: event.metadata.clone(),
            status: Status::Open,
            deleted: false,
            assignee: None,
            labels: BTreeSet::new(),
            steps: BTreeMap::new(),
            comments: BTreeSet::new(),
            review: Review::None,
            passed: None,
            completion_suggested: false,
        }
    }

    /// The short name that it has in its tenant.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Roughly how much memory it holds: caches are bounded by it.
    pub fn size_bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let labels: usize = self
            .labels
            .iter()
            .map(|label| size_of::<String>() + label.len())
            .sum();
        let steps: usize = (self.steps.values())
            .map(|step| size_of::<(Uuid, Step)>() + step.content.len())
            .sum();
        let metadata: usize = (self.metadata.iter())
            .map(|(name, value)| {
                size_of::<(String, serde_json::Value)>()
                    + name.len()
                    + value.as_str().map_or(0, str::len)
            })
            .sum();
        let review = match &self.review {
            Review::Recorded { summary, .. } => text(summary),
            Review::None | Review::Requested => 0,
        };
        let texts = self.title.len() + text(&self.description) + text(&self.key) + review;
        let comments = self.comments.len() * size_of::<Uuid>();
        size_of::<Self>() + texts + labels + steps + metadata + comments
    }
}
