use foldline_domain::State;
use foldline_events::Tenant;
use serde_json::{Value, json};

use super::{
    shown::Shown,
    testing::{append, busy_log, log, recorded, source, task_created, task_renamed, tenant},
    *,
};
use crate::changes::Moment;

const COMMANDS: u128 = 90;

/// Every event of the tenant with its state, folded from the beginning one by one; of a stream alone, if one is named.
fn expected(log: &foldline_log::MemoryLog, stream: Option<&str>) -> Vec<(Recorded, Value)> {
    let mut states = std::collections::HashMap::<String, Option<State>>::new();
    let all = log.read(0, 10_000).unwrap().into_iter();
    let ours = all.filter(|event| event.tenant == tenant());
    let folded = ours.map(|event| {
        let state = states.entry(event.stream.clone()).or_default();
        *state = State::evolve(state.take(), &event.event().unwrap());
        let state = serde_json::to_value(&*state).unwrap();
        (event, state)
    });
    folded
        .filter(|(event, _)| stream.is_none_or(|stream| event.stream == stream))
        .collect()
}

fn wanted(first: i64, last: i64, is_backward: bool, limit: u64) -> Wanted {
    Wanted {
        first,
        last,
        is_backward,
        limit,
    }
}

async fn written(source: &Source, wanted: Wanted, format: ReplayFormat) -> (u8, String) {
    let mut written = Vec::new();
    let output = Output::new(format, &mut written);
    let code = replay(source.clone(), wanted, output).await.unwrap();
    (code, String::from_utf8(written).unwrap())
}

/// Position and state of each line.
async fn lines(source: &Source, wanted: Wanted) -> Vec<(String, Value)> {
    let (code, text) = written(source, wanted, ReplayFormat::Ndjson).await;
    assert_eq!(code, SHOWN);
    let lines = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        (
            line["position"].as_str().unwrap().to_owned(),
            line["state"].clone(),
        )
    });
    lines.collect()
}

#[tokio::test]
async fn a_stream_and_a_tenant_are_replayed_over_all_their_pages_and_back_is_forward_turned_round()
{
    let log = busy_log(COMMANDS);
    for stream in [None, Some("task-00000000-0000-0000-0000-00000000000b")] {
        let source = source(&log, stream);
        let all = expected(&log, stream);
        assert!(all.len() > 3 * source.page_events);
        let head = log.head().position;
        for (first, last) in [
            (1, i64::MAX),
            (-3, head + 9),
            (5, 5),
            (7, 40),
            (head, head),
            (head + 1, head + 2),
        ] {
            for limit in [1, 3, 4, u64::MAX] {
                let within = all
                    .iter()
                    .filter(|(event, _)| (first..=last).contains(&event.position));
                let mut within: Vec<(String, Value)> = within
                    .map(|(event, state)| (event.position.to_string(), state.clone()))
                    .collect();
                let take = usize::try_from(limit).unwrap_or(usize::MAX);
                let forward = lines(&source, wanted(first, last, false, limit)).await;
                let some: Vec<_> = within.iter().take(take).cloned().collect();
                assert_eq!(forward, some, "{stream:?} {first} {last} {limit}");
                within.reverse();
                let backward = lines(&source, wanted(first, last, true, limit)).await;
                within.truncate(take);
                assert_eq!(
                    backward, within,
                    "{stream:?} {first} {last} {limit}, backward"
                );
            }
        }
    }
}

#[tokio::test]
async fn states_are_the_same_whatever_of_them_was_kept() {
    let log = log();
    append(&log, &tenant(), 10, vec![task_created("Dig")]);
    for n in 0..900 {
        append(&log, &tenant(), 10, vec![task_renamed(&format!("Dig {n}"))]);
    }
    let all = expected(&log, None);
    let source = source(&log, None);
    let mut states = States::new(source.log.clone(), tenant());
    // In no order, so that what is kept lies now before, now far behind.
    for start in (0..900).map(|n| n * 389 % 895) {
        let events: Vec<Recorded> = all[start..start + 5]
            .iter()
            .map(|it| it.0.clone())
            .collect();
        let beside = states.beside(events).await.unwrap();
        let states: Vec<&Value> = beside.iter().map(|shown| &shown.state).collect();
        let expected: Vec<&Value> = all[start..start + 5].iter().map(|it| &it.1).collect();
        assert_eq!(states, expected, "from {start}");
    }
}

