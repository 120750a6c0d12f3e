//! The watchdog of a session: it turns to something at least every second, if only to look for parked streams, and when it
//! has not for long it hangs in something that has no end.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::Error;

/// How long one turn may take: longer than any transaction or read, each of which has a bound of its own.
const TURN_SECONDS_MAX: u64 = 180;
const LOOK_INTERVAL_MS: u64 = 5_000;

/// When a session last turned to something.
#[derive(Debug)]
pub(super) struct Turned {
    at: Mutex<Instant>,
}

impl Default for Turned {
    fn default() -> Self {
        Self {
            at: Mutex::new(Instant::now()),
        }
    }
}

impl Turned {
    pub(super) fn once_more(&self) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Resolves when the session hangs.
    pub(super) async fn no_more(&self) -> Error {
        loop {
            tokio::time::sleep(Duration::from_millis(LOOK_INTERVAL_MS)).await;
            let at = *self.at.lock().unwrap_or_else(PoisonError::into_inner);
            if at.elapsed() >= Duration::from_secs(TURN_SECONDS_MAX) {
                metrics::counter!("foldline_projector_hung_total").increment(1);
                return Error::Stands {
                    seconds: at.elapsed().as_secs(),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_that_turns_to_nothing_any_more_hangs_and_one_that_does_lives() {
        let turned = Turned::default();
        let turning = async {
            for _ in 0..1_000 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                turned.once_more();
            }
        };
        tokio::select! {
            () = turning => {}
            error = turned.no_more() => panic!("{error}"),
        }
        let since = Instant::now();
        assert!(matches!(turned.no_more().await, Error::Stands { .. }));
        assert!(since.elapsed() <= Duration::from_secs(TURN_SECONDS_MAX + 10));
    }
}
