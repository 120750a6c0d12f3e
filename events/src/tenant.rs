//! Whose data it is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest tenant id, in bytes.
pub const TENANT_BYTES_MAX: usize = 64;

/// The tenant that holds what belongs to no organization: users, sessions, reservations across tenants.
pub const SYSTEM_TENANT: &str = "system";

/// An organization's id: 1 to 64 of `a-z`, `0-9`, `-` and `_`, starting with a letter or digit. It stands in Kafka
/// keys as `tenant/stream`, so it can never hold a slash.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tenant(String);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "tenant {given:?} is not 1 to {TENANT_BYTES_MAX} of a-z, 0-9, - and _, starting with a letter or digit"
)]
pub struct InvalidTenant {
    given: String,
}

impl Tenant {
    pub fn parse(id: &str) -> Result<Self, InvalidTenant> {
        let fits = (1..=TENANT_BYTES_MAX).contains(&id.len())
            && id.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && id
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_');
        if fits {
            Ok(Self(id.to_owned()))
        } else {
            Err(InvalidTenant {
                given: id.chars().take(TENANT_BYTES_MAX + 1).collect(),
            })
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Tenant {
    type Error = InvalidTenant;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        Self::parse(&id)
    }
}

impl From<Tenant> for String {
    fn from(tenant: Tenant) -> Self {
        tenant.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_with_a_slash_a_capital_or_no_letters_is_refused() {
        for bad in ["", "a/b", "Acme", "-acme", "a b", "ä", &"a".repeat(65)] {
            assert!(Tenant::parse(bad).is_err(), "{bad}");
        }
        for good in ["a", "acme", "0-9_z", &"a".repeat(64)] {
            assert_eq!(Tenant::parse(good).unwrap().as_str(), good);
        }
    }
}
