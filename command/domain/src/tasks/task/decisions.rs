//! What each command makes happen to a task: an event, nothing when it is already so, or a "no".

use foldline_events::tasks::{
    ReviewStatus, TaskAiReviewRecorded, TaskAiReviewRequested, TaskAssigned, TaskBlocked,
    TaskCancelled, TaskCommentAdded, TaskCompleted, TaskCompletionSuggested, TaskCreated,
    TaskDeleted, TaskDescribed, TaskDueDateSet, TaskDueDayPassed, TaskEstimated, TaskEvent,
    TaskKeySet, TaskLabelAdded, TaskLabelRemoved, TaskMetadataRemoved, TaskMetadataSet, TaskMoved,
    TaskPrioritySet, TaskRenamed, TaskReopened, TaskRestored, TaskStarted, TaskStepAdded,
    TaskStepCompleted, TaskStepRemoved, TaskUnassigned, TaskUnblocked,
};

use super::{
    Facts, KeyFacts, ProjectFacts, Rejection, Review, Status, Task,
    commands::{
        AddComment, AddLabel, AddStep, AssignTask, BlockTask, CancelTask, CompleteStep,
        CompleteTask, CreateTask, DescribeTask, EstimateTask, MoveTask, NoteDueDayPassed,
        RecordAiReview, RemoveLabel, RemoveMetadata, RemoveStep, RenameTask, ReopenTask,
        SetDueDate, SetKey, SetMetadata, SetPriority, TaskCommand,
    },
    limits::{
        COMMENT_CHARS_MAX, COMMENTS_PER_TASK_MAX, DESCRIPTION_CHARS_MAX, LABEL_CHARS_MAX,
        LABELS_PER_TASK_MAX, METADATA_KEYS_MAX, REASON_CHARS_MAX, STEP_CHARS_MAX,
        STEPS_PER_TASK_MAX, SUMMARY_CHARS_MAX, TITLE_CHARS_MAX, check_due_date, check_hours,
        check_key, check_metadata, check_metadata_name, check_optional_text, check_text,
        is_metadata_value,
    },
};

/// What is wrong with the command whatever the task is like.
pub(super) fn check(command: &TaskCommand) -> Result<(), Rejection> {
    let title = |text: &str| check_text("title", text, TITLE_CHARS_MAX);
    let description = |text: &Option<String>| {
        check_optional_text("description", text.as_deref(), DESCRIPTION_CHARS_MAX)
    };
    let reason = |text: &str| check_text("reason", text, REASON_CHARS_MAX);
    match command {
        TaskCommand::Create(command) => {
            title(&command.title)?;
            description(&command.description)?;
            check_hours("estimatedHours", command.estimated_hours)?;
            check_due_date(command.due_date)?;
            check_key(command.key.as_deref())?;
            check_metadata(&command.metadata)
        }
        TaskCommand::Rename(command) => title(&command.title),
        TaskCommand::Describe(command) => description(&command.description),
        TaskCommand::Estimate(command) => check_hours("estimatedHours", command.estimated_hours),
        TaskCommand::SetDueDate(command) => check_due_date(command.due_date),
        TaskCommand::SetKey(command) => check_key(command.key.as_deref()),
        TaskCommand::AddLabel(command) => check_text("label", &command.label, LABEL_CHARS_MAX),
        TaskCommand::SetMetadata(command) => {
            check_metadata_name("/name", &command.name)?;
            match is_metadata_value(&command.value) {
                true => Ok(()),
                false => Err(Rejection::MetadataValue {
                    pointer: "/value".to_owned(),
                }),
            }
        }
        TaskCommand::AddComment(command) => check_text("text", &command.text, COMMENT_CHARS_MAX),
        TaskCommand::Block(command) => reason(&command.reason),
        TaskCommand::AddStep(command) => check_text("content", &command.content, STEP_CHARS_MAX),
        TaskCommand::Complete(command) => check_hours("actualHours", command.actual_hours),
        TaskCommand::Reopen(command) => reason(&command.reason),
        TaskCommand::Cancel(command) => reason(&command.reason),
        TaskCommand::RecordAiReview(command) => {
            check_optional_text("summary", command.summary.as_deref(), SUMMARY_CHARS_MAX)
        }
        TaskCommand::SetPriority(_)
        | TaskCommand::Assign(_)
        | TaskCommand::Unassign(_)
        | TaskCommand::RemoveLabel(_)
        | TaskCommand::RemoveMetadata(_)
        | TaskCommand::Start(_)
        | TaskCommand::Unblock(_)
        | TaskCommand::CompleteStep(_)
        | TaskCommand::RemoveStep(_)
        | TaskCommand::Delete(_)
        | TaskCommand::Restore(_)
        | TaskCommand::Move(_)
        | TaskCommand::RequestAiReview(_)
        | TaskCommand::NoteDueDayPassed(_)
        | TaskCommand::SuggestCompletion(_) => Ok(()),
    }
}

