//! Projects and tasks on the write side: roles, facts and guards.

use foldline_domain::tasks::{Facts, Project, ProjectCommand, ProjectFacts, Task, TaskCommand};
use foldline_events::{
    Tenant,
    tasks::{project_stream, project_tag},
};
use foldline_gate::Role;
use foldline_log::{Error, Guard};

use crate::{
    Handler,
    aggregate::Aggregate,
    streams::{Key, Reading, Streams},
};

impl Aggregate for Project {
    fn streams(handler: &Handler) -> &Streams<Self> {
        &handler.projects
    }

    fn size_bytes(&self) -> usize {
        Self::size_bytes(self)
    }

    fn least_role(command: &ProjectCommand) -> Role {
        match command {
            ProjectCommand::Create(_) | ProjectCommand::Rename(_) => Role::Member,
            ProjectCommand::Archive(_) => Role::Admin,
        }
    }

    fn creates(command: &ProjectCommand) -> bool {
        match command {
            ProjectCommand::Create(_) => true,
            ProjectCommand::Rename(_) | ProjectCommand::Archive(_) => false,
        }
    }

    async fn facts(
        _: &Handler,
        _: &Tenant,
        _: &ProjectCommand,
        _: Reading,
    ) -> Result<((), Vec<Guard>), Error> {
        Ok(((), vec![]))
    }
}

impl Aggregate for Task {
    fn streams(handler: &Handler) -> &Streams<Self> {
        &handler.tasks
    }

    fn size_bytes(&self) -> usize {
        Self::size_bytes(self)
    }

    fn least_role(_: &TaskCommand) -> Role {
        Role::Member
    }

    fn creates(command: &TaskCommand) -> bool {
        project_of(command).is_some()
    }

    /// Only creating a task asks: is its project there, and open to new tasks? It stays so up to the append, because
    /// the append is guarded against an archival after what was read here.
    async fn facts(
        handler: &Handler,
        tenant: &Tenant,
        command: &TaskCommand,
        reading: Reading,
    ) -> Result<(Facts, Vec<Guard>), Error> {
        let Some(project_id) = project_of(command) else {
            return Ok((Facts::default(), vec![]));
        };
        let key = Key {
            tenant: tenant.clone(),
            stream: project_stream(project_id),
        };
        let project = handler.projects.load(&key, reading).await?;
        let guards = project.iter().map(|project| Guard {
            tag: project_tag(project_id),
            event_types: vec!["tasks.ProjectArchived".to_owned()],
            after: project.position,
        });
        let facts = Facts {
            project: project.as_ref().map(|project| ProjectFacts {
                archived: project.state.archived(),
            }),
        };
        Ok((facts, guards.collect()))
    }
}

/// The project that a command refers to without writing it.
pub(crate) fn project_of(command: &TaskCommand) -> Option<uuid::Uuid> {
    match command {
        TaskCommand::Create(command) => Some(command.project_id),
        TaskCommand::Assign(_)
        | TaskCommand::AddLabel(_)
        | TaskCommand::Start(_)
        | TaskCommand::AddStep(_)
        | TaskCommand::CompleteStep(_)
        | TaskCommand::Complete(_)
        | TaskCommand::Reopen(_)
        | TaskCommand::Cancel(_) => None,
    }
}
