//! What an administrator does about the parked streams of the tenant: looks at them, asks for another try, leaves an event out.
//!
//! The same as `foldline parked`, which sees every tenant. Wishes go through two functions of the view database
//! (`schema/view/0005_wishes.sql`), because this service's role writes nothing; projectors carry them out within about a
//! second.

use async_graphql::{ComplexObject, Context, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use foldline_gate::{Problem, Role};
use sqlx::{FromRow, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::{
    ask::Ask,
    error::Error,
    page::{
        self, Connection, List, Listed, Paging,
        cursor::{Key, Kind, Order, Place},
        int,
    },
    progress::{VIEWS, View},
    read::Scope,
    scalars::{Position, Version},
};

/// How many characters the reason of a skip may have.
pub const REASON_CHARS_MAX: usize = 1_000;
/// How long the name of a stream may be, in bytes: as in the log.
const STREAM_BYTES_MAX: usize = 512;
/// How many steps a wish takes at most, of 500 streams each: no partition has more than 10,000 parked, in each view.
const ASKS_MAX: usize = 4 * 32 * 10_000 / 500;

#[derive(Debug, Default)]
pub struct ParkedQuery;

#[derive(Debug, Default)]
pub struct ParkedMutation;

/// By the event that each waits at.
const ORDER: Order = Order {
    name: "parked",
    by: &[("position", Kind::Number), ("rank", Kind::Rank)],
    descending: false,
};

/// A stream that a view does not fold any more, from an event on that it cannot fold. Everything else goes on.
#[derive(Debug, Clone, SimpleObject, FromRow)]
#[graphql(complex)]
pub struct ParkedStream {
    /// The view.
    view: String,
    /// The version of it.
    view_version: i32,
    /// The stream, as the log names it: `task-` or `project-` with a plain UUID.
    stream: String,
    /// The first event of the stream that is not folded.
    event_id: Uuid,
    /// What that event says.
    event_type: String,
    /// In which version of its schema.
    schema_version: i16,
    /// Whether a newer build may be able to fold it: then it is tried again by itself once one takes over.
    needs_newer_build: bool,
    /// Why it cannot be folded.
    why: String,
    /// When it was parked.
    parked_at: DateTime<Utc>,
    /// When it was last tried.
    tried_at: DateTime<Utc>,
    /// How often it was tried.
    attempts: i32,
    /// Whether somebody has asked for another try since.
    retry_asked: bool,
    #[graphql(skip)]
    position: i64,
    #[graphql(skip)]
    version: i64,
    #[graphql(skip)]
    rank: i16,
}

#[ComplexObject]
impl ParkedStream {
    /// Where the event lies in the log.
    async fn position(&self) -> Position {
        Position(self.position)
    }

    /// The event's number in the stream, by which it is skipped.
    async fn version(&self) -> Version {
        Version(self.version)
    }
}

impl Listed for ParkedStream {
    fn place(&self, _: Order) -> Place {
        Place(vec![Key::Number(self.position), Key::Rank(self.rank)])
    }
}

/// Which parked streams: those for which everything holds that is given.
#[derive(Debug, Clone, Default, InputObject)]
pub struct ParkedFilter {
    /// In this view.
    view: Option<String>,
    /// This stream.
    stream: Option<String>,
}

impl ParkedFilter {
    fn checked(self) -> Result<Self, Error> {
        if let Some(view) = &self.view {
            known(view)?;
        }
        if let Some(stream) = &self.stream {
            named(stream)?;
        }
        Ok(self)
    }
}

struct ParkedStreams(ParkedFilter);

impl List for ParkedStreams {
    type Node = ParkedStream;
    const COLUMNS: &'static str = "
        view,
        view_version,
        stream,
        event_id,
        event_type,
        schema_version,
        needs_newer_build,
        why,
        parked_at,
        tried_at,
        attempts,
        retry_asked_at is not null as retry_asked,
        position,
        version,
        rank";

    fn push_from(&self, scope: Scope<'_>, query: &mut QueryBuilder<Postgres>) {
        query.push(
            " from (
                 select
                     parked.*,
                     dense_rank() over (partition by parked.position order by parked.view)::smallint as rank
                 from views.parked
                 join views.active
                     on active.view = parked.view
                     and active.version = parked.view_version
                 where parked.tenant = ",
        );
        query.push_bind(scope.tenant.to_owned());
        query.push(") as parked where true");
        let ParkedFilter { view, stream } = &self.0;
        if let Some(view) = view {
            query.push(" and view = ").push_bind(view.clone());
        }
        if let Some(stream) = stream {
            query.push(" and stream = ").push_bind(stream.clone());
        }
    }
}

/// Which parked streams to try again.
#[derive(Debug, Clone, InputObject)]
pub struct RetryParkedInput {
    /// In this view; in every one, when absent.
    view: Option<String>,
    /// This stream; every one, when absent.
    stream: Option<String>,
}

/// Which event to leave out.
#[derive(Debug, Clone, InputObject)]
pub struct SkipParkedInput {
    /// The view that leaves it out.
    view: String,
    /// The event's stream, which waits at it.
    stream: String,
    /// The event's number in the stream, as `ParkedStream.version` says it: another event is never skipped by mistake.
    version: Version,
    /// Why it may be left out: 1 to 1,000 characters, which stay with it.
    reason: String,
}

/// What was asked for.
#[derive(Debug, Clone, SimpleObject)]
pub struct RetryParkedPayload {
    /// How many streams will be tried again, each counted in each view; they are within about a second, while their
    /// partitions are folded.
    streams: i32,
}

/// What was left out.
#[derive(Debug, Clone, SimpleObject)]
pub struct SkipParkedPayload {
    /// Whether the stream waits at that event. Otherwise nothing happened.
    skipped: bool,
}

#[Object]
impl ParkedQuery {
    /// The tenant's parked streams, by the event that each waits at. For administrators.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn parked_streams(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which of them.")] filter: Option<ParkedFilter>,
        #[graphql(
            desc = "How many, from the beginning or from `after` on: 0 to 100; 20 by default."
        )]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many, up to the end or to `before`: 0 to 100. Not with `first`.")]
        last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<ParkedStream>, Error>> {
        let answer = async {
            let ask = Ask::of(ctx)?;
            administrators(ask)?;
            let paging = Paging {
                first,
                after,
                last,
                before,
            };
            let window = paging.window(ORDER)?;
            let streams = ParkedStreams(filter.unwrap_or_default().checked()?);
            page::connection(ctx, &ask.present.reader, &streams, &window).await
        };
        Some(answer.await)
    }
}