pub(super) fn create(
    state: Option<&Task>,
    facts: &Facts,
    command: CreateTask,
) -> Result<Vec<TaskEvent>, Rejection> {
    if state.is_some() {
        return Err(Rejection::TaskExists);
    }
    must_take_tasks(facts.project)?;
    if let (Some(_), Some(by)) = (&command.key, facts.key.holder) {
        return Err(Rejection::KeyTaken { by });
    }
    Ok(vec![TaskEvent::Created(TaskCreated {
        project_id: command.project_id,
        title: command.title,
        description: command.description,
        priority: command.priority,
        estimated_hours: command.estimated_hours,
        due_date: command.due_date,
        key: command.key,
        metadata: command.metadata,
    })])
}

fn must_take_tasks(project: Option<ProjectFacts>) -> Result<(), Rejection> {
    match project {
        None => Err(Rejection::UnknownProject),
        Some(ProjectFacts { archived: true }) => Err(Rejection::ProjectArchived),
        Some(ProjectFacts { archived: false }) => Ok(()),
    }
}

/// What describes a task may change whatever its status: a completed task's title may have a mistake in it.
impl Task {
    pub(super) fn rename(&self, command: RenameTask) -> Option<TaskEvent> {
        (self.title != command.title).then_some(TaskEvent::Renamed(TaskRenamed {
            title: command.title,
        }))
    }

    pub(super) fn describe(&self, command: DescribeTask) -> Option<TaskEvent> {
        (self.description != command.description).then_some(TaskEvent::Described(TaskDescribed {
            description: command.description,
        }))
    }

    pub(super) fn set_priority(&self, command: SetPriority) -> Option<TaskEvent> {
        (self.priority != command.priority).then_some(TaskEvent::PrioritySet(TaskPrioritySet {
            priority: command.priority,
        }))
    }

    pub(super) fn estimate(&self, command: EstimateTask) -> Option<TaskEvent> {
        let EstimateTask { estimated_hours } = command;
        (self.estimated_hours != estimated_hours)
            .then_some(TaskEvent::Estimated(TaskEstimated { estimated_hours }))
    }

    pub(super) fn set_due_date(&self, command: SetDueDate) -> Option<TaskEvent> {
        let SetDueDate { due_date } = command;
        (self.due_date != due_date).then_some(TaskEvent::DueDateSet(TaskDueDateSet { due_date }))
    }

    pub(super) fn set_key(
        &self,
        command: SetKey,
        facts: KeyFacts,
    ) -> Result<Option<TaskEvent>, Rejection> {
        let SetKey { key } = command;
        if self.key == key {
            return Ok(None);
        }
        if let (Some(_), Some(by)) = (&key, facts.holder) {
            return Err(Rejection::KeyTaken { by });
        }
        Ok(Some(TaskEvent::KeySet(TaskKeySet { key })))
    }

    pub(super) fn assign(&self, command: AssignTask) -> Option<TaskEvent> {
        let AssignTask { assignee_id } = command;
        (self.assignee != Some(assignee_id))
            .then_some(TaskEvent::Assigned(TaskAssigned { assignee_id }))
    }

    pub(super) fn unassign(&self) -> Option<TaskEvent> {
        (self.assignee.is_some()).then_some(TaskEvent::Unassigned(TaskUnassigned {}))
    }

    pub(super) fn add_label(&self, command: AddLabel) -> Result<Option<TaskEvent>, Rejection> {
        if self.labels.contains(&command.label) {
            Ok(None)
        } else if self.labels.len() >= LABELS_PER_TASK_MAX {
            Err(Rejection::TooManyLabels)
        } else {
            Ok(Some(TaskEvent::LabelAdded(TaskLabelAdded {
                label: command.label,
            })))
        }
    }

    pub(super) fn remove_label(&self, command: RemoveLabel) -> Option<TaskEvent> {
        (self.labels.contains(&command.label)).then_some(TaskEvent::LabelRemoved(
            TaskLabelRemoved {
                label: command.label,
            },
        ))
    }

    pub(super) fn set_metadata(
        &self,
        command: SetMetadata,
    ) -> Result<Option<TaskEvent>, Rejection> {
        let SetMetadata { name, value } = command;
        match self.metadata.get(&name) {
            Some(present) if *present == value => return Ok(None),
            Some(_) => {}
            None if self.metadata.len() >= METADATA_KEYS_MAX => {
                return Err(Rejection::TooManyMetadataKeys { pointer: "/name" });
            }
            None => {}
        }
        Ok(Some(TaskEvent::MetadataSet(TaskMetadataSet {
            name,
            value,
        })))
    }

