//! How rows are read: as one tenant, in a transaction that says so.
//!
//! The tenant stands twice in every read. Here it becomes the setting that row-level security compares, so that a
//! statement which forgot its filter sees nothing of others; in each statement's `where` clause it stands again, for
//! the indexes. Without the setting the policies let no row through.

use std::{future::Future, time::Duration};

use chrono::{DateTime, Utc};
use foldline_events::{Cursor, PARTITIONS, Position, Tenant};
use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::{
    ask::Touches,
    error::{Error, chain},
    moment::Moment,
    progress::{VIEWS, View},
};

/// The best plan depends on the values.
const CUSTOM_PLANS: &str = "; set local plan_cache_mode = force_custom_plan";
/// From here on until the transaction ends, readers see the same builds of the views: whoever lets them see others waits for this
/// lock (`views.show_builds`). It comes before the first snapshot, so what is seen is never older than the builds.
const SAME_BUILDS: &str = "lock table views.active in access share mode";
/// The pause before a subscription's failed read is tried again.
const RETRY_PAUSE_MS: u64 = 500;

/// Reads the views as one tenant, as of one moment.
#[derive(Debug, Clone)]
pub struct Reader {
    views: PgPool,
    tenant: Tenant,
    moment: Moment,
    /// Nobody waits for an answer longer.
    statement_ms_max: u64,
}

/// Which rows a statement reads.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// For the `where` clause.
    pub tenant: &'a str,
    is_present: bool,
}

impl<'a> Scope<'a> {
    #[cfg(test)]
    pub const fn new(tenant: &'a str, is_present: bool) -> Self {
        Self { tenant, is_present }
    }

    /// The SQL view of this name: of the present, or of the position that the transaction is set to.
    pub fn view(self, name: &str) -> String {
        let past = if self.is_present { "" } else { "_at" };
        format!("views.{name}{past}")
    }

    /// A further condition for versions that are read by themselves: an error as of a position whose rows may be gone. What
    /// [`Self::view`] names has it already, where rows may go.
    pub fn if_kept(self, view: &str) -> String {
        match self.is_present {
            true => String::new(),
            false => format!(" and views.keeps('{view}')"),
        }
    }
}

/// The loaders of one request, for one moment: each context implements `async_graphql::dataloader::Loader` for its keys.
#[derive(Debug)]
pub struct Loaders {
    pub reader: Reader,
}

impl Reader {
    pub fn new(views: PgPool, tenant: Tenant, statement_ms_max: u64) -> Self {
        let moment = Moment::Present;
        Self {
            views,
            tenant,
            moment,
            statement_ms_max,
        }
    }

    /// The same as of another moment.
    pub fn at(&self, moment: Moment) -> Self {
        Self {
            moment,
            ..self.clone()
        }
    }

    /// The past position as of which it reads; none in the present.
    pub fn position(&self) -> Option<Position> {
        match self.moment {
            Moment::Present => None,
            Moment::Past(position) => Some(position),
        }
    }

    /// What its statements read.
    pub fn scope(&self) -> Scope<'_> {
        Scope {
            tenant: self.tenant.as_str(),
            is_present: self.moment == Moment::Present,
        }
    }

    /// A read-only transaction that sees this tenant's rows. Dropping it ends it; nothing is ever written.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, Error> {
        self.begin_to_read("").await
    }

    /// One in which the functions can be called that write down a wish. The role writes nothing else.
    pub async fn begin_to_wish(&self) -> Result<Transaction<'static, Postgres>, Error> {
        self.begin_with("begin", "").await
    }

    async fn begin_to_read(&self, more: &str) -> Result<Transaction<'static, Postgres>, Error> {
        let moment = match self.moment {
            Moment::Present => String::new(),
            Moment::Past(position) => format!("; set local foldline.as_of = '{position}'"),
        };
        self.begin_with("begin read only", &format!("{moment}{more}"))
            .await
    }

    /// The same for lists whose conditions clients choose. The best plan depends on the values: a label of three tasks
    /// is looked up, one of every second task is met soon on the way along the order. A plan made for any values knows
    /// neither, and prepared statements would get one after a few executions.
    pub async fn begin_list(&self) -> Result<Transaction<'static, Postgres>, Error> {
        self.begin_to_read(CUSTOM_PLANS).await
    }

    async fn begin_with(
        &self,
        begin: &str,
        more: &str,
    ) -> Result<Transaction<'static, Postgres>, Error> {
        // One round trip for all statements. They take no parameters, so the tenant is spelled out: its alphabet
        // (`Tenant::parse`) has no quote.
        let statements = format!(
            "{begin}; set local foldline.tenant = '{}'; set local statement_timeout = {}; {SAME_BUILDS}{more}",
            self.tenant, self.statement_ms_max
        );
        self.views
            .begin_with(AssertSqlSafe(statements))
            .await
            .map_err(Error::read)
    }
}

