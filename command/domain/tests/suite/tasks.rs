use foldline_domain::tasks::{
    AddLabel, AddStep, AssignTask, CancelTask, CompleteStep, CompleteTask, CreateTask, Facts,
    ProjectFacts, Rejection, ReopenTask, StartTask, Task, TaskCommand, TextFault,
    limits::{HOURS_MAX, LABELS_PER_TASK_MAX, METADATA_KEYS_MAX, STEPS_PER_TASK_MAX},
};
use foldline_events::{
    Hours,
    tasks::{
        Metadata, Priority, TaskAssigned, TaskCancelled, TaskCompleted, TaskCreated, TaskEvent,
        TaskLabelAdded, TaskReopened, TaskStarted, TaskStepAdded, TaskStepCompleted,
    },
};
use serde_json::json;
use uuid::Uuid;

use crate::specification::{Given, given};

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn hours(n: i64) -> Hours {
    Hours::from_hundredths(n * 100)
}

fn creation() -> CreateTask {
    CreateTask {
        project_id: id(1),
        title: "Land".into(),
        priority: Priority::High,
        estimated_hours: Some(hours(8)),
        metadata: Metadata::from([("crew".to_owned(), json!(3))]),
    }
}

fn created() -> TaskEvent {
    let CreateTask {
        project_id,
        title,
        priority,
        estimated_hours,
        metadata,
    } = creation();
    TaskEvent::Created(TaskCreated {
        project_id,
        title,
        priority,
        estimated_hours,
        metadata,
    })
}

fn assigned(n: u128) -> TaskEvent {
    TaskEvent::Assigned(TaskAssigned { assignee_id: id(n) })
}

fn labelled(label: &str) -> TaskEvent {
    TaskEvent::LabelAdded(TaskLabelAdded {
        label: label.into(),
    })
}

fn started() -> TaskEvent {
    TaskEvent::Started(TaskStarted {})
}

fn step_added(n: u128, content: &str) -> TaskEvent {
    TaskEvent::StepAdded(TaskStepAdded {
        step_id: id(n),
        content: content.into(),
    })
}

fn step_done(n: u128) -> TaskEvent {
    TaskEvent::StepCompleted(TaskStepCompleted { step_id: id(n) })
}

fn completed(actual_hours: Option<Hours>) -> TaskEvent {
    TaskEvent::Completed(TaskCompleted { actual_hours })
}

fn reopened() -> TaskEvent {
    TaskEvent::Reopened(TaskReopened {
        reason: "why".into(),
    })
}

fn cancelled() -> TaskEvent {
    TaskEvent::Cancelled(TaskCancelled {
        reason: "why".into(),
    })
}

fn assign(n: u128) -> TaskCommand {
    TaskCommand::Assign(AssignTask { assignee_id: id(n) })
}

fn add_label(label: &str) -> TaskCommand {
    TaskCommand::AddLabel(AddLabel {
        label: label.into(),
    })
}

fn start() -> TaskCommand {
    TaskCommand::Start(StartTask {})
}

fn add_step(n: u128, content: &str) -> TaskCommand {
    TaskCommand::AddStep(AddStep {
        step_id: id(n),
        content: content.into(),
    })
}

fn complete_step(n: u128) -> TaskCommand {
    TaskCommand::CompleteStep(CompleteStep { step_id: id(n) })
}

fn complete(actual_hours: Option<Hours>) -> TaskCommand {
    TaskCommand::Complete(CompleteTask { actual_hours })
}

fn reopen() -> TaskCommand {
    TaskCommand::Reopen(ReopenTask {
        reason: "why".into(),
    })
}

fn cancel() -> TaskCommand {
    TaskCommand::Cancel(CancelTask {
        reason: "why".into(),
    })
}

fn task_of(events: impl IntoIterator<Item = TaskEvent>) -> Given<Task> {
    given(events)
}

fn no_task() -> Given<Task> {
    task_of([]).knowing(in_project(false))
}

/// A task to which this happened after it was created.
fn task<const N: usize>(events: [TaskEvent; N]) -> Given<Task> {
    task_of([created()].into_iter().chain(events))
}

fn in_project(archived: bool) -> Facts {
    Facts {
        project: Some(ProjectFacts { archived }),
    }
}

#[test]
fn a_task_is_created_in_a_project() {
    no_task()
        .when(TaskCommand::Create(creation()))
        .then(created());
}

#[test]
fn a_task_is_created_once() {
    task([])
        .knowing(in_project(false))
        .when(TaskCommand::Create(creation()))
        .then_rejected(Rejection::TaskExists);
}

