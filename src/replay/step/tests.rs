use std::collections::VecDeque;

use foldline_events::Recorded;
use ratatui::{
    Terminal,
    backend::TestBackend,
    buffer::Buffer,
    crossterm::event::{Event, KeyCode, KeyModifiers},
};
use tokio::sync::mpsc;

use super::{
    KEYS_WAITING_MAX, Reader, Stop,
    draw::draw,
    model::{Answer, Fit, Landed, Mode, Model, Wish},
    stopped,
};
use crate::replay::{
    shown::{Shown, Standing},
    testing::{append, busy_log, log, recorded, source, task_created, task_renamed, tenant},
};

/// The screen as lines.
fn drawn(model: &Model, columns: u16, rows: u16) -> (Vec<String>, Fit) {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    let mut fit = model.fit;
    terminal.draw(|frame| fit = draw(frame, model)).unwrap();
    (lines(terminal.backend().buffer()), fit)
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width).max(1);
    let rows = buffer.content.chunks(width);
    rows.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect())
        .collect()
}

/// Presses a key, and reads whatever is wished for until nothing is.
async fn press(model: &mut Model, reader: &mut Reader, key: KeyCode) {
    let mut wish = model.press(key, KeyModifiers::NONE);
    while let Some(Wish::Read(wanted)) = wish {
        let answer = reader.answer(wanted).await.unwrap();
        wish = model.take(answer).map(Wish::Read);
    }
}

async fn typed(model: &mut Model, reader: &mut Reader, text: &str) {
    press(model, reader, KeyCode::Char('g')).await;
    for character in text.chars() {
        press(model, reader, KeyCode::Char(character)).await;
    }
    press(model, reader, KeyCode::Enter).await;
}

fn position(model: &Model) -> i64 {
    model.selected().unwrap().event.position
}

#[tokio::test]
async fn keys_lead_from_event_to_event_as_a_finger_on_the_whole_list_would() {
    use KeyCode::{Char, Down, End, Home, Left, PageDown, PageUp, Up};
    const EVENTS: usize = 950;
    let log = log();
    append(&log, &tenant(), 10, vec![task_created("Dig")]);
    for n in 1..EVENTS {
        append(&log, &tenant(), 10, vec![task_renamed(&format!("Dig {n}"))]);
    }
    let rows = 37;
    let keys = [
        Down,
        Up,
        Up,
        PageDown,
        PageDown,
        PageUp,
        End,
        Down,
        Up,
        PageUp,
        Home,
        Left,
        Char('j'),
        End,
        Char('k'),
        Char('b'),
    ];
    let keys = keys.into_iter();
    let keys = keys
        .chain([PageDown; 40])
        .chain([PageUp; 40])
        .chain([PageDown; 40])
        .chain([Up; 200]);
    for stream in [None, Some("task-00000000-0000-0000-0000-00000000000a")] {
        let mut reader = Reader::new(source(&log, stream));
        let mut model = Model::new("it".to_owned());
        model.fit.events = rows;
        let first = reader.around(1).await.unwrap();
        model.take(first);
        let (mut finger, last) = (0_usize, EVENTS - 1);
        for key in keys.clone() {
            press(&mut model, &mut reader, key).await;
            finger = if matches!(key, Down | Char('j')) {
                finger + 1
            } else if matches!(key, Up | Left | Char('k')) {
                finger.saturating_sub(1)
            } else if key == PageDown {
                finger + rows
            } else if matches!(key, PageUp | Char('b')) {
                finger.saturating_sub(rows)
            } else if key == Home {
                0
            } else {
                last
            };
            finger = finger.min(last);
            let shown = model.selected().unwrap();
            assert_eq!(
                shown.event.version,
                i64::try_from(finger).unwrap() + 1,
                "{key:?}"
            );
            let title = if finger == 0 {
                "Dig".to_owned()
            } else {
                format!("Dig {finger}")
            };
            assert_eq!(shown.state["title"], title.as_str(), "{key:?}");
            assert!(model.held() <= 300);
        }
    }
}

