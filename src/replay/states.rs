//! The states beside events: folded from each stream's beginning by the rules themselves.
//!
//! A cache of what was folded keeps one event from costing its whole stream again. It is bounded in states and in bytes; what
//! it lacks is folded anew.

use std::collections::{BTreeMap, HashMap};

use foldline_events::{Recorded, Tenant, Version};
use foldline_log::{AnyLog, Error};

use super::shown::{Shown, Standing, Stood};

/// How many states are kept of all streams.
const STATES_MAX: usize = 10_000;
/// How many bytes they may take.
const STATES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How many states are kept of one stream: what lies between two of them is folded again.
const STATES_OF_STREAM_MAX: usize = 64;
/// How many events of a stream are read at a time to be folded.
const FOLD_PAGE_EVENTS: usize = 500;

pub(super) struct States {
    log: AnyLog,
    tenant: Tenant,
    kept: HashMap<String, Kept>,
    count: usize,
    bytes: usize,
    /// Counts the pages, to tell who was asked for last.
    clock: u64,
    /// How many events were read to be folded.
    #[cfg(test)]
    read: usize,
}

/// How one stream stood after some of its versions.
#[derive(Default)]
struct Kept {
    after: BTreeMap<Version, Standing>,
    used: u64,
}

impl States {
    pub(super) fn new(log: AnyLog, tenant: Tenant) -> Self {
        Self {
            log,
            tenant,
            kept: HashMap::new(),
            count: 0,
            bytes: 0,
            clock: 0,
            #[cfg(test)]
            read: 0,
        }
    }

    /// A page of events, in either order, with their states; in the same order.
    ///
    /// # Errors
    /// As of [`AnyLog::read_stream`].
    pub(super) async fn beside(&mut self, events: Vec<Recorded>) -> Result<Vec<Shown>, Error> {
        self.clock += 1;
        let mut of_streams: BTreeMap<String, Vec<(usize, Recorded)>> = BTreeMap::new();
        for (index, event) in events.into_iter().enumerate() {
            let of_stream = of_streams.entry(event.stream.clone()).or_default();
            of_stream.push((index, event));
        }
        let mut all = BTreeMap::new();
        for (stream, mut events) in of_streams {
            events.sort_by_key(|(_, event)| event.version);
            let first = events.first().map_or(1, |(_, event)| event.version);
            let mut stood = Stood::from(self.standing(&stream, first - 1).await?);
            let mut version = first - 1;
            for (index, event) in events {
                // Of one stream a page lacks nothing between its events; a log that is damaged might.
                if event.version > version + 1 {
                    stood = self.standing(&stream, event.version - 1).await?.into();
                }
                version = event.version;
                let (shown, after) = Shown::new(event, stood);
                stood = after;
                all.insert(index, shown);
            }
            self.keep(&stream, version, first - 1, stood.standing);
        }
        Ok(all.into_values().collect())
    }

    /// How a stream stands after a version: from the nearest state before it that is kept, or from the beginning.
    async fn standing(&mut self, stream: &str, version: Version) -> Result<Standing, Error> {
        let nearest = self.kept.get_mut(stream).and_then(|kept| {
            kept.used = self.clock;
            let (version, standing) = kept.after.range(..=version).next_back()?;
            Some((*version, standing.clone()))
        });
        let (mut reached, mut standing) = nearest.unwrap_or((0, Standing::Known(None)));
        let began = reached;
        let spacing = (version - reached) / as_version(STATES_OF_STREAM_MAX) + 1;
        let mut kept_at = reached;
        while reached < version {
            let left = usize::try_from(version - reached).unwrap_or(usize::MAX);
            let page = (self.log)
                .read_stream(&self.tenant, stream, reached, left.min(FOLD_PAGE_EVENTS))
                .await?;
            #[cfg(test)]
            {
                self.read += page.len();
            }
            let events = page.iter().take_while(|event| event.version <= version);
            let before = reached;
            for event in events {
                standing = standing.after(event).0;
                reached = event.version;
                if reached - kept_at >= spacing {
                    self.keep(stream, reached, version, standing.clone());
                    kept_at = reached;
                }
            }
            if reached == before {
                break;
            }
        }
        if reached > began {
            self.keep(stream, reached, version, standing.clone());
        }
        Ok(standing)
    }

