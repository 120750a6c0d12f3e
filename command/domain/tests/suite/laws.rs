//! What holds for every history and every command.

use std::fmt::Debug;

use foldline_domain::{
    Command, Decider, State,
    tasks::{Facts, KeyFacts, Project, ProjectCommand, ProjectFacts, Task, TaskCommand},
};
use foldline_events::{
    Event, Example,
    tasks::{ProjectEvent, TaskDeleted, TaskEvent},
};
use proptest::{collection::vec, prelude::*, sample::Index};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::samples::{SAMPLES, VALUES, filled};

/// How long a made-up history is at most.
const HISTORY_MAX: usize = 60;

/// Any of [`SAMPLES`], with any of its values.
fn command() -> impl Strategy<Value = Command> {
    let choices = vec(any::<Index>(), VALUES.len());
    (any::<Index>(), any::<Index>(), choices).prop_map(|(of, data, choices)| {
        let (command_type, datas) = SAMPLES[of.index(SAMPLES.len())];
        let mut choices = choices.into_iter();
        let data = filled(datas[data.index(datas.len())], |values| {
            let choice = choices.next().expect("a choice for each sort of value");
            values[choice.index(values.len())]
        });
        Command::parse(command_type, &data).unwrap()
    })
}

fn task_command() -> impl Strategy<Value = TaskCommand> {
    command().prop_filter_map("of tasks", |command| match command {
        Command::Task(command) => Some(command),
        Command::Project(_) => None,
    })
}

fn project_command() -> impl Strategy<Value = ProjectCommand> {
    command().prop_filter_map("of projects", |command| match command {
        Command::Project(command) => Some(command),
        Command::Task(_) => None,
    })
}

fn facts() -> impl Strategy<Value = Facts> {
    let project = prop::option::weighted(0.9, prop::bool::weighted(0.2));
    let holder = prop::option::weighted(0.2, Just(Uuid::from_u128(9)));
    (project, holder).prop_map(|(project, holder)| Facts {
        project: project.map(|archived| ProjectFacts { archived }),
        key: KeyFacts { holder, version: 3 },
    })
}

/// Any example of an event, with one of few ids in the place of its own, and without some of what it may lack.
fn event() -> impl Strategy<Value = Event> {
    let id = (1..4_u128).prop_map(Uuid::from_u128);
    (any::<Index>(), id, any::<u8>()).prop_map(|(of, id, lacks)| {
        let examples = foldline_events::examples();
        let example = of.get(&examples);
        let mut fields: Map<String, Value> = serde_json::from_str(&example.payload).unwrap();
        for value in fields.values_mut() {
            if value
                .as_str()
                .is_some_and(|text| Uuid::parse_str(text).is_ok())
            {
                *value = id.to_string().into();
            }
        }
        let names: Vec<String> = fields.keys().cloned().collect();
        for (n, name) in names.iter().enumerate() {
            let mut fewer = fields.clone();
            fewer.remove(name);
            if lacks >> (n % 8) & 1 == 1 && decoded(example, &fewer).is_some() {
                fields = fewer;
            }
        }
        decoded(example, &fields).unwrap()
    })
}

fn decoded(example: &Example, fields: &Map<String, Value>) -> Option<Event> {
    let payload = serde_json::to_string(fields).unwrap();
    Event::decode(example.event_type, example.schema_version, &payload).ok()
}

/// What the log would give back.
fn stored(event: Event) -> Event {
    let stored = event.encode(Uuid::from_u128(7));
    Event::decode(stored.event_type, stored.schema_version, &stored.payload).unwrap()
}

/// What a snapshot would give back.
fn kept<D: Serialize + DeserializeOwned>(state: &D) -> D {
    serde_json::from_slice(&serde_json::to_vec(state).unwrap()).unwrap()
}

/// The state after the events that a command yielded.
fn after<D: Decider>(state: Option<D>, events: &[D::Event]) -> Option<D> {
    events
        .iter()
        .fold(state, |state, event| D::evolve(state, event))
}

fn decided<D: Decider<Command: Clone>>(
    state: &Option<D>,
    facts: &D::Facts,
    command: &D::Command,
) -> Vec<D::Event> {
    D::decide(state.as_ref(), facts, command.clone()).unwrap_or_default()
}

/// Each command yields at most one event, that event changes something, and repeating the command yields no further one;
/// what is read back from the log folds to the same state, also when it goes on from a snapshot each time.
fn keeps_the_laws<D>(history: Vec<(D::Command, D::Facts)>) -> Result<(), TestCaseError>
where
    D: Decider<Command: Clone + Debug, Event: Clone + Debug>
        + Serialize
        + DeserializeOwned
        + Clone
        + PartialEq
        + Debug,
{
    let (mut live, mut replayed) = (None::<D>, None::<D>);
    for (command, facts) in history {
        let events = decided(&live, &facts, &command);
        prop_assert!(events.len() <= 1);
        let next = after(live.clone(), &events);
        prop_assert_eq!(
            events.is_empty(),
            next == live,
            "{:?} on {:?}",
            command,
            live
        );
        let again = decided(&next, &facts, &command);
        prop_assert!(again.is_empty(), "{:?} again on {:?}", command, next);

        for event in events {
            let read = D::narrow(stored(D::widen(event))).unwrap();
            replayed = D::evolve(replayed.as_ref().map(kept), &read);
        }
        live = next;
        prop_assert_eq!(&live, &replayed);
    }
    Ok(())
}

