//! Who may wait: a place in the queue for each append, and the bytes it takes, shared out among tenants.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use foldline_events::Tenant;

use crate::Full;

/// How many appends may wait or be under way, and how many bytes they may take together; what is beyond is refused, so that
/// load is felt by the sender, not by memory.
pub const QUEUE_APPENDS_MAX: usize = 4_096;
pub const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What is kept besides for tenants of which no append waits: one each, while this lasts.
pub const QUEUE_FIRSTS_MAX: usize = 1_024;
pub const QUEUE_FIRSTS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How many places there are in all.
pub(crate) const PLACES_MAX: usize = QUEUE_APPENDS_MAX + QUEUE_FIRSTS_MAX;

/// The places taken. A tenant may take as much as is free besides: one that floods gets half, two get a third each (the
/// dynamic threshold of Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998, with
/// a factor of 1). After a dozen floods nothing is free, so there is a reserve, of which a tenant that has no place gets one:
/// then 1,024 tenants more are let in, or as many as have 32 MiB together, and only beyond that is a tenant refused its first
/// append.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    of_all: Amount,
    of_tenant: HashMap<Tenant, Amount>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Amount {
    appends: usize,
    bytes: usize,
}

/// An append's place, until its sender has the answer.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    tenant: Tenant,
    bytes: usize,
}

impl Places {
    pub(crate) fn take(&self, tenant: &Tenant, bytes: usize) -> Result<Place, Full> {
        // Nothing panics while it holds the lock, and counts are whole at any moment.
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_all = taken.of_all.with(bytes);
        let before = taken.of_tenant.get(tenant).copied().unwrap_or_default();
        let of_tenant = before.with(bytes);
        if let Err(full) = of_tenant.within_share(taken.of_all) {
            if before.appends > 0 {
                return Err(full);
            }
            of_all.within_reserve()?;
        }
        taken.of_all = of_all;
        taken.of_tenant.insert(tenant.clone(), of_tenant);
        Ok(Place {
            places: self.clone(),
            tenant: tenant.clone(),
            bytes,
        })
    }
}

impl Amount {
    fn with(self, bytes: usize) -> Self {
        Self {
            appends: self.appends + 1,
            bytes: self.bytes + bytes,
        }
    }

    fn without(self, bytes: usize) -> Self {
        Self {
            appends: self.appends - 1,
            bytes: self.bytes - bytes,
        }
    }

    /// Whether a tenant may have this much, where all have taken so much.
    fn within_share(self, of_all: Self) -> Result<(), Full> {
        if self.appends > QUEUE_APPENDS_MAX.saturating_sub(of_all.appends) {
            Err(Full::AppendsOfTenant)
        } else if self.bytes > QUEUE_BYTES_MAX.saturating_sub(of_all.bytes) {
            Err(Full::BytesOfTenant)
        } else {
            Ok(())
        }
    }

    /// Whether all may have this much.
    fn within_reserve(self) -> Result<(), Full> {
        if self.appends > PLACES_MAX {
            Err(Full::Appends)
        } else if self.bytes > QUEUE_BYTES_MAX + QUEUE_FIRSTS_BYTES_MAX {
            Err(Full::Bytes)
        } else {
            Ok(())
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self
            .places
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        taken.of_all = taken.of_all.without(self.bytes);
        if let Some(of_tenant) = taken.of_tenant.get_mut(&self.tenant) {
            *of_tenant = of_tenant.without(self.bytes);
            if of_tenant.appends == 0 {
                taken.of_tenant.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BYTES_PER_APPEND_MAX;

    fn take(places: &Places, tenant: &str, bytes: usize) -> Result<Place, Full> {
        places.take(&Tenant::parse(tenant).unwrap(), bytes)
    }

    /// As many as the tenant gets, and why no more.
    fn flood(places: &Places, tenant: &str, bytes: usize) -> (Vec<Place>, Full) {
        let mut held = Vec::new();
        loop {
            match take(places, tenant, bytes) {
                Ok(place) => held.push(place),
                Err(full) => return (held, full),
            }
        }
    }

    #[test]
    fn one_tenant_gets_half_of_the_places_and_the_next_half_of_what_is_left() {
        let places = Places::default();
        let (of_first, full) = flood(&places, "acme", 100);
        assert_eq!(of_first.len(), QUEUE_APPENDS_MAX / 2);
        assert_eq!(full, Full::AppendsOfTenant);
        let (of_second, _) = flood(&places, "umbrella", 100);
        assert_eq!(of_second.len(), QUEUE_APPENDS_MAX / 4);
        drop(of_first);
        drop(of_second);
        let (of_third, _) = flood(&places, "initech", 100);
        assert_eq!(of_third.len(), QUEUE_APPENDS_MAX / 2);
    }

    #[test]
    fn bytes_are_shared_out_as_places_are() {
        let places = Places::default();
        let (of_first, full) = flood(&places, "acme", BYTES_PER_APPEND_MAX);
        assert_eq!(of_first.len() * BYTES_PER_APPEND_MAX, QUEUE_BYTES_MAX / 2);
        assert_eq!(full, Full::BytesOfTenant);
        let (of_second, full) = flood(&places, "umbrella", 1024 * 1024);
        assert_eq!(of_second.len() * 1024 * 1024, QUEUE_BYTES_MAX / 4);
        assert_eq!(full, Full::BytesOfTenant);
        drop(of_first);
        let (again, _) = flood(&places, "acme", BYTES_PER_APPEND_MAX);
        assert!(!again.is_empty());
    }

    #[test]
    fn a_tenant_that_has_no_place_gets_one_however_many_others_flood_up_to_the_reserve() {
        let places = Places::default();
        let mut held = Vec::new();
        for n in 0..QUEUE_FIRSTS_MAX {
            let (flood, full) = flood(&places, &format!("tenant-{n}"), 100);
            assert!(!flood.is_empty(), "tenant {n} got none: {full}");
            held.push(flood);
        }
        let of_all: usize = held.iter().map(Vec::len).sum();
        assert!(of_all > QUEUE_APPENDS_MAX, "{of_all}");
        let mut last = Full::AppendsOfTenant;
        for n in 0..QUEUE_FIRSTS_MAX {
            match take(&places, &format!("later-{n}"), 100) {
                Ok(place) => held.push(vec![place]),
                Err(full) => last = full,
            }
        }
        let of_all: usize = held.iter().map(Vec::len).sum();
        assert_eq!((of_all, last), (PLACES_MAX, Full::Appends));
    }

    #[test]
    fn bytes_have_a_reserve_too_and_an_append_of_any_size_fits_into_it() {
        let places = Places::default();
        let mut held = Vec::new();
        let mut n = 0;
        let full = loop {
            n += 1;
            match take(&places, &format!("tenant-{n}"), BYTES_PER_APPEND_MAX) {
                Ok(place) => held.push(place),
                Err(full) => break full,
            }
        };
        assert_eq!(full, Full::Bytes);
        let bytes = held.len() * BYTES_PER_APPEND_MAX;
        assert_eq!(bytes, QUEUE_BYTES_MAX + QUEUE_FIRSTS_BYTES_MAX);
    }
}
