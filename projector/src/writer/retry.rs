//! A parked stream goes on: what waited is read from the log and folded up to where its partition is.

use foldline_events::{Event, Recorded, Version};
use foldline_log::Log;

use super::{BEGIN, Writer, bounded};
use crate::{
    Build, Error, Folded,
    checkpoint::{self, Checkpoint},
    error::{Remedy, in_full},
    parking::{self, Parked, Why},
};

/// How many events of a stream are folded in one transaction, at most.
const STRETCH_EVENTS_MAX: usize = 500;

/// What became of trying a parked stream again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retried {
    /// It is folded as far as its partition, and goes on with it.
    Released,
    /// It waits at this event, which may be the one it waited at before.
    Waits(Parked),
    /// It is not for this writer to try.
    NotHeld,
    /// Somebody wished something else of it meanwhile, so it is to be tried anew.
    WishedAnew,
}

/// What to fold at a time, and what comes after it.
struct Stretch {
    events: Vec<Waiting>,
    then: Then,
}

/// An event of a parked stream that can be read.
struct Waiting {
    recorded: Recorded,
    event: Event,
    follows: Version,
}

/// How a stretch ends.
enum Then {
    /// With the stream, as far as its partition is folded.
    Released,
    /// In front of an event that waits for the next one.
    Before(Box<Recorded>),
    /// In front of an event that cannot be folded.
    Refused(Box<Recorded>, Why),
    /// Before it began: somebody wishes something else.
    WishedAnew,
}

impl Writer {
    /// Folds what waits in a stream, from its first unfoldable event on, in order, and up to where the view's partition
    /// is: from there on it comes with the feed again. Goes in stretches, each of which commits with where the stream then
    /// waits.
    ///
    /// # Errors
    /// When nothing can be said about what was written: then partitions must be taken again before going on.
    pub async fn retry(&mut self, log: &Log, parked: Parked) -> Result<Retried, Error> {
        let mut parked = parked;
        let stream = parked.key();
        // Somebody may have decided to leave an event out since the partition was taken.
        let skipped = bounded(parking::skipped(&self.pool, parked.view, &stream)).await?;
        if let Some(held) = self.held.get_mut(&parked.partition) {
            held.aside.skip(parked.view, stream, skipped);
        }
        loop {
            // Of a partition that stopped because too many of its streams are parked, too: it goes on with fewer.
            let build = self.builds.of(parked.view);
            let Some(build) = build.filter(|_| self.holds(parked.partition)) else {
                return Ok(Retried::NotHeld);
            };
            let stretch = self.stretch(log, build, &parked).await?;
            match self.fold_stretch(build, &parked, stretch).await? {
                Then::Released => {
                    if let Some(held) = self.held.get_mut(&parked.partition) {
                        held.aside.release(parked.view, &parked.key());
                    }
                    return Ok(Retried::Released);
                }
                Then::WishedAnew => return Ok(Retried::WishedAnew),
                Then::Before(next) => parked = parked.now_at(&next, parked.why.clone()),
                Then::Refused(event, why) => {
                    return Ok(Retried::Waits(parked.now_at(&event, why)));
                }
            }
        }
    }

    /// Reads the next events of a parked stream that the view has passed by, without those that are left out.
    async fn stretch(&self, log: &Log, build: Build, parked: &Parked) -> Result<Stretch, Error> {
        let read = async |after, limit| {
            let page = log.read_stream(&parked.tenant, &parked.stream, after, limit);
            page.await.map_err(Error::from)
        };
        let passed_by =
            |recorded: &Recorded| recorded.position <= self.checkpoint(build, parked).mark.position;
        let mut after = parked.version - 1;
        let mut events = Vec::new();
        for recorded in read(after, STRETCH_EVENTS_MAX).await? {
            if !passed_by(&recorded) {
                let then = Then::Released;
                return Ok(Stretch { events, then });
            }
            after = recorded.version;
            let Some(follows) = self.unless_skipped(parked, recorded.version) else {
                continue;
            };
            match recorded.event() {
                Ok(event) => events.push(Waiting {
                    recorded,
                    event,
                    follows,
                }),
                Err(error) => {
                    let then = Then::Refused(Box::new(recorded), Why::of(&error));
                    return Ok(Stretch { events, then });
                }
            }
        }
        let next = read(after, 1).await?.into_iter().next();
        let then = match next.filter(passed_by) {
            Some(next) => Then::Before(Box::new(next)),
            None => Then::Released,
        };
        Ok(Stretch { events, then })
    }

