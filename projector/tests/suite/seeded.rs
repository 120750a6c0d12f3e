//! Histories made of a seed: two tenants, a few projects, and tasks to which everything happens.

use chrono::NaiveDate;
use foldline_events::{
    Hours,
    tasks::{
        Priority, ProjectArchived, ProjectDescribed, ProjectEvent, ProjectRenamed, ProjectRestored,
        ResumedStatus, ReviewStatus, TaskAiReviewRecorded, TaskAiReviewRequested, TaskAssigned,
        TaskBlocked, TaskCommentAdded, TaskDeleted, TaskDescribed, TaskDueDateSet, TaskEstimated,
        TaskEvent, TaskKeySet, TaskLabelAdded, TaskLabelRemoved, TaskMetadataRemoved,
        TaskMetadataSet, TaskMoved, TaskPrioritySet, TaskRenamed, TaskRestored, TaskStarted,
        TaskStepAdded, TaskStepCompleted, TaskStepRemoved, TaskUnassigned, TaskUnblocked,
    },
};
use uuid::Uuid;

use crate::history::{History, cancelled, completed, project_created, reopened, task_created};

/// Numbers that depend on nothing but their seed: Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators" (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % u64::try_from(bound).unwrap()).unwrap()
    }

    fn hundredths(&mut self) -> Option<i64> {
        (self.below(4) > 0).then(|| i64::try_from(self.below(1_000)).unwrap())
    }
}

/// Two tenants, a few projects, many tasks in every state.
pub fn seeded(seed: u64, events: usize) -> History {
    let mut random = Random(seed);
    let mut history = History::default();
    let tenants = ["acme", "zeta"];
    for n in 0..6 {
        let (tenant, project) = (tenants[n % 2], project_id(n));
        history.project(tenant, project, project_created(&format!("project {n}")));
    }
    let mut tasks: Vec<Vec<Uuid>> = Vec::new();
    while history.events.len() < events {
        let n = random.below(tasks.len() + 1);
        let tenant = tenants[n % 2];
        if n == tasks.len() || random.below(6) == 0 {
            let task = Uuid::from_u128(0x7000 + u128::try_from(tasks.len()).unwrap());
            let tenant = tenants[tasks.len() % 2];
            let project = project_id(2 * random.below(3) + tasks.len() % 2);
            let estimated = random.hundredths();
            history.task(
                tenant,
                task,
                task_created(project, &format!("task {n} \"ä\""), estimated),
            );
            history.key(tenant, Uuid::from_u128(0x9000 + task.as_u128()), task);
            tasks.push(vec![task]);
        } else {
            let event = any_change(&mut random, &mut tasks[n], n % 2);
            history.task(tenant, tasks[n][0], event);
        }
        if random.below(20) == 0 {
            let n = random.below(6);
            let event = match random.below(4) {
                0 => ProjectEvent::Archived(ProjectArchived {}),
                1 => ProjectEvent::Restored(ProjectRestored {}),
                2 => ProjectEvent::Described(ProjectDescribed {
                    description: (random.below(2) == 0).then(|| "about it".to_owned()),
                }),
                _ => ProjectEvent::Renamed(ProjectRenamed {
                    name: format!("renamed at {}", history.head()),
                }),
            };
            history.project(tenants[n % 2], project_id(n), event);
        }
    }
    history
}

fn project_id(n: usize) -> Uuid {
    Uuid::from_u128(0x1000 + u128::try_from(n).unwrap())
}

/// `task` is the task's id, followed by those of its steps; `odd` says whose project it may go to. Views fold what was
/// decided, sensible or not.
fn any_change(random: &mut Random, task: &mut Vec<Uuid>, odd: usize) -> TaskEvent {
    match random.below(5) {
        0 => described(random),
        1 => found(random, odd),
        2 => stepped(random, task),
        _ => stands(random),
    }
}

