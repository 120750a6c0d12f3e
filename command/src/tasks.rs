//! Projects and tasks on the write side: roles, facts and guards.

use foldline_domain::tasks::{
    Facts, KeyFacts, Project, ProjectCommand, ProjectFacts, Task, TaskCommand, holder_after,
};
use foldline_events::{
    Event, Tenant,
    tasks::{
        KeyEvent, TaskEvent, TaskKeyReleased, TaskKeyReserved, key_stream, project_stream,
        project_tag,
    },
};
use foldline_gate::Role;
use foldline_log::{Error, Expected, Guard, StreamEvent};
use uuid::Uuid;

use crate::{
    Handler,
    aggregate::{Aggregate, Beside, Of},
    digest::Digest,
    offline::{Offline, States},
    streams::{Key, Reading, Streams},
};

/// Under which kind the keys of tasks are reserved.
const TASK_KEY: &str = "task-key";
/// How many reservations of one key are read at once.
const RESERVATIONS_PAGE: usize = 100;

impl Aggregate for Project {
    fn streams(handler: &Handler) -> &Streams<Self> {
        &handler.projects
    }

    fn size_bytes(&self) -> usize {
        Self::size_bytes(self)
    }

    fn least_role(command: &ProjectCommand) -> Role {
        match command {
            ProjectCommand::Create(_) | ProjectCommand::Rename(_) | ProjectCommand::Describe(_) => {
                Role::Member
            }
            ProjectCommand::Archive(_) | ProjectCommand::Restore(_) => Role::Admin,
        }
    }

    fn creates(command: &ProjectCommand) -> bool {
        matches!(command, ProjectCommand::Create(_))
    }

    async fn facts(
        _: &Handler,
        _: Of<'_>,
        _: &ProjectCommand,
        _: Reading,
    ) -> Result<((), Vec<Guard>), Error> {
        Ok(((), vec![]))
    }

    fn facts_offline(_: &Offline, _: &Tenant, _: &ProjectCommand) {}

    fn states(offline: &mut Offline) -> &mut States<Self> {
        &mut offline.projects
    }

    fn beside(_: &Digest, _: Of<'_>, _: Option<&Self>, _: &[Self::Event], (): &()) -> Vec<Beside> {
        vec![]
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
        matches!(command, TaskCommand::Create(_))
    }

    /// Is the project that the task goes into there, and open to new tasks? It stays so up to the append, because the
    /// append is guarded against an archival after what was read here. Is the key free? It stays so, because its
    /// reservation is appended to the stream as it was read here.
    async fn facts(
        handler: &Handler,
        of: Of<'_>,
        command: &TaskCommand,
        reading: Reading,
    ) -> Result<(Facts, Vec<Guard>), Error> {
        let tenant = of.tenant;
        let mut key = match key_of(command) {
            Some(key) => key_facts(handler, tenant, key, reading).await?,
            None => KeyFacts::default(),
        };
        // The state was read before: it may not know yet that the task itself has taken the key. The append finds out.
        key.holder = key.holder.filter(|holder| *holder != of.aggregate);
        let Some(project_id) = project_of(command) else {
            let facts = Facts { project: None, key };
            return Ok((facts, vec![]));
        };
        let stream = Key {
            tenant: tenant.clone(),
            stream: project_stream(project_id),
        };
        let project = handler.projects.load_for_guard(&stream, reading).await?;
        let guards = project.iter().map(|project| Guard {
            tags: vec![project_tag(project_id)],
            event_types: vec!["tasks.ProjectArchived".to_owned()],
            after: project.complete,
        });
        let project = project.as_ref().map(|project| ProjectFacts {
            archived: project.state.archived(),
        });
        Ok((Facts { project, key }, guards.collect()))
    }

    fn facts_offline(offline: &Offline, tenant: &Tenant, command: &TaskCommand) -> Facts {
        let project = project_of(command).and_then(|id| offline.projects.get(&project_stream(id)));
        let key = key_of(command).and_then(|key| {
            let stream = key_stream(key_id(&offline.digest, tenant, key));
            offline.keys.get(&stream).copied()
        });
        Facts {
            project: project.map(|project| ProjectFacts {
                archived: project.state.archived(),
            }),
            key: key.unwrap_or_default(),
        }
    }

