//! Small things that happen to a task on its way: whatever does not say where it stands.

use foldline_domain::tasks::{
    AddLabel, CompleteStep, DescribeTask, EstimateTask, MoveTask, RecordAiReview, RemoveLabel,
    RemoveMetadata, RemoveStep, RenameTask, RequestAiReview, SetDueDate, SetKey, SetMetadata,
    SetPriority, TaskCommand, UnassignTask,
};
use foldline_events::{
    Hours,
    tasks::{Priority, ReviewStatus},
};

use super::{
    life::{Life, Review, Status, due_date, hours},
    words,
};

#[derive(Debug, Clone, Copy)]
enum Change {
    Comment,
    Label,
    LabelRemoved,
    Step,
    StepDone,
    StepRemoved,
    Person,
    NoPerson,
    Priority,
    Estimate,
    DueDate,
    Title,
    Description,
    Fact,
    FactRemoved,
    Project,
    Key,
    Review,
}

const CHANGES: [(u32, Change); 18] = [
    (18, Change::Comment),
    (14, Change::Label),
    (3, Change::LabelRemoved),
    (11, Change::Step),
    (6, Change::StepDone),
    (2, Change::StepRemoved),
    (8, Change::Person),
    (2, Change::NoPerson),
    (5, Change::Priority),
    (4, Change::Estimate),
    (5, Change::DueDate),
    (3, Change::Title),
    (3, Change::Description),
    (4, Change::Fact),
    (2, Change::FactRemoved),
    (3, Change::Project),
    (2, Change::Key),
    (5, Change::Review),
];

const PAUSE: (u32, u32) = (1, 60);

