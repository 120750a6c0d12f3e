//! What a command would do: decided as of a past position, or of now, by the code that decides commands, and nothing
//! stored.
//!
//! Every stream that the decision reads is read as of the same position. Nothing is appended, nothing is kept of what was
//! folded, no command id and no key is taken. A question takes no turn on a stream and no place in the log's queue, and few
//! are answered at once, so that commands share no more than some of the connections that they read by. Read
//! [`crate::handle`] for how the same command is done.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use chrono::Utc;
use foldline_domain::{
    Command,
    tasks::{Project, Task},
};
use foldline_events::{Position, Tenant, Version};
use foldline_gate::{Caller, Problem};
use foldline_log::{Append, Error, Expected, NewEvent, Verdict, Write};
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{Instrument, info_span};

use crate::{
    AsOf, Failure, Handler, WhatIf, WhatIfVerdict, Would,
    aggregate::Aggregate,
    bulk::{self, Places, problem_of},
    handle::{Decision, Intake, decide, occurred_at},
    streams::{Reading, STREAM_PAGE_EVENTS},
};

/// How many questions are answered at once in a process. Each reads one thing after another, so they take two of the
/// connections that commands read by.
const WHAT_IFS_AT_ONCE_MAX: usize = 2;
/// How many of them are of one tenant, so that the questions of one do not take all places.
const WHAT_IFS_OF_TENANT_MAX: usize = 1;
/// How long one may take: a stream that is read as of long ago is folded from its beginning. Then it is answered 503.
const WHAT_IF_MS_MAX: u64 = 10_000;
/// How long a question waits until it is one of them. Then it is answered 503.
const WHAT_IF_WAIT_MS_MAX: u64 = 4_000;

/// The questions under way. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    of_tenants: Places,
    of_all: Arc<Semaphore>,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            of_tenants: Places::of_each(WHAT_IFS_OF_TENANT_MAX),
            of_all: Arc::new(Semaphore::new(WHAT_IFS_AT_ONCE_MAX)),
        }
    }
}

impl Asked {
    /// A place of the tenant, and then one of all: so of each tenant only as many wait for those of all as may have one.
    async fn place(&self, tenant: &Tenant) -> Option<[OwnedSemaphorePermit; 2]> {
        let places = async {
            let of_tenant = self.of_tenants.of(tenant).acquire_owned().await;
            let of_all = Arc::clone(&self.of_all).acquire_owned().await;
            [of_tenant, of_all].map(|place| place.expect("nobody closes these"))
        };
        let bound = Duration::from_millis(WHAT_IF_WAIT_MS_MAX);
        tokio::time::timeout(bound, places).await.ok()
    }
}

/// As of when.
#[derive(Debug, Clone, Copy)]
struct Moment {
    position: Position,
    is_now: bool,
}

/// What is answered as of it.
enum Answer {
    Record(Vec<Would>),
    Known,
    Unchanged,
    Rejected(Box<Problem>),
}

impl Handler {
    /// What the command would do, written as [`crate::Item`]: as of now, its command id counted; or as of a moment of the
    /// past, as if the id were new.
    ///
    /// # Errors
    /// When it cannot be said. That the command would be rejected is an answer.
    pub async fn what_if(
        &self,
        caller: &Caller,
        item: &str,
        as_of: Option<AsOf>,
    ) -> Result<WhatIf, Problem> {
        let Some(_places) = self.what_ifs.place(&caller.tenant).await else {
            return Err(Problem::unavailable(
                "too many questions about commands are waiting already; ask again",
            ));
        };
        let bound = Duration::from_millis(WHAT_IF_MS_MAX);
        let answering = self.answered(caller, item, as_of);
        let answered = tokio::time::timeout(bound, answering).await;
        answered.unwrap_or_else(|_| {
            Err(Problem::unavailable(
                "what the command would do was not known within 10 s; ask as of a later moment",
            ))
        })
    }

