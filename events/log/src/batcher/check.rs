//! What an append must be to be taken at all, whatever the log holds.

use std::collections::HashSet;

use chrono::Datelike;
use foldline_events::Encoded;
use serde::de::IgnoredAny;

use super::{TAG_SEPARATOR, cost::Cost};
use crate::{
    ACTOR_BYTES_MAX, Append, EVENT_TYPE_BYTES_MAX, EVENTS_PER_APPEND_MAX, Error, Expected,
    GUARD_TAGS_MAX, GUARD_TYPES_MAX, GUARDS_PER_APPEND_MAX, Guard, INPUT_HMAC_BYTES_MAX,
    PAYLOAD_BYTES_MAX, STREAM_BYTES_MAX, TAG_BYTES_MAX, TAGS_PER_EVENT_MAX,
    TRACE_CONTEXT_BYTES_MAX, WRITES_PER_APPEND_MAX,
};

/// The first year in which events may have occurred: PostgreSQL knows a few more, and all later ones.
const YEAR_MIN: i32 = -4_700;

/// Refuses what could never be stored, before it costs a batch anything, and leaves away what guards say twice, which the
/// database would look for twice.
pub(crate) fn admit(append: &mut Append) -> Result<Cost, Error> {
    check(append)?;
    for guard in &mut append.guards {
        keep_each_once(&mut guard.tags);
        keep_each_once(&mut guard.event_types);
    }
    keep_each_once(&mut append.guards);
    Cost::of(append).within_bounds()
}

/// The same for an append that stays as it is.
pub(crate) fn check_unguarded(append: &Append) -> Result<(), Error> {
    check(append)?;
    if !append.guards.is_empty() {
        return Err(Error::Malformed("an offline append has a guard".to_owned()));
    }
    Cost::of(append).within_bounds().map(|_| ())
}

/// The first of those that are equal; their order may matter. There are few: it was checked.
fn keep_each_once<T: PartialEq>(items: &mut Vec<T>) {
    let mut index = 1;
    while index < items.len() {
        if items[..index].contains(&items[index]) {
            items.remove(index);
        } else {
            index += 1;
        }
    }
}

fn check(append: &Append) -> Result<(), Error> {
    let malformed = |what: String| Err(Error::Malformed(what));
    let events = append.writes.iter().flat_map(|write| &write.events);
    if !(1..=WRITES_PER_APPEND_MAX).contains(&append.writes.len()) {
        return malformed(format!(
            "it has {} writes, not 1 to {WRITES_PER_APPEND_MAX}",
            append.writes.len()
        ));
    }
    if !(1..=EVENTS_PER_APPEND_MAX).contains(&events.clone().count()) {
        return malformed(format!(
            "it has {} events, not 1 to {EVENTS_PER_APPEND_MAX}",
            events.count()
        ));
    }
    if append.guards.len() > GUARDS_PER_APPEND_MAX {
        return malformed(format!(
            "it has {} guards, not 0 to {GUARDS_PER_APPEND_MAX}",
            append.guards.len()
        ));
    }
    no_longer_than("the actor", &append.actor, ACTOR_BYTES_MAX)?;
    let trace_context = append.trace_context.as_deref().unwrap_or_default();
    no_longer_than("the trace context", trace_context, TRACE_CONTEXT_BYTES_MAX)?;
    if append.input_hmac.len() > INPUT_HMAC_BYTES_MAX {
        return malformed(format!(
            "the digest of the input has {} bytes, more than {INPUT_HMAC_BYTES_MAX}",
            append.input_hmac.len()
        ));
    }
    let mut streams = HashSet::new();
    for write in &append.writes {
        named("a stream", &write.stream, STREAM_BYTES_MAX)?;
        if let Expected::Exactly(version) = write.expected
            && version < 0
        {
            return malformed(format!(
                "stream {} is expected at version {version}; versions begin at 0",
                write.stream
            ));
        }
        if !streams.insert(write.stream.as_str()) {
            return malformed(format!("stream {} is written twice", write.stream));
        }
    }
    append.guards.iter().try_for_each(check_guard)?;
    for event in events {
        if event.occurred_at.year() < YEAR_MIN {
            return malformed(format!(
                "an event occurred in the year {}, before {YEAR_MIN}",
                event.occurred_at.year()
            ));
        }
        check_event(&event.encoded)?;
    }
    Ok(())
}

fn check_event(event: &Encoded) -> Result<(), Error> {
    let malformed = |what: String| Err(Error::Malformed(what));
    named("an event type", event.event_type, EVENT_TYPE_BYTES_MAX)?;
    if event.schema_version < 1 {
        return malformed(format!(
            "an event has schema version {}; they begin at 1",
            event.schema_version
        ));
    }
    if event.payload.len() > PAYLOAD_BYTES_MAX {
        return malformed(format!(
            "a payload has {} bytes, more than {PAYLOAD_BYTES_MAX}",
            event.payload.len()
        ));
    }
    if let Err(error) = serde_json::from_str::<IgnoredAny>(&event.payload) {
        return malformed(format!("a payload is not JSON: {error}"));
    }
    if event.tags.len() > TAGS_PER_EVENT_MAX {
        return malformed(format!(
            "an event has {} tags, more than {TAGS_PER_EVENT_MAX}",
            event.tags.len()
        ));
    }
    check_tags(&event.tags)
}

fn check_guard(guard: &Guard) -> Result<(), Error> {
    for (count, max, what) in [
        (guard.event_types.len(), GUARD_TYPES_MAX, "event types"),
        (guard.tags.len(), GUARD_TAGS_MAX, "tags"),
    ] {
        if !(1..=max).contains(&count) {
            return Err(Error::Malformed(format!(
                "a guard has {count} {what}, not 1 to {max}"
            )));
        }
    }
    for event_type in &guard.event_types {
        named("an event type of a guard", event_type, EVENT_TYPE_BYTES_MAX)?;
    }
    check_tags(&guard.tags)
}

fn check_tags(tags: &[String]) -> Result<(), Error> {
    for tag in tags {
        named("a tag", tag, TAG_BYTES_MAX)?;
        if tag.contains([TAG_SEPARATOR, ' ']) {
            let what = "a tag holds a space or a separator";
            return Err(Error::Malformed(what.to_owned()));
        }
    }
    Ok(())
}

fn named(what: &str, text: &str, bytes_max: usize) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::Malformed(format!("{what} is empty")));
    }
    no_longer_than(what, text, bytes_max)
}

/// The database keeps no text with a NUL, and what is long fits into no index and no header of a Kafka record.
fn no_longer_than(what: &str, text: &str, bytes_max: usize) -> Result<(), Error> {
    if text.len() > bytes_max {
        return Err(Error::Malformed(format!(
            "{what} has {} bytes, more than {bytes_max}",
            text.len()
        )));
    }
    if text.contains('\0') {
        return Err(Error::Malformed(format!("{what} holds a NUL character")));
    }
    Ok(())
}