    fn states(offline: &mut Offline) -> &mut States<Self> {
        &mut offline.tasks
    }

    fn beside(
        digest: &Digest,
        of: Of<'_>,
        before: Option<&Self>,
        events: &[TaskEvent],
        facts: &Facts,
    ) -> Vec<Beside> {
        let to = |key: &str, expected, event: fn(Uuid) -> KeyEvent| {
            let id = key_id(digest, of.tenant, key);
            Beside {
                stream: key_stream(id),
                expected,
                aggregate: id,
                event: Event::TaskKey(event(of.aggregate)),
            }
        };
        let reserved = |task_id| KeyEvent::Reserved(TaskKeyReserved { task_id });
        let released = |task_id| KeyEvent::Released(TaskKeyReleased { task_id });
        let free = match facts.key.version {
            0 => Expected::NoStream,
            version => Expected::Exactly(version),
        };
        let mut beside = Vec::new();
        for key in events.iter().filter_map(given_key) {
            // The one that has a key is the only one that gives it back, so nobody else is in the way.
            if let Some(old) = before.and_then(Task::key) {
                beside.push(to(old, Expected::Exists, released));
            }
            if let Some(new) = key {
                beside.push(to(new, free, reserved));
            }
        }
        beside
    }
}

/// The project that a command refers to without writing it.
pub(crate) fn project_of(command: &TaskCommand) -> Option<Uuid> {
    if let TaskCommand::Create(command) = command {
        Some(command.project_id)
    } else if let TaskCommand::Move(command) = command {
        Some(command.project_id)
    } else {
        None
    }
}

/// The key that a command wants for its task.
fn key_of(command: &TaskCommand) -> Option<&str> {
    if let TaskCommand::Create(command) = command {
        command.key.as_deref()
    } else if let TaskCommand::SetKey(command) = command {
        command.key.as_deref()
    } else {
        None
    }
}

/// What else must not be reordered among commands in one request: one that changes a key gives another back, of which
/// it does not say which. So it goes alone, and those that only take a new key go at once.
pub(crate) fn keys_of(command: &TaskCommand) -> Keys {
    if matches!(command, TaskCommand::SetKey(_)) {
        Keys::Change
    } else {
        key_of(command).map_or(Keys::Leave, |key| Keys::Take(key.to_owned()))
    }
}

/// What a command does with the keys of tasks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    Leave,
    Take(String),
    Change,
}

/// The key that a task has after an event; `None` when the event says nothing of it.
fn given_key(event: &TaskEvent) -> Option<Option<&str>> {
    if let TaskEvent::KeySet(event) = event {
        Some(event.key.as_deref())
    } else if let TaskEvent::Created(event) = event {
        Some(event.key.as_deref())
    } else {
        None
    }
}

fn key_id(digest: &Digest, tenant: &Tenant, key: &str) -> Uuid {
    digest.reservation(TASK_KEY, tenant, key)
}

/// Read from the log each time: few commands name a key, and hardly two the same.
async fn key_facts(
    handler: &Handler,
    tenant: &Tenant,
    key: &str,
    reading: Reading,
) -> Result<KeyFacts, Error> {
    let stream = key_stream(key_id(&handler.digest, tenant, key));
    let counts = |stored: &&StreamEvent| stored.position <= reading.through();
    let mut facts = KeyFacts::default();
    loop {
        let page = (handler.log)
            .read_to_fold(tenant, &stream, facts.version, RESERVATIONS_PAGE)
            .await?;
        for stored in page.events.iter().filter(counts) {
            facts.holder = holder_after(facts.holder, &stored.event()?);
            facts.version = stored.version;
        }
        let is_last = page.events.last().is_none_or(|last| !counts(&last));
        if is_last || !page.may_go_on {
            return Ok(facts);
        }
    }
}
