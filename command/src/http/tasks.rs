//! Routes of projects and tasks.

use foldline_domain::tasks::{
    AddComment, AddLabel, AddStep, ArchiveProject, AssignTask, BlockTask, CancelTask, CompleteStep,
    CompleteTask, CreateProject, CreateTask, DeleteTask, DescribeProject, DescribeTask,
    EstimateTask, MoveTask, RecordAiReview, RemoveLabel, RemoveMetadata, RemoveStep, RenameProject,
    RenameTask, ReopenTask, RequestAiReview, RestoreProject, RestoreTask, SetDueDate, SetKey,
    SetMetadata, SetPriority, StartTask, UnassignTask, UnblockTask,
};
use utoipa_axum::router::OpenApiRouter;

use super::{
    Api,
    route::{self, Route},
};

#[rustfmt::skip]
const OF_PROJECTS: [Route; 5] = [
    Route::create::<CreateProject>("/api/v1/projects", "tasks.create_project", "Create a project"),
    Route::change::<RenameProject>("/api/v1/projects/{id}/rename", "tasks.rename_project", "Rename a project"),
    Route::change::<DescribeProject>("/api/v1/projects/{id}/describe", "tasks.describe_project", "Say what a project is about"),
    Route::change::<ArchiveProject>("/api/v1/projects/{id}/archive", "tasks.archive_project",
        "Archive a project\nIt takes no new tasks from then on. For admins."),
    Route::change::<RestoreProject>("/api/v1/projects/{id}/restore", "tasks.restore_project",
        "Open an archived project again\nFor admins."),
];

#[rustfmt::skip]
const OF_TASKS: [Route; 28] = [
    Route::create::<CreateTask>("/api/v1/tasks", "tasks.create_task",
        "Create a task\nIn a project that exists and is not archived."),
    Route::change::<RenameTask>("/api/v1/tasks/{id}/rename", "tasks.rename_task", "Rename a task"),
    Route::change::<DescribeTask>("/api/v1/tasks/{id}/describe", "tasks.describe_task", "Say what a task is about"),
    Route::change::<SetPriority>("/api/v1/tasks/{id}/priority", "tasks.set_priority", "Say how urgent a task is"),
    Route::change::<EstimateTask>("/api/v1/tasks/{id}/estimate", "tasks.estimate_task", "Estimate a task's hours"),
    Route::change::<SetDueDate>("/api/v1/tasks/{id}/due-date", "tasks.set_due_date", "Say by when a task is to be done"),
    Route::change::<SetKey>("/api/v1/tasks/{id}/key", "tasks.set_key",
        "Give a task a key\nA short name by which it is found, and that no other task of the tenant has."),
    Route::change::<AssignTask>("/api/v1/tasks/{id}/assign", "tasks.assign_task", "Assign a task"),
    Route::change::<UnassignTask>("/api/v1/tasks/{id}/unassign", "tasks.unassign_task", "Take a task from its assignee"),
    Route::change::<AddLabel>("/api/v1/tasks/{id}/labels", "tasks.add_label", "Add a label"),
    Route::change::<RemoveLabel>("/api/v1/tasks/{id}/labels/remove", "tasks.remove_label", "Remove a label"),
    Route::change::<SetMetadata>("/api/v1/tasks/{id}/metadata", "tasks.set_metadata", "Note a free-form fact, or change it"),
    Route::change::<RemoveMetadata>("/api/v1/tasks/{id}/metadata/remove", "tasks.remove_metadata", "Remove a free-form fact"),
    Route::change::<AddComment>("/api/v1/tasks/{id}/comments", "tasks.add_comment", "Comment on a task").making("commentId"),
    Route::change::<StartTask>("/api/v1/tasks/{id}/start", "tasks.start_task", "Start a task"),
    Route::change::<BlockTask>("/api/v1/tasks/{id}/block", "tasks.block_task", "Say that a task cannot go on, and why"),
    Route::change::<UnblockTask>("/api/v1/tasks/{id}/unblock", "tasks.unblock_task",
        "Say that a blocked task can go on\nIt is open, or in progress, as it was before."),
    Route::change::<AddStep>("/api/v1/tasks/{id}/steps", "tasks.add_step", "Add a step").making("stepId"),
    Route::change::<CompleteStep>("/api/v1/tasks/{id}/steps/{stepId}/complete", "tasks.complete_step", "Complete a step"),
    Route::change::<RemoveStep>("/api/v1/tasks/{id}/steps/{stepId}/remove", "tasks.remove_step", "Remove a step"),
    Route::change::<CompleteTask>("/api/v1/tasks/{id}/complete", "tasks.complete_task",
        "Complete a task\nAll its steps must be done."),
    Route::change::<ReopenTask>("/api/v1/tasks/{id}/reopen", "tasks.reopen_task", "Reopen a completed or cancelled task"),
    Route::change::<CancelTask>("/api/v1/tasks/{id}/cancel", "tasks.cancel_task", "Cancel a task"),
    Route::change::<DeleteTask>("/api/v1/tasks/{id}/delete", "tasks.delete_task",
        "Delete a task\nIt is in no list and no dashboard any more, until it is restored."),
    Route::change::<RestoreTask>("/api/v1/tasks/{id}/restore", "tasks.restore_task", "Restore a deleted task\nTo the project that it is in, archived or not."),
    Route::change::<MoveTask>("/api/v1/tasks/{id}/move", "tasks.move_task",
        "Move a task to another project\nThat must exist and not be archived."),
    Route::change::<RequestAiReview>("/api/v1/tasks/{id}/ai-review/request", "tasks.request_ai_review", "Ask for a review by an AI"),
    Route::change::<RecordAiReview>("/api/v1/tasks/{id}/ai-review", "tasks.record_ai_review",
        "Record how the review by an AI stands\nIt must have been asked for."),
];

pub(super) fn router() -> OpenApiRouter<Api> {
    route::router("projects", &OF_PROJECTS).merge(route::router("tasks", &OF_TASKS))
}
