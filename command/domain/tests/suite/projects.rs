use foldline_domain::tasks::{
    ArchiveProject, CreateProject, Project, ProjectCommand, Rejection, RenameProject, TextFault,
};
use foldline_events::tasks::{ProjectArchived, ProjectCreated, ProjectEvent, ProjectRenamed};

use crate::specification::{Given, given};

fn created(name: &str) -> ProjectEvent {
    ProjectEvent::Created(ProjectCreated { name: name.into() })
}

fn renamed(name: &str) -> ProjectEvent {
    ProjectEvent::Renamed(ProjectRenamed { name: name.into() })
}

fn archived() -> ProjectEvent {
    ProjectEvent::Archived(ProjectArchived {})
}

fn create(name: &str) -> ProjectCommand {
    ProjectCommand::Create(CreateProject { name: name.into() })
}

fn rename(name: &str) -> ProjectCommand {
    ProjectCommand::Rename(RenameProject { name: name.into() })
}

fn archive() -> ProjectCommand {
    ProjectCommand::Archive(ArchiveProject {})
}

fn project<const N: usize>(events: [ProjectEvent; N]) -> Given<Project> {
    given(events)
}

#[test]
fn a_project_is_created() {
    project([]).when(create("Moon")).then(created("Moon"));
}

#[test]
fn a_project_is_created_once() {
    project([created("Moon")])
        .when(create("Moon"))
        .then_rejected(Rejection::ProjectExists);
}

#[test]
fn an_unknown_project_can_be_neither_renamed_nor_archived() {
    project([])
        .when(rename("Mars"))
        .then_rejected(Rejection::UnknownProject);
    project([])
        .when(archive())
        .then_rejected(Rejection::UnknownProject);
}

#[test]
fn a_project_is_renamed() {
    project([created("Moon")])
        .when(rename("Mars"))
        .then(renamed("Mars"));
}

#[test]
fn renaming_a_project_to_the_name_it_has_changes_nothing() {
    project([created("Moon"), renamed("Mars")])
        .when(rename("Mars"))
        .then_nothing();
}

#[test]
fn a_project_is_archived_once() {
    project([created("Moon")]).when(archive()).then(archived());
    project([created("Moon"), archived()])
        .when(archive())
        .then_nothing();
}

#[test]
fn an_archived_project_cannot_be_renamed() {
    project([created("Moon"), archived()])
        .when(rename("Mars"))
        .then_rejected(Rejection::ProjectArchived);
}

#[test]
fn a_projects_name_is_1_to_255_readable_characters() {
    let refused = |fault| Rejection::Text {
        field: "name",
        fault,
    };
    project([])
        .when(create(&"ä".repeat(255)))
        .then(created(&"ä".repeat(255)));
    for command in [create, rename] {
        let known = project([created("Moon")]);
        for blank in ["", " ", "\u{2003}\n"] {
            known
                .when(command(blank))
                .then_rejected(refused(TextFault::Blank));
        }
        known
            .when(command(&"ä".repeat(256)))
            .then_rejected(refused(TextFault::TooLong { chars_max: 255 }));
        known
            .when(command("Mo\0on"))
            .then_rejected(refused(TextFault::Nul));
    }
}
