//! Whether a database has what this build needs of it: an older one lacks functions or tables, and is not to be found out
//! by the first command.
//!
//! A newer database serves builds before it as long as its functions can be called as theirs were: what was added to
//! them has a default. Only a form that is gone stops an older build.

use sqlx::{PgConnection, Row};

use crate::Error;

/// The functions, each with the types of its parameters as `oidvectortypes` writes them.
const FUNCTIONS: [(&str, &str); 12] = [
    (
        "append",
        "bigint, text[], uuid[], bytea[], text[], integer[], integer[], smallint[], integer[], text[], text[], \
         bigint[], integer[], integer[], integer[], text[], text[], text[], bigint[], integer[], integer[], \
         smallint[], uuid[], text[], text[], text[], smallint[], text[], text[], text[], uuid[], uuid[], uuid[], \
         text[], timestamp with time zone[], integer[], text[], text[], text[], text[]",
    ),
    (
        "append_offline",
        "bigint, text[], uuid[], bytea[], text[], uuid[], uuid[], timestamp with time zone[], integer[], integer[], \
         text[], smallint[], bigint[], uuid[], text[], smallint[], text[], text[], timestamp with time zone[]",
    ),
    (
        "append_one",
        "bigint, text, uuid, bytea, text, bigint, text[], text[], bigint[], smallint, uuid, text, smallint, text, \
         text[], text, uuid, uuid, text, timestamp with time zone",
    ),
    ("ensure_segments", "integer"),
    ("forget_commands", "bigint, bigint"),
    ("guards_plan", "bigint, bigint, bigint"),
    ("newest_tagged", "text, text[], text, bigint"),
    ("position_at", "timestamp with time zone"),
    ("read_stream", "text, text, bigint, bigint, bigint, bigint"),
    (
        "refusals",
        "text[], uuid[], bytea[], integer[], text[], bigint[], bigint[], integer[], text[], text[], text[], bigint[], \
         text[]",
    ),
    ("streams_of", "text, text, bigint"),
    ("tagged", "text, text[], text[], bigint, bigint, integer"),
];

const TABLES: [&str; 8] = [
    "batches",
    "cell",
    "commands",
    "events",
    "relay",
    "snapshots",
    "streams",
    "tags",
];

/// What the database says when something of ours is not there: no such function, table, column or schema.
const ABSENT: [&str; 4] = ["42883", "42P01", "42703", "3F000"];

/// Whether an error says that the database is not as this build needs it: nobody's who asked.
pub(crate) fn is_absent(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| ABSENT.contains(&code.as_ref()))
}

/// Looks for everything that this build calls.
///
/// # Errors
/// [`Error::NotMigrated`] with what is not there.
pub(crate) async fn check(connection: &mut PgConnection) -> Result<(), Error> {
    let (names, parameters): (Vec<&str>, Vec<&str>) = FUNCTIONS.into_iter().unzip();
    let absent = sqlx::query(
        "select 'table log.' || needed.name as what
         from unnest($1::text[]) as needed (name)
         where not exists (
             select
             from pg_catalog.pg_class c
             join pg_catalog.pg_namespace n on n.oid = c.relnamespace
             where n.nspname = 'log'
               and c.relname = needed.name
         )
         union all
         select format('function log.%s(%s)', needed.name, needed.parameters)
         from unnest($2::text[], $3::text[]) as needed (name, parameters)
         where not exists (
             select
             from pg_catalog.pg_proc p
             join pg_catalog.pg_namespace n on n.oid = p.pronamespace
             cross join pg_catalog.oidvectortypes(p.proargtypes) as has (parameters)
             where n.nspname = 'log'
               and p.proname = needed.name
               and starts_with(has.parameters || ', ', needed.parameters || ', ')
               and p.pronargs - p.pronargdefaults <= cardinality(string_to_array(needed.parameters, ', '))
         )",
    )
    .bind(TABLES.as_slice())
    .bind(names)
    .bind(parameters)
    .fetch_all(connection)
    .await
    .map_err(Error::Connect)?;
    if absent.is_empty() {
        return Ok(());
    }
    let absent: Vec<String> = absent.iter().map(|row| row.get("what")).collect();
    Err(Error::NotMigrated {
        lacks: absent.join("; "),
    })
}

#[cfg(test)]
mod tests {
    use foldline_schema::testing::TestDatabase;
    use sqlx::{Connection, PgConnection};

    use super::{FUNCTIONS, TABLES};

    #[tokio::test]
    async fn what_is_looked_for_is_what_a_migration_makes() {
        let database = TestDatabase::empty().await;
        let mut owner = PgConnection::connect(&database.url).await.unwrap();
        foldline_schema::migrate_log(&mut owner, "test", 50)
            .await
            .unwrap();
        crate::install(&mut owner).await.unwrap();
        let functions: Vec<(String, String)> = sqlx::query_as(
            "select proname::text collate \"C\", oidvectortypes(proargtypes)
             from pg_proc
             where pronamespace = 'log'::regnamespace
             order by 1, 2",
        )
        .fetch_all(&mut owner)
        .await
        .unwrap();
        let looked_for =
            FUNCTIONS.map(|(name, parameters)| (name.to_owned(), parameters.to_owned()));
        assert_eq!(functions, looked_for);
        let tables: Vec<String> = sqlx::query_scalar(
            "select relname::text collate \"C\"
             from pg_class
             where relnamespace = 'log'::regnamespace
               and relkind in ('r', 'p')
               and not relispartition
             order by 1",
        )
        .fetch_all(&mut owner)
        .await
        .unwrap();
        assert_eq!(tables, TABLES);
    }
}
