//! Commands that must be rejected, each with the code that it must get. They come when nothing more happens to what they
//! are about, so a repetition is rejected just the same.

use chrono::{DateTime, NaiveDate};
use foldline_domain::{
    Command,
    tasks::{
        AddComment, AddLabel, AddStep, CancelTask, CompleteStep, CompleteTask, CreateProject,
        CreateTask, EstimateTask, MoveTask, ProjectCommand, RecordAiReview, RenameProject,
        RenameTask, ReopenTask, SetDueDate, SetKey, SetMetadata, StartTask, TaskCommand,
        limits::{COMMENT_CHARS_MAX, DUE_DATES, HOURS_MAX, METADATA_KEYS_MAX, TITLE_CHARS_MAX},
    },
};
use foldline_events::{
    Hours,
    tasks::{Metadata, Priority, ReviewStatus},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    life::{Life, Review, Status},
    line::{Sent, What},
    words,
    world::Shared,
};

/// A command and the code of its rejection.
type Wrong = (TaskCommand, &'static str);

/// A version that no stream here reaches.
const VERSION_TOO_HIGH: i64 = 1_000_000;

/// One invalid command about the task.
pub(super) fn any(life: &mut Life<'_>) {
    match life.shared.dice.between(1, 10) {
        1..=4 => of_state(life),
        5..=7 => of_values(life),
        _ => of_envelope(life),
    }
}

/// Labels and steps beyond the limits; says how many that are.
pub(super) fn crowded(life: &mut Life<'_>) -> usize {
    let step_id = life.shared.dice.id();
    let too_many: [Wrong; 2] = [
        (
            TaskCommand::AddLabel(AddLabel {
                label: "one too many".to_owned(),
            }),
            "TOO_MANY_LABELS",
        ),
        (
            TaskCommand::AddStep(AddStep {
                step_id,
                content: "One too many".to_owned(),
            }),
            "TOO_MANY_STEPS",
        ),
    ];
    let count = too_many.len();
    for wrong in too_many {
        say(life, wrong);
    }
    count
}

/// About a project that was archived for good.
pub(super) fn on_archived(shared: &mut Shared, project: Uuid) -> [Sent; 2] {
    let create = Command::Task(TaskCommand::Create(simple(project, "Too late")));
    let rename = Command::Project(ProjectCommand::Rename(RenameProject {
        name: "Too late".to_owned(),
    }));
    let (task, ids) = (shared.dice.id(), [shared.dice.id(), shared.dice.id()]);
    [
        expecting("PROJECT_ARCHIVED", Sent::command(ids[0], task, create)),
        expecting("PROJECT_ARCHIVED", Sent::command(ids[1], project, rename)),
    ]
}

/// About projects in general; `present` is one that there is.
pub(super) fn on_projects(shared: &mut Shared, present: Uuid) -> [Sent; 3] {
    let create = |name: &str| {
        Command::Project(ProjectCommand::Create(CreateProject {
            name: name.to_owned(),
            description: None,
        }))
    };
    let rename = Command::Project(ProjectCommand::Rename(RenameProject {
        name: "Nowhere".to_owned(),
    }));
    let mut id = || shared.dice.id();
    [
        expecting(
            "PROJECT_EXISTS",
            Sent::command(id(), present, create("Again")),
        ),
        expecting("TEXT_BLANK", Sent::command(id(), id(), create(" \t"))),
        expecting("UNKNOWN_PROJECT", Sent::command(id(), id(), rename)),
    ]
}

fn expecting(code: &'static str, sent: Sent) -> Sent {
    Sent {
        expect: Some(code),
        ..sent
    }
}

fn simple(project_id: Uuid, title: &str) -> CreateTask {
    CreateTask {
        project_id,
        title: title.to_owned(),
        description: None,
        priority: Priority::Medium,
        estimated_hours: None,
        due_date: None,
        key: None,
        metadata: Metadata::new(),
    }
}

fn say(life: &mut Life<'_>, (command, code): Wrong) {
    let (id, task) = (life.shared.dice.id(), life.id);
    say_on(life, task, id, (command, code));
}

fn say_on(life: &mut Life<'_>, aggregate: Uuid, id: Uuid, (command, code): Wrong) {
    let sent = Sent::command(id, aggregate, Command::Task(command));
    life.say_wrong(&expecting(code, sent));
}

/// What the task's own state, or another task's, forbids.
fn of_state(life: &mut Life<'_>) {
    let mut wrongs = if life.deleted {
        let rename = TaskCommand::Rename(RenameTask {
            title: "Still of use after all".to_owned(),
        });
        vec![
            (rename, "TASK_DELETED"),
            (TaskCommand::Start(StartTask {}), "TASK_DELETED"),
        ]
    } else {
        [of_status(life), of_parts(life)].concat()
    };
    let chosen = life.shared.dice.index(wrongs.len());
    say(life, wrongs.swap_remove(chosen));
}

fn of_status(life: &mut Life<'_>) -> Vec<Wrong> {
    let reason = || "Second thoughts.".to_owned();
    let start = || TaskCommand::Start(StartTask {});
    let complete = |hundredths| {
        TaskCommand::Complete(CompleteTask {
            actual_hours: Some(Hours::from_hundredths(hundredths)),
        })
    };
    let step = TaskCommand::AddStep(AddStep {
        step_id: life.shared.dice.id(),
        content: "Afterthought".to_owned(),
    });
    match life.status {
        Status::Open | Status::InProgress => {
            let reopen = TaskCommand::Reopen(ReopenTask { reason: reason() });
            let mut wrongs = vec![(reopen, "TASK_NOT_CLOSED")];
            if !life.open_steps.is_empty() {
                wrongs.push((complete(100), "OPEN_STEPS"));
            }
            wrongs
        }
        Status::Blocked => vec![(start(), "TASK_BLOCKED"), (complete(100), "TASK_BLOCKED")],
        Status::Completed(hours) => {
            let cancel = TaskCommand::Cancel(CancelTask { reason: reason() });
            let other = hours.map_or(100, Hours::hundredths) + 1;
            vec![
                (start(), "TASK_COMPLETED"),
                (cancel, "TASK_COMPLETED"),
                (step, "TASK_COMPLETED"),
                (complete(other), "TASK_COMPLETED_DIFFERENTLY"),
            ]
        }
        Status::Cancelled => vec![
            (start(), "TASK_CANCELLED"),
            (step, "TASK_CANCELLED"),
            (complete(100), "TASK_CANCELLED"),
        ],
    }
}

fn of_parts(life: &mut Life<'_>) -> Vec<Wrong> {
    let unknown = life.shared.dice.id();
    let step_id = unknown;
    let mut wrongs = vec![
        (
            TaskCommand::CompleteStep(CompleteStep { step_id }),
            "UNKNOWN_STEP",
        ),
        (
            TaskCommand::Move(MoveTask {
                project_id: unknown,
            }),
            "UNKNOWN_PROJECT",
        ),
    ];
    if life.review == Review::None {
        let record = TaskCommand::RecordAiReview(RecordAiReview {
            status: ReviewStatus::Approved,
            summary: None,
        });
        wrongs.push((record, "AI_REVIEW_NOT_REQUESTED"));
    }
    if let Some(comment_id) = life.comments.first().copied() {
        let again = TaskCommand::AddComment(AddComment {
            comment_id,
            text: "Said before.".to_owned(),
        });
        wrongs.push((again, "COMMENT_EXISTS"));
    }
    let steps = [life.open_steps.first(), life.done_steps.first()];
    if let Some(step_id) = steps.into_iter().flatten().next().copied() {
        let differs = TaskCommand::AddStep(AddStep {
            step_id,
            content: "Something else".to_owned(),
        });
        wrongs.push((differs, "STEP_DIFFERS"));
    }
    if let Some((key, since)) = &life.shared.keys.taken
        && *since < life.at
    {
        let take = TaskCommand::SetKey(SetKey {
            key: Some(key.clone()),
        });
        wrongs.push((take, "TASK_KEY_TAKEN"));
    }
    wrongs
}

/// Values that are out of bounds, whatever the task is like.
fn of_values(life: &mut Life<'_>) {
    let fact = |name: &str, value| {
        TaskCommand::SetMetadata(SetMetadata {
            name: name.to_owned(),
            value,
        })
    };
    let rename = |title: String| TaskCommand::Rename(RenameTask { title });
    let estimate = |hundredths| {
        TaskCommand::Estimate(EstimateTask {
            estimated_hours: Some(Hours::from_hundredths(hundredths)),
        })
    };
    let due = |day: Option<NaiveDate>| TaskCommand::SetDueDate(SetDueDate { due_date: day });
    let comment = TaskCommand::AddComment(AddComment {
        comment_id: life.shared.dice.id(),
        text: words::exactly(COMMENT_CHARS_MAX + 1, "and so on "),
    });
    let label = TaskCommand::AddLabel(AddLabel {
        label: "a\0b".to_owned(),
    });
    let mut wrongs = vec![
        (rename("   ".to_owned()), "TEXT_BLANK"),
        (
            rename(words::exactly(TITLE_CHARS_MAX + 1, "長")),
            "TEXT_TOO_LONG",
        ),
        (comment, "TEXT_TOO_LONG"),
        (label, "TEXT_WITH_NUL"),
        (estimate(-1), "HOURS_OUT_OF_RANGE"),
        (estimate(HOURS_MAX.hundredths() + 1), "HOURS_OUT_OF_RANGE"),
        (due(DUE_DATES.1.succ_opt()), "DUE_DATE_OUT_OF_RANGE"),
        (
            TaskCommand::SetKey(SetKey {
                key: Some("Not a key!".to_owned()),
            }),
            "TASK_KEY_INVALID",
        ),
        (fact("", json!(1)), "METADATA_KEY_INVALID"),
        (fact("list", json!([1, 2])), "METADATA_VALUE_INVALID"),
    ];
    let chosen = life.shared.dice.index(wrongs.len());
    say(life, wrongs.swap_remove(chosen));
}

/// What is about no such task, about one that there is already, or no command at all.
fn of_envelope(life: &mut Life<'_>) {
    let (id, other, task) = (life.shared.dice.id(), life.shared.dice.id(), life.id);
    let start = || TaskCommand::Start(StartTask {});
    let (first_id, created) = life.creation.clone();
    match life.shared.dice.between(1, 9) {
        1 => say_on(life, other, id, (start(), "UNKNOWN_TASK")),
        2 => {
            let create = TaskCommand::Create(simple(other, "Nowhere"));
            say_on(life, id, id, (create, "UNKNOWN_PROJECT"));
        }
        3 => say_on(
            life,
            task,
            id,
            (TaskCommand::Create(created), "TASK_EXISTS"),
        ),
        4 => {
            let title = "Something else entirely".to_owned();
            let otherwise = TaskCommand::Create(CreateTask { title, ..created });
            say_on(life, task, first_id, (otherwise, "COMMAND_ID_REUSED"));
        }
        5 => {
            let metadata = (0..=METADATA_KEYS_MAX).map(|key| (format!("key {key}"), json!(key)));
            let create = TaskCommand::Create(CreateTask {
                metadata: metadata.collect(),
                ..simple(created.project_id, "Too much to say")
            });
            say_on(life, other, id, (create, "TOO_MANY_METADATA_KEYS"));
        }
        6 => {
            let sent = Sent {
                expected_version: Some(VERSION_TOO_HIGH),
                ..Sent::command(id, task, Command::Task(start()))
            };
            life.say_wrong(&expecting("VERSION_STALE", sent));
        }
        7 => {
            let sent = Sent::command(id, task, Command::Task(start()));
            let too_early = DateTime::from_timestamp(-1, 0).unwrap_or_default();
            life.say_wrong_at(&expecting("OCCURRED_AT_OUT_OF_RANGE", sent), too_early);
        }
        8 => nonsense(life, "tasks.paint_task", r#"{"colour":"blue"}"#),
        _ => nonsense(life, "tasks.estimate_task", r#"{"estimatedHours":0.125}"#),
    }
}

fn nonsense(life: &mut Life<'_>, command_type: &'static str, data: &'static str) {
    let is_known = foldline_domain::tasks::COMMAND_TYPES.contains(&command_type);
    let code = match is_known {
        true => "BODY_INVALID",
        false => "UNKNOWN_COMMAND_TYPE",
    };
    let sent = Sent {
        id: life.shared.dice.id(),
        aggregate: life.id,
        what: What::Nonsense(command_type, data),
        expected_version: None,
        expect: Some(code),
    };
    life.say_wrong(&sent);
}
