//! What the mutations of projects take.

use async_graphql::{InputObject, MaybeUndefined};
use uuid::Uuid;

use super::{New, OnProject};

/// A project to create.
#[derive(Debug, InputObject)]
pub struct CreateProjectInput {
    /// The new project's UUID; made of the command's id when absent.
    pub project_id: Option<Uuid>,
    /// What people call it: 1 to 255 characters.
    pub name: String,
    /// What it is about: 1 to 10000 characters.
    pub description: Option<String>,
    #[graphql(flatten)]
    pub new: New,
}

/// Another name for a project.
#[derive(Debug, InputObject)]
pub struct RenameProjectInput {
    #[graphql(flatten)]
    pub on: OnProject,
    /// The new name: 1 to 255 characters.
    pub name: String,
}

/// What a project is about.
#[derive(Debug, InputObject)]
pub struct DescribeProjectInput {
    #[graphql(flatten)]
    pub on: OnProject,
    /// What it is about: 1 to 10000 characters. Must be given; null takes the description away.
    pub description: MaybeUndefined<String>,
}

/// A project to archive.
#[derive(Debug, InputObject)]
pub struct ArchiveProjectInput {
    #[graphql(flatten)]
    pub on: OnProject,
}

/// An archived project to open again.
#[derive(Debug, InputObject)]
pub struct RestoreProjectInput {
    #[graphql(flatten)]
    pub on: OnProject,
}
