//! Room for the bodies of requests: how many bytes of them are in memory at the same time, of all requests to a process,
//! shared out among tenants.
//!
//! A body takes room as it arrives, and its request gives it back when it is answered. So whoever says much and sends little
//! takes little, and whoever sends much and slowly keeps nobody else out. One that turns out to be large takes all that it says
//! it will need at once: then of several that are too much together some are read, instead of all for a part.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::http::Extensions;
use foldline_events::Tenant;
use tokio::{sync::Notify, time::Instant};

use crate::{BODY_BYTES_MAX, Problem};

/// How many bytes of bodies there may be at the same time. A tenant may take as much as is free besides: one that floods gets
/// half, the next a quarter, and so on (the dynamic threshold of Choudhury and Hahne, 1998, with a factor of 1).
pub const BODIES_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How many more there may be of tenants that have no more than [`BODY_BYTES_MAX`] in all.
pub const FEW_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a body waits in all for others to be answered.
const ROOM_WAIT_MS_MAX: u64 = 4_000;

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Room(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    of_all: usize,
    /// Without a tenant: of requests of which nobody knows yet who sends them.
    of: HashMap<Option<Tenant>, usize>,
}

/// What one request has taken; given back when its last clone goes. An extension of the request.
#[derive(Debug, Clone)]
pub(crate) struct Held(Arc<OfRequest>);

#[derive(Debug)]
struct OfRequest {
    room: Room,
    part: Mutex<Part>,
}

#[derive(Debug, Default)]
struct Part {
    tenant: Option<Tenant>,
    /// That are taken.
    bytes: usize,
    /// That have arrived.
    arrived: usize,
    waited: Duration,
}

/// Says whose the request is, before its body is read: from then on its bytes count as that tenant's.
pub fn counts_for(request: &Extensions, tenant: &Tenant) {
    if let Some(Held(of_request)) = request.get() {
        let mut part = lock(&of_request.part);
        let before = part.tenant.replace(tenant.clone());
        let mut taken = lock(&of_request.room.0.taken);
        taken.give_back(&before, part.bytes);
        taken.add(&part.tenant, part.bytes);
    }
}

impl Room {
    pub(crate) fn for_request(&self) -> Held {
        Held(Arc::new(OfRequest {
            room: self.clone(),
            part: Mutex::default(),
        }))
    }
}

impl Held {
    /// Waits until so many bytes more may be kept, of a body that will have `length` in all.
    pub(crate) async fn grow(&self, bytes: usize, length: usize) -> Result<(), Problem> {
        let (needed, waited) = {
            let mut part = lock(&self.0.part);
            part.arrived += bytes;
            let whole = match part.arrived > BODY_BYTES_MAX {
                true => part.arrived.max(length),
                false => part.arrived,
            };
            (whole.saturating_sub(part.bytes), part.waited)
        };
        let shared = &self.0.room.0;
        let growing = async {
            loop {
                let freed = shared.freed.notified();
                tokio::pin!(freed);
                freed.as_mut().enable();
                if self.takes(needed) {
                    return;
                }
                freed.await;
            }
        };
        let began = Instant::now();
        let bound = Duration::from_millis(ROOM_WAIT_MS_MAX).saturating_sub(waited);
        let grown = tokio::time::timeout(bound, growing).await;
        lock(&self.0.part).waited += began.elapsed();
        grown.map_err(|_late| {
            metrics::counter!("foldline_http_bodies_turned_away_total").increment(1);
            Problem::unavailable(
                "the requests that are under way have too many bytes, so this one was not read; nothing was done",
            )
        })
    }

    /// Gives everything back, of a body that is kept no longer.
    pub(crate) fn give_back(&self) {
        self.0.give_back();
    }

    fn takes(&self, bytes: usize) -> bool {
        let mut part = lock(&self.0.part);
        let mut taken = lock(&self.0.room.0.taken);
        let fits = bytes == 0 || taken.fits(&part.tenant, bytes);
        if fits {
            taken.add(&part.tenant, bytes);
            part.bytes += bytes;
        }
        fits
    }
}

