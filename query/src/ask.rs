//! One request's context: who asks, and with what it is answered.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_graphql::{Context, Value, dataloader::DataLoader, value};
use chrono::{DateTime, Utc};
use foldline_events::Cursor;
use foldline_gate::{Caller, TraceContext};

use crate::{
    commands::Commands,
    error::Error,
    progress::{Completed, Progress, VIEWS, View},
    read::{Loaders, Reader},
    state::QueryState,
};

/// Who asks: what the door found out about a request or a connection.
#[derive(Clone)]
pub struct Asker {
    pub caller: Caller,
    pub token: String,
    pub trace: Option<TraceContext>,
}

/// Made for every operation, kept in its GraphQL context.
pub struct Ask {
    pub caller: Caller,
    /// The caller's own token, which a command that is forwarded carries on.
    pub token: String,
    /// The trace that the request belongs to.
    pub trace: Option<TraceContext>,
    pub reader: Reader,
    pub loaders: DataLoader<Loaders>,
    pub progress: Progress,
    pub commands: Commands,
    at_least_wait_ms_max: u64,
    noted: Mutex<Noted>,
}

/// What a field reads.
#[derive(Debug, Clone)]
pub enum Touches {
    /// One aggregate.
    Stream(String),
    /// Lists and sums, or whatever a name leads to: nothing of the tenant can be left out.
    Everything,
}

/// What one answer goes by, however many fields it has.
#[derive(Debug, Clone)]
struct Noted {
    /// Up to where the answer surely holds everything: noted before its first row is read.
    completed: Option<Completed>,
    /// The cursors that were waited for: one of a root field at most.
    cursors: Vec<Cursor>,
    /// With how many of them everything of the tenant was looked at for what is parked; `None` before it was at all.
    all_looked_at: Option<usize>,
    /// How many of the streams that it reads are parked, by view.
    parked: BTreeMap<View, i64>,
    /// The instant for which is computed what changes with time alone.
    now: DateTime<Utc>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "a request enters here, and is answered as of now where it names no instant"
)]
fn now() -> DateTime<Utc> {
    Utc::now()
}

impl Ask {
    pub fn new(state: &QueryState, asker: &Asker) -> Arc<Self> {
        let Asker {
            caller,
            token,
            trace,
        } = asker.clone();
        let reader = Reader::new(state.views.clone(), caller.tenant.clone());
        let loaders = Loaders {
            reader: reader.clone(),
        };
        Arc::new(Self {
            caller,
            token,
            trace,
            reader,
            loaders: DataLoader::new(loaders, tokio::spawn),
            progress: state.progress.clone(),
            commands: state.commands.clone(),
            at_least_wait_ms_max: state.limits.at_least_wait_ms_max,
            noted: Mutex::new(Noted {
                completed: None,
                cursors: Vec::new(),
                all_looked_at: None,
                parked: BTreeMap::new(),
                now: now(),
            }),
        })
    }

