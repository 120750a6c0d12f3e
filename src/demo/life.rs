//! What happens to one task, from its creation to the last day or its end.
//!
//! A life is played step by step; a step that would come after the end does not happen, and neither do those after it.
//! What is said is always something new, because a command that changes nothing leaves nothing in the log by which a
//! repetition could be known.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc, Weekday};
use foldline_domain::{
    Command,
    tasks::{
        AddComment, AddLabel, AddStep, AssignTask, BlockTask, CancelTask, CompleteStep,
        CompleteTask, CreateTask, DeleteTask, ReopenTask, RestoreTask, SetKey, StartTask,
        TaskCommand, UnblockTask,
        limits::{LABELS_PER_TASK_MAX, STEPS_PER_TASK_MAX},
    },
};
use foldline_events::{Hours, tasks::Priority};
use serde_json::Value;
use uuid::Uuid;

use super::{
    dice::Dice,
    line::{Said, Sent},
    words,
    world::Shared,
};

/// Work is done from this hour to that one, most of it on weekdays.
const WORK_HOURS: (u32, u32) = (7, 19);

/// How long until the next thing happens, in hours.
type Pause = (u32, u32);
const SOON: Pause = (0, 6);
const DAYS: Pause = (4, 72);
const WEEKS: Pause = (48, 400);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Open,
    InProgress,
    Blocked,
    Completed(Option<Hours>),
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Review {
    None,
    Requested,
    InProgress,
    Done,
}

/// Where a life leads, if there is time for it.
#[derive(Debug, Clone, Copy)]
enum Fate {
    StaysOpen,
    IsWorkedOn,
    IsBlocked,
    IsCompleted,
    IsCancelled,
    IsReopened,
    IsDeleted,
    ComesBack,
}

const FATES: [(u32, Fate); 8] = [
    (44, Fate::IsCompleted),
    (15, Fate::StaysOpen),
    (13, Fate::IsWorkedOn),
    (8, Fate::IsBlocked),
    (6, Fate::IsCancelled),
    (7, Fate::IsReopened),
    (4, Fate::IsDeleted),
    (3, Fate::ComesBack),
];

/// A task as its life so far has left it.
pub(super) struct Life<'a> {
    pub(super) shared: &'a mut Shared,
    said: &'a mut Vec<Said>,
    pub(super) id: Uuid,
    /// How it began.
    pub(super) creation: (Uuid, CreateTask),
    pub(super) at: DateTime<Utc>,
    end: DateTime<Utc>,
    pub(super) status: Status,
    pub(super) deleted: bool,
    pub(super) project: Uuid,
    pub(super) title: String,
    pub(super) description: Option<String>,
    pub(super) priority: Priority,
    pub(super) estimated: Option<Hours>,
    pub(super) due: Option<NaiveDate>,
    pub(super) key: Option<String>,
    pub(super) assignee: Option<Uuid>,
    pub(super) labels: Vec<String>,
    pub(super) metadata: BTreeMap<String, Value>,
    /// Not done yet.
    pub(super) open_steps: Vec<Uuid>,
    pub(super) done_steps: Vec<Uuid>,
    pub(super) comments: Vec<Uuid>,
    pub(super) review: Review,
}

impl<'a> Life<'a> {
    /// Creates the task.
    pub(super) fn begin(
        shared: &'a mut Shared,
        said: &'a mut Vec<Said>,
        project: usize,
        at: DateTime<Utc>,
    ) -> Self {
        let end = shared.projects[project].end;
        let create = creation(shared, project, at);
        let (id, command_id) = (shared.dice.id(), shared.dice.id());
        let command = Command::Task(TaskCommand::Create(create.clone()));
        said.push(Sent::command(command_id, id, command).said(at));
        Self {
            shared,
            said,
            id,
            at,
            end,
            status: Status::Open,
            deleted: false,
            project: create.project_id,
            title: create.title.clone(),
            description: create.description.clone(),
            priority: create.priority,
            estimated: create.estimated_hours,
            due: create.due_date,
            key: create.key.clone(),
            metadata: create.metadata.clone(),
            creation: (command_id, create),
            assignee: None,
            labels: vec![],
            open_steps: vec![],
            done_steps: vec![],
            comments: vec![],
            review: Review::None,
        }
    }

    /// Lets it happen after a pause, unless the life is over by then.
    pub(super) fn then(&mut self, pause: Pause, command: TaskCommand) -> bool {
        let at = later(&mut self.shared.dice, self.at, pause);
        if at > self.end {
            self.end = self.at;
            return false;
        }
        self.at = at;
        let id = self.shared.dice.id();
        self.said
            .push(Sent::command(id, self.id, Command::Task(command)).said(at));
        true
    }

