//! Relay's global ids: one id space for everything that `node(id)` can find.
//!
//! A node id is base64 (RFC 4648, standard alphabet, padded) of `Project:<uuid>` or `Task:<uuid>`, the UUID in its
//! lowercase hyphenated form. Clients must treat it as opaque; it is written down here because it may never change.

use async_graphql::ID;
use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use crate::error::Error;

/// What a node id can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    Project,
    Task,
}

/// The longest id that is looked at, in bytes: a node id has 60, a UUID at most 45 (`urn:uuid:…`).
const ID_BYTES_MAX: usize = 64;

impl NodeKind {
    /// The name of its GraphQL type.
    fn name(self) -> &'static str {
        match self {
            Self::Project => "Project",
            Self::Task => "Task",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Project, Self::Task]
            .into_iter()
            .find(|kind| kind.name() == name)
    }

    /// The node id of the one with this UUID.
    pub fn id(self, uuid: Uuid) -> ID {
        ID(STANDARD.encode(format!("{}:{uuid}", self.name())))
    }

    /// The UUID that an argument of this kind names: a node id of this kind, or the bare UUID.
    pub fn uuid(self, id: &ID) -> Result<Uuid, Error> {
        if let Some(uuid) = bare_uuid(id) {
            return Ok(uuid);
        }
        match parse(id)? {
            (kind, uuid) if kind == self => Ok(uuid),
            (other, _) => Err(Error::BadId {
                problem: format!(
                    "the id of a {} stands where that of a {} must",
                    other.name(),
                    self.name()
                ),
            }),
        }
    }
}

/// Takes a node id apart.
pub fn parse(id: &ID) -> Result<(NodeKind, Uuid), Error> {
    let malformed = || Error::BadId {
        problem: "not an id: use one exactly as the server gave it".to_owned(),
    };
    if id.len() > ID_BYTES_MAX {
        return Err(malformed());
    }
    let bytes = STANDARD.decode(id.as_bytes()).map_err(|_| malformed())?;
    let text = String::from_utf8(bytes).map_err(|_| malformed())?;
    let (name, uuid) = text.split_once(':').ok_or_else(malformed)?;
    let kind = NodeKind::named(name).ok_or_else(malformed)?;
    let uuid = Uuid::try_parse(uuid).map_err(|_| malformed())?;
    Ok((kind, uuid))
}

fn bare_uuid(id: &ID) -> Option<Uuid> {
    (id.len() <= ID_BYTES_MAX).then(|| Uuid::try_parse(id).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_id_never_changes_its_spelling() {
        let id = NodeKind::Project.id(Uuid::nil());
        assert_eq!(
            id.as_str(),
            "UHJvamVjdDowMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDA="
        );
        assert_eq!(parse(&id).unwrap(), (NodeKind::Project, Uuid::nil()));
    }

    #[test]
    fn an_argument_takes_the_node_id_and_the_bare_uuid() {
        let uuid = Uuid::from_u128(7);
        assert_eq!(NodeKind::Task.uuid(&NodeKind::Task.id(uuid)).unwrap(), uuid);
        assert_eq!(NodeKind::Task.uuid(&ID(uuid.to_string())).unwrap(), uuid);
    }

    #[test]
    fn an_id_of_another_kind_or_of_nothing_is_refused() {
        assert!(
            NodeKind::Task
                .uuid(&NodeKind::Project.id(Uuid::nil()))
                .is_err()
        );
        for bad in [
            "",
            "x",
            "UHJvamVjdDo=",
            &STANDARD.encode("User:1"),
            &"A".repeat(100),
        ] {
            assert!(
                NodeKind::Project.uuid(&ID(bad.to_owned())).is_err(),
                "{bad:?}"
            );
        }
    }
}