proptest! {
    #[test]
    fn commands_on_a_task_keep_the_laws(
        history in vec((task_command(), facts()), 1..HISTORY_MAX),
    ) {
        keeps_the_laws::<Task>(history)?;
    }

    /// The same from where more can happen: the task is there, and mostly its project is open.
    #[test]
    fn commands_on_a_task_that_is_there_keep_the_laws(
        before in vec(event(), 0..HISTORY_MAX),
        history in vec((task_command(), facts()), 1..HISTORY_MAX),
    ) {
        let state = before.into_iter().filter_map(Task::narrow).fold(None, |state, event| Task::evolve(state, &event));
        for (command, facts) in history {
            let events = decided(&state, &facts, &command);
            let next = after(state.clone(), &events);
            prop_assert_eq!(events.is_empty(), next == state, "{:?} on {:?}", command, state);
            prop_assert!(decided(&next, &facts, &command).is_empty(), "{:?} on {:?}", command, next);
        }
    }

    #[test]
    fn commands_on_a_project_keep_the_laws(history in vec(project_command(), 1..HISTORY_MAX)) {
        keeps_the_laws::<Project>(history.into_iter().map(|command| (command, ())).collect())?;
    }

    #[test]
    fn a_deleted_task_takes_nothing_but_being_restored(
        before in vec(event(), 0..HISTORY_MAX),
        command in task_command(),
        facts in facts(),
    ) {
        let deleted = TaskEvent::Deleted(TaskDeleted {});
        let events = before.into_iter().filter_map(Task::narrow).chain([deleted]);
        let state = events.fold(None, |state, event| Task::evolve(state, &event));
        let restores = state.is_some() && matches!(command, TaskCommand::Restore(_));
        prop_assert_eq!(!decided(&state, &facts, &command).is_empty() && state.is_some(), restores);
    }

    /// Also such orders as no decision makes: what exists goes on existing, whatever creates it again, and what does
    /// not only begins by being created.
    #[test]
    fn evolve_takes_any_event_in_any_state(events in vec(event(), 0..HISTORY_MAX)) {
        let (mut project, mut task) = (None::<Project>, None::<Task>);
        for event in events {
            match event {
                Event::Project(event) => {
                    let created = matches!(event, ProjectEvent::Created(_));
                    let before = project.clone();
                    project = Project::evolve(project, &event);
                    prop_assert_eq!(project.is_some(), created || before.is_some());
                    prop_assert!(!created || before.is_none() || project == before);
                }
                Event::Task(event) => {
                    let created = matches!(event, TaskEvent::Created(_));
                    let before = task.clone();
                    task = Task::evolve(task, &event);
                    prop_assert_eq!(task.is_some(), created || before.is_some());
                    prop_assert!(!created || before.is_none() || task == before);
                }
                Event::TaskKey(_) => {} // Nobody's state: the handler reads reservations as they are.
            }
        }
    }

    /// As text, too, which tells numbers apart that are equal: 1 from 1.0, 0 from -0.
    #[test]
    fn a_state_that_is_written_down_is_read_back_as_it_was(events in vec(event(), 0..HISTORY_MAX)) {
        let (mut project, mut task) = (None::<Project>, None::<Task>);
        for event in events {
            match event {
                Event::Project(event) => project = Project::evolve(project, &event),
                Event::Task(event) => task = Task::evolve(task, &event),
                Event::TaskKey(_) => {}
            }
            if let Some(project) = &project {
                let read = kept(project);
                prop_assert_eq!(format!("{read:?}"), format!("{project:?}"));
                prop_assert_eq!(&read, project);
            }
            if let Some(task) = &task {
                let read = kept(task);
                prop_assert_eq!(format!("{read:?}"), format!("{task:?}"));
                prop_assert_eq!(&read, task);
            }
        }
    }

    /// Whoever folds a stream without knowing whose it is gets what the aggregate would, and events of others change nothing.
    #[test]
    fn a_state_of_any_context_is_that_of_the_aggregate_of_its_stream(events in vec(event(), 0..HISTORY_MAX)) {
        let (mut project, mut task) = (None::<Project>, None::<Task>);
        let (mut of_project, mut of_task) = (None::<State>, None::<State>);
        for event in events {
            if project.is_some() || matches!(event, Event::Project(_)) {
                of_project = State::evolve(of_project, &event);
            }
            if task.is_some() || matches!(event, Event::Task(_)) {
                of_task = State::evolve(of_task, &event);
            }
            match event {
                Event::Project(event) => project = Project::evolve(project, &event),
                Event::Task(event) => task = Task::evolve(task, &event),
                Event::TaskKey(_) => {}
            }
            prop_assert_eq!(&of_project, &project.clone().map(State::Project));
            prop_assert_eq!(&of_task, &task.clone().map(Box::new).map(State::Task));
        }
    }

    #[test]
    fn an_event_that_is_written_down_is_read_back_as_it_was(event in event()) {
        prop_assert_eq!(stored(event.clone()), event);
    }

    /// Whatever the number, the one that a command brought is the one that is read back from the log.
    #[test]
    fn numbers_among_the_free_form_facts_stay_what_they_are(number in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL) {
        let data = format!(r#"{{"name":"a","value":{number:e}}}"#);
        let Command::Task(command) = Command::parse("tasks.set_metadata", &data).unwrap() else {
            return Err(TestCaseError::fail("it is of tasks"));
        };
        let TaskCommand::SetMetadata(command) = command else {
            return Err(TestCaseError::fail("it sets metadata"));
        };
        prop_assert_eq!(command.value.as_f64(), Some(number));
        prop_assert_eq!(kept(&command.value), command.value);
    }
}
