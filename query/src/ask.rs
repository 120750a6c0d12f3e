//! One request's context: who asks, and with what it is answered.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_graphql::{Context, Name, QueryPathSegment, Value, value};
use chrono::{DateTime, Utc};
use foldline_events::{Cursor, Position};
use foldline_gate::{Caller, TraceContext};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    commands::Commands,
    error::Error,
    moment::{Moment, Sight, Wanted, When},
    progress::{Completed, POLL_INTERVAL_MS, Progress, VIEWS, View},
    read::Reader,
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
    pub present: Arc<Sight>,
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

/// A root field, for those below it.
#[derive(Clone)]
struct Root {
    sight: Arc<Sight>,
    /// What it waited for.
    cursor: Option<Cursor>,
    /// Whether everything of the tenant was looked at for what is parked.
    all_looked_at: bool,
    /// The instant that it is of, where it is of one.
    at: Option<DateTime<Utc>>,
}

/// What one answer goes by, however many fields it has.
#[derive(Clone)]
struct Noted {
    /// Up to where the answer surely holds everything: noted before its first row is read.
    completed: Option<Completed>,
    /// What each root field reads that waited, by its response key.
    roots: HashMap<String, Root>,
    /// By the positions as of which they read.
    past: HashMap<Position, Arc<Sight>>,
    /// The position that fields of the request share: of the first that wanted it.
    snapshot: Option<Position>,
    /// Whether everything of the tenant was looked at for what is parked, by a field without a cursor.
    all_looked_at: bool,
    /// How many of the streams that it reads are parked, by view.
    parked: BTreeMap<View, i64>,
    /// The instant for which is computed what changes with time alone.
    now: DateTime<Utc>,
}