#[test]
fn a_task_needs_a_project_that_exists_and_is_not_archived() {
    let create = || TaskCommand::Create(creation());
    task_of([])
        .when(create())
        .then_rejected(Rejection::UnknownProject);
    no_task()
        .knowing(in_project(true))
        .when(create())
        .then_rejected(Rejection::ProjectArchived);
}

#[test]
fn nothing_can_be_done_to_an_unknown_task() {
    for command in [
        assign(1),
        add_label("red"),
        start(),
        add_step(1, "burn"),
        complete_step(1),
        complete(None),
        reopen(),
        cancel(),
    ] {
        no_task()
            .when(command)
            .then_rejected(Rejection::UnknownTask);
    }
}

#[test]
fn a_task_is_assigned_and_assigned_to_another() {
    task([]).when(assign(1)).then(assigned(1));
    task([assigned(1)]).when(assign(2)).then(assigned(2));
    task([assigned(1)]).when(assign(1)).then_nothing();
}

#[test]
fn a_task_has_a_label_once() {
    task([]).when(add_label("red")).then(labelled("red"));
    task([labelled("red")])
        .when(add_label("red"))
        .then_nothing();
}

#[test]
fn a_task_has_no_more_labels_than_the_limit() {
    let labels = (0..LABELS_PER_TASK_MAX).map(|n| labelled(&n.to_string()));
    let full = task_of([created()].into_iter().chain(labels));
    full.when(add_label("red"))
        .then_rejected(Rejection::TooManyLabels);
    full.when(add_label("0")).then_nothing();
}

#[test]
fn an_open_task_is_started_once() {
    task([]).when(start()).then(started());
    task([started()]).when(start()).then_nothing();
}

#[test]
fn a_completed_or_cancelled_task_cannot_be_started() {
    task([completed(None)])
        .when(start())
        .then_rejected(Rejection::TaskCompleted);
    task([cancelled()])
        .when(start())
        .then_rejected(Rejection::TaskCancelled);
}

#[test]
fn a_step_is_added_once_and_keeps_its_content() {
    task([])
        .when(add_step(1, "burn"))
        .then(step_added(1, "burn"));
    let with_step = task([step_added(1, "burn")]);
    with_step.when(add_step(1, "burn")).then_nothing();
    with_step
        .when(add_step(1, "coast"))
        .then_rejected(Rejection::StepDiffers);
}

#[test]
fn a_completed_or_cancelled_task_gets_no_steps() {
    task([completed(None)])
        .when(add_step(1, "burn"))
        .then_rejected(Rejection::TaskCompleted);
    task([cancelled()])
        .when(add_step(1, "burn"))
        .then_rejected(Rejection::TaskCancelled);
}

#[test]
fn a_task_has_no_more_steps_than_the_limit() {
    let count = u128::try_from(STEPS_PER_TASK_MAX).unwrap();
    let steps = (0..count).map(|n| step_added(n, "burn"));
    let full = task_of([created()].into_iter().chain(steps));
    full.when(add_step(count, "burn"))
        .then_rejected(Rejection::TooManySteps);
    full.when(add_step(0, "burn")).then_nothing();
}

#[test]
fn a_step_is_completed_once() {
    task([step_added(1, "burn")])
        .when(complete_step(1))
        .then(step_done(1));
    task([step_added(1, "burn"), step_done(1)])
        .when(complete_step(1))
        .then_nothing();
    task([step_added(1, "burn")])
        .when(complete_step(2))
        .then_rejected(Rejection::UnknownStep);
}

#[test]
fn a_step_of_a_cancelled_task_cannot_be_completed() {
    task([step_added(1, "burn"), cancelled()])
        .when(complete_step(1))
        .then_rejected(Rejection::TaskCancelled);
}

#[test]
fn a_task_is_completed_from_open_or_in_progress() {
    task([])
        .when(complete(Some(hours(2))))
        .then(completed(Some(hours(2))));
    task([started()]).when(complete(None)).then(completed(None));
}

#[test]
fn a_task_with_open_steps_cannot_be_completed() {
    task([step_added(1, "burn"), step_added(2, "coast"), step_done(1)])
        .when(complete(None))
        .then_rejected(Rejection::OpenSteps { open: 1 });
}

