//! One request's context: who asks, and with what it is answered.

use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::{Context, Value, dataloader::DataLoader, value};
use chrono::{DateTime, Utc};
use foldline_events::Cursor;
use foldline_gate::{Caller, TraceContext};

use crate::{
    commands::Commands,
    error::Error,
    progress::{Completed, Progress, VIEWS},
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

/// What one answer goes by, however many fields it has.
#[derive(Debug, Clone, Copy)]
struct Noted {
    /// Up to where the answer surely holds everything: noted before its first row is read.
    completed: Option<Completed>,
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
                now: now(),
            }),
        })
    }

    pub fn of<'a>(ctx: &Context<'a>) -> Result<&'a Arc<Self>, Error> {
        ctx.data_opt::<Arc<Self>>().ok_or(Error::NoContext)
    }

    /// Called by every root field before it reads: waits for the cursor when there is one, and notes how far the
    /// views are. With several root fields the first note stands, because it is the lowest.
    ///
    /// It waits for every view, because what is selected below a field may come from any of them; a projector folds all
    /// of them in one transaction, so this costs nothing.
    pub async fn wait(&self, at_least: Option<&str>) -> Result<(), Error> {
        if let Some(token) = at_least {
            let cursor: Cursor = token.parse().map_err(|_| Error::BadCursor)?;
            self.progress
                .at_least(&cursor, &VIEWS, self.at_least_wait_ms_max)
                .await?;
        }
        let completed = self.progress.seen().completed(&VIEWS);
        self.noted().completed.get_or_insert(completed);
        Ok(())
    }

    /// Forgets what was noted: called by a subscription before it reads again.
    pub fn renew(&self) {
        *self.noted() = Noted {
            completed: Some(self.progress.seen().completed(&VIEWS)),
            now: now(),
        };
    }

    /// When the request came in; of a subscription, when it last read.
    pub fn now(&self) -> DateTime<Utc> {
        self.noted().now
    }

    /// `extensions.foldline`. The position is a string, like all of them.
    pub fn extension(&self) -> Value {
        let noted = self.noted().completed;
        let completed = noted.unwrap_or_else(|| self.progress.seen().completed(&VIEWS));
        value!({
            "epoch": completed.epoch.map(|epoch| epoch.to_string()),
            "completedPrefix": completed.prefix.to_string(),
        })
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
