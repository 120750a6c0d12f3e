//! Checkers: what must hold of what was stored, whatever happened before. Each returns complaints, and each is seen
//! complaining below.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use crate::stored::{Event, Record};

/// How many complaints of a kind are told.
const COMPLAINTS_MAX: usize = 10;

/// A command that was answered as accepted. Each of those that the tests send records one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    pub command_id: Uuid,
    /// `tenant/stream`.
    pub key: String,
    pub version: i64,
}

/// Every acknowledged command is stored once, where its answer said; nothing is stored that nobody sent.
pub fn acknowledged_once(acknowledged: &[Acknowledged], events: &[Event]) -> Vec<String> {
    let mut stored: HashMap<Uuid, Vec<&Event>> = HashMap::new();
    for event in events {
        stored.entry(event.command_id).or_default().push(event);
    }
    let mut complaints = Vec::new();
    for command in acknowledged {
        let id = command.command_id;
        match stored.remove(&id).as_deref() {
            Some([event]) if event.key == command.key && event.version == command.version => {}
            Some([event]) => complaints.push(format!("{command:?} was stored as {event:?}")),
            Some(several) => complaints.push(format!("{id} was stored {} times", several.len())),
            None => complaints.push(format!("{id} was acknowledged and is not there")),
        }
    }
    complaints.extend(
        stored
            .keys()
            .map(|id| format!("{id} is stored, and nobody sent it")),
    );
    first(complaints)
}

/// Positions are 1 to n, versions 1 to m in each stream in the order of positions, and time does not run backwards.
pub fn contiguous(events: &[Event]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut versions: HashMap<&str, i64> = HashMap::new();
    let mut last: Option<&Event> = None;
    for event in events {
        let due = last.map_or(1, |last| last.position + 1);
        if event.position != due {
            complaints.push(format!(
                "position {} comes where {due} was due",
                event.position
            ));
        }
        if last.is_some_and(|last| event.recorded_at < last.recorded_at) {
            complaints.push(format!(
                "position {} was recorded before its predecessor",
                event.position
            ));
        }
        let version = versions.entry(&event.key).or_default();
        *version += 1;
        if event.version != *version {
            complaints.push(format!(
                "{} has version {} where {version} was due",
                event.key, event.version
            ));
        }
        last = Some(event);
    }
    first(complaints)
}

/// The topic without repetitions holds what the log holds, byte for byte and in order, and every record names its
/// predecessor.
pub fn topic_is_log(records: &[Record], events: &[Event]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut wanted: BTreeMap<i16, Vec<&Event>> = BTreeMap::new();
    for event in events {
        wanted.entry(event.partition).or_default().push(event);
    }
    let mut kept: BTreeMap<i16, Vec<&Record>> = BTreeMap::new();
    for record in records {
        let of_partition = kept.entry(record.partition).or_default();
        let last = of_partition.last().map_or(0, |last| last.position);
        if record.position <= last {
            continue;
        }
        if record.predecessor != last {
            complaints.push(format!(
                "partition {}: {} comes after {last} and names {}",
                record.partition, record.position, record.predecessor
            ));
        }
        of_partition.push(record);
    }
    let partitions: BTreeSet<i16> = wanted.keys().chain(kept.keys()).copied().collect();
    for partition in partitions {
        let in_log = wanted.remove(&partition).unwrap_or_default();
        let in_topic = kept.remove(&partition).unwrap_or_default();
        if in_log.len() != in_topic.len() {
            complaints.push(format!(
                "partition {partition}: {} events in the log, {} in the topic",
                in_log.len(),
                in_topic.len()
            ));
        }
        for (event, record) in in_log.iter().zip(&in_topic) {
            let same = (event.position, event.id, &event.key, &event.payload)
                == (record.position, record.id, &record.key, &record.payload);
            if !same || event.attributes != record.attributes {
                complaints.push(format!(
                    "partition {partition}: {event:?} became {record:?}"
                ));
                break;
            }
        }
    }
    first(complaints)
}

/// Both hold the same rows, in whatever order.
pub fn same_rows(left: &[String], right: &[String]) -> Vec<String> {
    let mut complaints = Vec::new();
    if left.len() != right.len() {
        complaints.push(format!("{} rows here, {} there", left.len(), right.len()));
    }
    let (here, there): (HashSet<&String>, HashSet<&String>) =
        (left.iter().collect(), right.iter().collect());
    complaints.extend(
        here.difference(&there)
            .map(|row| format!("only here: {row}")),
    );
    complaints.extend(
        there
            .difference(&here)
            .map(|row| format!("only there: {row}")),
    );
    first(complaints)
}

