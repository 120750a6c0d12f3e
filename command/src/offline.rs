//! Commands decided over a log that nobody has written yet: the heart of an import into an empty one.
//!
//! The rules, the digests and the events are those of [`crate::handle`]; but all states lie in memory and nobody else
//! writes, so nothing is read, guarded or tried again. It must not know the log beyond what an append is: whoever calls
//! appends what is yielded, in that order, or throws everything away.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use foldline_domain::{
    Command,
    tasks::{KeyFacts, Project, Task, holder_after},
};
use foldline_events::{Event, Version};
use foldline_gate::{Caller, Problem, Secret};
use foldline_log::{Append, Expected};
use uuid::Uuid;

use crate::{
    Failure,
    aggregate::{Aggregate, Beside},
    bulk,
    digest::Digest,
    handle::{Decision, Intake, decide, occurred_at},
    streams::Folded,
};

/// By stream.
pub(crate) type States<A> = HashMap<String, Folded<A>>;

/// Everything that the commands so far have made.
pub struct Offline {
    caller: Caller,
    pub(crate) digest: Digest,
    pub(crate) projects: States<Project>,
    pub(crate) tasks: States<Task>,
    /// By the stream that says who has the key.
    pub(crate) keys: HashMap<String, KeyFacts>,
    /// The commands that recorded something, and the digests of their inputs.
    recorded: HashMap<Uuid, Vec<u8>>,
}

/// What became of a command.
#[derive(Debug)]
pub enum Decided {
    /// This is to be appended, after everything that was yielded before.
    Record(Box<Append>),
    /// It was so already.
    Unchanged,
    /// Done before under the same command id.
    Known,
    Rejected(Box<Problem>),
}

impl Offline {
    /// `caller` is who imports: the events are this tenant's, and this actor's.
    pub fn new(secret: &Secret, caller: Caller) -> Self {
        Self {
            caller,
            digest: Digest::new(secret),
            projects: HashMap::new(),
            tasks: HashMap::new(),
            keys: HashMap::new(),
            recorded: HashMap::new(),
        }
    }

    /// One more command, written as [`crate::Item`]. `now` is when it happened if it does not say so itself.
    pub fn decide(&mut self, item: &str, now: DateTime<Utc>) -> Decided {
        let request = match bulk::read_item(item, None) {
            Ok(request) => request,
            Err(unreadable) => return Decided::Rejected(Box::new(unreadable.problem)),
        };
        let at = match occurred_at(&request, now) {
            Ok(at) => at,
            Err(failure) => return Decided::Rejected(Box::new(failure.into_problem())),
        };
        let intake = Intake::of(&self.caller, &request, at, &self.digest);
        match self.recorded.get(&intake.command_id) {
            Some(input_hmac) if *input_hmac == intake.input_hmac => return Decided::Known,
            Some(_) => {
                let problem = Failure::CommandIdReused.into_problem();
                return Decided::Rejected(Box::new(problem));
            }
            None => {}
        }
        let decided = match request.command {
            Command::Project(command) => self.run::<Project>(&intake, &command),
            Command::Task(command) => self.run::<Task>(&intake, &command),
        };
        match decided {
            Ok(Some(append)) => {
                self.recorded.insert(intake.command_id, intake.input_hmac);
                Decided::Record(Box::new(append))
            }
            Ok(None) => Decided::Unchanged,
            Err(failure) => Decided::Rejected(Box::new(failure.into_problem())),
        }
    }

    /// `None` when it is so already.
    fn run<A: Aggregate>(
        &mut self,
        intake: &Intake,
        command: &A::Command,
    ) -> Result<Option<Append>, Failure> {
        let facts = A::facts_offline(self, &intake.key.tenant, command);
        let seen = A::states(self).get(&intake.key.stream).cloned();
        let events = match decide(intake.expected_version, seen.as_ref(), &facts, command) {
            Decision::Record(events) => events,
            Decision::Nothing => return Ok(None),
            Decision::No(failure) => return Err(failure),
        };
        let before = seen.as_ref().map_or(0, |seen| seen.version);
        let expected = match before {
            0 => Expected::NoStream,
            version => Expected::Exactly(version),
        };
        let state = seen.map(|seen| seen.state);
        let beside = A::beside(
            &self.digest,
            intake.whose(),
            state.as_ref(),
            &events,
            &facts,
        );
        let append = intake.append::<A>(expected, events.clone(), beside.clone(), vec![])?;

        let added = Version::try_from(events.len()).expect("a decision has few events");
        let state = events
            .iter()
            .fold(state, |state, event| A::evolve(state, event));
        if let Some(state) = state {
            let folded = Folded {
                state,
                version: before + added,
                // Nobody asks: these are for guards, cursors and snapshots.
                position: 0,
                complete: 0,
                event_id: Uuid::nil(),
                kept: 0,
            };
            A::states(self).insert(intake.key.stream.clone(), folded);
        }
        for other in &beside {
            self.note(other);
        }
        Ok(Some(append))
    }

    fn note(&mut self, beside: &Beside) {
        match &beside.event {
            Event::TaskKey(_) => {
                let facts = self.keys.entry(beside.stream.clone()).or_default();
                facts.holder = holder_after(facts.holder, &beside.event);
                facts.version += 1;
            }
            // No command writes into the stream of another project or task.
            Event::Project(_) | Event::Task(_) => {}
        }
    }
}
