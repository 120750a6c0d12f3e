//! Commands on one stream take turns, as far as they come to the same process. Each would be decided on a state that the one
//! before it changes, and of many at a time all but one would be decided for nothing, again and again.
//!
//! It is for economy alone: what keeps a stream right is the version that an append names, whoever else appends to it.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use tokio::sync::{Mutex, MutexGuard};

use crate::streams::Key;

/// How many turns can be taken at the same time. Streams share them by a hash, so that two seldom wait for each other.
pub(crate) const TURNS: usize = 4_096;
/// How long a command waits for its turn. Then it goes on without: while the log does not answer, nobody's turn ends.
const TURN_WAIT_MS_MAX: u64 = 1_000;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<[Mutex<()>]>);

impl Default for Turns {
    fn default() -> Self {
        Self((0..TURNS).map(|_| Mutex::default()).collect())
    }
}

impl Turns {
    /// Waits while other commands on the stream are under way here, first come, first served.
    pub(crate) async fn of(&self, key: &Key) -> Option<MutexGuard<'_, ()>> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % TURNS as u64).expect("there are few turns");
        let bound = Duration::from_millis(TURN_WAIT_MS_MAX);
        tokio::time::timeout(bound, self.0[index].lock()).await.ok()
    }
}
