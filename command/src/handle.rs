//! The way of one command: load → decide → guarded append.
//!
//! Decisions are made on cached state, so most commands cost one append and no read. That is safe because an append
//! names the version and guards the facts it was decided on: when the cache was behind, nothing is stored, and the
//! command is decided again on fresh state. A "no" (a rejection, a stale version, nothing to do) stores nothing that
//! could be checked, so it is only said on fresh state, and after the command id was looked up: a command done
//! before gets its first answer again, whatever has happened since. The state is read before the id is looked up;
//! the other way round, a twin that commits in between would make us reject a command that was done.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use foldline_domain::{
    Command,
    tasks::{Project, Task},
};
use foldline_events::{Cursor, Event, Version, partition_of};
use foldline_gate::{Caller, Secret};
use foldline_log::{
    Append, Expected, Guard, Log, NewEvent, PAYLOAD_BYTES_MAX, Receipt, Verdict, Write,
};
use tracing::{Instrument, debug, info_span};
use uuid::Uuid;

use crate::{
    Accepted, Failure, Outcome,
    aggregate::{Aggregate, Beside, Of},
    bulk::{COMMANDS_CONCURRENT_MAX, Places},
    digest::Digest,
    streams::{Folded, Key, Reading, Streams},
    turns::Turns,
    what_if::Asked,
};

/// How often a command is decided before its caller is told that others are too fast.
pub const ATTEMPTS_MAX: u32 = 40;
/// How far ahead of our clock something may claim to have happened: time zones mistaken for UTC stay within it.
pub const OCCURRED_AHEAD_MAX: TimeDelta = TimeDelta::days(1);

/// Under it lie the ids that are made for those who give none.
const CREATED_NAMESPACE: Uuid = Uuid::from_u128(0x6a1f_0f8c_6c5e_4a58_9a53_7d0c_2a4e_51b3);

/// Handles commands. Cheap to clone.
#[derive(Clone)]
pub struct Handler {
    pub(crate) log: Log,
    pub(crate) digest: Digest,
    pub(crate) projects: Streams<Project>,
    pub(crate) tasks: Streams<Task>,
    pub(crate) of_many: Places,
    pub(crate) what_ifs: Asked,
    turns: Turns,
}

#[derive(Debug, Clone)]
pub struct Options {
    /// How much memory the states of each kind of aggregate may take, roughly.
    pub cache_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes_max: 32 * 1024 * 1024,
        }
    }
}

/// One command and what it needs to be handled.
#[derive(Debug, Clone)]
pub struct Request {
    /// The command id.
    pub id: Uuid,
    pub command: Command,
    /// The id of the project or task.
    pub aggregate: Uuid,
    /// When it happened; now, when absent.
    pub at: Option<DateTime<Utc>>,
    /// The version that the stream must have.
    pub expected_version: Option<Version>,
    /// W3C `traceparent`.
    pub trace_context: Option<String>,
    /// What it belongs to; itself, when absent.
    pub correlation_id: Option<Uuid>,
    /// What it follows from; itself, when absent.
    pub causation_id: Option<Uuid>,
}

/// The id of what a command creates when its sender names none: always the same for the same command id, so that a
/// retry creates nothing else.
pub fn created_id(caller: &Caller, command_id: Uuid) -> Uuid {
    Uuid::new_v5(
        &CREATED_NAMESPACE,
        format!("{}/{command_id}", caller.tenant).as_bytes(),
    )
}

/// A request whose sender may make it, ready to be decided.
pub(crate) struct Intake {
    caller: Caller,
    pub(crate) key: Key,
    pub(crate) command_id: Uuid,
    aggregate: Uuid,
    occurred_at: DateTime<Utc>,
    pub(crate) expected_version: Option<Version>,
    pub(crate) input_hmac: Vec<u8>,
    trace_context: Option<String>,
    correlation_id: Uuid,
    causation_id: Uuid,
}