    async fn answered(
        &self,
        caller: &Caller,
        item: &str,
        as_of: Option<AsOf>,
    ) -> Result<WhatIf, Problem> {
        let moment = self.moment(as_of).await?;
        let answer = match self.answer(caller, item, moment).await {
            Ok(answer) => answer,
            Err(failure) => {
                let problem = problem_of(failure);
                match problem.status().is_server_error() {
                    true => return Err(unanswered(problem)),
                    false => Answer::Rejected(Box::new(problem)),
                }
            }
        };
        let (verdict, events, problem) = match answer {
            Answer::Record(events) => (WhatIfVerdict::Recorded, events, None),
            Answer::Known => (WhatIfVerdict::Known, vec![], None),
            Answer::Unchanged => (WhatIfVerdict::Unchanged, vec![], None),
            Answer::Rejected(problem) => (WhatIfVerdict::Rejected, vec![], Some(*problem)),
        };
        Ok(WhatIf {
            as_of: moment.position,
            verdict,
            events,
            problem,
        })
    }

    async fn moment(&self, as_of: Option<AsOf>) -> Result<Moment, Problem> {
        let unread = |error: Error| unanswered(Failure::from(error).into_problem());
        let position = match as_of {
            Some(AsOf::RecordedAt(instant)) => {
                self.log.position_at(instant).await.map_err(unread)?
            }
            Some(AsOf::Position(position)) => {
                let head = self.log.head().await.map_err(unread)?.position;
                if position > head {
                    return Err(beyond(position, head));
                }
                position
            }
            None => self.log.head().await.map_err(unread)?.position,
        };
        Ok(Moment {
            position,
            is_now: as_of.is_none(),
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a question enters here, and its command may say no time of its own"
    )]
    async fn answer(&self, caller: &Caller, item: &str, moment: Moment) -> Result<Answer, Failure> {
        let request = match bulk::read_item(item, None) {
            Ok(request) => request,
            Err(unreadable) => return Ok(Answer::Rejected(Box::new(unreadable.problem))),
        };
        let at = occurred_at(&request, Utc::now())?;
        let intake = Intake::of(caller, &request, at, &self.digest);
        let command_type = request.command.context_type();
        let span = info_span!(
            "what_if",
            command_type,
            command_id = %intake.command_id,
            stream = intake.key.stream,
            position = moment.position,
        );
        let answer = async {
            match &request.command {
                Command::Project(command) => {
                    intake.may::<Project>(command, command_type)?;
                    self.decided::<Project>(&intake, command, moment).await
                }
                Command::Task(command) => {
                    intake.may::<Task>(command, command_type)?;
                    self.decided::<Task>(&intake, command, moment).await
                }
            }
        };
        answer.instrument(span).await
    }

    /// What [`Self::handle`] does on fresh state, up to the append.
    async fn decided<A: Aggregate>(
        &self,
        intake: &Intake,
        command: &A::Command,
        moment: Moment,
    ) -> Result<Answer, Failure> {
        let reading = Reading::AsOf(moment.position);
        let seen = A::streams(self).load(&intake.key, reading).await?;
        let seen = seen.as_deref();
        // Guards are for what comes between a decision and its append.
        let (facts, _) = A::facts(self, intake.whose(), command, reading).await?;
        let answer = match decide(intake.expected_version, seen, &facts, command) {
            Decision::Record(events) => {
                let state = seen.map(|seen| &seen.state);
                let beside = A::beside(&self.digest, intake.whose(), state, &events, &facts);
                let expected = Expected::Exactly(seen.map_or(0, |seen| seen.version));
                let append = intake.append::<A>(expected, events, beside, vec![])?;
                Answer::Record(self.would(append, moment.position).await?)
            }
            Decision::Nothing => Answer::Unchanged,
            Decision::No(failure) => Answer::Rejected(Box::new(problem_of(failure))),
        };
        if !moment.is_now {
            return Ok(answer);
        }
        let known = (self.log)
            .known(&intake.key.tenant, intake.command_id, &intake.input_hmac)
            .await?;
        match known {
            Some(Verdict::Known(_) | Verdict::Appended(_)) => Ok(Answer::Known),
            Some(Verdict::InputDiffers) => Err(Failure::CommandIdReused),
            // The log says these of appends only.
            Some(Verdict::Conflict { .. } | Verdict::Guarded { .. }) | None => Ok(answer),
        }
    }

    /// What an append would record, had the log ended at a position.
    async fn would(&self, append: Append, position: Position) -> Result<Vec<Would>, Error> {
        let mut events = Vec::new();
        for write in append.writes {
            let before = match write.expected {
                Expected::NoStream => 0,
                Expected::Exactly(version) => version,
                Expected::Any | Expected::Exists => {
                    let stream = &write.stream;
                    self.version_as_of(&append.tenant, stream, position).await?
                }
            };
            let Write { stream, .. } = write;
            let versions = before + 1..;
            let with_versions = versions.zip(write.events);
            events.extend(with_versions.map(|(version, event)| would(&stream, version, event)));
        }
        Ok(events)
    }

    async fn version_as_of(
        &self,
        tenant: &Tenant,
        stream: &str,
        position: Position,
    ) -> Result<Version, Error> {
        let mut version = 0;
        loop {
            let page = (self.log)
                .read_to_fold(tenant, stream, version, STREAM_PAGE_EVENTS)
                .await?;
            let mut counted = page.events.iter().rev();
            let Some(last) = counted.find(|event| event.position <= position) else {
                return Ok(version);
            };
            version = last.version;
            if !page.may_go_on {
                return Ok(version);
            }
        }
    }
}

fn would(stream: &str, version: Version, event: NewEvent) -> Would {
    let encoded = event.encoded;
    Would {
        stream: stream.to_owned(),
        version,
        event_type: encoded.event_type.to_owned(),
        schema_version: encoded.schema_version,
        tags: encoded.tags,
        data: RawValue::from_string(encoded.payload).expect("payloads are JSON"),
    }
}

/// Of a command it would be said that it may have been recorded; a question records nothing.
fn unanswered(problem: Problem) -> Problem {
    if problem.status() == StatusCode::SERVICE_UNAVAILABLE {
        return Problem::unavailable(
            "the log cannot be read now, so it is not known what the command would do; ask again",
        );
    }
    problem
}

fn beyond(position: Position, head: Position) -> Problem {
    let why = format!(
        "position {position} lies behind the log's end, {head}: it was made up, or is of events that the log has lost \
         since; without asOf the command is decided as of now"
    );
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "CURSOR_BEYOND_HEAD",
        "The log does not reach so far",
    )
    .detail(why.clone())
    .fault("/asOf/position", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tenant_has_one_question_answered_at_a_time_and_all_together_two() {
        let asked = Asked::default();
        let [acme, umbrella, globex] =
            ["acme", "umbrella", "globex"].map(|tenant| Tenant::parse(tenant).unwrap());
        let soon = Duration::from_millis(50);
        let first = asked.place(&acme).await.unwrap();
        let (mut second, mut third) = (Box::pin(asked.place(&acme)), Box::pin(asked.place(&acme)));
        assert!(tokio::time::timeout(soon, &mut second).await.is_err());
        assert!(tokio::time::timeout(soon, &mut third).await.is_err());
        // However many of the one tenant wait, another has the other place.
        let other = asked.place(&umbrella).await.unwrap();
        let mut last = Box::pin(asked.place(&globex));
        assert!(tokio::time::timeout(soon, &mut last).await.is_err());
        drop(other);
        let last = last.await.unwrap();
        drop(first);
        let second = second.await.unwrap();
        drop((last, second));
        assert!(third.await.is_some());
    }

    #[tokio::test]
    async fn a_question_that_gets_no_place_is_given_up_within_the_bound() {
        let asked = Asked::default();
        let acme = Tenant::parse("acme").unwrap();
        let _first = asked.place(&acme).await.unwrap();
        assert!(asked.place(&acme).await.is_none());
    }
}
