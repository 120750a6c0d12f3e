//! The appends that wait for a batch, in the order in which tenants take turns.
//!
//! Each tenant gets an equal share of the batches as long as it has appends waiting, whatever fills them; an append waits
//! for about as much of every other tenant as it takes itself, so a small one passes the large ones of others. Those of one
//! tenant stay in the order in which they came. It is self-clocked fair queueing (Golestani, "A self-clocked fair queueing
//! scheme for broadband applications", 1994), with an append's share of a batch for a packet's length.

use std::collections::{BTreeMap, HashMap};

use foldline_events::Tenant;

use super::{Request, compose::share};

/// An append's place in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    /// What its tenant will have been served with it, in shares, counted from where everybody was when that began to wait.
    served: u64,
    /// As how many-th it came: it decides between equals.
    came: u64,
}

#[derive(Default)]
pub(super) struct Waiting {
    requests: BTreeMap<Turn, Request>,
    /// Where the last append that went stood: tenants that begin to wait are served from there on.
    served: u64,
    /// Where the last append of each tenant stands. Those at or before `served` need no entry.
    last_of_tenant: HashMap<Tenant, u64>,
    came: u64,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(super) fn push(&mut self, request: Request) {
        let share = share(request.cost);
        let tenant = &request.append.tenant;
        let served = match self.last_of_tenant.get_mut(tenant) {
            Some(last) => {
                *last = self.served.max(*last) + share;
                *last
            }
            None => {
                let first = self.served + share;
                self.last_of_tenant.insert(tenant.clone(), first);
                first
            }
        };
        self.came += 1;
        let turn = Turn {
            served,
            came: self.came,
        };
        self.requests.insert(turn, request);
    }

    pub(super) fn in_turn(&self) -> impl Iterator<Item = (Turn, &Request)> {
        self.requests.iter().map(|(turn, request)| (*turn, request))
    }

    /// Takes those that go now, in their turn.
    pub(super) fn take(&mut self, turns: &[Turn]) -> Vec<Request> {
        if let Some(last) = turns.last() {
            // One that was left behind before, because it touched another, goes with an earlier turn than others went with.
            self.served = self.served.max(last.served);
        }
        let served = self.served;
        self.last_of_tenant.retain(|_, last| *last > served);
        self.remove(turns)
    }

    /// Takes those that wait in vain.
    pub(super) fn take_where(&mut self, is_so: impl Fn(&Request) -> bool) -> Vec<Request> {
        let of_those = self.in_turn().filter(|(_, request)| is_so(request));
        let turns: Vec<Turn> = of_those.map(|(turn, _)| turn).collect();
        let those = self.remove(&turns);
        // They were not served, so their tenants owe nothing for them.
        self.last_of_tenant = self
            .requests
            .iter()
            .map(|(turn, request)| (request.append.tenant.clone(), turn.served))
            .collect();
        those
    }

    fn remove(&mut self, turns: &[Turn]) -> Vec<Request> {
        if turns.len() == self.requests.len() {
            return std::mem::take(&mut self.requests).into_values().collect();
        }
        let requests = turns.iter();
        requests
            .filter_map(|turn| self.requests.remove(turn))
            .collect()
    }
}
