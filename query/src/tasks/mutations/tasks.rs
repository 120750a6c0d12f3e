//! The commands on tasks.

use async_graphql::{Context, Object};
use foldline_domain::tasks::{self as domain, TaskCommand};

use super::{
    adding, create_task,
    inputs::{
        hours, stated,
        tasks::{
            AddCommentInput, AddLabelInput, AddStepInput, AssignTaskInput, BlockTaskInput,
            CancelTaskInput, CompleteStepInput, CompleteTaskInput, CreateTaskInput,
            DeleteTaskInput, DescribeTaskInput, EstimateTaskInput, MoveTaskInput,
            RecordAiReviewInput, RemoveLabelInput, RemoveMetadataInput, RemoveStepInput,
            RenameTaskInput, ReopenTaskInput, RequestAiReviewInput, RestoreTaskInput,
            SetMetadataInput, SetTaskDueDateInput, SetTaskKeyInput, SetTaskPriorityInput,
            StartTaskInput, UnassignTaskInput, UnblockTaskInput,
        },
    },
    on_task,
    payloads::TaskPayload,
};
use crate::{error::Error, node::NodeKind};

#[derive(Debug, Default)]
pub struct TaskMutation;

#[Object]
impl TaskMutation {
    /// Creates a task in a project that exists and is not archived.
    async fn create_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to create, and where.")] input: CreateTaskInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let (new, id) = (input.new, input.task_id);
        let command = NodeKind::Project
            .uuid(&input.project_id)
            .and_then(|project_id| {
                Ok(TaskCommand::Create(domain::CreateTask {
                    project_id,
                    title: input.title,
                    description: input.description,
                    priority: input.priority.into(),
                    estimated_hours: hours(input.estimated_hours, "estimatedHours")?,
                    due_date: input.due_date.map(|day| day.0),
                    key: input.key,
                    metadata: (input.metadata).map_or_else(Default::default, |json| json.0),
                }))
            });
        create_task(ctx, new, id, command).await
    }

    /// Gives a task another title.
    async fn rename_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and its new title.")] input: RenameTaskInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = TaskCommand::Rename(domain::RenameTask { title: input.title });
        on_task(ctx, input.on, Ok(command)).await
    }

    /// Says what a task is about.
    async fn describe_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and what it is about.")] input: DescribeTaskInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = stated(input.description, "description")
            .map(|description| TaskCommand::Describe(domain::DescribeTask { description }));
        on_task(ctx, input.on, command).await
    }

    /// Says how urgent a task is.
    async fn set_task_priority(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and how urgent it is.")] input: SetTaskPriorityInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = TaskCommand::SetPriority(domain::SetPriority {
            priority: input.priority.into(),
        });
        on_task(ctx, input.on, Ok(command)).await
    }

    /// Estimates the hours that a task will take.
    async fn estimate_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and the hours.")] input: EstimateTaskInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = stated(input.estimated_hours, "estimatedHours")
            .and_then(|estimate| hours(estimate, "estimatedHours"))
            .map(|estimated_hours| TaskCommand::Estimate(domain::EstimateTask { estimated_hours }));
        on_task(ctx, input.on, command).await
    }

    /// Says by when a task is to be done.
    async fn set_task_due_date(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and the day.")] input: SetTaskDueDateInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = stated(input.due_date, "dueDate").map(|day| {
            let due_date = day.map(|day| day.0);
            TaskCommand::SetDueDate(domain::SetDueDate { due_date })
        });
        on_task(ctx, input.on, command).await
    }

    /// Gives a task a key, by which it is found and which no other task of the tenant has.
    async fn set_task_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and its key.")] input: SetTaskKeyInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command =
            stated(input.key, "key").map(|key| TaskCommand::SetKey(domain::SetKey { key }));
        on_task(ctx, input.on, command).await
    }

    /// Makes somebody responsible for a task.
    async fn assign_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and who.")] input: AssignTaskInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = TaskCommand::Assign(domain::AssignTask {
            assignee_id: input.assignee_id,
        });
        on_task(ctx, input.on, Ok(command)).await
    }

    /// Takes a task from its assignee.
    async fn unassign_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task.")] input: UnassignTaskInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = TaskCommand::Unassign(domain::UnassignTask {});
        on_task(ctx, input.on, Ok(command)).await
    }

    /// Puts a label on a task.
    async fn add_label(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and the label.")] input: AddLabelInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = TaskCommand::AddLabel(domain::AddLabel { label: input.label });
        on_task(ctx, input.on, Ok(command)).await
    }

    /// Takes a label from a task.
    async fn remove_label(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and the label.")] input: RemoveLabelInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = TaskCommand::RemoveLabel(domain::RemoveLabel { label: input.label });
        on_task(ctx, input.on, Ok(command)).await
    }

    /// Notes a free-form fact about a task, or changes it.
    async fn set_metadata(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and the fact.")] input: SetMetadataInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = TaskCommand::SetMetadata(domain::SetMetadata {
            name: input.name,
            value: input.value.0,
        });
        on_task(ctx, input.on, Ok(command)).await
    }

    /// Forgets a free-form fact about a task.
    async fn remove_metadata(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and the fact's name.")] input: RemoveMetadataInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = TaskCommand::RemoveMetadata(domain::RemoveMetadata { name: input.name });
        on_task(ctx, input.on, Ok(command)).await
    }

    /// Says something about a task.
    async fn add_comment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and what is said.")] input: AddCommentInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let text = input.text;
        adding(ctx, input.on, input.comment_id, |comment_id| {
            TaskCommand::AddComment(domain::AddComment { comment_id, text })
        })
        .await
    }

    /// Begins work on a task.
    async fn start_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task.")] input: StartTaskInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = TaskCommand::Start(domain::StartTask {});
        on_task(ctx, input.on, Ok(command)).await
    }

    /// Says that a task cannot go on, and why.
    async fn block_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and why.")] input: BlockTaskInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = TaskCommand::Block(domain::BlockTask {
            reason: input.reason,
        });
        on_task(ctx, input.on, Ok(command)).await
    }

    /// Says that a blocked task can go on: it is open, or in progress, as it was before.
    async fn unblock_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task.")] input: UnblockTaskInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = TaskCommand::Unblock(domain::UnblockTask {});
        on_task(ctx, input.on, Ok(command)).await
    }

    /// Adds a step to a task.
    async fn add_step(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and what is to be done.")] input: AddStepInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let content = input.content;
        adding(ctx, input.on, input.step_id, |step_id| {
            TaskCommand::AddStep(domain::AddStep { step_id, content })
        })
        .await
    }

    /// Marks a step of a task as done.
    async fn complete_step(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and which of its steps.")] input: CompleteStepInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = TaskCommand::CompleteStep(domain::CompleteStep {
            step_id: input.step_id,
        });
        on_task(ctx, input.on, Ok(command)).await
    }

    /// Takes a step from a task.
    async fn remove_step(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and which of its steps.")] input: RemoveStepInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = TaskCommand::RemoveStep(domain::RemoveStep {
            step_id: input.step_id,
        });
        on_task(ctx, input.on, Ok(command)).await
    }

    /// Marks a task as done. Its steps must be done before.
    async fn complete_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and how long it took.")] input: CompleteTaskInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = hours(input.actual_hours, "actualHours")
            .map(|actual_hours| TaskCommand::Complete(domain::CompleteTask { actual_hours }));
        on_task(ctx, input.on, command).await
    }

    /// Takes a completed or cancelled task up again; it is open then.
    async fn reopen_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and why.")] input: ReopenTaskInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = TaskCommand::Reopen(domain::ReopenTask {
            reason: input.reason,
        });
        on_task(ctx, input.on, Ok(command)).await
    }

    /// Gives a task up.
    async fn cancel_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and why.")] input: CancelTaskInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = TaskCommand::Cancel(domain::CancelTask {
            reason: input.reason,
        });
        on_task(ctx, input.on, Ok(command)).await
    }

    /// Deletes a task: it is in no list and no dashboard any more, until it is restored.
    async fn delete_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task.")] input: DeleteTaskInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = TaskCommand::Delete(domain::DeleteTask {});
        on_task(ctx, input.on, Ok(command)).await
    }

    /// Brings a deleted task back as it was.
    async fn restore_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task.")] input: RestoreTaskInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = TaskCommand::Restore(domain::RestoreTask {});
        on_task(ctx, input.on, Ok(command)).await
    }

    /// Moves a task to another project, which must exist and not be archived.
    async fn move_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and where to.")] input: MoveTaskInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = NodeKind::Project
            .uuid(&input.project_id)
            .map(|project_id| TaskCommand::Move(domain::MoveTask { project_id }));
        on_task(ctx, input.on, command).await
    }

    /// Asks for the review of a task by an AI.
    async fn request_ai_review(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task.")] input: RequestAiReviewInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = TaskCommand::RequestAiReview(domain::RequestAiReview {});
        on_task(ctx, input.on, Ok(command)).await
    }

    /// Notes how the review of a task by an AI stands. It must have been asked for.
    async fn record_ai_review(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and how it stands.")] input: RecordAiReviewInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let command = TaskCommand::RecordAiReview(domain::RecordAiReview {
            status: input.status.into(),
            summary: input.summary,
        });
        on_task(ctx, input.on, Ok(command)).await
    }
}
