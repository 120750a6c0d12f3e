//! How stepping looks, on a terminal of any size.
//!
//! Whatever was recorded is shown without what steers a terminal.

use foldline_events::Recorded;
use ratatui::{
    Frame,
    layout::Rect,
    style::{Modifier, Style},
    text::Line,
    widgets::{Block, Borders, Paragraph, Wrap},
};
use unicode_width::UnicodeWidthChar;

use super::model::{Fit, Mode, Model, first_visible};
use crate::{
    changes::text::{self, plain},
    replay::{
        causation::Row,
        output::{change_as_text, row_as_text, time},
        shown::Shown,
    },
};

/// From so many columns on, the details stand beside the events and not below them.
const BESIDE_COLUMNS_MIN: u16 = 110;
/// With fewer columns or rows there is no room for more than the event itself.
const COLUMNS_MIN: u16 = 24;
const ROWS_MIN: u16 = 6;
/// How much of a payload, a state or either side of a change is shown.
const DETAIL_CHARS_MAX: usize = 64 * 1024;

const HELP: [&str; 14] = [
    "↓ → j l n     the next event",
    "↑ ← k h p     the event before",
    "PageDown ␣    a page on",
    "PageUp b      a page back",
    "Home          the first event",
    "End G         the last event",
    "g             go to a position, a recorded time, an event's or a command's id",
    "c             what led to what: the events of the same correlation",
    "              (there Enter goes to an event, Esc comes back)",
    "] [           scroll the details",
    "} {           scroll them by a page",
    "Esc           stop reading, leave an input",
    "?             this list; any key leaves it",
    "q Ctrl-C      leave",
];

/// Draws the model, and says what fits on the screen.
pub(super) fn draw(frame: &mut Frame, model: &Model) -> Fit {
    let area = frame.area();
    if area.width < COLUMNS_MIN || area.height < ROWS_MIN {
        let line = model.selected().map_or(String::new(), list_line);
        frame.render_widget(Paragraph::new(line).wrap(Wrap { trim: false }), area);
        return Fit {
            events: 1,
            ..model.fit
        };
    }
    let (top, rest) = split_rows(area, 1);
    let (middle, bottom) = split_rows(rest, rest.height - 1);
    let title = format!("foldline replay: {}", plain(&model.name));
    frame.render_widget(Paragraph::new(title).style(bold()), top);
    frame.render_widget(Paragraph::new(footer(model)).style(reversed()), bottom);
    match &model.mode {
        Mode::Events | Mode::Jump(_) => draw_events(frame, model, middle),
        Mode::Help => {
            let lines: Vec<Line> = HELP.into_iter().map(Line::from).collect();
            frame.render_widget(boxed("keys", lines), middle);
            model.fit
        }
        Mode::Causes { rows, selected } => Fit {
            events: draw_causes(frame, rows, *selected, middle),
            ..model.fit
        },
    }
}

fn draw_events(frame: &mut Frame, model: &Model, area: Rect) -> Fit {
    let (list, details) = if area.width >= BESIDE_COLUMNS_MIN {
        split_columns(area, area.width / 2)
    } else {
        split_rows(area, (area.height / 3).max(2))
    };
    let rows = usize::from(list.height);
    let (events, selected) = model.visible(rows);
    let lines: Vec<Line> = (events.map(list_line).enumerate())
        .map(|(index, line)| marked(line, index == selected))
        .collect();
    frame.render_widget(Paragraph::new(lines), list);
    // Above them stands their name.
    let room = usize::from(details.height.saturating_sub(1)).max(1);
    let mut scrolled_max = 0;
    if let Some(shown) = model.selected() {
        let width = usize::from(details.width.saturating_sub(2)).max(1);
        let lines = wrapped(detail_lines(shown), width);
        scrolled_max = lines.len().saturating_sub(room);
        let passed = model.scrolled.min(scrolled_max);
        let lines = lines.into_iter().skip(passed).take(room);
        let name = format!("event {}", shown.event.position);
        frame.render_widget(boxed(&name, lines.map(Line::from).collect()), details);
    }
    Fit {
        events: rows.max(1),
        details: room,
        scrolled_max,
    }
}

fn draw_causes(frame: &mut Frame, rows: &[Row], selected: usize, area: Rect) -> usize {
    let room = usize::from(area.height.saturating_sub(2)).max(1);
    let first = first_visible(selected, rows.len(), room);
    let lines: Vec<Line> = (rows.iter().enumerate().skip(first).take(room))
        .map(|(index, row)| marked(row_as_text(row), index == selected))
        .collect();
    frame.render_widget(boxed("what led to what", lines), area);
    room
}

fn footer(model: &Model) -> String {
    match &model.mode {
        Mode::Jump(typed) if model.said.is_empty() => {
            format!(
                "go to (position, time, event or command): {}_",
                plain(typed)
            )
        }
        Mode::Jump(_) | Mode::Events | Mode::Help | Mode::Causes { .. } => {
            if model.said.is_empty() {
                "?: keys  q: leave".to_owned()
            } else {
                plain(&model.said)
            }
        }
    }
}

