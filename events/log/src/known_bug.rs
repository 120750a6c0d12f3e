//! Bugs that others have had, to be switched on by a test, for one topic: so the checks are seen to find them. Only
//! builds for fault tests (the feature `crash-points`) can have them.

/// The mark moves before the records are delivered, and the process dies in between: they are never sent.
pub(crate) const MARK_BEFORE_DELIVERY: &str = "relay_mark_before_delivery";
/// Records that came before are delivered again.
pub(crate) const NO_DEDUPE: &str = "feed_without_dedupe";

/// Whether a bug is switched on for a topic, in the notation of the `fail` crate: `return(topic)`.
pub(crate) fn is_on(bug: &'static str, topic: &str) -> bool {
    fail::fail_point!(bug, |of: Option<String>| of.as_deref() == Some(topic));
    let _ = (bug, topic);
    false
}
