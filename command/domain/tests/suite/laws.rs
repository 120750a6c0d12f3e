//! What holds for every history and every command.

use foldline_domain::{
    Command, Decider,
    tasks::{Facts, Project, ProjectFacts, Task},
};
use foldline_events::{
    Event,
    tasks::{ProjectEvent, TaskEvent},
};
use proptest::{collection::vec, prelude::*};
use uuid::Uuid;

/// Few ids and few texts, so that commands meet each other.
fn command() -> impl Strategy<Value = Command> {
    let id = (0..3_u128).prop_map(Uuid::from_u128);
    let text = prop::sample::select(vec!["a", "b", " ", ""]);
    let hours = prop::sample::select(vec!["null", "0", "2", "-1"]);
    (0..12_usize, id, text, hours).prop_map(|(of, id, text, hours)| {
        let (command_type, data) = match of {
            0 => ("tasks.create_project", format!(r#"{{"name":"{text}"}}"#)),
            1 => ("tasks.rename_project", format!(r#"{{"name":"{text}"}}"#)),
            2 => ("tasks.archive_project", "{}".to_owned()),
            3 => (
                "tasks.create_task",
                format!(r#"{{"projectId":"{id}","title":"{text}","priority":"low","estimatedHours":{hours}}}"#),
            ),
            4 => ("tasks.assign_task", format!(r#"{{"assigneeId":"{id}"}}"#)),
            5 => ("tasks.add_label", format!(r#"{{"label":"{text}"}}"#)),
            6 => ("tasks.start_task", "{}".to_owned()),
            7 => ("tasks.add_step", format!(r#"{{"stepId":"{id}","content":"{text}"}}"#)),
            8 => ("tasks.complete_step", format!(r#"{{"stepId":"{id}"}}"#)),
            9 => ("tasks.complete_task", format!(r#"{{"actualHours":{hours}}}"#)),
            10 => ("tasks.reopen_task", format!(r#"{{"reason":"{text}"}}"#)),
            _ => ("tasks.cancel_task", format!(r#"{{"reason":"{text}"}}"#)),
        };
        Command::parse(command_type, &data).unwrap()
    })
}

fn facts() -> impl Strategy<Value = Facts> {
    prop::option::of(any::<bool>()).prop_map(|project| Facts {
        project: project.map(|archived| ProjectFacts { archived }),
    })
}

fn event() -> impl Strategy<Value = Event> {
    const TYPES: [(&str, &str); 12] = [
        ("tasks.ProjectCreated", r#"{"name":"a"}"#),
        ("tasks.ProjectRenamed", r#"{"name":"b"}"#),
        ("tasks.ProjectArchived", "{}"),
        (
            "tasks.TaskCreated",
            r#"{"projectId":"ID","title":"a","priority":"low"}"#,
        ),
        ("tasks.TaskAssigned", r#"{"assigneeId":"ID"}"#),
        ("tasks.TaskLabelAdded", r#"{"label":"a"}"#),
        ("tasks.TaskStarted", "{}"),
        ("tasks.TaskStepAdded", r#"{"stepId":"ID","content":"a"}"#),
        ("tasks.TaskStepCompleted", r#"{"stepId":"ID"}"#),
        ("tasks.TaskCompleted", "{}"),
        ("tasks.TaskReopened", r#"{"reason":"a"}"#),
        ("tasks.TaskCancelled", r#"{"reason":"a"}"#),
    ];
    (prop::sample::select(&TYPES[..]), 0..3_u128).prop_map(|((event_type, payload), id)| {
        let payload = payload.replace("ID", &Uuid::from_u128(id).to_string());
        Event::decode(event_type, 1, &payload).unwrap()
    })
}

/// The state after the events that a command yielded.
fn after<D: Decider>(state: Option<D>, events: &[D::Event]) -> Option<D> {
    events
        .iter()
        .fold(state, |state, event| D::evolve(state, event))
}

/// Whether doing it again yields nothing further.
fn settles<D: Decider<Command: Clone> + Clone>(
    state: &Option<D>,
    facts: &D::Facts,
    command: &D::Command,
) -> bool {
    let Ok(events) = D::decide(state.as_ref(), facts, command.clone()) else {
        return true;
    };
    let state = after(state.clone(), &events);
    D::decide(state.as_ref(), facts, command.clone()).map_or(true, |again| again.is_empty())
}

proptest! {
    #[test]
    fn the_same_command_done_twice_has_no_further_effect(
        commands in vec(command(), 1..40),
        facts in facts(),
    ) {
        let (mut project, mut task) = (None::<Project>, None::<Task>);
        for command in commands {
            match command {
                Command::Project(command) => {
                    prop_assert!(settles(&project, &(), &command), "{command:?} on {project:?}");
                    let events = Project::decide(project.as_ref(), &(), command).unwrap_or_default();
                    prop_assert!(events.len() <= 1);
                    project = after(project, &events);
                }
                Command::Task(command) => {
                    prop_assert!(settles(&task, &facts, &command), "{command:?} on {task:?}");
                    let events = Task::decide(task.as_ref(), &facts, command).unwrap_or_default();
                    prop_assert!(events.len() <= 1);
                    task = after(task, &events);
                }
            }
        }
    }

    /// Also such orders as no decision makes: what exists goes on existing, and what does not only begins by being
    /// created.
    #[test]
    fn evolve_takes_any_event_in_any_state(events in vec(event(), 0..40)) {
        let (mut project, mut task) = (None::<Project>, None::<Task>);
        for event in events {
            match event {
                Event::Project(event) => {
                    let exists = project.is_some() || matches!(event, ProjectEvent::Created(_));
                    project = Project::evolve(project, &event);
                    prop_assert_eq!(project.is_some(), exists);
                }
                Event::Task(event) => {
                    let exists = task.is_some() || matches!(event, TaskEvent::Created(_));
                    task = Task::evolve(task, &event);
                    prop_assert_eq!(task.is_some(), exists);
                }
            }
        }
    }

    /// What a command yields survives the log: a replay from what was stored folds to the same state.
    #[test]
    fn a_replay_of_what_was_stored_gives_the_same_state(commands in vec(command(), 1..40)) {
        let facts = Facts { project: Some(ProjectFacts { archived: false }) };
        let (mut live, mut replayed) = (None::<Task>, None::<Task>);
        for command in commands {
            let Command::Task(command) = command else { continue };
            for event in Task::decide(live.as_ref(), &facts, command).unwrap_or_default() {
                live = Task::evolve(live, &event);
                let stored = Task::widen(event).encode(Uuid::nil());
                let read = Event::decode(stored.event_type, stored.schema_version, &stored.payload);
                let read = Task::narrow(read.unwrap()).unwrap();
                replayed = Task::evolve(replayed, &read);
            }
        }
        prop_assert_eq!(live, replayed);
    }
}