#[tokio::test]
async fn a_place_leads_to_the_first_event_at_or_after_it_and_to_the_last_at_or_before_it() {
    let log = busy_log(COMMANDS);
    for stream in [None, Some("task-00000000-0000-0000-0000-00000000000b")] {
        let source = source(&log, stream);
        let all = expected(&log, stream);
        let between = chrono::TimeDelta::milliseconds(500);
        for event in log.read(0, 10_000).unwrap() {
            let at = Place::Moment(Moment::RecordedAt(event.recorded_at));
            let later = Place::Moment(Moment::RecordedAt(event.recorded_at + between));
            let position = Place::Moment(Moment::Position(event.position));
            for (place, from) in [
                (at, event.recorded_at),
                (later, event.recorded_at + between),
            ] {
                let first = source.first_from(place).await.unwrap().unwrap();
                let shown = lines(&source, wanted(first, i64::MAX, false, 1)).await;
                let expected = all.iter().find(|it| it.0.recorded_at >= from);
                let expected = expected.map(|it| it.0.position.to_string());
                assert_eq!(
                    shown.first().map(|it| it.0.clone()),
                    expected,
                    "from {place:?}"
                );
                let last = source.last_to(place).await.unwrap().unwrap();
                let shown = lines(&source, wanted(1, last, true, 1)).await;
                let expected = all.iter().rev().find(|it| it.0.recorded_at <= from);
                let expected = expected.map(|it| it.0.position.to_string());
                assert_eq!(
                    shown.first().map(|it| it.0.clone()),
                    expected,
                    "to {place:?}"
                );
            }
            assert_eq!(
                source.first_from(position).await.unwrap(),
                Some(event.position)
            );
            // Of its own tenant it is found, also from within another stream.
            let of_command = all_of_command(&log, &event);
            let ours = event.tenant == tenant();
            let found = async |place| {
                (
                    source.first_from(place).await.unwrap(),
                    source.last_to(place).await.unwrap(),
                )
            };
            let itself = (Some(event.position), Some(event.position));
            let command = (Some(of_command.0), Some(of_command.1));
            let nothing = (None, None);
            assert_eq!(
                found(Place::Id(event.id)).await,
                if ours { itself } else { nothing }
            );
            assert_eq!(
                found(Place::Id(event.command_id)).await,
                if ours { command } else { nothing }
            );
        }
    }
}

/// The first and the last position of what a command recorded.
fn all_of_command(log: &foldline_log::MemoryLog, event: &Recorded) -> (i64, i64) {
    let all = log.read(0, 10_000).unwrap().into_iter();
    let of_command = all.filter(|it| it.command_id == event.command_id);
    let positions: Vec<i64> = of_command.map(|it| it.position).collect();
    (positions[0], positions[positions.len() - 1])
}

#[tokio::test]
async fn every_format_says_the_same_and_json_is_one_document() {
    let log = busy_log(20);
    let source = source(&log, None);
    let all = || wanted(1, i64::MAX, false, u64::MAX);
    let (_, document) = written(&source, all(), ReplayFormat::Json).await;
    let document: Vec<Value> = serde_json::from_str(&document).unwrap();
    let (_, ndjson) = written(&source, all(), ReplayFormat::Ndjson).await;
    let ndjson: Vec<Value> = ndjson
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    assert_eq!(document, ndjson);
    assert_eq!(document[1]["changes"][0]["field"], "comments");
    let (_, table) = written(&source, all(), ReplayFormat::Table).await;
    for line in &document {
        let event = format!("event {},", line["eventId"].as_str().unwrap());
        assert!(table.contains(&event), "{event}");
    }
    assert!(table.contains("\"spring\""), "{table}");
    let (code, nothing) = written(&source, wanted(900, 901, false, 1), ReplayFormat::Json).await;
    assert_eq!((code, nothing.as_str()), (SHOWN, "[]\n"));
    let stranger = Source {
        tenant: Tenant::parse("nobody").unwrap(),
        ..source
    };
    let (code, nothing) = written(&stranger, all(), ReplayFormat::Json).await;
    assert_eq!((code, nothing.as_str()), (NO_SUCH_THING, ""));
}