#[test]
fn completing_a_completed_task_changes_nothing_and_not_its_hours() {
    let done = task([completed(Some(hours(2)))]);
    done.when(complete(Some(hours(2)))).then_nothing();
    done.when(complete(Some(hours(3))))
        .then_rejected(Rejection::CompletedDifferently);
    done.when(complete(None))
        .then_rejected(Rejection::CompletedDifferently);
}

#[test]
fn a_cancelled_task_cannot_be_completed() {
    task([cancelled()])
        .when(complete(None))
        .then_rejected(Rejection::TaskCancelled);
}

#[test]
fn only_a_completed_or_cancelled_task_is_reopened() {
    task([completed(None)]).when(reopen()).then(reopened());
    task([cancelled()]).when(reopen()).then(reopened());
    task([])
        .when(reopen())
        .then_rejected(Rejection::TaskNotClosed);
    task([started()])
        .when(reopen())
        .then_rejected(Rejection::TaskNotClosed);
}

#[test]
fn a_reopened_task_is_open_and_its_done_steps_stay_done() {
    let again = task([
        step_added(1, "burn"),
        step_done(1),
        completed(None),
        reopened(),
    ]);
    again.when(start()).then(started());
    again.when(cancel()).then(cancelled());
    again.when(complete(None)).then(completed(None));
    again.when(complete_step(1)).then_nothing();
}

#[test]
fn a_task_is_cancelled_once_unless_it_is_completed() {
    task([]).when(cancel()).then(cancelled());
    task([started(), step_added(1, "burn")])
        .when(cancel())
        .then(cancelled());
    task([cancelled()]).when(cancel()).then_nothing();
    task([completed(None)])
        .when(cancel())
        .then_rejected(Rejection::TaskCompleted);
}

#[test]
fn texts_have_their_lengths() {
    let create = |title: &str| {
        TaskCommand::Create(CreateTask {
            title: title.into(),
            ..creation()
        })
    };
    type Command<'a> = &'a dyn Fn(&str) -> TaskCommand;
    let cases: [(&str, usize, Command); 5] = [
        ("title", 255, &create),
        ("label", 50, &add_label),
        ("content", 1_000, &|text| add_step(1, text)),
        ("reason", 500, &|text| {
            TaskCommand::Cancel(CancelTask {
                reason: text.into(),
            })
        }),
        ("reason", 500, &|text| {
            TaskCommand::Reopen(ReopenTask {
                reason: text.into(),
            })
        }),
    ];
    for (field, chars_max, command) in cases {
        let refused = |fault| Rejection::Text { field, fault };
        let known = task([completed(None)]);
        known
            .when(command(" "))
            .then_rejected(refused(TextFault::Blank));
        known
            .when(command("\0"))
            .then_rejected(refused(TextFault::Nul));
        known
            .when(command(&"x".repeat(chars_max + 1)))
            .then_rejected(refused(TextFault::TooLong { chars_max }));
    }
}

#[test]
fn hours_are_from_nothing_to_the_limit() {
    let most = HOURS_MAX.hundredths();
    for bad in [-1, most + 1] {
        let bad = Some(Hours::from_hundredths(bad));
        let create = TaskCommand::Create(CreateTask {
            estimated_hours: bad,
            ..creation()
        });
        no_task()
            .when(create)
            .then_rejected(Rejection::HoursOutOfRange {
                field: "estimatedHours",
            });
        task([])
            .when(complete(bad))
            .then_rejected(Rejection::HoursOutOfRange {
                field: "actualHours",
            });
    }
    for good in [0, most] {
        let good = Some(Hours::from_hundredths(good));
        task([]).when(complete(good)).then(completed(good));
    }
}

#[test]
fn metadata_is_few_short_names_with_plain_values() {
    let create = |metadata: Metadata| {
        TaskCommand::Create(CreateTask {
            metadata,
            ..creation()
        })
    };
    let one = |key: &str, value| create(Metadata::from([(key.to_owned(), value)]));
    for key in ["", "a\0", &"k".repeat(101)] {
        no_task()
            .when(one(key, json!(1)))
            .then_rejected(Rejection::MetadataKey);
    }
    for value in [
        json!(null),
        json!([1]),
        json!({"a": 1}),
        json!("\0"),
        json!("x".repeat(1_001)),
    ] {
        no_task()
            .when(one("key", value))
            .then_rejected(Rejection::MetadataValue { key: "key".into() });
    }
    let many = (0..=METADATA_KEYS_MAX)
        .map(|n| (n.to_string(), json!(n)))
        .collect();
    no_task()
        .when(create(many))
        .then_rejected(Rejection::TooManyMetadataKeys);
}
