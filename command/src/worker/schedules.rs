//! What is done again and again, at times that a cron pattern gives.
//!
//! The leader orders a job for an instant when it has come. Of instants that passed while nobody led, the last one alone is
//! made up for.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use cron::Schedule as Pattern;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Error,
    jobs::{Kind, NewJob},
};

/// Under it lie the ids of what schedules order.
const ORDERS: Uuid = Uuid::from_u128(0x52a9_8f6e_3c07_4b5c_9d0e_7ab1_5c42_e6d3);

/// Name, seconds to days of the week in UTC, and what is done.
const SCHEDULES: [(&str, &str, Kind); 1] = [("housekeeping", "0 17 * * * *", Kind::Housekeeping)];

/// How many instants are looked at to find the last one that passed: a year of hours.
const INSTANTS_MAX: usize = 10_000;

pub(super) struct Schedule {
    name: &'static str,
    pattern: Pattern,
    kind: Kind,
}

impl Schedule {
    /// The last instant after `last` that has come; `None` when none has.
    pub(super) fn latest(&self, last: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let come = self.pattern.after(&last).take_while(|at| *at <= now);
        come.take(INSTANTS_MAX).last()
    }

    pub(super) fn job(&self, instant: DateTime<Utc>) -> NewJob {
        let order = format!("{}/{}", self.name, instant.timestamp());
        NewJob::of_schedule(Uuid::new_v5(&ORDERS, order.as_bytes()), self.kind)
    }
}

fn all() -> impl Iterator<Item = Schedule> {
    SCHEDULES.into_iter().map(|(name, pattern, kind)| Schedule {
        name,
        pattern: Pattern::from_str(pattern).expect("a test reads every pattern"),
        kind,
    })
}

/// Every schedule with its last instant. A new one begins now.
pub(super) async fn begin(
    session: &mut PgConnection,
) -> Result<Vec<(Schedule, DateTime<Utc>)>, Error> {
    let mut begun = Vec::new();
    for schedule in all() {
        // Written anew, because what is left alone is not returned.
        let last_at = sqlx::query_scalar(
            "insert into work.schedules as s (name, last_at)
             values ($1, clock_timestamp())
             on conflict on constraint schedules_pkey do update
             set last_at = s.last_at
             returning last_at",
        )
        .bind(schedule.name)
        .fetch_one(&mut *session)
        .await
        .map_err(Error::of_work)?;
        begun.push((schedule, last_at));
    }
    Ok(begun)
}

pub(super) async fn note(
    session: &mut PgConnection,
    schedule: &Schedule,
    instant: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query("update work.schedules set last_at = $2 where name = $1")
        .bind(schedule.name)
        .bind(instant)
        .execute(session)
        .await
        .map_err(Error::of_work)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn of_the_instants_that_passed_the_last_one_is_made_up_for() {
        let schedule = all().next().unwrap();
        let last = at("2026-03-01T10:17:00Z");
        let latest = |now| schedule.latest(last, at(now));
        assert_eq!(latest("2026-03-01T11:16:59Z"), None);
        let next = Some(at("2026-03-01T11:17:00Z"));
        assert_eq!(latest("2026-03-01T11:17:00Z"), next);
        let much_later = Some(at("2026-04-01T09:17:00Z"));
        assert_eq!(latest("2026-04-01T10:00:00Z"), much_later);
    }

    #[test]
    fn an_instant_orders_one_job_whoever_looks_and_however_often() {
        let job = |instant| all().next().unwrap().job(at(instant)).id;
        let instant = "2026-03-01T11:17:00Z";
        assert_eq!(job(instant), job(instant));
        assert_ne!(job(instant), job("2026-03-01T12:17:00Z"));
    }

    #[test]
    fn every_pattern_can_be_read_and_no_two_schedules_have_one_name() {
        let mut names: Vec<&str> = all().map(|schedule| schedule.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SCHEDULES.len());
    }
}
