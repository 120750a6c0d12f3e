//! The continuous proof: streams are folded again, one after another, and compared with the rows that readers see.
//!
//! A round begins with the log's first event and goes on to where the views are when it begins, and takes the streams whose
//! events it passes by, of the partitions that this process folds: all of them, or of a long log an even sample. It is done beside
//! everything else, a stream at a time with a pause after each. How one stream is compared stands in `proof/stream.rs`.

mod stream;

use std::{collections::HashSet, time::Duration};

use foldline_events::{Partition, Position, Recorded, Tenant};
use foldline_log::Log;
use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    Build, Error, Health, View, again::Scope, error::in_full, health::as_optional_text,
    parking::StreamKey,
};
use stream::Compared;

/// About how many streams one round takes.
const ROUND_STREAMS_MAX: Position = 10_000;
/// The pause after a round, in pauses after a stream; and after so many streams those that differ are looked at again.
const ROUND_PAUSES: u32 = 60;
/// How many events are read at a time to find streams, and how many times while a stream pauses.
const LOOKED_AT_EVENTS_MAX: usize = 100;
const LOOKS_PER_PAUSE: u32 = 10;
/// How many streams that differ are told of, and looked at again.
const DIFFERING_MAX: usize = 10;
/// How many are remembered, so that what differs in them is logged once; of more nothing is logged.
const KNOWN_MAX: usize = 1_000;

/// What the continuous proof has found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// Where the views were when the last round began in which nothing differed, written as a string.
    #[serde(serialize_with = "as_optional_text")]
    pub verified_through: Option<Position>,
    /// How many streams were compared since the process began, each counted in each view.
    pub compared: u64,
    /// How many of them were not, because they have too many events.
    pub too_long: u64,
    /// Streams that differ, the first of them.
    pub differing: Vec<Differing>,
}

/// A stream of which a view holds other rows than its events leave. Whose it is and what differs stands in the process's own log, and
/// not where anybody may ask how it is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Differing {
    pub view: &'static str,
    pub partition: Partition,
    #[serde(skip)]
    pub tenant: Tenant,
    #[serde(skip)]
    pub stream: String,
    /// How many rows differ, or more.
    pub rows: usize,
    /// The first of them: its table, what tells it apart there, and the fields that differ.
    #[serde(skip)]
    pub first: String,
}

/// Proves again and again, until it is dropped.
pub(crate) async fn run(pool: PgPool, log: Log, health: Health, id: Uuid, pause: Duration) {
    let beside = Tenant::parse(&format!("0-beside-{id}")).expect("a name of letters and digits");
    let mut proving = Proving {
        pool,
        log,
        health,
        beside,
        pause,
        // Elsewhere in each process, and after each restart.
        rounds: id.as_u64_pair().1,
        taken: 0,
        proof: Proof::default(),
        known: HashSet::new(),
    };
    let mut is_possible = true;
    loop {
        let ended = proving.round().await;
        // An outage is said once, not every round.
        if let Some(error) = ended.as_ref().err().filter(|_| is_possible) {
            let error = in_full(error);
            tracing::warn!(error, "cannot compare the views with the log; trying again");
        }
        is_possible = ended.is_ok();
        tokio::time::sleep(pause * ROUND_PAUSES).await;
    }
}

struct Proving {
    pool: PgPool,
    log: Log,
    health: Health,
    /// Whose rows those are that are folded to be compared. They are never committed.
    beside: Tenant,
    /// After each stream.
    pause: Duration,
    rounds: u64,
    /// How many streams were taken.
    taken: u32,
    proof: Proof,
    /// What was said to differ already, so that it is said once.
    known: HashSet<(View, StreamKey)>,
}

/// What became of looking at a stream in a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proven {
    Same,
    Differs,
    /// The view is not there yet, or has no indexes yet.
    NotYet,
    TooLong,
}

impl Proving {
    async fn round(&mut self) -> Result<(), Error> {
        self.rounds = self.rounds.wrapping_add(1);
        self.look_again().await?;
        let Some(through) = self.folded_through() else {
            return Ok(());
        };
        let mut all_same = true;
        let mut taken: HashSet<StreamKey> = HashSet::new();
        let stride = (through / ROUND_STREAMS_MAX).max(1);
        // From somewhere to the end, and then from the beginning to there.
        let begin = self.somewhere(through);
        for (from, to) in [(begin, through), (0, begin)] {
            let mut after = from;
            while after < to {
                let page = self.log.read(after, LOOKED_AT_EVENTS_MAX).await?;
                let Some(last) = page.last().map(|last| last.position) else {
                    break;
                };
                let mut next = after;
                for event in page {
                    if event.position <= next || event.position > to || !self.is_ours(&event) {
                        continue;
                    }
                    next = event.position + stride - 1;
                    if taken.insert((event.tenant.clone(), event.stream.clone())) {
                        all_same &= self.take(&event).await?;
                    }
                }
                after = next.max(last);
                tokio::time::sleep(self.pause / LOOKS_PER_PAUSE).await;
            }
        }
        if all_same && self.proof.differing.is_empty() {
            self.proof.verified_through = Some(through);
        }
        self.tell();
        Ok(())
    }

