//! What must hold of appends and of the log, whatever happened in between. Says what is wrong, if anything.

use std::collections::{HashMap, HashSet};

use foldline_events::{Recorded, partition_of};
use foldline_log::{Append, Error, NewEvent, Receipt, Verdict};
use sqlx::PgConnection;
use uuid::Uuid;

use super::load::{Sent, excludes};
use crate::store::tenant;

/// How many complaints are told.
const COMPLAINTS_MAX: usize = 10;

/// Of the appends of one load, beside which nobody else appends for their tenant, and the log before and after those
/// without an answer were sent again:
///
/// - an acknowledged append is there once, wholly, as it was sent, where its receipt says;
/// - between what the guards of a stored append were read at and the append there is nothing that they exclude;
/// - one that was answered by a no, or refused, is not there;
/// - one without an answer was there wholly or not at all, and what it was answered in the end is so;
/// - positions are 1 to n, versions 1 to m in each stream, times don't run backwards, and nothing vanishes.
pub fn complaints(
    sent: &[Sent],
    before: &[Recorded],
    log: &[Recorded],
    epoch: Uuid,
) -> Vec<String> {
    let mut found = order(log);
    if log.get(..before.len()) != Some(before) {
        found.push("what was in the log before the retries is not there as it was".to_owned());
    }
    let (earlier, now) = (by_command(before), by_command(log));
    let ids: HashSet<Uuid> = sent.iter().map(|sent| sent.append.command_id).collect();
    let unknown = now.keys().filter(|id| !ids.contains(id));
    found.extend(unknown.map(|id| format!("{id} is in the log, and nobody sent it")));
    for sent in sent {
        let id = &sent.append.command_id;
        let (earlier, now) = (earlier.get(id), now.get(id));
        let now = now.map_or(&[][..], Vec::as_slice);
        let fault = of_first_answer(sent, earlier.map_or(&[], Vec::as_slice), epoch)
            .or_else(|| of_last_answer(sent, now, log, epoch))
            .or_else(|| of_guards(&sent.append, now, log));
        found.extend(fault.map(|fault| format!("{id} {fault}: {sent:?}")));
    }
    let all = found.len();
    found.truncate(COMPLAINTS_MAX);
    if all > COMPLAINTS_MAX {
        found.push(format!("and {} more", all - COMPLAINTS_MAX));
    }
    found
}

fn by_command(log: &[Recorded]) -> HashMap<Uuid, Vec<&Recorded>> {
    let mut commands: HashMap<Uuid, Vec<&Recorded>> = HashMap::new();
    for event in log.iter().filter(|event| event.tenant == tenant()) {
        commands.entry(event.command_id).or_default().push(event);
    }
    commands
}

fn order(log: &[Recorded]) -> Vec<String> {
    let mut found = Vec::new();
    let mut versions: HashMap<&str, i64> = HashMap::new();
    let mut ids = HashSet::new();
    for (event, due) in log.iter().zip(1..) {
        let version = versions.entry(&event.stream).or_default();
        *version += 1;
        if event.position != due {
            found.push(format!("position {} where {due} was due", event.position));
        }
        if event.version != *version {
            let (stream, is) = (&event.stream, event.version);
            found.push(format!("{stream} has version {is} where {version} was due"));
        }
        if !ids.insert(event.id) {
            found.push(format!("event {} is there twice", event.id));
        }
    }
    let backwards = log
        .windows(2)
        .filter(|two| two[1].recorded_at < two[0].recorded_at);
    found.extend(
        backwards.map(|two| format!("{} was recorded before its predecessor", two[1].position)),
    );
    found
}

/// What the log held before the retries, against the first answer.
fn of_first_answer(sent: &Sent, events: &[&Recorded], epoch: Uuid) -> Option<String> {
    match &sent.answer {
        Ok(Verdict::Appended(receipt) | Verdict::Known(receipt)) => {
            is_stored(&sent.append, events, receipt, epoch)
        }
        Ok(Verdict::Conflict { .. } | Verdict::InputDiffers | Verdict::Guarded { .. })
        | Err(
            Error::Refused(_)
            | Error::Overloaded { .. }
            | Error::Malformed(_)
            | Error::BeyondHead { .. }
            | Error::Closed,
        ) => (!events.is_empty()).then(|| "was said not to be recorded, and was".to_owned()),
        Err(_) if events.is_empty() => None,
        Err(_) => is_as_sent(&sent.append, events),
    }
}

/// What the log holds now, against the answer that counts.
fn of_last_answer(
    sent: &Sent,
    events: &[&Recorded],
    log: &[Recorded],
    epoch: Uuid,
) -> Option<String> {
    let Some(verdict) = sent.retried.as_ref().or(sent.answer.as_ref().ok()) else {
        return Some("never got an answer".to_owned());
    };
    match verdict {
        Verdict::Appended(receipt) | Verdict::Known(receipt) => {
            is_stored(&sent.append, events, receipt, epoch)
        }
        Verdict::Guarded { by } => {
            let excluded = log.iter().find(|event| event.position == *by);
            if !events.is_empty() {
                Some("was guarded off, and is there".to_owned())
            } else if excluded.is_none_or(|event| !excludes(&sent.append, event)) {
                Some(format!("was guarded off by {by}, which it allows"))
            } else {
                None
            }
        }
        // Every stream of which a version is expected has one writer.
        Verdict::Conflict { .. } => Some("met a conflict where nobody else writes".to_owned()),
        Verdict::InputDiffers => Some("was taken for another".to_owned()),
    }
}

