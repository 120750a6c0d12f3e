//! Rows are folded again in their place: those that there are go, and those that the events leave come, in one transaction, while
//! the partition stands still for it.

use foldline_log::Log;
use sqlx::{AssertSqlSafe, PgConnection};

use super::{BEGIN, Writer, bounded};
use crate::{
    Build, Error,
    again::{self, Scope},
    checkpoint,
    error::in_full,
    rebuilds::{self, Wish},
};

/// How many events are folded in one transaction: some ten seconds of work, in which the partition gets no further.
const REBUILT_EVENTS_MAX: usize = 100_000;

/// What became of folding rows again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rebuilt {
    /// From so many events.
    Replaced(usize),
    /// They are as they were.
    Refused(String),
    /// It is not for this writer to do.
    NotHeld,
}

impl Writer {
    /// Replaces the rows that a wish names by what the log's events leave, up to where the partition is folded. What the view
    /// leaves out is left out again.
    ///
    /// # Errors
    /// When nothing can be said about what was written: then partitions must be taken again before going on.
    pub(crate) async fn rebuild(&self, log: &Log, wish: &Wish) -> Result<Rebuilt, Error> {
        let build = self.builds.of(wish.which.view);
        let Some(build) = build.filter(|_| self.folds(wish.partition)) else {
            return Ok(Rebuilt::NotHeld);
        };
        let error = match bounded(self.replace(log, build, wish)).await {
            Ok(events) => return Ok(Rebuilt::Replaced(events)),
            Err(error @ Error::Lost { .. }) => return Err(error),
            Err(error) => error,
        };
        // Whatever it was: a wish that fails again and again would keep everything else from going on.
        let why = if let Error::Stuck { waited_ms } = error {
            format!("it takes longer than a transaction may, {waited_ms} ms")
        } else {
            in_full(&error)
        };
        let ending = async {
            let mut connection = self.pool.acquire().await.map_err(Error::Rebuilds)?;
            rebuilds::end(&mut connection, build, wish, Err(why.clone())).await
        };
        // Where not even that can be written, the database is away.
        bounded(ending).await?;
        Ok(Rebuilt::Refused(why))
    }

    async fn replace(&self, log: &Log, build: Build, wish: &Wish) -> Result<usize, Error> {
        let tenant = &wish.which.tenant;
        // What several streams add to one row cannot be taken out of it again, where a row may be wrong.
        let of_streams = build.view.tables().iter().all(|table| table.of.is_some());
        let scope = Scope {
            build,
            tenant: tenant.clone(),
            partition: wish.partition,
            stream: wish.which.stream.clone().filter(|_| of_streams),
        };
        let checkpoint = self.held[&wish.partition].checkpoints[&build];
        let mut transaction = self.pool.begin_with(BEGIN).await.map_err(Error::Begin)?;
        checkpoint::hold(&mut transaction, build, wish.partition, checkpoint).await?;
        clear(&mut transaction, &scope).await?;
        let through = checkpoint.mark.position;
        let folding = again::fold(
            &mut transaction,
            log,
            &scope,
            tenant,
            through,
            REBUILT_EVENTS_MAX,
        );
        let events = folding.await?;
        fail::fail_point!("projector_rebuilding", |_| std::process::abort());
        rebuilds::end(&mut transaction, build, wish, Ok(events)).await?;
        transaction.commit().await.map_err(Error::Commit)?;
        Ok(events)
    }
}

/// Takes the rows of a scope away.
async fn clear(connection: &mut PgConnection, scope: &Scope) -> Result<(), Error> {
    let build = scope.build;
    for table in build.view.tables() {
        // Whatever partition a row says that it lies in, it is of this stream.
        let which = match (&scope.stream, table.of) {
            (Some(_), Some(of)) => format!("{of} = $3 and $2::smallint is not null"),
            (Some(_) | None, _) => "partition = $2 and $3::uuid is null".to_owned(),
        };
        let statement = format!(
            "delete from {}
             where tenant = $1
                 and {which}",
            build.table(table.name)
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(scope.tenant.as_str())
            .bind(scope.partition)
            .bind(scope.aggregate())
            .execute(&mut *connection)
            .await
            .map_err(build.rows_error())?;
    }
    Ok(())
}