impl Life<'_> {
    /// Something small, if it makes sense just now.
    pub(super) fn change(&mut self) {
        if self.deleted {
            return;
        }
        match self.shared.dice.weighed(&CHANGES) {
            Change::Comment => self.add_comment(),
            Change::Label => self.add_label(),
            Change::LabelRemoved => self.remove_label(),
            Change::Step if !self.is_closed() => {
                let content = words::step(&mut self.shared.dice);
                self.add_step(content);
            }
            Change::StepDone if !self.is_closed() => self.finish_step(),
            Change::StepRemoved if !self.is_closed() => self.remove_step(),
            // A closed task's steps stay as they are.
            Change::Step | Change::StepDone | Change::StepRemoved => {}
            Change::Person => self.assign(),
            Change::NoPerson => {
                if self.assignee.is_some()
                    && self.then(PAUSE, TaskCommand::Unassign(UnassignTask {}))
                {
                    self.assignee = None;
                }
            }
            Change::Priority => self.prioritise(),
            Change::Estimate => self.estimate(),
            Change::DueDate => self.set_due_date(),
            Change::Title => self.rename(),
            Change::Description => self.describe(),
            Change::Fact => self.set_fact(),
            Change::FactRemoved => self.remove_fact(),
            Change::Project => self.move_elsewhere(),
            Change::Key => self.take_key(),
            Change::Review => self.review(),
        }
    }

    fn add_label(&mut self) {
        let label = words::label(&mut self.shared.dice);
        let command = TaskCommand::AddLabel(AddLabel {
            label: label.clone(),
        });
        if !self.labels.contains(&label) && self.then(PAUSE, command) {
            self.labels.push(label);
        }
    }

    fn remove_label(&mut self) {
        let Some(label) = self.labels.last().cloned() else {
            return;
        };
        if self.then(PAUSE, TaskCommand::RemoveLabel(RemoveLabel { label })) {
            self.labels.pop();
        }
    }

    fn finish_step(&mut self) {
        let Some(step_id) = self.open_steps.last().copied() else {
            return;
        };
        if self.then(PAUSE, TaskCommand::CompleteStep(CompleteStep { step_id })) {
            self.open_steps.pop();
            self.done_steps.push(step_id);
        }
    }

    fn remove_step(&mut self) {
        let Some(step_id) = self.open_steps.last().copied() else {
            return;
        };
        if self.then(PAUSE, TaskCommand::RemoveStep(RemoveStep { step_id })) {
            self.open_steps.pop();
        }
    }

    fn prioritise(&mut self) {
        let all = [
            Priority::Low,
            Priority::Medium,
            Priority::High,
            Priority::Critical,
        ];
        let priority = *self.shared.dice.one(&all);
        if priority != self.priority
            && self.then(PAUSE, TaskCommand::SetPriority(SetPriority { priority }))
        {
            self.priority = priority;
        }
    }

    fn estimate(&mut self) {
        let taken_back = self.shared.dice.chance(15);
        let estimated: Option<Hours> = (!taken_back).then(|| hours(&mut self.shared.dice));
        let command = TaskCommand::Estimate(EstimateTask {
            estimated_hours: estimated,
        });
        if estimated != self.estimated && self.then(PAUSE, command) {
            self.estimated = estimated;
        }
    }

    fn set_due_date(&mut self) {
        let taken_away = self.shared.dice.chance(15);
        let due = (!taken_away).then(|| due_date(&mut self.shared.dice, self.at));
        let command = TaskCommand::SetDueDate(SetDueDate { due_date: due });
        if due != self.due && self.then(PAUSE, command) {
            self.due = due;
        }
    }

    fn rename(&mut self) {
        let title = words::title(&mut self.shared.dice);
        let command = TaskCommand::Rename(RenameTask {
            title: title.clone(),
        });
        if title != self.title && self.then(PAUSE, command) {
            self.title = title;
        }
    }

    fn describe(&mut self) {
        let taken_away = self.shared.dice.chance(15);
        let description = (!taken_away).then(|| words::description(&mut self.shared.dice));
        let command = TaskCommand::Describe(DescribeTask {
            description: description.clone(),
        });
        if description != self.description && self.then(PAUSE, command) {
            self.description = description;
        }
    }

    fn set_fact(&mut self) {
        let (name, value) = words::fact(&mut self.shared.dice);
        let command = TaskCommand::SetMetadata(SetMetadata {
            name: name.clone(),
            value: value.clone(),
        });
        if self.metadata.get(&name) != Some(&value) && self.then(PAUSE, command) {
            self.metadata.insert(name, value);
        }
    }

    fn remove_fact(&mut self) {
        let Some(name) = self.metadata.keys().next().cloned() else {
            return;
        };
        let command = TaskCommand::RemoveMetadata(RemoveMetadata { name: name.clone() });
        if self.then(PAUSE, command) {
            self.metadata.remove(&name);
        }
    }

    fn move_elsewhere(&mut self) {
        let Some(project_id) = self.shared.project_to_move_to(self.at) else {
            return;
        };
        if project_id != self.project
            && self.then(PAUSE, TaskCommand::Move(MoveTask { project_id }))
        {
            self.project = project_id;
        }
    }

    fn take_key(&mut self) {
        if self.key.is_some() {
            return;
        }
        let key = self.shared.next_key(self.project);
        let command = TaskCommand::SetKey(SetKey {
            key: Some(key.clone()),
        });
        if self.then(PAUSE, command) {
            self.key = Some(key);
        }
    }

    /// Most reviews that are asked for are made.
    fn review(&mut self) {
        while let Some((command, after)) = self.next_of_review()
            && self.then(PAUSE, command)
        {
            self.review = after;
            if after == Review::Done || self.shared.dice.chance(30) {
                return;
            }
        }
    }

    /// `None` when there is nothing to ask for.
    fn next_of_review(&mut self) -> Option<(TaskCommand, Review)> {
        let begun = match self.review {
            Review::None | Review::Done if self.status == Status::Cancelled => return None,
            Review::None | Review::Done => {
                let request = TaskCommand::RequestAiReview(RequestAiReview {});
                return Some((request, Review::Requested));
            }
            Review::Requested => false,
            Review::InProgress => true,
        };
        let dice = &mut self.shared.dice;
        if !begun && dice.chance(40) {
            let begins = TaskCommand::RecordAiReview(RecordAiReview {
                status: ReviewStatus::InProgress,
                summary: None,
            });
            return Some((begins, Review::InProgress));
        }
        let result = TaskCommand::RecordAiReview(RecordAiReview {
            status: dice.weighed(&[
                (60, ReviewStatus::Approved),
                (30, ReviewStatus::ChangesWanted),
                (10, ReviewStatus::Failed),
            ]),
            summary: dice.chance(80).then(|| words::summary(dice)),
        });
        Some((result, Review::Done))
    }
}