    pub(super) fn remove_metadata(&self, command: RemoveMetadata) -> Option<TaskEvent> {
        let RemoveMetadata { name } = command;
        (self.metadata.contains_key(&name))
            .then_some(TaskEvent::MetadataRemoved(TaskMetadataRemoved { name }))
    }

    pub(super) fn add_comment(&self, command: AddComment) -> Result<Option<TaskEvent>, Rejection> {
        if self.comments.contains(&command.comment_id) {
            Err(Rejection::CommentExists)
        } else if self.comments.len() >= COMMENTS_PER_TASK_MAX {
            Err(Rejection::TooManyComments)
        } else {
            Ok(Some(TaskEvent::CommentAdded(TaskCommentAdded {
                comment_id: command.comment_id,
                text: command.text,
            })))
        }
    }
}

/// Where it stands.
impl Task {
    pub(super) fn start(&self) -> Result<Option<TaskEvent>, Rejection> {
        match self.status {
            Status::Open => Ok(Some(TaskEvent::Started(TaskStarted {}))),
            Status::InProgress => Ok(None),
            Status::Blocked { .. } => Err(Rejection::TaskBlocked),
            Status::Completed { .. } => Err(Rejection::TaskCompleted),
            Status::Cancelled => Err(Rejection::TaskCancelled),
        }
    }

    pub(super) fn block(&self, command: BlockTask) -> Result<Option<TaskEvent>, Rejection> {
        self.must_not_be_closed()?;
        match &self.status {
            Status::Blocked { reason, .. } if *reason == command.reason => Ok(None),
            Status::Blocked { .. }
            | Status::Open
            | Status::InProgress
            | Status::Completed { .. }
            | Status::Cancelled => Ok(Some(TaskEvent::Blocked(TaskBlocked {
                reason: command.reason,
            }))),
        }
    }

    pub(super) fn unblock(&self) -> Result<Option<TaskEvent>, Rejection> {
        self.must_not_be_closed()?;
        match &self.status {
            Status::Blocked { resumed, .. } => {
                let status = *resumed;
                Ok(Some(TaskEvent::Unblocked(TaskUnblocked { status })))
            }
            Status::Open | Status::InProgress | Status::Completed { .. } | Status::Cancelled => {
                Ok(None)
            }
        }
    }

    pub(super) fn complete(&self, command: CompleteTask) -> Result<Option<TaskEvent>, Rejection> {
        let CompleteTask { actual_hours } = command;
        match &self.status {
            Status::Blocked { .. } => return Err(Rejection::TaskBlocked),
            Status::Cancelled => return Err(Rejection::TaskCancelled),
            Status::Completed { actual_hours: said } if *said == actual_hours => return Ok(None),
            Status::Completed { .. } => return Err(Rejection::CompletedDifferently),
            Status::Open | Status::InProgress => {}
        }
        let open = self.steps.values().filter(|step| !step.done).count();
        if open > 0 {
            return Err(Rejection::OpenSteps { open });
        }
        Ok(Some(TaskEvent::Completed(TaskCompleted { actual_hours })))
    }

    pub(super) fn reopen(&self, command: ReopenTask) -> Result<Option<TaskEvent>, Rejection> {
        match self.status {
            Status::Completed { .. } | Status::Cancelled => {
                Ok(Some(TaskEvent::Reopened(TaskReopened {
                    reason: command.reason,
                })))
            }
            Status::Open | Status::InProgress | Status::Blocked { .. } => {
                Err(Rejection::TaskNotClosed)
            }
        }
    }

    pub(super) fn cancel(&self, command: CancelTask) -> Result<Option<TaskEvent>, Rejection> {
        match self.status {
            Status::Open | Status::InProgress | Status::Blocked { .. } => {
                Ok(Some(TaskEvent::Cancelled(TaskCancelled {
                    reason: command.reason,
                })))
            }
            // It is given up already; a second reason adds nothing to that.
            Status::Cancelled => Ok(None),
            // What was done cannot be given up unsaid: whoever means it says first that it is open again.
            Status::Completed { .. } => Err(Rejection::TaskCompleted),
        }
    }

    pub(super) fn delete(&self) -> Option<TaskEvent> {
        (!self.deleted).then_some(TaskEvent::Deleted(TaskDeleted {}))
    }

    pub(super) fn restore(&self) -> Option<TaskEvent> {
        self.deleted.then_some(TaskEvent::Restored(TaskRestored {}))
    }