    pub fn of<'a>(ctx: &Context<'a>) -> Result<&'a Arc<Self>, Error> {
        ctx.data_opt::<Arc<Self>>().ok_or(Error::NoContext)
    }

    /// Called by every root field before it reads: waits for the cursor when there is one, and notes how far the
    /// views are and what is parked of what it reads. With several root fields the first note of how far stands, because it
    /// is the lowest.
    ///
    /// It waits for every view, because what is selected below a field may come from any of them; a projector folds all
    /// of them in one transaction, so this costs nothing.
    ///
    /// # Errors
    /// [`Error::Parked`] where it waited for a cursor, and a stream that it reads waits at an event before it.
    pub async fn wait(&self, at_least: Option<&str>, touches: &Touches) -> Result<(), Error> {
        let cursor = match at_least {
            Some(token) => {
                let cursor: Cursor = token.parse().map_err(|_| Error::BadCursor)?;
                let wait_ms_max = self.at_least_wait_ms_max;
                let reached = self.progress.at_least(&cursor, &VIEWS, wait_ms_max).await;
                if let Err(Error::AtLeastTimeout { waited_ms }) = reached {
                    return Err(self.in_vain(&cursor, waited_ms).await?);
                }
                reached?;
                self.noted().cursors.push(cursor);
                Some(cursor)
            }
            None => None,
        };
        let completed = self.progress.seen().completed(&VIEWS);
        self.noted().completed.get_or_insert(completed);
        if self.is_nothing_parked() {
            return Ok(());
        }
        self.look_with(touches, cursor.as_ref()).await?;
        let mut noted = self.noted();
        let is_only_one = noted.cursors.len() == usize::from(cursor.is_some());
        if is_only_one && matches!(touches, Touches::Everything) {
            noted.all_looked_at = Some(noted.cursors.len());
        }
        Ok(())
    }

    /// Called by every field that reads more than the field above it said, which has waited: notes what is parked of it.
    ///
    /// # Errors
    /// [`Error::Parked`] where a cursor was waited for, by whichever field of the request, and a stream that it reads waits at
    /// an event before it.
    pub async fn look(&self, touches: &Touches) -> Result<(), Error> {
        if self.is_nothing_parked() {
            return Ok(());
        }
        let cursors = {
            let noted = self.noted();
            if noted.all_looked_at == Some(noted.cursors.len()) {
                return Ok(());
            }
            noted.cursors.clone()
        };
        if cursors.is_empty() {
            self.look_with(touches, None).await?;
        }
        for cursor in &cursors {
            self.look_with(touches, Some(cursor)).await?;
        }
        if matches!(touches, Touches::Everything) {
            self.noted().all_looked_at = Some(cursors.len());
        }
        Ok(())
    }

    fn is_nothing_parked(&self) -> bool {
        self.progress.seen().parked(&self.caller.tenant).is_empty()
    }

    async fn look_with(&self, touches: &Touches, cursor: Option<&Cursor>) -> Result<(), Error> {
        let mut before_cursor = 0;
        for of_view in self.reader.parked(touches, cursor).await? {
            before_cursor = of_view.before_cursor.max(before_cursor);
            let mut noted = self.noted();
            let streams = noted.parked.entry(of_view.view).or_default();
            *streams = of_view.streams.max(*streams);
        }
        match before_cursor {
            0 => Ok(()),
            streams => Err(Error::Parked { streams }),
        }
    }

    /// Why the views did not come to a cursor: they are slow, or it is of nothing in the log.
    async fn in_vain(&self, cursor: &Cursor, waited_ms: u64) -> Result<Error, Error> {
        let position = cursor.position;
        let head = self
            .reader
            .head_seen_within(cursor.epoch, waited_ms)
            .await?;
        Ok(match head.filter(|head| *head < position) {
            Some(head) => Error::BeyondHead { position, head },
            None => Error::AtLeastTimeout { waited_ms },
        })
    }

    /// Forgets what was noted: called by a subscription before it reads again.
    pub fn renew(&self) {
        let seen = self.progress.seen();
        let parked = seen.parked(&self.caller.tenant);
        let parked = parked
            .into_iter()
            .map(|(view, streams)| (view, streams.count));
        *self.noted() = Noted {
            completed: Some(seen.completed(&VIEWS)),
            cursors: Vec::new(),
            all_looked_at: Some(0),
            parked: parked.collect(),
            now: now(),
        };
    }

    /// When the request came in; of a subscription, when it last read.
    pub fn now(&self) -> DateTime<Utc> {
        self.noted().now
    }

    /// `extensions.foldline`. The position is a string, like all of them. `parked` is only there when the answer may lack
    /// something.
    pub fn extension(&self) -> Value {
        let Noted {
            completed, parked, ..
        } = self.noted().clone();
        let completed = completed.unwrap_or_else(|| self.progress.seen().completed(&VIEWS));
        let (epoch, prefix) = (
            completed.epoch.map(|epoch| epoch.to_string()),
            completed.prefix.to_string(),
        );
        if parked.is_empty() {
            return value!({"epoch": epoch, "completedPrefix": prefix});
        }
        let of_view =
            |(view, streams): (View, i64)| value!({"view": view.name(), "streams": streams});
        let parked: Vec<Value> = parked.into_iter().map(of_view).collect();
        value!({"epoch": epoch, "completedPrefix": prefix, "parked": parked})
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
