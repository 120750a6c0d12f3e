//! The bodies that the routes of projects and tasks take.
//!
//! They are the commands' data plus what a line of a history file has beside them; the limits said here are checked
//! by the domain.

use chrono::{DateTime, Utc};
use foldline_events::{
    Hours,
    tasks::{Metadata, Priority},
};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// When it happened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TimeBody {
    /// Now, when absent.
    pub(super) at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CreateProject)]
pub(super) struct CreateProjectBody {
    /// Made of the command id, when absent.
    pub(super) id: Option<Uuid>,
    #[schema(min_length = 1, max_length = 255)]
    pub(super) name: String,
    /// When it happened; now, when absent.
    pub(super) at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = RenameProject)]
pub(super) struct RenameProjectBody {
    #[schema(min_length = 1, max_length = 255)]
    pub(super) name: String,
    /// When it happened; now, when absent.
    pub(super) at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CreateTask)]
pub(super) struct CreateTaskBody {
    /// Made of the command id, when absent.
    pub(super) id: Option<Uuid>,
    pub(super) project_id: Uuid,
    #[schema(min_length = 1, max_length = 255)]
    pub(super) title: String,
    #[schema(value_type = PriorityName)]
    pub(super) priority: Priority,
    /// With at most two decimals.
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 100000)]
    pub(super) estimated_hours: Option<Hours>,
    /// At most 50 keys of 1 to 100 characters; values are numbers, booleans, or texts of at most 1,000 characters.
    #[serde(default)]
    #[schema(value_type = Object, required = false)]
    pub(super) metadata: Metadata,
    /// When it happened; now, when absent.
    pub(super) at: Option<DateTime<Utc>>,
}

/// How urgent a task is.
#[derive(ToSchema)]
#[schema(as = Priority, rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "describes an enum of the events, which know nothing of HTTP"
)]
pub(super) enum PriorityName {
    Low,
    Medium,
    High,
    Critical,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = AssignTask)]
pub(super) struct AssignTaskBody {
    pub(super) assignee_id: Uuid,
    /// When it happened; now, when absent.
    pub(super) at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = AddLabel)]
pub(super) struct AddLabelBody {
    #[schema(min_length = 1, max_length = 50)]
    pub(super) label: String,
    /// When it happened; now, when absent.
    pub(super) at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = AddStep)]
pub(super) struct AddStepBody {
    /// Made of the command id, when absent.
    pub(super) step_id: Option<Uuid>,
    #[schema(min_length = 1, max_length = 1000)]
    pub(super) content: String,
    /// When it happened; now, when absent.
    pub(super) at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CompleteTask)]
pub(super) struct CompleteTaskBody {
    /// With at most two decimals.
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 100000)]
    pub(super) actual_hours: Option<Hours>,
    /// When it happened; now, when absent.
    pub(super) at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Reason)]
pub(super) struct ReasonBody {
    #[schema(min_length = 1, max_length = 500)]
    pub(super) reason: String,
    /// When it happened; now, when absent.
    pub(super) at: Option<DateTime<Utc>>,
}
