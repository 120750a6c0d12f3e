//! Rows on their way to a table, all of them as one argument: an array of the table's row type.
//!
//! `unnest` of one array of rows takes the server a third of the time that `unnest` of an array per column takes (4.5 µs
//! a row of 36 columns instead of 15, PostgreSQL 18), for it makes one set of rows, and not one per column to be joined.
//!
//! `PgRecordEncoder` is what `sqlx`'s own derive writes such types with, and is not in its documentation: look here first when
//! another version of `sqlx` does not compile.

use sqlx::{
    Encode, PgConnection, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgBindIterExt, PgTypeInfo, types::PgRecordEncoder},
};

use crate::{Error, View};

/// The columns of a row, in the order of its table.
pub(crate) type Columns<'b> = PgRecordEncoder<'b>;

/// A row of a table.
pub(crate) trait Record {
    /// The row type of the table, which has the table's name. The server refuses it where the statement is of another version.
    const TYPE: &'static str;

    /// Writes every column of the table, in its order: the server refuses another number of them, or other types.
    fn write(&self, columns: &mut Columns<'_>) -> Result<(), BoxDynError>;
}

/// Some rows, as an argument.
pub(crate) struct Records<'r, R>(pub(crate) &'r [R]);

struct One<'r, R>(&'r R);

impl<R: Record> Type<Postgres> for Records<'_, R> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::array_of(R::TYPE)
    }
}

impl<R: Record> Encode<'_, Postgres> for Records<'_, R> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.0.iter().map(One).bind_iter().encode(buffer)
    }
}

impl<R: Record> Type<Postgres> for One<'_, R> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name(R::TYPE)
    }
}

impl<R: Record> Encode<'_, Postgres> for One<'_, R> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let mut columns = Columns::new(buffer);
        self.0.write(&mut columns)?;
        columns.finish();
        Ok(IsNull::No)
    }
}

/// How many bytes of replaced rows wait until they are written, about: events are small, and a row that one ends may be
/// hundreds of times larger.
const ENDED_BYTES_MAX: usize = 8 << 20;

/// Rows that events of a delivery replaced, on their way to a table of the past.
pub(crate) struct Ended<R> {
    view: View,
    statement: &'static str,
    rows: Vec<R>,
    bytes: usize,
}

impl<R: Record> Ended<R> {
    /// The statement inserts them.
    pub(crate) fn new(view: View, statement: &'static str) -> Self {
        Self {
            view,
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
        self.view
            .write(connection, self.statement, &self.rows)
            .await?;
        self.rows.clear();
        self.bytes = 0;
        Ok(())
    }
}