#[tokio::test]
async fn a_jump_lands_on_the_first_event_at_or_after_the_place_that_was_typed() {
    let log = busy_log(60);
    let mut reader = Reader::new(source(&log, None));
    let mut model = Model::new("it".to_owned());
    let first = reader.around(1).await.unwrap();
    model.take(first);
    let ours: Vec<Recorded> = log.read(0, 1_000).unwrap();
    let ours: Vec<Recorded> = ours
        .into_iter()
        .filter(|it| it.tenant == tenant())
        .collect();
    for event in [&ours[30], &ours[2], &ours[41]] {
        for place in [
            event.position.to_string(),
            event.recorded_at.to_rfc3339(),
            event.id.to_string(),
        ] {
            typed(&mut model, &mut reader, &place).await;
            let expected = ours
                .iter()
                .find(|it| it.recorded_at >= event.recorded_at)
                .unwrap();
            let expected = if place.contains('T') { expected } else { event };
            assert_eq!(position(&model), expected.position, "{place}");
        }
    }
    // A position of another tenant's event.
    let gap = ours
        .windows(2)
        .find(|it| it[0].position + 1 < it[1].position)
        .unwrap();
    typed(&mut model, &mut reader, &(gap[0].position + 1).to_string()).await;
    assert_eq!(position(&model), gap[1].position);
    assert_eq!(
        model.said,
        "nothing here has that position; this is the next one"
    );
    typed(&mut model, &mut reader, "999999").await;
    assert_eq!(position(&model), ours[ours.len() - 1].position);
    assert!(model.said.contains("last event"), "{}", model.said);
    // Nothing has that id, and that is no place.
    let here = position(&model);
    typed(
        &mut model,
        &mut reader,
        "00000000-0000-0000-0000-0000000009ff",
    )
    .await;
    assert!(model.said.contains("no event"), "{}", model.said);
    press(&mut model, &mut reader, KeyCode::Esc).await;
    typed(&mut model, &mut reader, "then").await;
    assert!(
        matches!(model.mode, Mode::Jump(_)) && model.said.contains("neither"),
        "{}",
        model.said
    );
    press(&mut model, &mut reader, KeyCode::Esc).await;
    assert_eq!((position(&model), &model.mode), (here, &Mode::Events));
}

#[tokio::test]
async fn a_jump_to_an_event_of_another_stream_says_so_by_whatever_name_it_is_called() {
    let log = busy_log(60);
    let stream = "task-00000000-0000-0000-0000-00000000000b";
    let mut reader = Reader::new(source(&log, Some(stream)));
    let mut model = Model::new("it".to_owned());
    let all: Vec<Recorded> = log.read(0, 1_000).unwrap();
    let is_here = |it: &&Recorded| it.tenant == tenant() && it.stream == stream;
    for event in all.iter().filter(|it| it.tenant == tenant()) {
        let later = all.iter().skip_while(|it| it.position < event.position);
        let Some(next) = later.clone().find(is_here) else {
            continue;
        };
        let by_id = event.id.to_string();
        for place in [event.position.to_string(), by_id] {
            typed(&mut model, &mut reader, &place).await;
            assert_eq!(position(&model), next.position, "{place}");
            let said = format!(
                "that event is of stream {}; this is the next one here",
                event.stream
            );
            assert_eq!(model.said == said, next != event, "{place}: {}", model.said);
        }
    }
}

#[tokio::test]
async fn at_the_end_what_the_log_has_got_meanwhile_is_stepped_to() {
    let log = log();
    append(&log, &tenant(), 10, vec![task_created("Dig")]);
    let mut reader = Reader::new(source(&log, None));
    let mut model = Model::new("it".to_owned());
    let first = reader.around(1).await.unwrap();
    model.take(first);
    press(&mut model, &mut reader, KeyCode::Down).await;
    assert_eq!(
        (position(&model), model.said.as_str()),
        (1, "this is the last event")
    );
    append(&log, &tenant(), 10, vec![task_renamed("Dug")]);
    press(&mut model, &mut reader, KeyCode::Down).await;
    assert_eq!((position(&model), model.said.as_str()), (2, ""));
}

#[tokio::test]
async fn causes_are_shown_and_lead_back_to_an_event() {
    let log = busy_log(20);
    let mut reader = Reader::new(source(&log, None));
    let mut model = Model::new("it".to_owned());
    let first = reader.around(3).await.unwrap();
    model.take(first);
    press(&mut model, &mut reader, KeyCode::Char('c')).await;
    let Mode::Causes { rows, selected } = &model.mode else {
        panic!("{:?}", model.mode);
    };
    // The command, and both events that it recorded; the one that was looked at is the one that is marked.
    assert_eq!((rows.len(), *selected), (3, 2));
    let (screen, _) = drawn(&model, 120, 20);
    assert!(
        screen.iter().any(|line| line.contains("command 0000")),
        "{screen:#?}"
    );
    press(&mut model, &mut reader, KeyCode::Up).await;
    press(&mut model, &mut reader, KeyCode::Enter).await;
    assert_eq!((position(&model), &model.mode), (2, &Mode::Events));
}

