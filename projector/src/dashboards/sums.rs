//! The parts of a partial row, as integers, so that adding is exact and takes any order.

use std::ops::{AddAssign, Neg};

use super::project_dashboard::{Contribution, Status};

/// Wider than the columns, so that adding here cannot overflow: what does not fit is noticed when it is stored.
pub(super) type Sum = i128;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) total: Sum,
    pub(super) open: Sum,
    pub(super) in_progress: Sum,
    pub(super) completed: Sum,
    pub(super) cancelled: Sum,
    pub(super) estimated_hundredths: Sum,
    pub(super) actual_hundredths: Sum,
    pub(super) efficiency_count: Sum,
    pub(super) efficiency_micros: Sum,
}

/// How many parts a whole ratio has.
const MICROS: Sum = 1_000_000;

impl Sums {
    /// What one task adds.
    pub(super) fn of(task: &Contribution) -> Self {
        let completed = task.status == Status::Completed;
        let actual = task.actual_hundredths.filter(|_| completed);
        let efficiency = match (actual, task.estimated_hundredths) {
            (Some(actual), Some(estimated)) => efficiency_micros(actual, estimated),
            (_, _) => None,
        };
        Self {
            total: 1,
            open: Sum::from(task.status == Status::Open),
            in_progress: Sum::from(task.status == Status::InProgress),
            completed: Sum::from(completed),
            cancelled: Sum::from(task.status == Status::Cancelled),
            estimated_hundredths: task.estimated_hundredths.map_or(0, Sum::from),
            actual_hundredths: actual.map_or(0, Sum::from),
            efficiency_count: Sum::from(efficiency.is_some()),
            efficiency_micros: efficiency.unwrap_or(0),
        }
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

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.total += other.total;
        self.open += other.open;
        self.in_progress += other.in_progress;
        self.completed += other.completed;
        self.cancelled += other.cancelled;
        self.estimated_hundredths += other.estimated_hundredths;
        self.actual_hundredths += other.actual_hundredths;
        self.efficiency_count += other.efficiency_count;
        self.efficiency_micros += other.efficiency_micros;
    }
}

impl Neg for Sums {
    type Output = Self;

    fn neg(self) -> Self {
        Self {
            total: -self.total,
            open: -self.open,
            in_progress: -self.in_progress,
            completed: -self.completed,
            cancelled: -self.cancelled,
            estimated_hundredths: -self.estimated_hundredths,
            actual_hundredths: -self.actual_hundredths,
            efficiency_count: -self.efficiency_count,
            efficiency_micros: -self.efficiency_micros,
        }
    }
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
