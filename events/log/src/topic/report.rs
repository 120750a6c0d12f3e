//! What a comparison of topic and log found: counts of everything, and the first of each kind.

use foldline_events::{Partition, Position};
use uuid::Uuid;

use crate::Log;

/// How many findings of a kind are told; the rest is counted.
pub const FINDINGS_MAX: usize = 10;

/// What was compared, and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The topic, by name.
    pub topic: String,
    /// The log's, whose records alone count.
    pub epoch: Uuid,
    /// The first position compared.
    pub from: Position,
    /// The last position compared; below `from` when there was nothing.
    pub through: Position,
    /// From here on every partition of the topic holds what it must. Above `from` when the topic begins later than the
    /// range, because retention has removed its beginning or because it was deleted and made again.
    pub complete_from: Position,
    /// Events of the log that were looked for in the topic.
    pub events: u64,
    /// Records of the topic that were looked at, of whatever kind.
    pub records: u64,
    /// Records that say how far their partition is, and carry no event.
    pub watermarks: u64,
    /// Records that came again; consumers drop them.
    pub repeated: u64,
    /// Records of other incarnations of the log; consumers pass them over.
    pub of_other_epochs: u64,
    /// Events that retention has removed from the beginning of the topic. Consumers read them from the log.
    pub removed: u64,
    /// Events of the log that the topic does not have.
    pub missing: Findings,
    /// Records of events that the log does not have in this partition.
    pub extra: Findings,
    /// Records that are not what the relay would make of their event.
    pub different: Findings,
    /// Events that came after a later one of their partition.
    pub out_of_order: Findings,
    /// Records that are not ours in form.
    pub foreign: Findings,
}

/// Of one kind: how many, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// All of them.
    pub count: u64,
    /// At most [`FINDINGS_MAX`].
    pub first: Vec<Finding>,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Of the topic.
    pub partition: Partition,
    /// In the topic; none for what is not there.
    pub offset: Option<i64>,
    /// In the log; none for what says none.
    pub position: Option<Position>,
    /// In words.
    pub what: String,
}

impl Report {
    pub(super) fn new(log: &Log, topic: &str, from: Position, through: Position) -> Self {
        Self {
            topic: topic.to_owned(),
            epoch: log.epoch(),
            from,
            through,
            complete_from: from,
            events: 0,
            records: 0,
            watermarks: 0,
            repeated: 0,
            of_other_epochs: 0,
            removed: 0,
            missing: Findings::default(),
            extra: Findings::default(),
            different: Findings::default(),
            out_of_order: Findings::default(),
            foreign: Findings::default(),
        }
    }

    /// Every kind of finding, with a name for it.
    pub fn kinds(&self) -> [(&'static str, &Findings); 5] {
        [
            ("missing", &self.missing),
            ("extra", &self.extra),
            ("different", &self.different),
            ("out of order", &self.out_of_order),
            ("foreign", &self.foreign),
        ]
    }

    /// Whether the topic is the log, as far as it was compared.
    pub fn is_well(&self) -> bool {
        self.kinds().iter().all(|(_, findings)| findings.count == 0)
    }
}

impl Findings {
    pub(super) fn add(&mut self, finding: impl FnOnce() -> Finding) {
        self.count += 1;
        if self.first.len() < FINDINGS_MAX {
            self.first.push(finding());
        }
    }

    /// What was found turned out to be something else.
    pub(super) fn take_back(&mut self, partition: Partition, position: Position) {
        self.count -= 1;
        let it = |finding: &Finding| {
            finding.partition == partition && finding.position == Some(position)
        };
        self.first.retain(|finding| !it(finding));
    }
}
