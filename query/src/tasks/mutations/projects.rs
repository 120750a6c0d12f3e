//! The commands on projects.

use async_graphql::{Context, Object};
use foldline_domain::tasks::{self as domain, ProjectCommand};

use super::{
    create_project,
    inputs::{
        projects::{
            ArchiveProjectInput, CreateProjectInput, DescribeProjectInput, RenameProjectInput,
            RestoreProjectInput,
        },
        stated,
    },
    on_project,
    payloads::ProjectPayload,
};
use crate::error::Error;

#[derive(Debug, Default)]
pub struct ProjectMutation;

#[Object]
impl ProjectMutation {
    /// Creates a project.
    async fn create_project(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to create.")] input: CreateProjectInput,
    ) -> Option<Result<ProjectPayload, Error>> {
        let command = ProjectCommand::Create(domain::CreateProject {
            name: input.name,
            description: input.description,
        });
        create_project(ctx, input.new, input.project_id, command).await
    }

    /// Gives a project another name.
    async fn rename_project(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which project, and its new name.")] input: RenameProjectInput,
    ) -> Option<Result<ProjectPayload, Error>> {
        let command = ProjectCommand::Rename(domain::RenameProject { name: input.name });
        on_project(ctx, input.on, Ok(command)).await
    }

    /// Says what a project is about.
    async fn describe_project(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which project, and what it is about.")] input: DescribeProjectInput,
    ) -> Option<Result<ProjectPayload, Error>> {
        let command = stated(input.description, "description")
            .map(|description| ProjectCommand::Describe(domain::DescribeProject { description }));
        on_project(ctx, input.on, command).await
    }

    /// Closes a project to new tasks. For admins.
    async fn archive_project(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which project.")] input: ArchiveProjectInput,
    ) -> Option<Result<ProjectPayload, Error>> {
        let command = ProjectCommand::Archive(domain::ArchiveProject {});
        on_project(ctx, input.on, Ok(command)).await
    }

    /// Opens an archived project again. For admins.
    async fn restore_project(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which project.")] input: RestoreProjectInput,
    ) -> Option<Result<ProjectPayload, Error>> {
        let command = ProjectCommand::Restore(domain::RestoreProject {});
        on_project(ctx, input.on, Ok(command)).await
    }
}