impl Noted {
    /// Of several the lowest: up to there everything is in all of the answer.
    fn complete(&mut self, completed: Completed) {
        let lower = self
            .completed
            .filter(|noted| noted.prefix <= completed.prefix);
        self.completed = Some(lower.unwrap_or(completed));
    }
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
        let reader = Reader::new(
            state.views.clone(),
            caller.tenant.clone(),
            state.limits.request_ms_max,
        );
        Arc::new(Self {
            caller,
            token,
            trace,
            present: Sight::new(reader),
            progress: state.progress.clone(),
            commands: state.commands.clone(),
            at_least_wait_ms_max: state.limits.at_least_wait_ms_max,
            noted: Mutex::new(Noted {
                completed: None,
                roots: HashMap::new(),
                past: HashMap::new(),
                snapshot: None,
                all_looked_at: false,
                parked: BTreeMap::new(),
                now: now(),
            }),
        })
    }

    pub fn of<'a>(ctx: &Context<'a>) -> Result<&'a Arc<Self>, Error> {
        ctx.data_opt::<Arc<Self>>().ok_or(Error::NoContext)
    }

    /// Called by every root field before it reads: waits for the cursor and for the moment, where one is given, notes up to
    /// where the answer holds everything and what is parked of what it reads, and says what to read.
    ///
    /// It waits for every view, because what is selected below a field may come from any of them; a projector folds all
    /// of them in one transaction, so this costs nothing.
    ///
    /// # Errors
    /// [`Error::Parked`] where it waited for a cursor, and a stream that it reads waits at an event before it.
    pub async fn wait(
        &self,
        ctx: &Context<'_>,
        when: &When,
        touches: &Touches,
    ) -> Result<Arc<Sight>, Error> {
        let (wanted, cursor) = (when.wanted()?, when.cursor()?);
        let started = Instant::now();
        if let (Wanted::Past(position), Some(cursor)) = (wanted, cursor)
            && cursor.position > position
        {
            return Err(before_cursor(position, &cursor));
        }
        if let Some(cursor) = cursor {
            // Of a snapshot nothing is there but the completed prefix.
            let partition = match wanted {
                Wanted::Snapshot => None,
                Wanted::Present | Wanted::Past(_) | Wanted::PastTime(_) => cursor.partition,
            };
            let cursor = Cursor {
                partition,
                ..cursor
            };
            self.until_folded(&cursor, started).await?;
        }
        if let Wanted::Past(position) = wanted {
            self.until_completed(position, started).await?;
        }
        let then = match wanted {
            Wanted::PastTime(at) => Some(self.position_at(at, cursor.as_ref(), started).await?),
            Wanted::Present | Wanted::Past(_) | Wanted::Snapshot => None,
        };
        let completed = self.progress.seen().completed(&VIEWS);
        let position = match wanted {
            Wanted::Present => None,
            Wanted::Past(position) => Some(position),
            Wanted::PastTime(_) => then,
            Wanted::Snapshot => Some(self.snapshot(&completed, cursor.as_ref())?),
        };
        let sight = self.sight_of(position);
        self.noted().complete(Completed {
            prefix: completed.prefix.min(position.unwrap_or(Position::MAX)),
            ..completed
        });
        let everything = matches!(touches, Touches::Everything);
        let is_nothing_parked = self.is_nothing_parked();
        if !is_nothing_parked {
            self.look_with(&sight, touches, cursor.as_ref()).await?;
        }
        if let Some(key) = root_of(ctx) {
            let root = Root {
                sight: sight.clone(),
                cursor,
                all_looked_at: everything && !is_nothing_parked,
                at: match wanted {
                    Wanted::PastTime(at) => Some(at),
                    Wanted::Present | Wanted::Past(_) | Wanted::Snapshot => None,
                },
            };
            self.noted().roots.insert(key.to_owned(), root);
        }
        Ok(sight)
    }

    async fn until_folded(&self, cursor: &Cursor, started: Instant) -> Result<(), Error> {
        let wait_ms_max = self.wait_ms_left(started);
        match self.progress.at_least(cursor, &VIEWS, wait_ms_max).await {
            Err(Error::AtLeastTimeout { .. }) => {
                Err(self.in_vain(Some(cursor.epoch), cursor.position).await?)
            }
            reached => reached,
        }
    }

    /// Until nothing at or before a position can still come.
    async fn until_completed(&self, position: Position, started: Instant) -> Result<(), Error> {
        let wait_ms_max = self.wait_ms_left(started);
        match self.progress.completes(position, &VIEWS, wait_ms_max).await {
            Err(Error::AtLeastTimeout { .. }) => {
                let epoch = self.progress.seen().completed(&VIEWS).epoch;
                Err(self.in_vain(epoch, position).await?)
            }
            completed => completed,
        }
    }

    /// The last position that was recorded up to an instant, once it is known that nothing more was.
    async fn position_at(
        &self,
        at: DateTime<Utc>,
        cursor: Option<&Cursor>,
        started: Instant,
    ) -> Result<Position, Error> {
        let now = self.noted().now;
        if at > now {
            return Err(Error::BadInput {
                problem: format!("asOf.recordedAt lies in the future: it is {now} now"),
            });
        }
        let mut seen = self.progress.watch();
        loop {
            let completed = {
                let seen = seen.borrow_and_update();
                seen.must_not_be_lost()?;
                seen.completed(&VIEWS)
            };
            if let Some(epoch) = completed.epoch {
                let reader = &self.present.reader;
                let found = reader.position_at(epoch, completed.prefix, at).await?;
                match (found, cursor) {
                    (Some(position), Some(cursor)) if cursor.position > position => {
                        return Err(before_cursor(position, cursor));
                    }
                    (Some(position), _) => return Ok(position),
                    (None, _) => {}
                }
            }
            let left = self.wait_ms_left(started);
            if left == 0 {
                let waited_ms = self.at_least_wait_ms_max;
                return Err(Error::TimeNotSettled { at, waited_ms });
            }
            // Of a head that stands still, when it was last seen moves alone, and nobody is woken.
            let pause = Duration::from_millis(left.min(POLL_INTERVAL_MS));
            if let Ok(Err(_)) = tokio::time::timeout(pause, seen.changed()).await {
                return Err(Error::Closing);
            }
        }
    }

    fn wait_ms_left(&self, started: Instant) -> u64 {
        let waited = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at_least_wait_ms_max.saturating_sub(waited)
    }

    /// The position that all fields of the request show which want to show the same.
    fn snapshot(&self, completed: &Completed, cursor: Option<&Cursor>) -> Result<Position, Error> {
        let position = *self.noted().snapshot.get_or_insert(completed.prefix);
        match cursor {
            Some(cursor) if cursor.position > position => Err(Error::BadInput {
                problem: format!(
                    "another field of the request shows position {position}, which is before the cursor's {}; give the cursor \
                     as atLeast to every field with consistency: SNAPSHOT",
                    cursor.position
                ),
            }),
            Some(_) | None => Ok(position),
        }
    }

    fn sight_of(&self, position: Option<Position>) -> Arc<Sight> {
        let Some(position) = position else {
            return self.present.clone();
        };
        let make = || Sight::new(self.present.reader.at(Moment::Past(position)));
        self.noted()
            .past
            .entry(position)
            .or_insert_with(make)
            .clone()
    }

    /// What a field reads that lies below a root field: the same as that.
    pub fn sight(&self, ctx: &Context<'_>) -> Arc<Sight> {
        let root = self.root(ctx).map(|root| root.sight);
        root.unwrap_or_else(|| self.present.clone())
    }

    fn root(&self, ctx: &Context<'_>) -> Option<Root> {
        self.noted().roots.get(root_of(ctx)?).cloned()
    }

    /// Called by every field that reads more than the field above it said, which has waited: notes what is parked of it, and
    /// says what to read.
    ///
    /// # Errors
    /// [`Error::Parked`] where its root field waited for a cursor, and a stream that it reads waits at an event before it.
    pub async fn look(&self, ctx: &Context<'_>, touches: &Touches) -> Result<Arc<Sight>, Error> {
        let root = self.root(ctx);
        let (sight, cursor, looked_at) = match root {
            Some(root) => (root.sight, root.cursor, root.all_looked_at),
            None => (self.present.clone(), None, self.noted().all_looked_at),
        };
        if looked_at || self.is_nothing_parked() {
            return Ok(sight);
        }
        self.look_with(&sight, touches, cursor.as_ref()).await?;
        if matches!(touches, Touches::Everything) {
            let mut noted = self.noted();
            match root_of(ctx).and_then(|key| noted.roots.get_mut(key)) {
                Some(root) => root.all_looked_at = true,
                None => noted.all_looked_at = true,
            }
        }
        Ok(sight)
    }

    fn is_nothing_parked(&self) -> bool {
        self.progress.seen().parked(&self.caller.tenant).is_empty()
    }

    async fn look_with(
        &self,
        sight: &Sight,
        touches: &Touches,
        cursor: Option<&Cursor>,
    ) -> Result<(), Error> {
        let mut before_cursor = 0;
        for of_view in sight.reader.parked(touches, cursor).await? {
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

    /// Why the views did not come to a position: they are slow, or there is no such position in the log.
    async fn in_vain(&self, epoch: Option<Uuid>, position: Position) -> Result<Error, Error> {
        let waited_ms = self.at_least_wait_ms_max;
        let head = match epoch {
            Some(epoch) => {
                let reader = &self.present.reader;
                reader.head_seen_within(epoch, waited_ms).await?
            }
            None => None,
        };
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
            roots: HashMap::new(),
            past: HashMap::new(),
            snapshot: None,
            all_looked_at: true,
            parked: parked.collect(),
            now: now(),
        };
    }

    /// The instant that the root field is of, where it is of one; else when the request came in, and of a subscription when it last
    /// read.
    pub fn now(&self, ctx: &Context<'_>) -> DateTime<Utc> {
        let of_root = self.root(ctx).and_then(|root| root.at);
        of_root.unwrap_or_else(|| self.noted().now)
    }

    /// `extensions.foldline`. Positions are strings, like all of them. `parked` is only there when the answer may lack
    /// something, `snapshot` when fields share one.
    pub fn extension(&self) -> Value {
        let Noted {
            completed,
            snapshot,
            parked,
            ..
        } = self.noted().clone();
        let completed = completed.unwrap_or_else(|| self.progress.seen().completed(&VIEWS));
        let mut said = vec![
            (
                "epoch",
                completed
                    .epoch
                    .map_or(Value::Null, |it| value!(it.to_string())),
            ),
            ("completedPrefix", value!(completed.prefix.to_string())),
        ];
        if let Some(position) = snapshot {
            said.push(("snapshot", value!(position.to_string())));
        }
        if !parked.is_empty() {
            let of_view =
                |(view, streams): (View, i64)| value!({"view": view.name(), "streams": streams});
            said.push((
                "parked",
                Value::List(parked.into_iter().map(of_view).collect()),
            ));
        }
        let said = said
            .into_iter()
            .map(|(name, value)| (Name::new(name), value));
        Value::Object(said.collect())
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A read with a cursor never answers from before it.
fn before_cursor(position: Position, cursor: &Cursor) -> Error {
    Error::BadInput {
        problem: format!(
            "asOf is position {position}, which is before the cursor's {}: give one of them",
            cursor.position
        ),
    }
}

/// The response key of the field of the operation that a field lies below, or is.
fn root_of<'a>(ctx: &Context<'a>) -> Option<&'a str> {
    let mut node = ctx.path_node.as_ref()?;
    while let Some(parent) = node.parent {
        node = parent;
    }
    match node.segment {
        QueryPathSegment::Name(key) => Some(key),
        QueryPathSegment::Index(_) => None,
    }
}