/// What is said of a task.
fn described(random: &mut Random) -> TaskEvent {
    let text = |random: &mut Random| (random.below(3) > 0).then(|| format!("{}", random.below(99)));
    match random.below(7) {
        0 => TaskEvent::Renamed(TaskRenamed {
            title: format!("renamed {}", random.below(99)),
        }),
        1 => TaskEvent::Described(TaskDescribed {
            description: text(random),
        }),
        2 => TaskEvent::KeySet(TaskKeySet { key: text(random) }),
        3 => TaskEvent::CommentAdded(TaskCommentAdded {
            comment_id: Uuid::from_u128(u128::try_from(random.below(1 << 30)).unwrap()),
            text: "so it is".to_owned(),
        }),
        4 => TaskEvent::Estimated(TaskEstimated {
            estimated_hours: random.hundredths().map(Hours::from_hundredths),
        }),
        5 => TaskEvent::AiReviewRequested(TaskAiReviewRequested {}),
        _ => TaskEvent::AiReviewRecorded(TaskAiReviewRecorded {
            status: match random.below(4) {
                0 => ReviewStatus::InProgress,
                1 => ReviewStatus::Approved,
                2 => ReviewStatus::ChangesWanted,
                _ => ReviewStatus::Failed,
            },
            summary: text(random),
        }),
    }
}

/// By what a task is found.
fn found(random: &mut Random, odd: usize) -> TaskEvent {
    let name = format!("fact {}", random.below(4));
    let label = format!("{{label}}, \\ {}", random.below(5));
    match random.below(9) {
        0 => TaskEvent::Assigned(TaskAssigned {
            assignee_id: Uuid::from_u128(0x2000 + u128::try_from(random.below(5)).unwrap()),
        }),
        1 => TaskEvent::Unassigned(TaskUnassigned {}),
        2 => TaskEvent::LabelAdded(TaskLabelAdded { label }),
        3 => TaskEvent::LabelRemoved(TaskLabelRemoved { label }),
        4 => TaskEvent::MetadataSet(TaskMetadataSet {
            name,
            value: random.below(3).into(),
        }),
        5 => TaskEvent::MetadataRemoved(TaskMetadataRemoved { name }),
        6 => TaskEvent::PrioritySet(TaskPrioritySet {
            priority: match random.below(4) {
                0 => Priority::Low,
                1 => Priority::Medium,
                2 => Priority::High,
                _ => Priority::Critical,
            },
        }),
        7 => TaskEvent::DueDateSet(TaskDueDateSet {
            due_date: NaiveDate::from_ymd_opt(2026, 2, u32::try_from(random.below(9)).unwrap()),
        }),
        _ => TaskEvent::Moved(TaskMoved {
            from_project_id: project_id(odd),
            project_id: project_id(2 * random.below(3) + odd),
        }),
    }
}

fn stepped(random: &mut Random, task: &mut Vec<Uuid>) -> TaskEvent {
    let steps = task.len() - 1;
    if steps == 0 || random.below(2) == 0 {
        let number = u128::try_from(random.below(1 << 30)).unwrap();
        let step_id = Uuid::from_u128(task[0].as_u128() << 32 | number);
        task.push(step_id);
        return TaskEvent::StepAdded(TaskStepAdded {
            step_id,
            content: format!("step {}", task.len()),
        });
    }
    let step = 1 + random.below(steps);
    match random.below(3) {
        0 => TaskEvent::StepRemoved(TaskStepRemoved {
            step_id: task.remove(step),
        }),
        _ => TaskEvent::StepCompleted(TaskStepCompleted {
            step_id: task[step],
        }),
    }
}

/// Where a task stands.
fn stands(random: &mut Random) -> TaskEvent {
    match random.below(9) {
        0 => TaskEvent::Started(TaskStarted {}),
        1 => TaskEvent::Blocked(TaskBlocked {
            reason: "no parts".to_owned(),
        }),
        2 => TaskEvent::Unblocked(TaskUnblocked {
            status: match random.below(2) {
                0 => ResumedStatus::Open,
                _ => ResumedStatus::InProgress,
            },
        }),
        3 | 4 => completed(random.hundredths()),
        5 => reopened(),
        6 => cancelled(),
        7 => TaskEvent::Deleted(TaskDeleted {}),
        _ => TaskEvent::Restored(TaskRestored {}),
    }
}
