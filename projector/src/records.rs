//! Rows on their way to a table, all of them as one argument: an array of the table's row type.
//!
//! `unnest` of one array of rows takes the server a third of the time that `unnest` of an array per column takes (4.5 µs
//! a row of 36 columns instead of 15, PostgreSQL 18), for it makes one set of rows, and not one per column to be joined.
//!
//! `PgRecordEncoder` is what `sqlx`'s own derive writes such types with, and is not in its documentation: look here first when
//! another version of `sqlx` does not compile.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use sqlx::{
    Encode, PgConnection, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgBindIterExt, PgTypeInfo, types::PgRecordEncoder},
};

use crate::{Build, Error};

/// The columns of a row, in the order of its table.
pub(crate) type Columns<'b> = PgRecordEncoder<'b>;

/// A row of a table.
pub(crate) trait Record {
    /// The table, whose name its row type has too, without its version. The server refuses rows of another one than the statement's.
    const TABLE: &'static str;

    /// Writes every column of the table, in its order: the server refuses another number of them, or other types.
    fn write(&self, columns: &mut Columns<'_>) -> Result<(), BoxDynError>;
}

/// Some rows, as an argument.
pub(crate) struct Records<'r, R> {
    rows: &'r [R],
    row_type: &'static str,
}

struct One<'r, R> {
    row: &'r R,
    row_type: &'static str,
}

impl<'r, R: Record> Records<'r, R> {
    /// Of a table of which there is one.
    pub(crate) fn new(rows: &'r [R]) -> Self {
        let row_type = row_type(R::TABLE, None);
        Self { rows, row_type }
    }

    /// Of a table of a build.
    pub(crate) fn of_build(rows: &'r [R], version: i32) -> Self {
        let row_type = row_type(R::TABLE, Some(version));
        Self { rows, row_type }
    }
}

/// The row types that rows were written of. The driver wants their names for ever; there are as many as this process folds tables.
static ROW_TYPES: Mutex<BTreeMap<(&str, Option<i32>), &'static str>> = Mutex::new(BTreeMap::new());

fn row_type(table: &'static str, version: Option<i32>) -> &'static str {
    let mut known = ROW_TYPES.lock().unwrap_or_else(PoisonError::into_inner);
    known.entry((table, version)).or_insert_with(|| {
        let name = match version {
            Some(version) => format!("views.{table}_v{version}"),
            None => format!("views.{table}"),
        };
        Box::leak(name.into_boxed_str())
    })
}

/// What a row's type is called where nobody knows of which build it is: which is nowhere, for each value says its own.
const ANY_ROW: &str = "record";

impl<R: Record> Type<Postgres> for Records<'_, R> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::array_of(ANY_ROW)
    }
}

impl<R: Record> Encode<'_, Postgres> for Records<'_, R> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let row_type = self.row_type;
        let one = |row| One { row, row_type };
        self.rows.iter().map(one).bind_iter().encode(buffer)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::array_of(self.row_type))
    }
}

impl<R: Record> Type<Postgres> for One<'_, R> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name(ANY_ROW)
    }
}

impl<R: Record> Encode<'_, Postgres> for One<'_, R> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let mut columns = Columns::new(buffer);
        self.row.write(&mut columns)?;
        columns.finish();
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_name(self.row_type))
    }
}

/// How many bytes of replaced rows wait until they are written, about: events are small, and a row that one ends may be
/// hundreds of times larger.
const ENDED_BYTES_MAX: usize = 8 << 20;

/// Rows that events of a delivery replaced, on their way to a table of the past.
pub(crate) struct Ended<R> {
    build: Build,
    statement: &'static str,
    rows: Vec<R>,
    bytes: usize,
}

impl<R: Record> Ended<R> {
    /// The statement inserts them.
    pub(crate) fn new(build: Build, statement: &'static str) -> Self {
        Self {
            build,
            statement,
            rows: Vec::new(),
            bytes: 0,
        }
    }

    /// Takes a row of so many bytes of text; writes what waits where it is much.
    pub(crate) async fn push(
        &mut self,
        connection: &mut PgConnection,
        row: R,
        bytes: usize,
    ) -> Result<(), Error> {
        self.rows.push(row);
        self.bytes += bytes;
        if self.bytes < ENDED_BYTES_MAX {
            return Ok(());
        }
        self.write(connection).await
    }

    /// Writes what waits.
    pub(crate) async fn write(&mut self, connection: &mut PgConnection) -> Result<(), Error> {
        self.build
            .write(connection, self.statement, &self.rows)
            .await?;
        self.rows.clear();
        self.bytes = 0;
        Ok(())
    }
}