/// What was decided.
pub(crate) enum Decision<E> {
    Record(Vec<E>),
    Nothing,
    No(Failure),
}

impl Handler {
    pub fn new(log: Log, secret: &Secret, options: &Options) -> Self {
        Self {
            digest: Digest::new(secret),
            projects: Streams::new(&log, options.cache_bytes_max),
            tasks: Streams::new(&log, options.cache_bytes_max),
            of_many: Places::of_each(COMMANDS_CONCURRENT_MAX),
            what_ifs: Asked::default(),
            turns: Turns::default(),
            log,
        }
    }

    /// Does what the command asks, once, however often it is sent.
    #[expect(
        clippy::disallowed_methods,
        reason = "a command enters here, and may say no time of its own"
    )]
    pub async fn handle(&self, caller: &Caller, request: Request) -> Result<Accepted, Failure> {
        let at = occurred_at(&request, Utc::now())?;
        let intake = Intake::of(caller, &request, at, &self.digest);
        let command_type = request.command.context_type();
        let span = info_span!(
            "command",
            command_type,
            command_id = %intake.command_id,
            stream = intake.key.stream,
        );
        let answer = match request.command {
            Command::Project(command) => {
                self.run::<Project>(&intake, command, command_type)
                    .instrument(span)
                    .await
            }
            Command::Task(command) => {
                self.run::<Task>(&intake, command, command_type)
                    .instrument(span)
                    .await
            }
        };
        let outcome = match &answer {
            Ok(accepted) => match accepted.outcome {
                Outcome::Recorded => "recorded",
                Outcome::Known => "known",
                Outcome::Unchanged => "unchanged",
            },
            Err(Failure::Log(_) | Failure::Contended { .. }) => "failed",
            Err(
                Failure::Rejected(_)
                | Failure::Forbidden { .. }
                | Failure::StaleVersion { .. }
                | Failure::CommandIdReused
                | Failure::OccurredAtOutOfRange { .. }
                | Failure::EventTooLarge { .. },
            ) => "rejected",
        };
        metrics::counter!("foldline_commands_total", "type" => command_type, "outcome" => outcome)
            .increment(1);
        answer
    }

    async fn run<A: Aggregate>(
        &self,
        intake: &Intake,
        command: A::Command,
        command_type: &'static str,
    ) -> Result<Accepted, Failure> {
        intake.may::<A>(&command, command_type)?;
        let _turn = self.turns.of(&intake.key).await;
        let streams = A::streams(self);
        let mut reading = Reading::Cached;
        for _ in 0..ATTEMPTS_MAX {
            let seen = match reading {
                // What is to be created is not there: assumed, not read. The append finds out.
                Reading::Cached if A::creates(&command) => streams.cached(&intake.key).await,
                Reading::Cached | Reading::Fresh | Reading::AsOf(_) => {
                    streams.load(&intake.key, reading).await?
                }
            };
            let (facts, guards) = A::facts(self, intake.whose(), &command, reading).await?;
            let decision = decide(intake.expected_version, seen.as_deref(), &facts, &command);
            let answer = match (decision, reading) {
                (Decision::Record(events), _) => {
                    self.record(intake, seen, events, &facts, guards).await?
                }
                (Decision::Nothing | Decision::No(_), Reading::Cached) => None,
                (Decision::Nothing, Reading::Fresh | Reading::AsOf(_)) => {
                    return self
                        .first_answer(intake, self.unchanged(intake, seen.as_deref()))
                        .await;
                }
                (Decision::No(failure), Reading::Fresh | Reading::AsOf(_)) => {
                    return self.first_answer(intake, Err(failure)).await;
                }
            };
            if let Some(accepted) = answer {
                return Ok(accepted);
            }
            reading = Reading::Fresh;
        }
        Err(Failure::Contended {
            attempts: ATTEMPTS_MAX,
        })
    }

    /// `None` when the log went on since the decision, so that it must be made again.
    async fn record<A: Aggregate>(
        &self,
        intake: &Intake,
        seen: Option<Arc<Folded<A>>>,
        events: Vec<A::Event>,
        facts: &A::Facts,
        guards: Vec<Guard>,
    ) -> Result<Option<Accepted>, Failure> {
        let expected = seen
            .as_ref()
            .map_or(Expected::NoStream, |seen| Expected::Exactly(seen.version));
        let before = seen.as_ref().map_or(0, |seen| seen.version);
        let kept = seen.as_ref().map_or(0, |seen| seen.kept);
        let after = before + Version::try_from(events.len()).expect("a decision has few events");
        let state = seen.map(|seen| seen.state.clone());
        let beside = A::beside(&self.digest, intake.whose(), state.as_ref(), &events, facts);
        let state = events
            .iter()
            .fold(state, |state, event| A::evolve(state, event));
        let append = intake.append::<A>(expected, events, beside, guards)?;
        let last = append.writes.first().and_then(|own| own.events.last());
        let last_id = last.map(|event| event.id);

        crash_before_append();
        let verdict = self.log.append(append).await?;
        crash_after_append();
        match verdict {
            Verdict::Appended(receipt) => {
                if let (Some(state), Some(event_id), true) =
                    (state, last_id, receipt.version == after)
                {
                    let folded = Folded {
                        state,
                        version: after,
                        position: receipt.cursor.position,
                        complete: receipt.cursor.position,
                        event_id,
                        kept,
                    };
                    A::streams(self).keep(&intake.key, folded).await;
                }
                Ok(Some(intake.accepted(receipt, Outcome::Recorded)))
            }
            Verdict::Known(receipt) => Ok(Some(intake.accepted(receipt, Outcome::Known))),
            Verdict::InputDiffers => Err(Failure::CommandIdReused),
            Verdict::Conflict { .. } | Verdict::Guarded { .. } => {
                metrics::counter!("foldline_command_conflicts_total").increment(1);
                debug!(?verdict, "the log went on; deciding again");
                Ok(None)
            }
        }
    }

    /// The answer that this command id had first, or else this one.
    async fn first_answer(
        &self,
        intake: &Intake,
        answer: Result<Accepted, Failure>,
    ) -> Result<Accepted, Failure> {
        let known = self
            .log
            .known(&intake.key.tenant, intake.command_id, &intake.input_hmac)
            .await?;
        match known {
            Some(Verdict::Known(receipt) | Verdict::Appended(receipt)) => {
                Ok(intake.accepted(receipt, Outcome::Known))
            }
            Some(Verdict::InputDiffers) => Err(Failure::CommandIdReused),
            // The log says these of appends only; of a command id there is then nothing to say.
            Some(Verdict::Conflict { .. } | Verdict::Guarded { .. }) | None => answer,
        }
    }

    /// The stream as it is. Its last event is what a reader must see to see that it is so.
    fn unchanged<A>(&self, intake: &Intake, seen: Option<&Folded<A>>) -> Result<Accepted, Failure> {
        let receipt = Receipt {
            stream: intake.key.stream.clone(),
            version: seen.map_or(0, |seen| seen.version),
            cursor: Cursor {
                epoch: self.log.epoch(),
                position: seen.map_or(0, |seen| seen.position),
                partition: Some(partition_of(&intake.key.tenant, &intake.key.stream)),
            },
        };
        Ok(intake.accepted(receipt, Outcome::Unchanged))
    }
}

