use foldline_domain::tasks::{
    ArchiveProject, CreateProject, DescribeProject, Project, ProjectCommand, Rejection,
    RenameProject, RestoreProject, TextFault,
};
use foldline_events::tasks::{
    ProjectArchived, ProjectCreated, ProjectDescribed, ProjectEvent, ProjectRenamed,
    ProjectRestored,
};

use crate::specification::{Given, given};

fn created(name: &str) -> ProjectEvent {
    created_as(name, None)
}

fn created_as(name: &str, description: Option<&str>) -> ProjectEvent {
    ProjectEvent::Created(ProjectCreated {
        name: name.into(),
        description: description.map(str::to_owned),
    })
}

fn renamed(name: &str) -> ProjectEvent {
    ProjectEvent::Renamed(ProjectRenamed { name: name.into() })
}

fn described(description: Option<&str>) -> ProjectEvent {
    ProjectEvent::Described(ProjectDescribed {
        description: description.map(str::to_owned),
    })
}

fn archived() -> ProjectEvent {
    ProjectEvent::Archived(ProjectArchived {})
}

fn restored() -> ProjectEvent {
    ProjectEvent::Restored(ProjectRestored {})
}

fn create(name: &str) -> ProjectCommand {
    create_as(name, None)
}

fn create_as(name: &str, description: Option<&str>) -> ProjectCommand {
    ProjectCommand::Create(CreateProject {
        name: name.into(),
        description: description.map(str::to_owned),
    })
}

fn rename(name: &str) -> ProjectCommand {
    ProjectCommand::Rename(RenameProject { name: name.into() })
}

fn describe(description: Option<&str>) -> ProjectCommand {
    ProjectCommand::Describe(DescribeProject {
        description: description.map(str::to_owned),
    })
}

fn archive() -> ProjectCommand {
    ProjectCommand::Archive(ArchiveProject {})
}

fn restore() -> ProjectCommand {
    ProjectCommand::Restore(RestoreProject {})
}

fn project<const N: usize>(events: [ProjectEvent; N]) -> Given<Project> {
    given(events)
}

#[test]
fn a_project_is_created_with_or_without_a_description() {
    project([]).when(create("Moon")).then(created("Moon"));
    let about = Some("The way there");
    project([])
        .when(create_as("Moon", about))
        .then(created_as("Moon", about));
}

#[test]
fn a_project_is_created_once() {
    for there in [
        project([created("Moon")]),
        project([created("Moon"), archived()]),
    ] {
        there
            .when(create("Moon"))
            .then_rejected(Rejection::ProjectExists);
    }
}

#[test]
fn nothing_can_be_done_to_an_unknown_project() {
    for command in [rename("Mars"), describe(None), archive(), restore()] {
        project([])
            .when(command)
            .then_rejected(Rejection::UnknownProject);
    }
}

#[test]
fn a_project_is_renamed_to_another_name() {
    project([created("Moon")])
        .when(rename("Mars"))
        .then(renamed("Mars"));
    project([created("Moon"), renamed("Mars")])
        .when(rename("Mars"))
        .then_nothing();
}

#[test]
fn a_project_is_described_anew_or_not_at_all() {
    let (far, near) = (Some("Far"), Some("Near"));
    project([created("Moon")])
        .when(describe(far))
        .then(described(far));
    project([created_as("Moon", far)])
        .when(describe(far))
        .then_nothing();
    let known = project([created("Moon"), described(far)]);
    known.when(describe(near)).then(described(near));
    known.when(describe(None)).then(described(None));
    project([created("Moon")])
        .when(describe(None))
        .then_nothing();
}

#[test]
fn a_project_is_archived_once_and_restored_once() {
    project([created("Moon")]).when(archive()).then(archived());
    project([created("Moon"), archived()])
        .when(archive())
        .then_nothing();
    project([created("Moon"), archived()])
        .when(restore())
        .then(restored());
    for open in [
        project([created("Moon")]),
        project([created("Moon"), archived(), restored()]),
    ] {
        open.when(restore()).then_nothing();
    }
}

#[test]
fn an_archived_project_stays_as_it_was_until_it_is_restored() {
    for command in [rename("Mars"), rename("Moon"), describe(Some("Far"))] {
        project([created("Moon"), archived()])
            .when(command)
            .then_rejected(Rejection::ProjectArchived);
    }
    let again = project([created("Moon"), archived(), restored()]);
    again.when(rename("Mars")).then(renamed("Mars"));
    again
        .when(describe(Some("Far")))
        .then(described(Some("Far")));
    again.when(archive()).then(archived());
}

#[test]
fn names_and_descriptions_are_readable_and_have_their_lengths() {
    let about = |text: &str| create_as("Moon", Some(text));
    let anew = |text: &str| describe(Some(text));
    type Command<'a> = &'a dyn Fn(&str) -> ProjectCommand;
    let cases: [(Given<Project>, &str, usize, Command); 4] = [
        (project([]), "name", 255, &create),
        (project([created("Moon")]), "name", 255, &rename),
        (project([]), "description", 10_000, &about),
        (project([created("Moon")]), "description", 10_000, &anew),
    ];
    for (given, field, chars_max, command) in cases {
        let refused = |fault| Rejection::Text { field, fault };
        for blank in ["", " ", "\u{2003}\n"] {
            given
                .when(command(blank))
                .then_rejected(refused(TextFault::Blank));
        }
        given
            .when(command("Mo\0on"))
            .then_rejected(refused(TextFault::Nul));
        given
            .when(command(&"ä".repeat(chars_max + 1)))
            .then_rejected(refused(TextFault::TooLong { chars_max }));
        let longest = given.when(command(&"ä".repeat(chars_max))).0;
        assert_eq!(longest.map(|events| events.len()), Ok(1), "{field}");
    }
}