impl OfRequest {
    fn give_back(&self) {
        let mut part = lock(&self.part);
        if part.bytes > 0 {
            lock(&self.room.0.taken).give_back(&part.tenant, part.bytes);
            part.bytes = 0;
            self.room.0.freed.notify_waiters();
        }
    }
}

impl Taken {
    fn fits(&self, tenant: &Option<Tenant>, bytes: usize) -> bool {
        let own = self.of.get(tenant).copied().unwrap_or_default() + bytes;
        let all = self.of_all + bytes;
        let few = own <= BODY_BYTES_MAX && all <= BODIES_BYTES_MAX + FEW_BYTES_MAX;
        few || own + all <= BODIES_BYTES_MAX
    }

    fn add(&mut self, tenant: &Option<Tenant>, bytes: usize) {
        if bytes > 0 {
            self.of_all += bytes;
            *self.of.entry(tenant.clone()).or_default() += bytes;
        }
    }

    fn give_back(&mut self, tenant: &Option<Tenant>, bytes: usize) {
        self.of_all -= bytes;
        if let Some(own) = self.of.get_mut(tenant) {
            *own -= bytes;
            if *own == 0 {
                self.of.remove(tenant);
            }
        }
    }
}

impl Drop for OfRequest {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Nothing panics while it holds one of these, and counts are whole at any moment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn of(room: &Room, tenant: &str) -> Held {
        let held = room.for_request();
        let mut request = Extensions::new();
        request.insert(held.clone());
        counts_for(&request, &Tenant::parse(tenant).unwrap());
        held
    }

    #[test]
    fn tenants_that_flood_leave_room_for_the_next() {
        let room = Room::default();
        let mut floods = Vec::new();
        for (tenant, mib) in [("a", 16), ("b", 8), ("c", 4)] {
            let flood = of(&room, tenant);
            for _ in 0..mib {
                assert!(flood.takes(MIB), "{tenant}");
            }
            assert!(!flood.takes(MIB), "{tenant}");
            assert!(!of(&room, tenant).takes(MIB), "{tenant}");
            floods.push(flood);
        }
        assert!(of(&room, "d").takes(2 * MIB));
    }

    #[test]
    fn many_tenants_with_a_little_each_are_let_in_beside_floods() {
        let room = Room::default();
        let floods = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map(|tenant| {
            let flood = of(&room, tenant);
            while flood.takes(1_024) {}
            flood
        });
        // The last floods have no more than a little themselves.
        let count = FEW_BYTES_MAX / BODY_BYTES_MAX - 4;
        let few: Vec<Held> = (0..count).map(|n| of(&room, &format!("few-{n}"))).collect();
        for held in &few {
            assert!(held.takes(BODY_BYTES_MAX));
            assert!(!held.takes(1));
        }
        drop(floods);
        assert!(few[0].takes(MIB));
    }

    #[tokio::test]
    async fn of_large_bodies_that_are_too_much_together_each_is_read_in_its_turn() {
        let room = Room::default();
        let length = 4 * MIB;
        let read = async || {
            let held = of(&room, "a");
            for _ in 0..64 {
                held.grow(length / 64, length).await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok::<_, Problem>(())
        };
        for read in futures_util::future::join_all((0..8).map(|_| read())).await {
            read.unwrap();
        }
        // One that finds no room gives up, however many pieces of it wait.
        let flood = of(&room, "a");
        assert!(flood.takes(16 * MIB - 10));
        let began = Instant::now();
        let late = of(&room, "a");
        for _ in 0..10 {
            if late.grow(1_024, 10_240).await.is_err() {
                break;
            }
        }
        assert!(began.elapsed() < Duration::from_millis(ROOM_WAIT_MS_MAX + 100));
    }

    #[test]
    fn what_is_answered_is_given_back_to_the_last_byte() {
        let room = Room::default();
        let held = room.for_request();
        assert!(held.takes(10));
        let mut request = Extensions::new();
        request.insert(held.clone());
        counts_for(&request, &Tenant::parse("a").unwrap());
        assert!(held.takes(MIB));
        drop((held, request));
        let taken = lock(&room.0.taken);
        assert_eq!((taken.of_all, taken.of.len()), (0, 0));
    }
}