    /// How many lines there are of this and earlier lives in the same chapter.
    pub(super) fn said_so_far(&self) -> usize {
        self.said.len()
    }

    /// Says something that is rejected. The life goes on as if it had not been said.
    pub(super) fn say_wrong(&mut self, sent: &Sent) {
        self.say_wrong_at(sent, self.at);
    }

    /// The line itself names another time.
    pub(super) fn say_wrong_at(&mut self, sent: &Sent, named: DateTime<Utc>) {
        let text = sent.text(named);
        self.said.push(Said { at: self.at, text });
    }

    pub(super) fn live(&mut self) {
        if self.shared.dice.chance(85) {
            self.assign();
        }
        self.change_some(0, 3);
        match self.shared.dice.weighed(&FATES) {
            Fate::StaysOpen => self.change_some(0, 3),
            Fate::IsWorkedOn => {
                self.start();
                self.change_some(1, 4);
            }
            Fate::IsBlocked => {
                if self.shared.dice.chance(70) {
                    self.start();
                }
                self.block();
                self.change_some(0, 2);
            }
            Fate::IsCompleted => self.work_and_complete(),
            Fate::IsCancelled => self.cancel(),
            Fate::IsReopened => self.complete_and_reopen(),
            Fate::IsDeleted => self.delete(),
            Fate::ComesBack => {
                self.delete();
                if self.then(DAYS, TaskCommand::Restore(RestoreTask {})) {
                    self.deleted = false;
                }
                self.change_some(0, 2);
            }
        }
        if !self.deleted && self.shared.dice.chance(2) {
            self.give_key_back();
        }
    }

    /// Fills it up to the last label and the last step.
    pub(super) fn crowd(&mut self) {
        for number in 1..=LABELS_PER_TASK_MAX {
            let label = format!("area {number}");
            if self.then((0, 0), TaskCommand::AddLabel(AddLabel { label })) {
                self.labels.push(format!("area {number}"));
            }
        }
        for number in 1..=STEPS_PER_TASK_MAX {
            self.add_step(format!("Room {number}"));
        }
    }

    fn change_some(&mut self, least: u32, most: u32) {
        for _ in 0..self.shared.dice.between(least, most) {
            self.change();
        }
    }

    pub(super) fn assign(&mut self) {
        let assignee_id = *self.shared.dice.one(&self.shared.people);
        if self.assignee == Some(assignee_id) {
            return;
        }
        if self.then(DAYS, TaskCommand::Assign(AssignTask { assignee_id })) {
            self.assignee = Some(assignee_id);
        }
    }

    fn start(&mut self) {
        if self.then(DAYS, TaskCommand::Start(StartTask {})) {
            self.status = Status::InProgress;
        }
    }

    fn block(&mut self) -> bool {
        let reason = words::reason(&mut self.shared.dice);
        let is_blocked = self.then(DAYS, TaskCommand::Block(BlockTask { reason }));
        if is_blocked {
            self.status = Status::Blocked;
        }
        is_blocked
    }

    fn work_and_complete(&mut self) {
        if self.shared.dice.chance(85) {
            self.start();
        }
        self.change_some(0, 4);
        if self.shared.dice.chance(12)
            && self.block()
            && self.then(DAYS, TaskCommand::Unblock(UnblockTask {}))
        {
            // Where it goes on depends on where it was; open or in progress, what follows is allowed.
            self.status = Status::InProgress;
        }
        self.complete();
        if self.shared.dice.chance(15) {
            self.change();
        }
    }

    fn complete(&mut self) {
        while let Some(step_id) = self.open_steps.last().copied() {
            if !self.then(SOON, TaskCommand::CompleteStep(CompleteStep { step_id })) {
                return;
            }
            self.open_steps.pop();
            self.done_steps.push(step_id);
        }
        let actual_hours = self.hours_taken();
        if self.then(DAYS, TaskCommand::Complete(CompleteTask { actual_hours })) {
            self.status = Status::Completed(actual_hours);
        }
    }

    /// More often too much than too little.
    fn hours_taken(&mut self) -> Option<Hours> {
        let dice = &mut self.shared.dice;
        if dice.chance(20) {
            return None;
        }
        let estimated = self.estimated.map_or(0, Hours::hundredths);
        let hundredths = match estimated {
            0 => i64::from(dice.between(1, 80)) * 25,
            estimated => estimated * i64::from(dice.between(40, 220)) / 100,
        };
        Some(Hours::from_hundredths(hundredths.max(1)))
    }

