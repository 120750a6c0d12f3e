//! The real history: a year of six public repositories as commands. Every one of them is valid.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader},
};

use flate2::read::GzDecoder;
use foldline_domain::{
    Command, Decider,
    tasks::{Facts, Project, ProjectFacts, Task, TaskCommand},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

const HISTORY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/data/history.ndjson.gz"
);
const COMMANDS: usize = 87_806;

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    command_type: &'a str,
    aggregate: Uuid,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Default)]
struct World {
    projects: HashMap<Uuid, Project>,
    tasks: HashMap<Uuid, Task>,
}

impl World {
    /// Does the command and answers how many events it yielded.
    fn done(&mut self, aggregate: Uuid, command: Command) -> Result<usize, String> {
        match command {
            Command::Project(command) => done(&mut self.projects, aggregate, &(), command),
            Command::Task(command) => {
                let mut facts = Facts::default();
                // The history has no keys, and nothing in it moves.
                if let TaskCommand::Create(create) = &command {
                    let project = self.projects.get(&create.project_id);
                    facts.project = project.map(|project| ProjectFacts {
                        archived: project.archived(),
                    });
                }
                done(&mut self.tasks, aggregate, &facts, command)
            }
        }
    }
}

fn done<D: Decider<Rejection: ToString>>(
    states: &mut HashMap<Uuid, D>,
    aggregate: Uuid,
    facts: &D::Facts,
    command: D::Command,
) -> Result<usize, String> {
    let state = states.remove(&aggregate);
    let events = D::decide(state.as_ref(), facts, command).map_err(|no| no.to_string())?;
    let state = events
        .iter()
        .fold(state, |state, event| D::evolve(state, event));
    states.extend(state.map(|state| (aggregate, state)));
    Ok(events.len())
}

#[test]
fn every_command_of_the_history_is_accepted_and_yields_one_event() {
    let lines = BufReader::new(GzDecoder::new(File::open(HISTORY).unwrap())).lines();
    let mut world = World::default();
    let mut count = 0;
    for line in lines {
        let line = line.unwrap();
        let read: Line = serde_json::from_str(&line).unwrap();
        let command = Command::parse(read.command_type, read.data.get()).unwrap();
        assert_eq!(command.context_type(), read.command_type);
        assert_eq!(world.done(read.aggregate, command), Ok(1), "{line}");
        count += 1;
    }
    assert_eq!(count, COMMANDS);
    assert_eq!((world.projects.len(), world.tasks.len()), (55, 9_184));
}