    /// Compares the stream of an event in every view that folds it; says whether all of them have the rows that they should have.
    async fn take(&mut self, event: &Recorded) -> Result<bool, Error> {
        let mut all_same = true;
        for build in self.folding(event) {
            let scope = Scope {
                build,
                tenant: event.tenant.clone(),
                partition: event.partition,
                stream: Some(event.stream.clone()),
            };
            all_same &= match self.prove(&scope, &event.stream).await? {
                Proven::Same | Proven::TooLong => true,
                Proven::Differs | Proven::NotYet => false,
            };
        }
        self.taken = self.taken.wrapping_add(1);
        if self.taken.is_multiple_of(ROUND_PAUSES) {
            self.look_again().await?;
        }
        tokio::time::sleep(self.pause).await;
        Ok(all_same)
    }

    /// Whether what differed still does. What others fold now is theirs to tell.
    async fn look_again(&mut self) -> Result<(), Error> {
        for differing in self.proof.differing.clone() {
            let build = self.builds_of(differing.partition);
            let build = build
                .into_iter()
                .find(|it| it.view.name() == differing.view);
            let Some(build) = build else {
                self.forget(&differing.tenant, &differing.stream, differing.view);
                continue;
            };
            let scope = Scope {
                build,
                tenant: differing.tenant,
                partition: differing.partition,
                stream: Some(differing.stream.clone()),
            };
            self.prove(&scope, &differing.stream).await?;
        }
        Ok(())
    }

    /// Where every view is in every partition that is folded here; `None` while nothing is.
    fn folded_through(&self) -> Option<Position> {
        let of_views = self.health.reached();
        let positions = of_views.values().flat_map(|of_view| of_view.values());
        positions.copied().min().filter(|position| *position > 0)
    }

    /// Where a round begins: each elsewhere, by the fractional parts of multiples of the golden ratio, which fill a stretch evenly.
    fn somewhere(&self, through: Position) -> Position {
        let fraction = self.rounds.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let scaled = u128::from(fraction) * u128::from(through.unsigned_abs());
        Position::try_from(scaled >> 64).unwrap_or(0)
    }

    fn is_ours(&self, event: &Recorded) -> bool {
        !self.folding(event).is_empty()
    }

    /// Where an event is folded in this process.
    fn folding(&self, event: &Recorded) -> Vec<Build> {
        let mut folding = self.builds_of(event.partition);
        folding.retain(|build| build.view.folds(&event.stream));
        folding
    }

    /// What is folded of a partition in this process.
    fn builds_of(&self, partition: Partition) -> Vec<Build> {
        let reached = self.health.reached();
        let ours = reached.iter().filter(|(_, of)| of.contains_key(&partition));
        ours.map(|(build, _)| *build).collect()
    }

    async fn prove(&mut self, scope: &Scope, stream: &str) -> Result<Proven, Error> {
        let (view, tenant) = (scope.build.view.name(), scope.tenant.clone());
        let compared = stream::compare(&self.pool, &self.log, &self.beside, scope).await?;
        let differences = match compared {
            Compared::NotFolded => return Ok(Proven::NotYet),
            Compared::TooLong => {
                self.proof.too_long += 1;
                metrics::counter!("foldline_projector_proof_too_long_total", "view" => view)
                    .increment(1);
                return Ok(Proven::TooLong);
            }
            Compared::Differences(differences) => differences,
        };
        self.proof.compared += 1;
        metrics::counter!("foldline_projector_proven_streams_total", "view" => view).increment(1);
        self.proof
            .differing
            .retain(|it| !(it.view == view && it.tenant == tenant && it.stream == stream));
        let key = (scope.build.view, (tenant.clone(), stream.to_owned()));
        let Some(first) = differences.first() else {
            self.known.remove(&key);
            self.tell();
            return Ok(Proven::Same);
        };
        if self.known.len() < KNOWN_MAX && self.known.insert(key) {
            metrics::counter!("foldline_projector_mismatches_total", "view" => view).increment(1);
            for difference in &differences {
                tracing::error!(
                    view,
                    tenant = tenant.as_str(),
                    stream,
                    row = difference.row,
                    stored = difference.stored,
                    folded_again = difference.again,
                    "a row is not what its events leave; `foldline rebuild` folds the stream again"
                );
            }
        }
        if self.proof.differing.len() < DIFFERING_MAX {
            self.proof.differing.push(Differing {
                view,
                partition: scope.partition,
                tenant,
                stream: stream.to_owned(),
                rows: differences.len(),
                first: format!("{}: {}", first.row, first.fields.join(", ")),
            });
        }
        self.tell();
        Ok(Proven::Differs)
    }

    fn forget(&mut self, tenant: &Tenant, stream: &str, view: &str) {
        self.proof
            .differing
            .retain(|it| !(it.view == view && it.tenant == *tenant && it.stream == stream));
        self.tell();
    }

    fn tell(&self) {
        let differing = u32::try_from(self.proof.differing.len()).unwrap_or(u32::MAX);
        metrics::gauge!("foldline_projector_differing_streams").set(f64::from(differing));
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge is a float; it errs by a few events beyond 2^53"
        )]
        if let Some(through) = self.proof.verified_through {
            metrics::gauge!("foldline_projector_verified_through").set(through as f64);
        }
        self.health.proven(self.proof.clone());
    }
}
