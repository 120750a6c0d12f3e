//! The keys of rows that are folded from one stream each: sorted, so that concurrent writers lock in one order.

use std::collections::BTreeSet;

use foldline_events::Tenant;
use uuid::Uuid;

/// The tenant and the id of the project or task.
pub(crate) type Key<'a> = (&'a Tenant, Uuid);

/// Keys to be looked up together, each once.
pub(crate) struct Keys<'a>(Vec<Key<'a>>);

impl<'a> FromIterator<Key<'a>> for Keys<'a> {
    fn from_iter<I: IntoIterator<Item = Key<'a>>>(keys: I) -> Self {
        let distinct: BTreeSet<Key<'a>> = keys.into_iter().collect();
        Self(distinct.into_iter().collect())
    }
}

impl<'a> Keys<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn tenants(&self) -> Vec<&'a str> {
        self.0.iter().map(|(tenant, _)| tenant.as_str()).collect()
    }

    pub(crate) fn ids(&self) -> Vec<Uuid> {
        self.0.iter().map(|(_, id)| *id).collect()
    }

    /// The key that `with ordinality` numbered so.
    pub(crate) fn numbered(&self, number: i64) -> Key<'a> {
        usize::try_from(number - 1)
            .ok()
            .and_then(|index| self.0.get(index).copied())
            .expect("the database numbers the keys that it was given, from 1")
    }
}