fn first(mut complaints: Vec<String>) -> Vec<String> {
    let all = complaints.len();
    complaints.truncate(COMPLAINTS_MAX);
    if all > COMPLAINTS_MAX {
        complaints.push(format!("and {} more", all - COMPLAINTS_MAX));
    }
    complaints
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::stored::Attributes;

    fn log() -> Vec<Event> {
        [("a", 1), ("b", 1), ("a", 2), ("b", 2)]
            .into_iter()
            .zip(1..)
            .map(|((key, version), position)| Event {
                position,
                partition: i16::from(key == "b"),
                id: Uuid::from_u128(position.unsigned_abs().into()),
                key: key.to_owned(),
                version,
                command_id: Uuid::from_u128(100 + u128::from(position.unsigned_abs())),
                payload: format!("{{\"n\":{position}}}"),
                attributes: Attributes {
                    epoch: Uuid::nil(),
                    event_type: "tasks.TaskStarted".to_owned(),
                    version,
                    schema_version: 1,
                    actor: "tester".to_owned(),
                    command_id: Uuid::from_u128(100 + u128::from(position.unsigned_abs())),
                    occurred_at: DateTime::UNIX_EPOCH,
                    recorded_at: DateTime::UNIX_EPOCH + TimeDelta::seconds(position),
                    tags: vec![],
                },
                recorded_at: DateTime::UNIX_EPOCH + TimeDelta::seconds(position),
            })
            .collect()
    }

    fn answers() -> Vec<Acknowledged> {
        let of = |event: Event| Acknowledged {
            command_id: event.command_id,
            key: event.key,
            version: event.version,
        };
        log().into_iter().map(of).collect()
    }

    fn topic() -> Vec<Record> {
        let mut last = HashMap::new();
        let of = |event: Event| Record {
            partition: event.partition,
            position: event.position,
            predecessor: last.insert(event.partition, event.position).unwrap_or(0),
            id: event.id,
            key: event.key,
            payload: event.payload,
            attributes: event.attributes,
        };
        log().into_iter().map(of).collect()
    }

    fn complains(complaints: &[String], of: &str) {
        assert!(
            complaints.iter().any(|complaint| complaint.contains(of)),
            "{of}: {complaints:?}"
        );
    }

    #[test]
    fn what_is_right_is_not_complained_of() {
        assert_eq!(acknowledged_once(&answers(), &log()), [""; 0]);
        assert_eq!(contiguous(&log()), [""; 0]);
        assert_eq!(topic_is_log(&topic(), &log()), [""; 0]);
        let rows = ["a".to_owned(), "b".to_owned()];
        assert_eq!(same_rows(&rows, &rows), [""; 0]);
    }

    #[test]
    fn a_lost_a_doubled_and_an_invented_command_are_complained_of() {
        complains(&acknowledged_once(&answers(), &log()[1..]), "is not there");
        complains(
            &acknowledged_once(&answers()[1..], &log()),
            "nobody sent it",
        );
        let mut doubled = log();
        doubled[3].command_id = doubled[0].command_id;
        complains(&acknowledged_once(&answers(), &doubled), "2 times");
        let mut elsewhere = answers();
        elsewhere[2].version = 7;
        complains(&acknowledged_once(&elsewhere, &log()), "was stored as");
    }

    #[test]
    fn a_gap_and_time_that_runs_backwards_are_complained_of() {
        complains(&contiguous(&log()[1..]), "position 2 comes where 1 was due");
        let mut gap = log();
        gap.remove(1);
        complains(&contiguous(&gap), "position 3 comes where 2 was due");
        let mut turned = log();
        turned[2].version = 3;
        complains(&contiguous(&turned), "a has version 3 where 2 was due");
        let mut late = log();
        late[1].recorded_at += TimeDelta::hours(1);
        complains(&contiguous(&late), "recorded before");
    }

    #[test]
    fn a_topic_may_repeat_itself_but_not_lose_turn_round_or_alter_anything() {
        let repeated = [topic(), topic()].concat();
        assert_eq!(topic_is_log(&repeated, &log()), [""; 0]);
        complains(
            &topic_is_log(&topic()[1..], &log()),
            "comes after 0 and names 1",
        );
        complains(
            &topic_is_log(&topic()[..3], &log()),
            "2 events in the log, 1 in the topic",
        );
        let mut turned = topic();
        turned.swap(0, 2);
        complains(&topic_is_log(&turned, &log()), "in the log");
        let mut altered = topic();
        altered[1].payload.push(' ');
        complains(&topic_is_log(&altered, &log()), "became");
        let mut relabelled = topic();
        relabelled[1].attributes.actor = "another".to_owned();
        complains(&topic_is_log(&relabelled, &log()), "became");
    }

    #[test]
    fn a_row_too_many_and_another_row_are_complained_of() {
        let (one, two) = (["a".to_owned()], ["a".to_owned(), "a".to_owned()]);
        complains(&same_rows(&one, &two), "1 rows here, 2 there");
        complains(&same_rows(&one, &["b".to_owned()]), "only here: a");
    }
}