#[tokio::test]
async fn the_selected_event_is_drawn_on_terminals_of_every_size() {
    let log = busy_log(90);
    let mut reader = Reader::new(source(&log, None));
    let mut model = Model::new("tenant acme".to_owned());
    let first = reader.around(40).await.unwrap();
    model.take(first);
    let listed = format!(" {} 20", position(&model));
    for columns in [1, 2, 10, 23, 24, 40, 80, 109, 110, 250] {
        for rows in [1, 2, 5, 6, 7, 24, 80] {
            for mode in [Mode::Events, Mode::Help, Mode::Jump("47".to_owned())] {
                model.mode = mode;
                let (screen, fit) = drawn(&model, columns, rows);
                assert!(fit.events <= usize::from(rows), "{columns} {rows}");
                let is_roomy = columns >= 24 && rows >= 6;
                if is_roomy && model.mode != Mode::Help {
                    let marked = screen.iter().any(|line| line.contains(&listed));
                    assert!(marked, "{columns} {rows} {screen:#?}");
                }
            }
        }
    }
    model.mode = Mode::Events;
    let (screen, _) = drawn(&model, 160, 50);
    let screen = screen.join("\n");
    for part in [
        "tenant acme",
        "command      ",
        "changed",
        "state",
        "\"title\": \"Dig",
    ] {
        assert!(screen.contains(part), "{part}\n{screen}");
    }
    model.scrolled = usize::MAX;
    drawn(&model, 160, 50);
    // Down to the last line and no further, by lines and by pages.
    for keys in ["]", "}"] {
        model.scrolled = 0;
        let (_, fit) = drawn(&model, 60, 12);
        model.drawn(fit);
        assert!(fit.scrolled_max > fit.details && fit.details > 1, "{fit:?}");
        for key in keys.repeat(100).chars() {
            model.press(KeyCode::Char(key), KeyModifiers::NONE);
        }
        assert_eq!(model.scrolled, fit.scrolled_max);
        let (screen, _) = drawn(&model, 60, 12);
        assert!(
            screen[10].trim_start_matches([' ', '│']).starts_with('}'),
            "{screen:#?}"
        );
    }
    model.press(KeyCode::Char('{'), KeyModifiers::NONE);
    assert_eq!(model.scrolled, model.fit.scrolled_max - model.fit.details);
    model.mode = Mode::Jump("47\u{1b}".to_owned());
    let (screen, _) = drawn(&model, 80, 24);
    assert!(screen[23].contains("47\u{fffd}_"), "{screen:#?}");
}

#[test]
fn nothing_recorded_steers_the_terminal() {
    let evil = "\u{1b}]0;x\u{7} \u{9b}2J \u{202e} \r\n\u{0}";
    let event = Recorded {
        stream: format!("task-{evil}"),
        event_type: format!("test.{evil}"),
        actor: evil.to_owned(),
        payload: format!("{{\"a\":\"{evil}\"}}"),
        tags: vec![evil.to_owned()],
        trace_context: Some(evil.to_owned()),
        ..recorded(7, "", 1)
    };
    let (shown, _) = Shown::new(event, Standing::Known(None).into());
    let mut model = Model::new(format!("stream {evil}"));
    model.take(Answer::Window {
        events: vec![shown],
        selected: 0,
        begins: true,
        ends: true,
        landed: Landed::There,
    });
    for (columns, rows) in [(20, 12), (60, 20), (150, 40)] {
        let (screen, _) = drawn(&model, columns, rows);
        let steers = |it: char| it.is_control() || it == '\u{202e}';
        assert!(
            !screen.iter().any(|line| line.contains(steers)),
            "{screen:#?}"
        );
        // The terminal's library leaves out what it knows to steer; we say that there was something.
        let is_said = screen.iter().any(|line| line.contains('\u{fffd}'));
        assert!(is_said, "{screen:#?}");
    }
}

#[test]
fn q_and_control_c_leave_and_a_stopped_reading_leaves_what_is_there() {
    let mut model = Model::new("it".to_owned());
    let mut press = |key, with| model.press(KeyCode::Char(key), with);
    assert_eq!(press('q', KeyModifiers::NONE), Some(Wish::Quit));
    assert_eq!(press('?', KeyModifiers::NONE), None);
    assert_eq!(press('c', KeyModifiers::CONTROL), Some(Wish::Quit));
    assert_eq!(press('q', KeyModifiers::NONE), None);
    assert_eq!(model.mode, Mode::Events);
    model.stop();
    assert_eq!(model.said, "stopped");
}

#[tokio::test]
async fn keys_wait_for_what_is_read_as_many_as_may_and_are_forgotten_when_it_is_stopped() {
    let (sender, mut keys) = mpsc::channel(2 * KEYS_WAITING_MAX + 2);
    let press = async |key: KeyCode| sender.send(Ok(Event::Key(key.into()))).await.unwrap();
    for _ in 0..2 * KEYS_WAITING_MAX {
        press(KeyCode::Down).await;
    }
    press(KeyCode::Char('q')).await;
    press(KeyCode::Esc).await;
    let mut waiting = VecDeque::new();
    let stop = stopped(&mut keys, &mut waiting).await.unwrap();
    assert_eq!((stop, waiting.len()), (Stop::All, KEYS_WAITING_MAX));
    let stop = stopped(&mut keys, &mut waiting).await.unwrap();
    assert_eq!((stop, waiting.len()), (Stop::Reading, 0));
}
