//! What of a project is compared between its versions.

use async_graphql::Value;
use foldline_events::tasks::project_stream;
use uuid::Uuid;

use super::{COLUMNS, Project};
use crate::changes::{Field, Made, Versioned, may_be, said};

impl Versioned for Project {
    const COLUMNS: &'static str = COLUMNS;
    const VIEW: &'static str = "project_view";
    const VERSIONS: &'static str = "project_version";
    const ID: &'static str = "project_id";
    const FIELDS: &'static [Field<Self>] = &[
        ("name", |project| said(&project.name)),
        ("description", |project| {
            may_be(project.description.as_ref())
        }),
        ("archived", |project| Value::from(project.archived)),
        ("createdAt", |project| said(&project.created_at)),
        ("archivedAt", |project| may_be(project.archived_at.as_ref())),
    ];

    fn stream(id: Uuid) -> String {
        project_stream(id)
    }

    fn made(&self) -> Made {
        Made {
            version: self.version,
            position: self.position,
            at: self.updated_at,
            entry: None,
        }
    }
}