#[Object]
impl ParkedMutation {
    /// Asks for another try of parked streams of the tenant. For administrators.
    async fn retry_parked_streams(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which of them.")] input: RetryParkedInput,
    ) -> Option<Result<RetryParkedPayload, Error>> {
        let answer = async {
            let ask = Ask::of(ctx)?;
            administrators(ask)?;
            let RetryParkedInput { view, stream } = input;
            let which = ParkedFilter { view, stream }.checked()?;
            let streams = retry(ask, &which).await?;
            Ok(RetryParkedPayload {
                streams: int(streams),
            })
        };
        Some(answer.await)
    }

    /// Leaves an event out of a view for good, whatever is folded anew, and lets its stream go on after it. For
    /// administrators.
    async fn skip_parked_event(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which event, and why.")] input: SkipParkedInput,
    ) -> Option<Result<SkipParkedPayload, Error>> {
        let answer = async {
            let ask = Ask::of(ctx)?;
            administrators(ask)?;
            let view = known(&input.view)?;
            named(&input.stream)?;
            let reason = input.reason.trim();
            if !(1..=REASON_CHARS_MAX).contains(&reason.chars().count()) || reason.contains('\0') {
                let problem = format!(
                    "reason must have 1 to {REASON_CHARS_MAX} characters, and no NUL (\\u0000)"
                );
                return Err(Error::BadInput { problem });
            }
            let mut transaction = ask.present.reader.begin_to_wish().await?;
            let skipped = sqlx::query_scalar("select views.skip_parked($1, $2, $3, $4, $5)")
                .bind(view.name())
                .bind(&input.stream)
                .bind(input.version.0)
                .bind(reason)
                .bind(&ask.caller.actor)
                .fetch_one(&mut *transaction)
                .await
                .map_err(Error::read)?;
            transaction.commit().await.map_err(Error::read)?;
            Ok(SkipParkedPayload { skipped })
        };
        Some(answer.await)
    }
}

/// Asks in steps that lock a bounded number of rows each.
async fn retry(ask: &Ask, which: &ParkedFilter) -> Result<i64, Error> {
    let mut asked = 0;
    let mut since: Option<DateTime<Utc>> = None;
    for _ in 0..ASKS_MAX {
        let mut transaction = ask.present.reader.begin_to_wish().await?;
        let at = match since {
            Some(at) => at,
            None => sqlx::query_scalar("select clock_timestamp()")
                .fetch_one(&mut *transaction)
                .await
                .map_err(Error::read)?,
        };
        since = Some(at);
        let some: i64 = sqlx::query_scalar("select views.ask_parked($1, $2, $3)")
            .bind(which.view.as_deref())
            .bind(which.stream.as_deref())
            .bind(at)
            .fetch_one(&mut *transaction)
            .await
            .map_err(Error::read)?;
        transaction.commit().await.map_err(Error::read)?;
        asked += some;
        if some == 0 {
            break;
        }
    }
    Ok(asked)
}

fn administrators(ask: &Ask) -> Result<(), Error> {
    match ask.caller.role {
        Role::Admin => Ok(()),
        Role::Viewer | Role::Member => {
            let problem = Problem::forbidden("parked streams are for administrators");
            Err(Error::Refused(Box::new(problem)))
        }
    }
}

fn known(view: &str) -> Result<View, Error> {
    let known = VIEWS.into_iter().find(|known| known.name() == view);
    known.ok_or_else(|| {
        let names = VIEWS.map(View::name).join(", ");
        let problem = format!("there is no view {view:?}; there are {names}");
        Error::BadInput { problem }
    })
}

fn named(stream: &str) -> Result<(), Error> {
    if stream.contains('\0') || stream.len() > STREAM_BYTES_MAX {
        let problem =
            format!("a stream's name has at most {STREAM_BYTES_MAX} bytes, and no NUL (\\u0000)");
        return Err(Error::BadInput { problem });
    }
    Ok(())
}
