//! The events that rows were folded from, folded again: in the place of the rows, or beside them, to be compared.

use std::collections::HashMap;

use foldline_events::{Event, Partition, Position, Recorded, Tenant, Version, partition_of};
use foldline_log::Log;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use crate::{
    Build, Error, Folded, View,
    error::{in_full, unless_unprepared},
    parking::Aside,
};

/// How many events are read and folded at a time.
const PIECE_EVENTS_MAX: usize = 500;
/// How many names of streams are read at a time.
const STREAMS_MAX: usize = 1_000;

/// Of which events rows are meant: those of one stream, or of all streams of a tenant in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) build: Build,
    pub(crate) tenant: Tenant,
    pub(crate) partition: Partition,
    pub(crate) stream: Option<String>,
}

impl Scope {
    /// The project or task of its stream, if it is of one.
    pub(crate) fn aggregate(&self) -> Option<Uuid> {
        let (_kind, id) = self.stream.as_deref()?.split_once('-')?;
        Uuid::parse_str(id).ok()
    }
}

/// What a view leaves out of a scope.
struct LeftOut {
    /// Where each stream waits.
    parked: HashMap<String, Position>,
    skipped: Aside,
}

const LEFT_OUT: &str = "
    select
        stream,
        position as parked,
        null::bigint as skipped
    from views.parked
    where tenant = $1
        and view = $2
        and view_version = $3
        and partition = $4
        and ($5::text is null or stream = $5)
    union all
    select
        stream,
        null,
        version
    from views.skipped
    where tenant = $1
        and view = $2
        and partition = $4
        and ($5::text is null or stream = $5)
";

impl LeftOut {
    async fn load(connection: &mut PgConnection, scope: &Scope) -> Result<Self, Error> {
        let rows = sqlx::query(LEFT_OUT)
            .bind(scope.tenant.as_str())
            .bind(scope.build.view.name())
            .bind(scope.build.version)
            .bind(scope.partition)
            .bind(scope.stream.as_deref())
            .fetch_all(connection)
            .await
            .map_err(unless_unprepared(Error::Parked))?;
        let mut left_out = Self {
            parked: HashMap::new(),
            skipped: Aside::default(),
        };
        for row in rows {
            let stream: String = row.get("stream");
            if let Some(version) = row.get("skipped") {
                let stream = (scope.tenant.clone(), stream);
                left_out
                    .skipped
                    .skip(scope.build.view, stream, vec![version]);
            } else {
                left_out.parked.insert(stream, row.get("parked"));
            }
        }
        Ok(left_out)
    }

    /// The version that an event follows in the view; `None` of what the view leaves out.
    fn follows(&self, view: View, event: &Recorded) -> Option<Version> {
        let waits_from = self.parked.get(&event.stream);
        let waits = waits_from.is_some_and(|from| *from <= event.position);
        if waits || !view.folds(&event.stream) {
            return None;
        }
        self.skipped.follows(view, event)
    }
}

/// Folds the events of a scope from the first on, up to a position, into the rows of a tenant, which has none of them; says how many
/// there were.
///
/// # Errors
/// [`Error::Unfoldable`] at an event that the view cannot fold and does not leave out, or that does not follow the one before it;
/// [`Error::TooManyEvents`] where there are more than `events_max`.
pub(crate) async fn fold(
    connection: &mut PgConnection,
    log: &Log,
    scope: &Scope,
    into: &Tenant,
    through: Position,
    events_max: usize,
) -> Result<usize, Error> {
    let mut folding = Folding {
        left_out: LeftOut::load(connection, scope).await?,
        connection,
        log,
        scope,
        into,
        through,
        events_max,
        waiting: Vec::new(),
        count: 0,
    };
    if let Some(stream) = &scope.stream {
        folding.stream(stream).await?;
    } else {
        let mut after = String::new();
        loop {
            let page = log.streams_of(&scope.tenant, &after, STREAMS_MAX).await?;
            let Some(last) = page.last() else {
                break;
            };
            after.clone_from(last);
            let is_ours = |stream: &&String| {
                scope.build.view.folds(stream)
                    && partition_of(&scope.tenant, stream) == scope.partition
            };
            for stream in page.iter().filter(is_ours) {
                folding.stream(stream).await?;
            }
        }
    }
    folding.write().await?;
    Ok(folding.count)
}

struct Folding<'f> {
    connection: &'f mut PgConnection,
    log: &'f Log,
    scope: &'f Scope,
    left_out: LeftOut,
    into: &'f Tenant,
    through: Position,
    events_max: usize,
    /// What is read and not folded yet, with the version that each follows.
    waiting: Vec<(Recorded, Event, Version)>,
    count: usize,
}

impl Folding<'_> {
    /// Takes the events of one stream in.
    async fn stream(&mut self, stream: &str) -> Result<(), Error> {
        let (mut version, mut position) = (0, 0);
        loop {
            let tenant = &self.scope.tenant;
            let reading = self
                .log
                .read_stream(tenant, stream, version, PIECE_EVENTS_MAX);
            let mut page = reading.await?;
            page.retain(|event| event.position <= self.through);
            if page.is_empty() {
                return Ok(());
            }
            for event in page {
                if event.version != version + 1 || event.position <= position {
                    let why = format!(
                        "it is version {} at position {}, after version {version} at position {position}",
                        event.version, event.position
                    );
                    return Err(self.unfoldable(&event, why));
                }
                (version, position) = (event.version, event.position);
                self.event(event)?;
            }
            if self.waiting.len() >= PIECE_EVENTS_MAX {
                self.write().await?;
            }
        }
    }

    fn event(&mut self, mut recorded: Recorded) -> Result<(), Error> {
        let Some(follows) = self.left_out.follows(self.scope.build.view, &recorded) else {
            return Ok(());
        };
        let event = recorded
            .event()
            .map_err(|error| self.unfoldable(&recorded, in_full(&error)))?;
        self.count += 1;
        if self.count > self.events_max {
            return Err(Error::TooManyEvents {
                events_max: self.events_max,
            });
        }
        recorded.tenant.clone_from(self.into);
        self.waiting.push((recorded, event, follows));
        Ok(())
    }

    /// Folds what waits. Streams are folded one after another, which makes no difference: no row depends on the order of two.
    async fn write(&mut self) -> Result<(), Error> {
        self.waiting
            .sort_unstable_by_key(|(recorded, ..)| recorded.position);
        let build = self.scope.build;
        let folded: Vec<Folded<'_>> = self
            .waiting
            .iter()
            .map(|(recorded, event, follows)| Folded {
                view: build.view,
                recorded,
                event,
                follows: *follows,
            })
            .collect();
        if !folded.is_empty() {
            build.fold(self.connection, &folded).await?;
        }
        self.waiting.clear();
        Ok(())
    }

    fn unfoldable(&self, event: &Recorded, why: String) -> Error {
        Error::Unfoldable {
            view: self.scope.build.view,
            partition: event.partition,
            position: event.position,
            why,
        }
    }
}