    fn complete_and_reopen(&mut self) {
        self.work_and_complete();
        if !matches!(self.status, Status::Completed(_)) {
            return;
        }
        let reason = words::reason(&mut self.shared.dice);
        if self.then(WEEKS, TaskCommand::Reopen(ReopenTask { reason })) {
            self.status = Status::Open;
            self.change_some(0, 2);
            if self.shared.dice.chance(60) {
                self.work_and_complete();
            }
        }
    }

    fn cancel(&mut self) {
        let reason = words::reason(&mut self.shared.dice);
        if self.then(WEEKS, TaskCommand::Cancel(CancelTask { reason })) {
            self.status = Status::Cancelled;
        }
    }

    fn delete(&mut self) {
        if self.then(WEEKS, TaskCommand::Delete(DeleteTask {})) {
            self.deleted = true;
        }
    }

    /// Another task may have it some time later.
    fn give_key_back(&mut self) {
        let Some(key) = self.key.clone() else { return };
        if self.then(DAYS, TaskCommand::SetKey(SetKey { key: None })) {
            self.key = None;
            self.shared.give_back(key, self.at);
        }
    }

    pub(super) fn add_comment(&mut self) {
        let comment_id = self.shared.dice.id();
        let text = words::comment(&mut self.shared.dice);
        if self.then(
            DAYS,
            TaskCommand::AddComment(AddComment { comment_id, text }),
        ) {
            self.comments.push(comment_id);
        }
    }

    pub(super) fn add_step(&mut self, content: String) {
        let step_id = self.shared.dice.id();
        if self.then((0, 1), TaskCommand::AddStep(AddStep { step_id, content })) {
            self.open_steps.push(step_id);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        match self.status {
            Status::Open | Status::InProgress | Status::Blocked => false,
            Status::Completed(_) | Status::Cancelled => true,
        }
    }
}

fn creation(shared: &mut Shared, project: usize, at: DateTime<Utc>) -> CreateTask {
    let key = shared.key_for_new(project, at);
    let dice = &mut shared.dice;
    let priorities = [
        (45, Priority::Medium),
        (25, Priority::High),
        (20, Priority::Low),
        (10, Priority::Critical),
    ];
    CreateTask {
        project_id: shared.projects[project].id,
        title: words::title(dice),
        description: dice.chance(35).then(|| words::description(dice)),
        priority: dice.weighed(&priorities),
        estimated_hours: dice.chance(70).then(|| hours(dice)),
        due_date: dice.chance(55).then(|| due_date(dice, at)),
        key,
        metadata: match dice.chance(45) {
            true => words::metadata(dice),
            false => BTreeMap::new(),
        },
    }
}

pub(super) fn hours(dice: &mut Dice) -> Hours {
    Hours::from_hundredths(match dice.between(1, 100) {
        1 => 0,
        2 => 1,
        3..=10 => i64::from(dice.between(1, 4_000)),
        _ => i64::from(dice.between(1, 160)) * 25,
    })
}

/// Mostly in some weeks.
pub(super) fn due_date(dice: &mut Dice, at: DateTime<Utc>) -> NaiveDate {
    let days = match dice.between(1, 20) {
        1 => 0,
        2..=4 => dice.between(90, 400),
        _ => dice.between(2, 60),
    };
    at.date_naive() + TimeDelta::days(i64::from(days))
}

/// After a pause, and when people work.
fn later(dice: &mut Dice, at: DateTime<Utc>, (least, most): Pause) -> DateTime<Utc> {
    let minutes = dice.between(least * 60 + 1, most * 60 + 59);
    in_working_hours(dice, at + TimeDelta::minutes(i64::from(minutes)))
}

/// That instant, or a later one when people work.
pub(super) fn in_working_hours(dice: &mut Dice, at: DateTime<Utc>) -> DateTime<Utc> {
    let (first, last) = WORK_HOURS;
    let mut day = at.date_naive();
    if at.hour() >= last {
        day += TimeDelta::days(1);
    }
    let weekend = match day.weekday() {
        Weekday::Sat => 2,
        Weekday::Sun => 1,
        Weekday::Mon | Weekday::Tue | Weekday::Wed | Weekday::Thu | Weekday::Fri => 0,
    };
    if weekend > 0 && dice.chance(85) {
        day += TimeDelta::days(weekend);
    }
    if day == at.date_naive() && at.hour() >= first {
        return at;
    }
    let (hour, minute, second) = (
        dice.between(first, first + 3),
        dice.between(0, 59),
        dice.between(0, 59),
    );
    let time = NaiveTime::from_hms_opt(hour, minute, second).expect("a time of the day");
    day.and_time(time).and_utc()
}
