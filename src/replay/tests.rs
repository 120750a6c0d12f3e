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
    let output = Output::new(format, Data::AsRecorded, &mut written);
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
}

#[tokio::test]
async fn where_nothing_was_recorded_nothing_is_shown_and_a_tenant_without_events_is_told() {
    let log = busy_log(20);
    let stream = "task-00000000-0000-0000-0000-00000000000b";
    let recorded = log.read(0, 1_000).unwrap();
    let (first, last) = (&recorded[0], &recorded[recorded.len() - 1]);
    let at = |time: chrono::DateTime<chrono::Utc>, milliseconds| {
        let place = time + chrono::TimeDelta::milliseconds(milliseconds);
        Place::Moment(Moment::RecordedAt(place))
    };
    let position = |position| Place::Moment(Moment::Position(position));
    for stream in [None, Some(stream)] {
        let source = source(&log, stream);
        for (from, to) in [
            // Between two events, before the first, and in times to come.
            (at(first.recorded_at, 200), at(first.recorded_at, 300)),
            (position(1), at(first.recorded_at, -1_000)),
            (at(first.recorded_at, -2_000), at(first.recorded_at, -1_000)),
            (at(last.recorded_at, 1_000), at(last.recorded_at, 2_000)),
            (position(900), position(901)),
            (position(900), at(first.recorded_at, 0)),
        ] {
            let first = source.first_from(from).await.unwrap().unwrap();
            let last = source.last_to(to).await.unwrap().unwrap();
            for is_backward in [false, true] {
                let none = wanted(first, last, is_backward, u64::MAX);
                let (code, said) = written(&source, none, ReplayFormat::Json).await;
                assert_eq!((code, said.as_str()), (SHOWN, "[]\n"), "{from:?} {to:?}");
            }
        }
        assert!(source.has_events().await.unwrap());
    }
    let stranger = Source {
        tenant: Tenant::parse("nobody").unwrap(),
        ..source(&log, None)
    };
    assert!(!stranger.has_events().await.unwrap());
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
            let output = Output::new(format, Data::AsRecorded, Closed(taken));
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
    let (first, standing) = Shown::new(unknown, shown::Standing::Known(task).into());
    assert!(first.problem.as_ref().unwrap().contains("test.Happened"));
    assert_eq!(
        (first.changes.is_none(), &first.state, first.unknown_since),
        (true, &json!(null), Some(2))
    );
    let (second, _) = Shown::new(after, standing);
    assert_eq!(
        (
            second.problem.is_none(),
            second.changes.is_none(),
            second.unknown_since
        ),
        (true, true, Some(2))
    );
    let mut table = Vec::new();
    let mut output = Output::new(ReplayFormat::Table, Data::AsRecorded, &mut table);
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
fn a_payload_goes_out_as_it_was_recorded_and_nothing_steers_a_terminal() {
    let payload = "{\"b\":1.50,\n \"a\":\"\u{9b}2J\u{202e}\",\r\n \"a\":1e3}";
    let event = Recorded {
        payload: payload.to_owned(),
        actor: "a\u{1b}[31m\u{9b}31m\u{7f}\u{2066}da".to_owned(),
        ..recorded(7, "task-1", 1)
    };
    let (shown, _) = Shown::new(event, shown::Standing::Known(None).into());
    let said = |format, data| {
        let mut written = Vec::new();
        let mut output = Output::new(format, data, &mut written);
        output.event(&shown).unwrap();
        output.end().unwrap();
        String::from_utf8(written).unwrap()
    };
    let line = said(ReplayFormat::Ndjson, Data::AsRecorded);
    assert_eq!(line.lines().count(), 1);
    let (before, data) = line.split_once("\"data\":").unwrap();
    let recorded = "{\"b\":1.50,  \"a\":\"\u{9b}2J\u{202e}\",   \"a\":1e3}";
    assert!(data.starts_with(recorded), "{line}");
    // All but the data, wherever it goes; the data too where a person looks at it, and it is the same.
    let steers = ['\u{1b}', '\u{9b}', '\u{7f}', '\u{202e}', '\u{2066}'];
    assert!(!before.contains(steers), "{before:?}");
    let on_terminal = said(ReplayFormat::Ndjson, Data::WithoutSteering);
    assert!(!on_terminal.contains(steers), "{on_terminal:?}");
    let read = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    assert_eq!(read(&on_terminal), read(&line));
    let table = said(ReplayFormat::Table, Data::AsRecorded);
    assert!(!table.contains(steers), "{table}");
    assert!(table.contains("recorded: {\"b\":1.50"), "{table}");
}

/// An id that was made so many seconds after the first event of a log.
fn id_of_time(log: &foldline_log::MemoryLog, seconds: i64, number: u8) -> Uuid {
    let first = log.read(0, 1).unwrap()[0].recorded_at.timestamp();
    let seconds = u64::try_from(first + seconds).unwrap();
    uuid::Builder::from_unix_timestamp_millis(seconds * 1_000, &[number; 10]).into_uuid()
}

#[tokio::test]
async fn an_id_is_found_wherever_it_lies_of_what_it_says_of_its_own_time() {
    let log = busy_log(30);
    let mut commands = Vec::new();
    for (seconds, number) in [-5_000, 3, 20, 60, 5_000].into_iter().zip(0..) {
        // One command wrote two streams; before that, and after it, others.
        let events = vec![task_renamed("Dug"), task_renamed("Dug again")];
        let mut append = testing::command(&tenant(), 11, events.clone());
        let other = testing::command(&tenant(), 12, events).writes;
        append.writes.extend(other);
        append.command_id = id_of_time(&log, seconds, number);
        log.append(&append).unwrap();
        commands.push(append.command_id);
        for _ in 0..10 {
            testing::append(&log, &tenant(), 13, vec![task_renamed("Dig")]);
        }
    }
    let (mine, others) = (
        "task-00000000-0000-0000-0000-00000000000b",
        "task-00000000-0000-0000-0000-00000000000d",
    );
    let all = log.read(0, 10_000).unwrap();
    for (stream, of_it) in [(None, 4), (Some(mine), 2), (Some(others), 4)] {
        let source = source(&log, stream);
        for id in &commands {
            let found = source.find(*id).await.unwrap().unwrap();
            let first = all.iter().find(|it| it.command_id == *id).unwrap();
            assert_eq!(found.first, first.position, "{stream:?} {id}");
            assert_eq!(found.last - found.first + 1, of_it, "{stream:?} {id}");
        }
        for seconds in [-5_000, 0, 30, 5_000] {
            let nothing = id_of_time(&log, seconds, 99);
            assert_eq!(source.find(nothing).await.unwrap(), None);
        }
    }
}

#[test]
fn causes_that_are_cut_say_so_in_json_as_the_last_of_all() {
    for (format, expected) in [
        (ReplayFormat::Table, ""),
        (
            ReplayFormat::Json,
            "[\n{\"kind\":\"cut\",\"events\":7}\n]\n",
        ),
        (ReplayFormat::Ndjson, "{\"kind\":\"cut\",\"events\":7}\n"),
    ] {
        let mut written = Vec::new();
        let mut output = Output::new(format, Data::AsRecorded, &mut written);
        assert!(output.cut(7).unwrap());
        output.end().unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }
}
