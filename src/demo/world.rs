//! All projects and tasks together, as one sequence of lines that holds only a few hundred tasks at a time.
//!
//! Projects come first. Tasks follow in chapters, each merged in time; chapters follow each other by when their tasks are
//! created, and what happens to a task later may overlap the next. Whatever ends projects comes last, so that each
//! stream, and each project with what refers to it, is in order within the file.

use std::collections::VecDeque;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use foldline_domain::{
    Command,
    tasks::{
        ArchiveProject, CreateProject, DescribeProject, ProjectCommand, RenameProject,
        RestoreProject,
    },
};
use uuid::Uuid;

use super::{
    Scale,
    dice::Dice,
    life::{Life, in_working_hours},
    line::{Said, Sent},
    words::PROJECTS,
    wrong,
};

/// How many tasks are made at a time.
const CHAPTER_TASKS: u32 = 500;
/// How long a history there is.
const SPAN: TimeDelta = TimeDelta::days(365);
/// One of so many commands is invalid.
const WRONG_EVERY: usize = 50;
/// From so many tasks on, one of them is filled to its limits.
const CROWDED_FROM_TASKS: u32 = 500;
const TASKS_PER_PROJECT: usize = 60;
const PROJECTS_MIN: usize = 4;
const TASKS_PER_PERSON: usize = 30;
const PEOPLE: (usize, usize) = (6, 400);
/// The one that is archived too early, and restored.
const RESTORED: usize = 2;
/// How many keys that were given back wait for another task; further ones are left alone.
const KEYS_GIVEN_BACK_MAX: usize = 100;

pub(super) struct Project {
    pub(super) id: Uuid,
    /// What its tasks' keys begin with.
    code: String,
    keys: u32,
    /// After it no task is put into the project, and little happens to those in it.
    pub(super) end: DateTime<Utc>,
    /// For good.
    pub(super) archived_at: Option<DateTime<Utc>>,
}

#[derive(Default)]
pub(super) struct Keys {
    /// And since when they are free.
    pub(super) given_back: Vec<(String, DateTime<Utc>)>,
    /// One that a task will never give back, and since when it has it.
    pub(super) taken: Option<(String, DateTime<Utc>)>,
}

/// What lives share.
pub(super) struct Shared {
    pub(super) dice: Dice,
    pub(super) projects: Vec<Project>,
    pub(super) people: Vec<Uuid>,
    pub(super) keys: Keys,
}

enum Stage {
    Beginning,
    /// So many tasks were made.
    Tasks(u32),
    Ending,
    Over,
}

pub(super) struct World {
    tasks: u32,
    begin: DateTime<Utc>,
    end: DateTime<Utc>,
    shared: Shared,
    stage: Stage,
    lines: VecDeque<String>,
    /// How many lines were made, and how many of them are invalid.
    said: usize,
    wrong: usize,
}

impl World {
    pub(super) fn new(scale: Scale) -> Self {
        let Scale { seed, tasks, until } = scale;
        let last_second = NaiveTime::from_hms_opt(23, 59, 59).expect("a time of the day");
        let end = until.and_time(last_second).and_utc();
        let begin = until.and_time(NaiveTime::MIN).and_utc() - SPAN;
        let mut dice = Dice::of(&format!("{seed}/{tasks}/{until}"));
        // Its keys must not collide with those of other demos, nor with what people would choose.
        let mark = match scale.is_usual() {
            true => "-DEMO".to_owned(),
            false => dice.id().simple().to_string()[..6].to_ascii_uppercase(),
        };
        let many = usize::try_from(tasks).unwrap_or(usize::MAX);
        let count = (many / TASKS_PER_PROJECT).clamp(PROJECTS_MIN, PROJECTS.len());
        let projects = (0..count)
            .map(|index| {
                let archived_at = (index % 4 == 3)
                    .then(|| begin + TimeDelta::days(200 + 5 * i64::try_from(index).unwrap_or(0)));
                let restored_end = (index == RESTORED).then_some(end - TimeDelta::days(5));
                Project {
                    id: dice.id(),
                    code: format!("{}{mark}", PROJECTS[index].1),
                    keys: 0,
                    end: archived_at.or(restored_end).unwrap_or(end),
                    archived_at,
                }
            })
            .collect();
        let people = (many / TASKS_PER_PERSON).clamp(PEOPLE.0, PEOPLE.1);
        let people = (0..people).map(|_| dice.id()).collect();
        Self {
            tasks,
            begin,
            end,
            shared: Shared {
                dice,
                projects,
                people,
                keys: Keys::default(),
            },
            stage: Stage::Beginning,
            lines: VecDeque::new(),
            said: 0,
            wrong: 0,
        }
    }

    fn beginning(&mut self) {
        let mut said = Vec::new();
        let count = self.shared.projects.len();
        for (index, (name, _, about)) in PROJECTS.into_iter().enumerate().take(count) {
            let described = self.shared.dice.chance(60);
            let create = ProjectCommand::Create(CreateProject {
                name: name.to_owned(),
                description: described.then(|| about.to_owned()),
            });
            let at = self.begin + TimeDelta::hours(8 + i64::try_from(index).unwrap_or(0));
            said.push(self.on_project(index, create).said(at));
            if !described {
                let describe = ProjectCommand::Describe(DescribeProject {
                    description: Some(about.to_owned()),
                });
                let later = at + TimeDelta::minutes(20);
                said.push(self.on_project(index, describe).said(later));
            }
        }
        self.say(said);
    }

    fn on_project(&mut self, index: usize, command: ProjectCommand) -> Sent {
        let (id, project) = (self.shared.dice.id(), self.shared.projects[index].id);
        Sent::command(id, project, Command::Project(command))
    }