/// Takes some bytes, then is closed.
struct Closed(usize);

impl io::Write for Closed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        match taken {
            0 if !bytes.is_empty() => Err(io::ErrorKind::BrokenPipe.into()),
            taken => Ok(taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn whoever_stops_reading_ends_it_quietly_wherever_that_is() {
    let log = busy_log(20);
    for format in [
        ReplayFormat::Table,
        ReplayFormat::Json,
        ReplayFormat::Ndjson,
    ] {
        for taken in [0, 1, 300, 9_000, usize::MAX] {
            let output = Output::new(format, Closed(taken));
            let source = source(&log, None);
            let code = replay(source, wanted(1, i64::MAX, false, u64::MAX), output).await;
            assert_eq!(code.unwrap(), SHOWN, "{format:?} {taken}");
        }
    }
}

#[test]
fn what_this_build_cannot_read_is_shown_as_recorded_and_so_is_what_follows_without_a_state() {
    let unknown = recorded(7, "task-1", 2);
    let renamed = task_renamed("Dug").encode(Uuid::from_u128(1));
    let after = Recorded {
        event_type: renamed.event_type.to_owned(),
        payload: renamed.payload,
        ..recorded(8, "task-1", 3)
    };
    let task = State::evolve(None, &task_created("Dig"));
    let (first, standing) = Shown::new(unknown, &shown::Standing::Known(task));
    assert!(first.problem.as_ref().unwrap().contains("test.Happened"));
    assert_eq!(
        (first.changes.is_none(), &first.state, first.unknown_since),
        (true, &json!(null), Some(2))
    );
    let (second, _) = Shown::new(after, &standing);
    assert_eq!(
        (
            second.problem.is_none(),
            second.changes.is_none(),
            second.unknown_since
        ),
        (true, true, Some(2))
    );
    let mut table = Vec::new();
    let mut output = Output::new(ReplayFormat::Table, &mut table);
    for shown in [&first, &second] {
        assert!(output.event(shown).unwrap());
    }
    output.end().unwrap();
    let table = String::from_utf8(table).unwrap();
    assert_eq!(
        table.matches("NOT READABLE BY THIS BUILD").count(),
        1,
        "{table}"
    );
    assert_eq!(
        table.matches("not known, because of event 2").count(),
        2,
        "{table}"
    );
}

#[test]
fn a_payload_goes_out_as_it_was_recorded_and_steers_no_terminal() {
    let payload = "{\"b\":1.50,\n \"a\":\"\u{9b}2J\u{202e}\",\r\n \"a\":1e3}";
    let event = Recorded {
        payload: payload.to_owned(),
        actor: "a\u{1b}[31mda".to_owned(),
        ..recorded(7, "task-1", 1)
    };
    let (shown, _) = Shown::new(event, &shown::Standing::Known(None));
    let said = |format| {
        let mut written = Vec::new();
        let mut output = Output::new(format, &mut written);
        output.event(&shown).unwrap();
        output.end().unwrap();
        String::from_utf8(written).unwrap()
    };
    let line = said(ReplayFormat::Ndjson);
    assert_eq!(line.lines().count(), 1);
    assert!(
        line.contains("\"data\":{\"b\":1.50,  \"a\":\"\u{9b}2J\u{202e}\",   \"a\":1e3}"),
        "{line}"
    );
    let table = said(ReplayFormat::Table);
    assert!(!table.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{table}");
}