impl Reader {
    /// The log's last position, if a projector has looked within so many milliseconds.
    pub async fn head_seen_within(&self, epoch: Uuid, ms: u64) -> Result<Option<i64>, Error> {
        let mut transaction = self.begin().await?;
        sqlx::query_scalar(
            "select position
             from views.heads
             where epoch = $1
                 and seen_at > clock_timestamp() - make_interval(secs => $2)",
        )
        .bind(epoch)
        .bind(Duration::from_millis(ms).as_secs_f64())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(Error::read)
    }
}

/// How long after an instant the log's end must have been seen to hold all that was recorded by then. An append gives its events
/// their time up to 11 s before it commits (`TRANSACTION_TIMEOUT` of the batcher); the rest is for clocks that differ.
pub const SETTLED_SECS: u32 = 15;

/// The last position that was recorded up to an instant: the one before the first that was recorded later, if everything up to
/// there is folded; else the log's end, if it was seen long enough after and is folded.
const POSITION_AT: &str = "
    select case
        when later.position is not null then
            case when later.position - 1 <= $3 then later.position - 1 end
        else (
            select heads.position
            from views.heads
            where heads.epoch = $1
                and heads.seen_at >= $2 + make_interval(secs => $5)
                and heads.position <= $3
        )
    end
    from (
        select min(found.position) as position
        from generate_series(0, $4::smallint - 1) as every (partition)
        cross join lateral (
            select
                log_times.positions,
                log_times.times
            from views.log_times
            where log_times.epoch = $1
                and log_times.partition = every.partition
                and log_times.last_at > $2
            order by
                log_times.last_at,
                log_times.last_position
            limit 1
        ) as brought
        cross join lateral unnest(brought.positions, brought.times) as found (position, at)
        where found.at > $2
    ) as later
";

impl Reader {
    /// The position that the log had at an instant, as far as it is known of views whose completed prefix is this.
    pub async fn position_at(
        &self,
        epoch: Uuid,
        prefix: Position,
        at: DateTime<Utc>,
    ) -> Result<Option<Position>, Error> {
        let mut transaction = self.begin().await?;
        sqlx::query_scalar(POSITION_AT)
            .bind(epoch)
            .bind(at)
            .bind(prefix)
            .bind(PARTITIONS)
            .bind(f64::from(SETTLED_SECS))
            .fetch_one(&mut *transaction)
            .await
            .map_err(Error::read)
    }
}

/// What is parked in one view of what a field reads.
#[derive(Debug, Clone, Copy)]
pub struct ParkedIn {
    pub view: View,
    pub streams: i64,
    /// Those of them that wait at an event which the cursor covers.
    pub before_cursor: i64,
}

const PARKED: &str = "
    select
        parked.view,
        count(*) as streams,
        count(*) filter (
            where parked.position <= $3
                and ($4::smallint is null or parked.partition = $4)
        ) as before_cursor
    from views.parked
    join views.active
        on active.view = parked.view
        and active.version = parked.view_version
    where parked.tenant = $1
        and ($2::text is null or parked.stream = $2)
        and ($5::bigint is null or parked.position <= $5)
    group by parked.view
";

impl Reader {
    /// What is parked of what a field reads, and of that what lies before a cursor.
    pub async fn parked(
        &self,
        touches: &Touches,
        cursor: Option<&Cursor>,
    ) -> Result<Vec<ParkedIn>, Error> {
        let stream = match touches {
            Touches::Stream(stream) => Some(stream.as_str()),
            Touches::Everything => None,
        };
        let mut transaction = self.begin().await?;
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(PARKED)
            .bind(self.scope().tenant)
            .bind(stream)
            .bind(cursor.map(|cursor| cursor.position))
            .bind(cursor.and_then(|cursor| cursor.partition))
            .bind(self.position())
            .fetch_all(&mut *transaction)
            .await
            .map_err(Error::read)?;
        let of_view = |(name, streams, before_cursor): (String, i64, i64)| {
            let view = VIEWS.into_iter().find(|view| view.name() == name)?;
            Some(ParkedIn {
                view,
                streams,
                before_cursor,
            })
        };
        Ok(rows.into_iter().filter_map(of_view).collect())
    }
}

/// A subscription outlives a moment without a database: it reads again until it can.
pub async fn persistently<T, F: Future<Output = Result<T, Error>>>(read: impl Fn() -> F) -> T {
    loop {
        match read().await {
            Ok(found) => return found,
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "a subscription could not read; trying again"
                );
                tokio::time::sleep(Duration::from_millis(RETRY_PAUSE_MS)).await;
            }
        }
    }
}
