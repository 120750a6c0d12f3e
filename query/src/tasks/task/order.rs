//! In which orders tasks are listed. Each has an index of its own, which ends in the task's creation and id.

use async_graphql::{Enum, InputObject};

use super::Task;
use crate::page::{
    Listed,
    cursor::{Key, Kind, Order, Place},
};

/// By what tasks are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum TaskOrderBy {
    /// When they were created, in business time.
    CreatedAt,
    /// When they last changed, in business time. A task that changes moves in the list.
    UpdatedAt,
    /// When they are due. Those without a due date come last, in descending order first.
    DueDate,
    /// How urgent they are: low, medium, high, critical. Among equals by creation.
    Priority,
}

/// In which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum OrderDirection {
    /// The earliest, or the least urgent, first.
    Asc,
    /// The latest, or the most urgent, first.
    Desc,
}

/// How tasks are ordered.
#[derive(Debug, Clone, Copy, InputObject)]
#[graphql(name = "TaskOrder")]
pub struct OrderInput {
    /// By what.
    #[graphql(default_with = "TaskOrderBy::CreatedAt")]
    by: TaskOrderBy,
    /// In which direction.
    #[graphql(default_with = "OrderDirection::Asc")]
    direction: OrderDirection,
}

impl Default for OrderInput {
    fn default() -> Self {
        Self {
            by: TaskOrderBy::CreatedAt,
            direction: OrderDirection::Asc,
        }
    }
}

const CREATED_AT: (&str, Kind) = ("created_at", Kind::Instant);
const UPDATED_AT: (&str, Kind) = ("updated_at", Kind::Instant);
const DUE_RANK: (&str, Kind) = ("due_rank", Kind::Day);
const PRIORITY_RANK: (&str, Kind) = ("priority_rank", Kind::Rank);
const TASK_ID: (&str, Kind) = ("task_id", Kind::Id);

impl OrderInput {
    pub fn order(self) -> Order {
        let (name, by): (_, &[(&str, Kind)]) = match self.by {
            TaskOrderBy::CreatedAt => ("created", &[CREATED_AT, TASK_ID]),
            TaskOrderBy::UpdatedAt => ("updated", &[UPDATED_AT, CREATED_AT, TASK_ID]),
            TaskOrderBy::DueDate => ("due", &[DUE_RANK, CREATED_AT, TASK_ID]),
            TaskOrderBy::Priority => ("priority", &[PRIORITY_RANK, CREATED_AT, TASK_ID]),
        };
        Order {
            name,
            by,
            descending: match self.direction {
                OrderDirection::Asc => false,
                OrderDirection::Desc => true,
            },
        }
    }
}

impl Listed for Task {
    fn place(&self, order: Order) -> Place {
        let key = |column: &(&str, Kind)| match *column {
            UPDATED_AT => Key::Instant(self.updated_at),
            DUE_RANK => Key::Day(self.due_rank),
            PRIORITY_RANK => Key::Rank(self.priority_rank),
            TASK_ID => Key::Id(self.task_id),
            _ => Key::Instant(self.created_at),
        };
        Place(order.by.iter().map(key).collect())
    }
}
