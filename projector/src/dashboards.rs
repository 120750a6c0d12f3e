//! What events of several streams, and of several contexts, add up to.
//!
//! An aggregate over streams is a partial row per key and partition, of parts that can be added; readers see the sums.
//! Dashboards fold events by themselves: they must not read the rows of other views, which may be further or less far.

pub(crate) mod task_dashboard;