    /// Writes as much of a stretch as can be folded, and says how what was written ends.
    async fn fold_stretch(
        &self,
        build: Build,
        parked: &Parked,
        stretch: Stretch,
    ) -> Result<Then, Error> {
        let Stretch { events, mut then } = stretch;
        let mut count = events.len();
        let recorded = |index: usize| Box::new(events[index].recorded.clone());
        // Each turn writes less than the one before.
        loop {
            let written = bounded(self.write_stretch(build, parked, &events[..count], &then)).await;
            let error = match written {
                Ok(true) => return Ok(then),
                Ok(false) => return Ok(Then::WishedAnew),
                Err(error) => error,
            };
            match error.remedy() {
                Remedy::Isolate => {}
                Remedy::Retry | Remedy::Stop => return Err(error),
            }
            let culprit = |position| {
                let is_it = |waiting: &Waiting| waiting.recorded.position == position;
                events[..count].iter().position(is_it)
            };
            if let Error::Unfoldable { position, why, .. } = &error
                && let Some(index) = culprit(*position)
            {
                then = Then::Refused(recorded(index), Why::unfoldable(why.clone()));
                count = index;
            } else if count > 1 {
                // The database does not say which event it refused.
                count /= 2;
                then = Then::Before(recorded(count));
            } else if count == 1 {
                then = Then::Refused(recorded(0), Why::unfoldable(in_full(&error)));
                count = 0;
            } else {
                return Err(error);
            }
        }
    }

    /// Says whether it did, because nobody wished anything else of the stream.
    async fn write_stretch(
        &self,
        build: Build,
        parked: &Parked,
        events: &[Waiting],
        then: &Then,
    ) -> Result<bool, Error> {
        let mut transaction = self.pool.begin_with(BEGIN).await.map_err(Error::Begin)?;
        checkpoint::hold(
            &mut transaction,
            build,
            parked.partition,
            self.checkpoint(build, parked),
        )
        .await?;
        if !parking::hold(&mut transaction, build, parked).await? {
            return Ok(false);
        }
        let folded: Vec<Folded<'_>> = events
            .iter()
            .map(|waiting| Folded {
                view: build.view,
                recorded: &waiting.recorded,
                event: &waiting.event,
                follows: waiting.follows,
            })
            .collect();
        if !folded.is_empty() {
            build.fold(&mut transaction, &folded).await?;
        }
        match then {
            Then::Released => parking::release(&mut transaction, build, parked).await?,
            Then::Before(next) => {
                let next = parked.now_at(next, parked.why.clone());
                parking::advance(&mut transaction, build, &next).await?;
            }
            Then::Refused(event, why) => {
                let waits = parked.now_at(event, why.clone());
                parking::park(&mut transaction, &self.builds, &[&waits]).await?;
            }
            Then::WishedAnew => {}
        }
        transaction.commit().await.map_err(Error::Commit)?;
        Ok(true)
    }

    fn checkpoint(&self, build: Build, parked: &Parked) -> Checkpoint {
        self.held[&parked.partition].checkpoints[&build]
    }

    fn unless_skipped(&self, parked: &Parked, version: Version) -> Option<Version> {
        let aside = &self.held[&parked.partition].aside;
        aside.unless_skipped(parked.view, &parked.key(), version)
    }
}