/// Nothing that it excludes is before it, whatever was answered: its sender may not know that it is stored.
fn of_guards(append: &Append, events: &[&Recorded], log: &[Recorded]) -> Option<String> {
    let first = events.first()?.position;
    let after = append.guards.iter().map(|guard| guard.after).min()?;
    let since = log.partition_point(|event| event.position <= after);
    let until = log.partition_point(|event| event.position < first);
    let mut between = log.get(since..until)?.iter();
    let by = between.find(|event| excludes(append, event))?.position;
    Some(format!("is at {first}, and its guards exclude {by}"))
}

fn is_stored(
    append: &Append,
    events: &[&Recorded],
    receipt: &Receipt,
    epoch: Uuid,
) -> Option<String> {
    let Some(last) = events.last() else {
        return Some("was acknowledged, and is not there".to_owned());
    };
    if let Some(fault) = is_as_sent(append, events) {
        return Some(fault);
    }
    let first = &append.writes[0].stream;
    let of_first = events.iter().filter(|event| event.stream == *first);
    let version = of_first.map(|event| event.version).max();
    let partition = Some(last.partition);
    let in_one = events
        .iter()
        .all(|event| Some(event.partition) == partition);
    let is_right = receipt.stream == *first
        && Some(receipt.version) == version
        && receipt.cursor.epoch == epoch
        && receipt.cursor.position == last.position
        && receipt.cursor.partition == partition.filter(|_| in_one);
    (!is_right).then(|| format!("is not where its receipt says: {receipt:?}, but {events:?}"))
}

/// Wholly, once, in one piece, and in the order in which it was sent.
fn is_as_sent(append: &Append, events: &[&Recorded]) -> Option<String> {
    let wanted: Vec<(&str, &NewEvent)> = append
        .writes
        .iter()
        .flat_map(|write| {
            write
                .events
                .iter()
                .map(|event| (write.stream.as_str(), event))
        })
        .collect();
    if wanted.len() != events.len() {
        return Some(format!("has {} events of {}", events.len(), wanted.len()));
    }
    let first = events.first().map_or(0, |first| first.position);
    let is_same =
        wanted
            .iter()
            .zip(events)
            .zip(first..)
            .all(|(((stream, new), event), position)| {
                event.position == position
                    && event.stream == *stream
                    && event.tenant == append.tenant
                    && event.partition == partition_of(&append.tenant, stream)
                    && event.actor == append.actor
                    && event.id == new.id
                    && event.event_type == new.encoded.event_type
                    && event.payload == new.encoded.payload
                    && event.tags == new.encoded.tags
                    && event.occurred_at == new.occurred_at
            });
    (!is_same).then(|| format!("was recorded otherwise than it was sent: {events:?}"))
}

/// Between the events and what is kept beside them: streams, commands, tags and batches.
pub async fn disagreements(owner: &mut PgConnection) -> Vec<String> {
    let mut found = Vec::new();
    for (what, statement) in [
        ("streams", STREAMS),
        ("commands", COMMANDS),
        ("tags", TAGS),
        ("batches", BATCHES),
    ] {
        let count: i64 = sqlx::query_scalar(statement)
            .fetch_one(&mut *owner)
            .await
            .unwrap();
        if count > 0 {
            found.push(format!(
                "{count} rows of log.{what} disagree with log.events"
            ));
        }
    }
    found
}

const STREAMS: &str = "
    select count(*)
    from (
        select tenant, stream, max(version) as version, max(position) as position
        from log.events
        group by tenant, stream
    ) as e
    full join log.streams as s
        on (s.tenant, s.stream) = (e.tenant, e.stream)
    where (e.version, e.position) is distinct from (s.version, s.last_position)";

const COMMANDS: &str = "
    select count(*)
    from (
        select e.tenant, e.command_id, f.stream, max(e.position) as position, max(e.recorded_at) as recorded_at,
            max(e.version) filter (where e.stream = f.stream) as version,
            case when min(e.partition) = max(e.partition) then min(e.partition) end as partition
        from log.events as e
        join (
            select distinct on (tenant, command_id) tenant, command_id, stream
            from log.events
            order by tenant, command_id, position
        ) as f
            on (f.tenant, f.command_id) = (e.tenant, e.command_id)
        group by e.tenant, e.command_id, f.stream
    ) as e
    full join log.commands as c
        on (c.tenant, c.command_id) = (e.tenant, e.command_id)
    where (e.stream, e.version, e.position, e.partition, e.recorded_at)
        is distinct from (c.stream, c.version, c.position, c.partition, c.recorded_at)";

const TAGS: &str = "
    select count(*)
    from (select distinct tenant, unnest(tags) as tag, type, position from log.events) as e
    full join log.tags as t
        on (t.tenant, t.tag, t.type, t.position) = (e.tenant, e.tag, e.type, e.position)
    where e.position is null
        or t.position is null";

const BATCHES: &str = "
    select (
        select count(*)
        from log.events as e
        where e.recorded_at is distinct from (
            select b.recorded_at
            from log.batches as b
            where b.last_position >= e.position
            order by b.last_position
            limit 1
        )
    ) + (
        select count(*)
        from log.batches as b
        where not exists (select from log.events as e where e.position = b.last_position)
    )";
