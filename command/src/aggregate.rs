//! What the handler asks of an aggregate beyond its rules; each context answers in a module of its own name.

use foldline_domain::Decider;
use foldline_events::{Event, Tenant};
use foldline_gate::Role;
use foldline_log::{Error, Expected, Guard};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    Handler,
    digest::Digest,
    offline::{Offline, States},
    streams::{Reading, Streams},
};

/// Its state is written down and read back exactly: snapshots are made of it.
pub(crate) trait Aggregate:
    Decider<Command: Clone + Send + Sync, Facts: Send + Sync, Event: Clone + Send + Sync>
    + Serialize
    + DeserializeOwned
    + Clone
    + Send
    + Sync
    + 'static
{
    fn streams(handler: &Handler) -> &Streams<Self>;

    /// Roughly how much memory a state holds.
    fn size_bytes(&self) -> usize;

    /// The least role that may run it.
    fn least_role(command: &Self::Command) -> Role;

    /// Whether it makes its stream, so that there is most likely none yet.
    fn creates(command: &Self::Command) -> bool;

    /// What the decision needs to know of other streams, and guards that hold it true until the append.
    fn facts(
        handler: &Handler,
        of: Of<'_>,
        command: &Self::Command,
        reading: Reading,
    ) -> impl Future<Output = Result<(Self::Facts, Vec<Guard>), Error>> + Send;

    /// The same where there is no log yet and all states lie in memory; nobody writes meanwhile, so nothing is guarded.
    fn facts_offline(offline: &Offline, tenant: &Tenant, command: &Self::Command) -> Self::Facts;

    fn states(offline: &mut Offline) -> &mut States<Self>;

    /// What must be written to other streams in the same append: a decision that yields `events` on the state `before`
    /// has this beside them.
    fn beside(
        digest: &Digest,
        of: Of<'_>,
        before: Option<&Self>,
        events: &[Self::Event],
        facts: &Self::Facts,
    ) -> Vec<Beside>;
}

/// Whose events they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Of<'a> {
    pub(crate) tenant: &'a Tenant,
    pub(crate) aggregate: Uuid,
}

/// An event for another stream.
#[derive(Debug, Clone)]
pub(crate) struct Beside {
    pub(crate) stream: String,
    pub(crate) expected: Expected,
    /// The id in the stream's name.
    pub(crate) aggregate: Uuid,
    pub(crate) event: Event,
}
