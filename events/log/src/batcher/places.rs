//! Who may wait: a place in the queue for each append, shared out among tenants.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use foldline_events::Tenant;

/// How many appends may wait or be under way; one more is refused, so that load is felt by the sender, not by memory.
pub const QUEUE_APPENDS_MAX: usize = 4_096;

/// The places taken. A tenant may take as many as are free besides: one that floods gets half of them, two get a third
/// each, and there is always room for a tenant that has none (the dynamic threshold of Choudhury and Hahne, "Dynamic queue
/// length thresholds for shared-memory packet switches", 1998, with a factor of 1).
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    of_all: usize,
    of_tenant: HashMap<Tenant, usize>,
}

/// An append's place, until its sender has the answer or is gone.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    tenant: Tenant,
}

impl Places {
    /// `None` when the tenant has its share already.
    pub(crate) fn take(&self, tenant: &Tenant) -> Option<Place> {
        // Nothing panics while it holds the lock, and counts are whole at any moment.
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let free = QUEUE_APPENDS_MAX - taken.of_all;
        let of_tenant = taken.of_tenant.get(tenant).copied().unwrap_or_default();
        if of_tenant >= free {
            return None;
        }
        taken.of_all += 1;
        taken.of_tenant.insert(tenant.clone(), of_tenant + 1);
        Some(Place {
            places: self.clone(),
            tenant: tenant.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self
            .places
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        taken.of_all -= 1;
        if let Some(of_tenant) = taken.of_tenant.get_mut(&self.tenant) {
            *of_tenant -= 1;
            if *of_tenant == 0 {
                taken.of_tenant.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flood(places: &Places, tenant: &str) -> Vec<Place> {
        let tenant = Tenant::parse(tenant).unwrap();
        std::iter::from_fn(|| places.take(&tenant)).collect()
    }

    #[test]
    fn one_tenant_gets_half_of_the_places_and_the_next_half_of_what_is_left() {
        let places = Places::default();
        let of_first = flood(&places, "acme");
        assert_eq!(of_first.len(), QUEUE_APPENDS_MAX / 2);
        let of_second = flood(&places, "umbrella");
        assert_eq!(of_second.len(), QUEUE_APPENDS_MAX / 4);
        drop(of_first);
        drop(of_second);
        assert_eq!(flood(&places, "initech").len(), QUEUE_APPENDS_MAX / 2);
    }

    #[test]
    fn a_tenant_that_has_no_place_gets_one_however_many_others_flood() {
        let places = Places::default();
        let mut held = Vec::new();
        for n in 0..10 {
            let flood = flood(&places, &format!("tenant-{n}"));
            assert!(!flood.is_empty());
            held.push(flood);
        }
    }
}