    /// The next tasks from the number `from`; returns how many there are then.
    fn chapter(&mut self, from: u32) -> u32 {
        let mut said = Vec::new();
        // One is left for a project that was restored.
        let through = (from + CHAPTER_TASKS).min(self.tasks - 1);
        for number in from..through {
            let at = self.created_at(number);
            let is_crowded = self.tasks >= CROWDED_FROM_TASKS && number == self.tasks / 2;
            let project = match is_crowded {
                true => 0,
                false => self.shared.project_for_new(at),
            };
            let mut life = Life::begin(&mut self.shared, &mut said, project, at);
            if is_crowded {
                life.crowd();
                self.wrong += wrong::crowded(&mut life);
            } else {
                life.live();
            }
            let kept = life.key.clone().map(|key| (key, life.at));
            // Counted as it goes, so that the share is the same everywhere.
            if (self.wrong + 1) * WRONG_EVERY <= self.said + life.said_so_far() {
                self.wrong += 1;
                wrong::any(&mut life);
            }
            self.shared.keys.taken = kept.or(self.shared.keys.taken.take());
        }
        said.sort_by_key(|said| said.at);
        self.say(said);
        through
    }

    /// Tasks are created evenly over the year.
    fn created_at(&mut self, number: u32) -> DateTime<Utc> {
        let first = self.begin + TimeDelta::days(2);
        let minutes = (self.end - TimeDelta::days(1) - first).num_minutes();
        let share = minutes * i64::from(number) / i64::from(self.tasks);
        let jitter = i64::from(self.shared.dice.between(0, 360));
        let at = first + TimeDelta::minutes(share + jitter);
        let worked = in_working_hours(&mut self.shared.dice, at);
        if worked <= self.end { worked } else { at }
    }

    /// Projects are renamed, archived and restored; and what is tried in vain.
    fn ending(&mut self) {
        let mut said = Vec::new();
        let rename = ProjectCommand::Rename(RenameProject {
            name: format!("{} 2", PROJECTS[1].0),
        });
        let sent = self.on_project(1, rename);
        said.push(sent.said(self.end - TimeDelta::days(1)));
        let restored_at = self.end - TimeDelta::days(3);
        for (command, at) in [
            (
                ProjectCommand::Archive(ArchiveProject {}),
                restored_at - TimeDelta::days(1),
            ),
            (ProjectCommand::Restore(RestoreProject {}), restored_at),
        ] {
            said.push(self.on_project(RESTORED, command).said(at));
        }
        for index in 0..self.shared.projects.len() {
            let Some(at) = self.shared.projects[index].archived_at else {
                continue;
            };
            let archive = ProjectCommand::Archive(ArchiveProject {});
            said.push(self.on_project(index, archive).said(at));
            let too_late = at + TimeDelta::days(1);
            let project = self.shared.projects[index].id;
            for sent in wrong::on_archived(&mut self.shared, project) {
                said.push(sent.said(too_late));
                self.wrong += 1;
            }
        }
        let project = self.shared.projects[0].id;
        for sent in wrong::on_projects(&mut self.shared, project) {
            said.push(sent.said(self.end));
            self.wrong += 1;
        }
        let at = restored_at + TimeDelta::hours(2);
        self.shared.projects[RESTORED].end = self.end;
        Life::begin(&mut self.shared, &mut said, RESTORED, at).live();
        self.say(said);
    }

    fn say(&mut self, said: Vec<Said>) {
        self.said += said.len();
        self.lines.extend(said.into_iter().map(|said| said.text));
    }
}

impl Iterator for World {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            self.stage = match self.stage {
                Stage::Beginning => {
                    self.beginning();
                    Stage::Tasks(0)
                }
                Stage::Tasks(made) if made + 1 < self.tasks => Stage::Tasks(self.chapter(made)),
                Stage::Tasks(_) => {
                    self.ending();
                    Stage::Ending
                }
                Stage::Ending => Stage::Over,
                Stage::Over => return None,
            };
        }
    }
}

impl Shared {
    /// The first projects have most of the tasks.
    fn project_for_new(&mut self, at: DateTime<Utc>) -> usize {
        for _ in 0..8 {
            let (one, other) = (
                self.dice.index(self.projects.len()),
                self.dice.index(self.projects.len()),
            );
            let index = one.min(other);
            if at < self.projects[index].end - TimeDelta::days(1) {
                return index;
            }
        }
        0
    }

    /// One that takes tasks then and goes on doing so for a while.
    pub(super) fn project_to_move_to(&mut self, at: DateTime<Utc>) -> Option<Uuid> {
        let project = self.dice.one(&self.projects);
        let takes = project.archived_at.is_none() && at + TimeDelta::days(7) < project.end;
        takes.then_some(project.id)
    }

    /// A key that was given back before, or the project's next; some tasks have none.
    pub(super) fn key_for_new(&mut self, project: usize, at: DateTime<Utc>) -> Option<String> {
        let free = self
            .keys
            .given_back
            .iter()
            .position(|(_, since)| *since < at);
        if let Some(free) = free {
            return Some(self.keys.given_back.swap_remove(free).0);
        }
        let id = self.projects[project].id;
        self.dice.chance(70).then(|| self.next_key(id))
    }

    pub(super) fn next_key(&mut self, of: Uuid) -> String {
        let index = self.projects.iter().position(|project| project.id == of);
        let project = &mut self.projects[index.unwrap_or(0)];
        project.keys += 1;
        format!("{}-{}", project.code, project.keys)
    }

    pub(super) fn give_back(&mut self, key: String, at: DateTime<Utc>) {
        if self.keys.given_back.len() < KEYS_GIVEN_BACK_MAX {
            self.keys.given_back.push((key, at));
        }
    }
}