    /// Keeps a state, while what lies around another version is asked for.
    fn keep(&mut self, stream: &str, version: Version, asked: Version, standing: Standing) {
        if !self.kept.contains_key(stream) {
            self.kept.insert(stream.to_owned(), Kept::default());
        }
        let Some(kept) = self.kept.get_mut(stream) else {
            return;
        };
        kept.used = self.clock;
        self.bytes += standing.size_bytes();
        self.count += 1;
        let mut gone: Vec<Standing> = kept.after.insert(version, standing).into_iter().collect();
        if kept.after.len() > STATES_OF_STREAM_MAX {
            gone.extend(thinned(&mut kept.after, asked));
        }
        self.count -= gone.len();
        self.bytes -= gone.iter().map(Standing::size_bytes).sum::<usize>();
        if self.count > STATES_MAX || self.bytes > STATES_BYTES_MAX {
            self.forget();
        }
    }

    /// Half of the streams, those that were asked for longest ago. One alone that is too much goes, too.
    fn forget(&mut self) {
        let mut by_use: Vec<(u64, String)> = (self.kept.iter())
            .map(|(stream, kept)| (kept.used, stream.clone()))
            .collect();
        by_use.sort();
        let half = by_use.len().div_ceil(2);
        for (_, stream) in by_use.into_iter().take(half) {
            if let Some(kept) = self.kept.remove(&stream) {
                self.count -= kept.after.len();
                self.bytes -= kept.after.values().map(Standing::size_bytes).sum::<usize>();
            }
        }
    }
}

/// Takes out the state that is missed least: that between the closest neighbours, as measured by how far it lies from the version
/// that is asked for. So distances grow with that, and whoever goes back from there folds little again for each step. The newest
/// stays: whoever goes forward goes on from it.
fn thinned(after: &mut BTreeMap<Version, Standing>, asked: Version) -> Option<Standing> {
    let versions: Vec<Version> = after.keys().copied().collect();
    let begins = [0].into_iter().chain(versions.iter().copied());
    let around = begins.zip(&versions).zip(versions.iter().skip(1));
    let missed = |between: Version, far: Version| {
        let between = u128::from(between.unsigned_abs()) << u32::BITS;
        between / u128::from(far.unsigned_abs() + 1)
    };
    let least = around.min_by_key(|((before, it), next)| missed(*next - before, *it - asked));
    let ((_, version), _) = least?;
    after.remove(version)
}

fn as_version(count: usize) -> Version {
    Version::try_from(count).unwrap_or(Version::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::testing::{append, log, task_created, task_renamed, tenant};

    #[tokio::test]
    async fn going_back_over_a_long_stream_folds_it_a_few_times_and_not_for_every_page() {
        const VERSIONS: usize = 100_000;
        const APPENDED: usize = 1_000;
        const PAGE: usize = 250;
        let log = log();
        append(&log, &tenant(), 10, vec![task_created("Dig")]);
        for _ in 0..VERSIONS / APPENDED {
            append(&log, &tenant(), 10, vec![task_renamed("Dug"); APPENDED]);
        }
        let stream = foldline_events::tasks::task_stream(uuid::Uuid::from_u128(10));
        let mut states = States::new(AnyLog::Memory(log), tenant());
        for version in (1..=as_version(VERSIONS)).rev().step_by(PAGE) {
            states.standing(&stream, version).await.unwrap();
        }
        assert!(states.read >= VERSIONS);
        assert!(states.read <= 4 * VERSIONS, "{}", states.read);
    }
}