/// When it happened, unless that cannot be.
pub(crate) fn occurred_at(request: &Request, now: DateTime<Utc>) -> Result<DateTime<Utc>, Failure> {
    let at = request.at.unwrap_or(now);
    if at < DateTime::UNIX_EPOCH || at > now + OCCURRED_AHEAD_MAX {
        return Err(Failure::OccurredAtOutOfRange { at });
    }
    Ok(at)
}

pub(crate) fn decide<A: Aggregate>(
    expected_version: Option<Version>,
    seen: Option<&Folded<A>>,
    facts: &A::Facts,
    command: &A::Command,
) -> Decision<A::Event> {
    let current = seen.map_or(0, |seen| seen.version);
    if let Some(expected) = expected_version.filter(|expected| *expected != current) {
        return Decision::No(Failure::StaleVersion { expected, current });
    }
    match A::decide(seen.map(|seen| &seen.state), facts, command.clone()) {
        Ok(events) if events.is_empty() => Decision::Nothing,
        Ok(events) => Decision::Record(events),
        Err(rejection) => Decision::No(Failure::Rejected(rejection.into())),
    }
}

impl Intake {
    pub(crate) fn of(
        caller: &Caller,
        request: &Request,
        occurred_at: DateTime<Utc>,
        digest: &Digest,
    ) -> Self {
        Self {
            caller: caller.clone(),
            key: Key {
                tenant: caller.tenant.clone(),
                stream: request.command.stream(request.aggregate),
            },
            command_id: request.id,
            aggregate: request.aggregate,
            occurred_at,
            expected_version: request.expected_version,
            input_hmac: digest.of(
                &request.command,
                request.aggregate,
                request.at,
                request.expected_version,
            ),
            trace_context: request.trace_context.clone(),
            correlation_id: request.correlation_id.unwrap_or(request.id),
            causation_id: request.causation_id.unwrap_or(request.id),
        }
    }

