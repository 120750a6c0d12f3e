//! Which log it is that batches are written to.

use uuid::Uuid;

/// What is not the batch's but the log's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) epoch: Uuid,
    pub(crate) segment_positions: i64,
}
