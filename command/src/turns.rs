//! Commands on one stream take turns, as far as they come to the same process. Each would be decided on a state that the one
//! before it changes, and of many at a time all but one would be decided for nothing, again and again.
//!
//! It is for economy alone: what keeps a stream right is the version that an append names, whoever else appends to it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::streams::Key;

/// How long a command waits for its turn. Then it goes on without: while the log does not answer, nobody's turn ends.
const TURN_WAIT_MS_MAX: u64 = 1_000;

/// Cheap to clone. One entry for each stream that commands are under way on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<Key, Weak<AsyncMutex<()>>>>>);

/// A command's turn, or its going on without one.
pub(crate) struct Turn<'t> {
    turns: &'t Turns,
    key: &'t Key,
    /// Until it ends.
    holding: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits while other commands on the stream are under way here, first come, first served.
    pub(crate) async fn of<'t>(&'t self, key: &'t Key) -> Turn<'t> {
        // From here on, because a command may be given up while it waits.
        let mut turn = Turn {
            turns: self,
            key,
            holding: None,
        };
        let stream = {
            let mut streams = self.streams();
            let known = streams.get(key).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let stream = Arc::default();
                streams.insert(key.clone(), Arc::downgrade(&stream));
                stream
            })
        };
        let bound = Duration::from_millis(TURN_WAIT_MS_MAX);
        turn.holding = tokio::time::timeout(bound, stream.lock_owned()).await.ok();
        turn
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<Key, Weak<AsyncMutex<()>>>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        drop(self.holding.take());
        let mut streams = self.turns.streams();
        let is_over = |stream: &Weak<_>| stream.strong_count() == 0;
        if streams.get(self.key).is_some_and(is_over) {
            streams.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use foldline_events::Tenant;

    use super::*;

    fn key(stream: &str) -> Key {
        Key {
            tenant: Tenant::parse("acme").unwrap(),
            stream: stream.to_owned(),
        }
    }

    #[tokio::test]
    async fn commands_of_one_stream_take_turns_and_those_of_others_do_not_wait() {
        let turns = Turns::default();
        let (one, other) = (key("task-1"), key("task-2"));
        let first = turns.of(&one).await;
        assert!(turns.of(&other).await.holding.is_some());
        let second = turns.of(&one);
        tokio::pin!(second);
        let soon = Duration::from_millis(50);
        assert!(tokio::time::timeout(soon, &mut second).await.is_err());
        drop(first);
        assert!(second.await.holding.is_some());
    }

    #[tokio::test]
    async fn a_turn_that_does_not_come_is_gone_without_and_nothing_stays_behind() {
        let turns = Turns::default();
        let one = key("task-1");
        let first = turns.of(&one).await;
        assert!(turns.of(&one).await.holding.is_none());
        // Given up while it waits.
        let soon = Duration::from_millis(10);
        assert!(tokio::time::timeout(soon, turns.of(&one)).await.is_err());
        drop(first);
        assert!(turns.streams().is_empty());
    }
}
