//! What an append must be to be taken at all, whatever the log holds.

use std::collections::HashSet;

use super::{TAG_SEPARATOR, cost::Cost};
use crate::{
    Append, EVENTS_PER_APPEND_MAX, Error, Expected, GUARD_TAGS_MAX, GUARD_TYPES_MAX,
    GUARDS_PER_APPEND_MAX, Guard, PAYLOAD_BYTES_MAX, TAGS_PER_EVENT_MAX, WRITES_PER_APPEND_MAX,
};

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
    let mut streams = HashSet::new();
    for write in &append.writes {
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
        let encoded = &event.encoded;
        if encoded.payload.len() > PAYLOAD_BYTES_MAX {
            let size = encoded.payload.len();
            return malformed(format!(
                "a payload has {size} bytes, more than {PAYLOAD_BYTES_MAX}"
            ));
        }
        if encoded.tags.len() > TAGS_PER_EVENT_MAX {
            return malformed(format!(
                "an event has {} tags, more than {TAGS_PER_EVENT_MAX}",
                encoded.tags.len()
            ));
        }
        check_tags(&encoded.tags)?;
    }
    Ok(())
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
    check_tags(&guard.tags)
}

fn check_tags(tags: &[String]) -> Result<(), Error> {
    if tags
        .iter()
        .any(|tag| tag.is_empty() || tag.contains([TAG_SEPARATOR, ' ']))
    {
        let what = "a tag is empty or holds a space or a separator";
        return Err(Error::Malformed(what.to_owned()));
    }
    Ok(())
}
