//! The log page by page, the next one read while the one before it is used: the server and whoever reads it work at the same
//! time, where one would wait for the other.

use foldline_events::{Position, Recorded};
use tokio_util::task::AbortOnDropHandle;

use crate::{Error, Log};

type Page = Result<(Vec<Recorded>, Position), Error>;

/// Pages of the log, in order and gapless. Two are in memory at most: the one given, and the next.
#[derive(Debug)]
pub struct Pages {
    log: Log,
    read_to: Position,
    limit: usize,
    ahead: Option<AbortOnDropHandle<Page>>,
}

impl Log {
    /// The log after a position as pages, each as [`Log::read`] gives it.
    pub fn pages(&self, after: Position, limit: usize) -> Pages {
        Pages {
            log: self.clone(),
            read_to: after,
            limit,
            ahead: None,
        }
    }
}

impl Pages {
    /// The next page; empty at the end of the log as it is now. Asked again later, it goes on from there. Cancel safe: a
    /// page not returned is given by the next call.
    ///
    /// # Errors
    /// As of [`Log::read`]. Asked again after one, it reads again from where it was.
    pub async fn next(&mut self) -> Result<Vec<Recorded>, Error> {
        let page = match &mut self.ahead {
            Some(ahead) => {
                let page = ahead.await.expect("reading the log does not panic");
                self.ahead = None;
                // It may have been read before the log turned out to be another.
                self.log.inner.seen.check()?;
                page
            }
            None => self.log.read_on(self.read_to, self.limit).await,
        };
        let (events, head) = page?;
        if let Some(last) = events.last() {
            self.read_to = last.position;
            if self.read_to < head {
                let (log, after, limit) = (self.log.clone(), self.read_to, self.limit);
                let reading = tokio::spawn(async move { log.read_on(after, limit).await });
                self.ahead = Some(AbortOnDropHandle::new(reading));
            }
        }
        Ok(events)
    }
}