    pub(super) fn move_to(
        &self,
        command: MoveTask,
        to: Option<ProjectFacts>,
    ) -> Result<Option<TaskEvent>, Rejection> {
        let MoveTask { project_id } = command;
        if self.project_id == project_id {
            return Ok(None);
        }
        must_take_tasks(to)?;
        Ok(Some(TaskEvent::Moved(TaskMoved {
            from_project_id: self.project_id,
            project_id,
        })))
    }

    fn must_not_be_closed(&self) -> Result<(), Rejection> {
        match self.status {
            Status::Open | Status::InProgress | Status::Blocked { .. } => Ok(()),
            Status::Completed { .. } => Err(Rejection::TaskCompleted),
            Status::Cancelled => Err(Rejection::TaskCancelled),
        }
    }
}

/// Its steps: none is added to, done in or taken from a closed task.
impl Task {
    pub(super) fn add_step(&self, command: AddStep) -> Result<Option<TaskEvent>, Rejection> {
        match self.steps.get(&command.step_id) {
            Some(step) if step.content == command.content => Ok(None),
            Some(_) => Err(Rejection::StepDiffers),
            None => {
                self.must_not_be_closed()?;
                if self.steps.len() >= STEPS_PER_TASK_MAX {
                    return Err(Rejection::TooManySteps);
                }
                Ok(Some(TaskEvent::StepAdded(TaskStepAdded {
                    step_id: command.step_id,
                    content: command.content,
                })))
            }
        }
    }

    pub(super) fn complete_step(
        &self,
        command: CompleteStep,
    ) -> Result<Option<TaskEvent>, Rejection> {
        let CompleteStep { step_id } = command;
        let step = self.steps.get(&step_id).ok_or(Rejection::UnknownStep)?;
        if step.done {
            return Ok(None);
        }
        self.must_not_be_closed()?;
        Ok(Some(TaskEvent::StepCompleted(TaskStepCompleted {
            step_id,
        })))
    }

    pub(super) fn remove_step(&self, command: RemoveStep) -> Result<Option<TaskEvent>, Rejection> {
        let RemoveStep { step_id } = command;
        if !self.steps.contains_key(&step_id) {
            return Err(Rejection::UnknownStep);
        }
        self.must_not_be_closed()?;
        Ok(Some(TaskEvent::StepRemoved(TaskStepRemoved { step_id })))
    }
}

/// The review by an AI.
impl Task {
    pub(super) fn request_review(&self) -> Result<Option<TaskEvent>, Rejection> {
        if self.status == Status::Cancelled {
            return Err(Rejection::TaskCancelled);
        }
        match &self.review {
            Review::Requested
            | Review::Recorded {
                status: ReviewStatus::InProgress,
                ..
            } => Ok(None),
            Review::None | Review::Recorded { .. } => {
                Ok(Some(TaskEvent::AiReviewRequested(TaskAiReviewRequested {})))
            }
        }
    }

    pub(super) fn record_review(
        &self,
        command: RecordAiReview,
    ) -> Result<Option<TaskEvent>, Rejection> {
        let RecordAiReview { status, summary } = command;
        let recorded = Review::Recorded {
            status,
            summary: summary.clone(),
        };
        if self.review == recorded {
            return Ok(None);
        }
        match &self.review {
            // A verdict ends a review: another one has to be asked for.
            Review::None
            | Review::Recorded {
                status: ReviewStatus::Approved | ReviewStatus::ChangesWanted,
                ..
            } => Err(Rejection::ReviewNotRequested),
            Review::Requested
            | Review::Recorded {
                status: ReviewStatus::InProgress | ReviewStatus::Failed,
                ..
            } => {
                let event = TaskAiReviewRecorded { status, summary };
                Ok(Some(TaskEvent::AiReviewRecorded(event)))
            }
        }
    }
}

/// What reactions say of it. They may come late, twice, or when it is not so any more: then there is nothing to say, which is
/// no reason to refuse them.
impl Task {
    pub(super) fn note_due_day_passed(&self, command: &NoteDueDayPassed) -> Option<TaskEvent> {
        let due_date = self.due_date.filter(|due| *due < command.today)?;
        let is_news = self.is_to_be_done() && self.passed != Some(due_date);
        is_news.then_some(TaskEvent::DueDayPassed(TaskDueDayPassed { due_date }))
    }

    /// A blocked task cannot be completed.
    pub(super) fn suggest_completion(&self) -> Option<TaskEvent> {
        let is_blocked = matches!(self.status, Status::Blocked { .. });
        let is_news = self.is_to_be_done()
            && !is_blocked
            && !self.completion_suggested
            && !self.steps.is_empty()
            && self.steps.values().all(|step| step.done);
        is_news.then_some(TaskEvent::CompletionSuggested(TaskCompletionSuggested {}))
    }

    fn is_to_be_done(&self) -> bool {
        !self.deleted && self.must_not_be_closed().is_ok()
    }
}