    /// Whether its sender may give such a command.
    pub(crate) fn may<A: Aggregate>(
        &self,
        command: &A::Command,
        command_type: &'static str,
    ) -> Result<(), Failure> {
        let (needs, has) = (A::least_role(command), self.caller.role);
        match has < needs {
            true => Err(Failure::Forbidden {
                command_type,
                needs,
                has,
            }),
            false => Ok(()),
        }
    }

    pub(crate) fn whose(&self) -> Of<'_> {
        Of {
            tenant: &self.key.tenant,
            aggregate: self.aggregate,
        }
    }

    pub(crate) fn append<A: Aggregate>(
        &self,
        expected: Expected,
        events: Vec<A::Event>,
        beside: Vec<Beside>,
        guards: Vec<Guard>,
    ) -> Result<Append, Failure> {
        let own = events
            .into_iter()
            .map(|event| self.new_event(&A::widen(event), self.aggregate));
        // The first write is the one that the receipt speaks of.
        let own = own.collect::<Result<_, _>>()?;
        let mut writes = vec![Write::to(&self.key.stream, expected, own)];
        for other in beside {
            let event = self.new_event(&other.event, other.aggregate)?;
            writes.push(Write::to(other.stream, other.expected, vec![event]));
        }
        Ok(Append {
            tenant: self.key.tenant.clone(),
            command_id: self.command_id,
            input_hmac: self.input_hmac.clone(),
            actor: self.caller.actor.clone(),
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            trace_context: self.trace_context.clone(),
            writes,
            guards,
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "events get their ids here, before the log"
    )]
    fn new_event(&self, event: &Event, aggregate: Uuid) -> Result<NewEvent, Failure> {
        let encoded = event.encode(aggregate);
        let bytes = encoded.payload.len();
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(Failure::EventTooLarge {
                bytes,
                bytes_max: PAYLOAD_BYTES_MAX,
            });
        }
        Ok(NewEvent::new(Uuid::now_v7(), self.occurred_at, encoded))
    }

    fn accepted(&self, receipt: Receipt, outcome: Outcome) -> Accepted {
        Accepted {
            command_id: self.command_id,
            id: self.aggregate,
            stream: receipt.stream,
            version: receipt.version,
            cursor: receipt.cursor,
            outcome,
        }
    }
}

/// Tests let a process die here by `FAILPOINTS=command_before_append=return`.
fn crash_before_append() {
    fail::fail_point!("command_before_append", |_| std::process::abort());
}

/// Recorded, and never answered: `FAILPOINTS=command_after_append=return`.
fn crash_after_append() {
    fail::fail_point!("command_after_append", |_| std::process::abort());
}