fn list_line(shown: &Shown) -> String {
    let event = &shown.event;
    let mark = if shown.problem.is_some() { '!' } else { ' ' };
    format!(
        "{mark}{:>8} {} {} {} {}",
        event.position,
        event.recorded_at.format("%Y-%m-%d %H:%M:%S"),
        plain(&event.event_type),
        event.version,
        plain(&event.stream)
    )
}

fn detail_lines(shown: &Shown) -> Vec<String> {
    let event = &shown.event;
    let mut lines = envelope(event);
    lines.push(String::new());
    if let Some(problem) = &shown.problem {
        lines.push(format!("NOT READABLE BY THIS BUILD: {}", plain(problem)));
    }
    lines.push("recorded".to_owned());
    lines.push(format!("  {}", cut(&plain(&event.payload))));
    lines.push(String::new());
    match &shown.changes {
        Some(changes) if changes.is_empty() => lines.push("changed nothing".to_owned()),
        Some(changes) => {
            lines.push("changed".to_owned());
            let texts = changes.iter();
            let texts = texts.filter_map(|it| change_as_text(it, DETAIL_CHARS_MAX));
            lines.extend(texts.map(|it| format!("  {it}")));
        }
        None => lines.push("what it changed is not known".to_owned()),
    }
    lines.push(String::new());
    match shown.unknown_since {
        Some(version) => lines.push(format!(
            "the state is not known, because of event {version} of the stream"
        )),
        None if shown.state.is_null() => lines.push("there is no state".to_owned()),
        None => {
            lines.push("state".to_owned());
            let state = serde_json::to_string_pretty(&shown.state).unwrap_or_default();
            lines.extend(cut(&state).lines().map(|line| format!("  {}", plain(line))));
        }
    }
    lines
}

fn envelope(event: &Recorded) -> Vec<String> {
    let mut lines = vec![
        format!(
            "{}, schema {}",
            plain(&event.event_type),
            event.schema_version
        ),
        format!(
            "stream       {}, version {}",
            plain(&event.stream),
            event.version
        ),
        format!("tenant       {}", event.tenant),
        format!("recorded at  {}", time(event.recorded_at)),
        format!("occurred at  {}", time(event.occurred_at)),
        format!("by           {}", plain(&event.actor)),
        format!("event        {}", event.id),
        format!("command      {}", event.command_id),
        format!("caused by    {}", event.causation_id),
        format!("correlation  {}", event.correlation_id),
    ];
    if !event.tags.is_empty() {
        lines.push(format!("tags         {}", plain(&event.tags.join(" "))));
    }
    if let Some(trace) = &event.trace_context {
        lines.push(format!("trace        {}", plain(trace)));
    }
    lines
}

/// Broken into pieces that take no more columns. What alone takes more has a piece of its own.
fn wrapped(lines: Vec<String>, columns: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    for line in lines {
        let (mut piece, mut taken) = (String::new(), 0);
        for character in line.chars() {
            let width = character.width().unwrap_or(0);
            if taken + width > columns && taken > 0 {
                pieces.push(std::mem::take(&mut piece));
                taken = 0;
            }
            piece.push(character);
            taken += width;
        }
        pieces.push(piece);
    }
    pieces
}

fn cut(text: &str) -> String {
    let shown = text::cut(text, DETAIL_CHARS_MAX);
    match shown != text {
        true => shown + " (--format json shows all)",
        false => shown,
    }
}

fn boxed<'a>(name: &str, lines: Vec<Line<'a>>) -> Paragraph<'a> {
    let block = Block::new()
        .borders(Borders::LEFT | Borders::TOP)
        .title(name.to_owned());
    Paragraph::new(lines).block(block)
}

fn marked(line: String, is_selected: bool) -> Line<'static> {
    match is_selected {
        true => Line::styled(line, reversed()),
        false => Line::from(line),
    }
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn reversed() -> Style {
    Style::new().add_modifier(Modifier::REVERSED)
}

fn split_rows(area: Rect, rows: u16) -> (Rect, Rect) {
    let rows = rows.min(area.height);
    let first = Rect {
        height: rows,
        ..area
    };
    let second = Rect {
        y: area.y + rows,
        height: area.height - rows,
        ..area
    };
    (first, second)
}

fn split_columns(area: Rect, columns: u16) -> (Rect, Rect) {
    let columns = columns.min(area.width);
    let first = Rect {
        width: columns,
        ..area
    };
    let second = Rect {
        x: area.x + columns,
        width: area.width - columns,
        ..area
    };
    (first, second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_where_the_screen_ends_however_wide_their_characters_are() {
        let broken = |line: &str, columns| wrapped(vec![line.to_owned()], columns);
        assert_eq!(broken("abcdef", 4), ["abcd", "ef"]);
        // Each takes two columns, of which half a one cannot be drawn.
        assert_eq!(broken("水をやる庭", 5), ["水を", "やる", "庭"]);
        assert_eq!(broken("a水b庭c", 3), ["a水", "b庭", "c"]);
        // What is put above a letter takes none.
        assert_eq!(broken("e\u{301}e\u{301}e", 2), ["e\u{301}e\u{301}", "e"]);
        assert_eq!(broken("水a", 1), ["水", "a"]);
        assert_eq!(broken("", 3), [""]);
    }
}
