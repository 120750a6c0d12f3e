//! How rows are read: as one tenant, in a transaction that says so.
//!
//! The tenant stands twice in every read. Here it becomes the setting that row-level security compares, so that a
//! statement which forgot its filter sees nothing of others; in each statement's `where` clause it stands again, for
//! the indexes. Without the setting the policies let no row through.

use foldline_events::Tenant;
use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};

use crate::error::Error;

/// Reads the views as one tenant.
#[derive(Debug, Clone)]
pub struct Reader {
    views: PgPool,
    tenant: Tenant,
}

/// The loaders of one request: each context implements `async_graphql::dataloader::Loader` for its keys.
#[derive(Debug)]
pub struct Loaders {
    pub reader: Reader,
}

impl Reader {
    pub fn new(views: PgPool, tenant: Tenant) -> Self {
        Self { views, tenant }
    }

    /// The tenant, for a statement's `where` clause.
    pub fn tenant(&self) -> &str {
        self.tenant.as_str()
    }

    /// A read-only transaction that sees this tenant's rows. Dropping it ends it; nothing is ever written.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, Error> {
        // One round trip for both statements. They take no parameters, so the tenant is spelled out: its alphabet
        // (`Tenant::parse`) has no quote.
        let statements = format!(
            "begin read only; set local foldline.tenant = '{}'",
            self.tenant
        );
        self.views
            .begin_with(AssertSqlSafe(statements))
            .await
            .map_err(Error::read)
    }
}
