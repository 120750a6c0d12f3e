//! The parts of partial rows, as integers, so that adding is exact and takes any order.

use chrono::NaiveDate;

use super::Contribution;
use crate::tasks::Status;

/// Wider than the columns, so that adding here cannot overflow: what does not fit is noticed when it is stored.
pub(super) type Sum = i128;

/// How many parts a whole ratio has.
const MICROS: Sum = 1_000_000;

/// What the tasks of an owner add up to: a part per column of `task_dashboard`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums(pub(super) [Sum; Sums::COLUMNS.len()]);

impl Sums {
    pub(super) const COLUMNS: [&'static str; 14] = [
        "total",
        "open",
        "in_progress",
        "blocked",
        "completed",
        "cancelled",
        "low",
        "medium",
        "high",
        "critical",
        "estimated_hundredths",
        "actual_hundredths",
        "efficiency_count",
        "efficiency_micros",
    ];

    /// What one task adds, in the order of the columns.
    pub(super) fn of(task: &Contribution) -> Self {
        if task.deleted {
            return Self::default();
        }
        let stands = |status: Status| Sum::from(task.status == status);
        let is = |priority: &str| Sum::from(task.priority == priority);
        let efficiency = match (task.actual_hundredths, task.estimated_hundredths) {
            (Some(actual), Some(estimated)) => efficiency_micros(actual, estimated),
            (_, _) => None,
        };
        Self([
            1,
            stands(Status::Open),
            stands(Status::InProgress),
            stands(Status::Blocked),
            stands(Status::Completed),
            stands(Status::Cancelled),
            is("low"),
            is("medium"),
            is("high"),
            is("critical"),
            task.estimated_hundredths.map_or(0, Sum::from),
            task.actual_hundredths.map_or(0, Sum::from),
            Sum::from(efficiency.is_some()),
            efficiency.unwrap_or(0),
        ])
    }

    pub(super) fn add(&mut self, other: &Self, times: Sum) {
        add(&mut self.0, &other.0, times);
    }
}

/// What happens to the tasks of an owner on one day: a part per column of `task_dashboard_day`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Days(pub(super) [Sum; Days::COLUMNS.len()]);

impl Days {
    pub(super) const COLUMNS: [&'static str; 3] = ["created", "completed", "due"];

    /// What one task adds, to each day that it concerns.
    pub(super) fn of(task: &Contribution) -> impl Iterator<Item = (NaiveDate, Self)> {
        let due = task.due_date.filter(|_| !task.status.is_closed());
        let days = [
            (Some(task.created_on), Self([1, 0, 0])),
            (task.completed_on, Self([0, 1, 0])),
            (due, Self([0, 0, 1])),
        ];
        let counts = !task.deleted;
        days.into_iter()
            .filter_map(move |(day, parts)| day.filter(|_| counts).map(|day| (day, parts)))
    }

    pub(super) fn add(&mut self, other: &Self, times: Sum) {
        add(&mut self.0, &other.0, times);
    }
}

fn add(parts: &mut [Sum], others: &[Sum], times: Sum) {
    for (part, other) in parts.iter_mut().zip(others) {
        *part += other * times;
    }
}

/// `actual / estimated` in millionths, rounded half up; `None` where there is no such ratio.
fn efficiency_micros(actual_hundredths: i64, estimated_hundredths: i64) -> Option<Sum> {
    let (actual, estimated) = (
        Sum::from(actual_hundredths),
        Sum::from(estimated_hundredths),
    );
    (estimated > 0).then(|| (2 * actual * MICROS + estimated).div_euclid(2 * estimated))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_rounded_half_up_to_a_millionth() {
        for (actual, estimated, micros) in [
            (100, 100, Some(1_000_000)),
            (100, 300, Some(333_333)),
            (200, 300, Some(666_667)),
            (1, 2_000_000, Some(1)), // 0.5 millionths
            (1, 2_000_001, Some(0)),
            (0, 100, Some(0)),
            (100, 0, None),
        ] {
            assert_eq!(
                efficiency_micros(actual, estimated),
                micros,
                "{actual}/{estimated}"
            );
        }
    }
}
