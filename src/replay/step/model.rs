//! What is shown while stepping, and what keys do to it. It reads nothing and draws nothing: what it lacks it wishes for, and
//! is given.

use std::collections::VecDeque;

use foldline_events::{Position, Recorded};
use ratatui::crossterm::event::{KeyCode, KeyModifiers};
use uuid::Uuid;

use crate::replay::{
    Place,
    causation::{self, Related, Row, What},
    shown::Shown,
};

/// How many events are held: those around the one that is looked at.
const WINDOW_EVENTS_MAX: usize = 300;
/// How long a place may be that is typed.
const TYPED_CHARS_MAX: usize = 64;

pub(super) struct Model {
    /// What is stepped through.
    pub(super) name: String,
    window: VecDeque<Shown>,
    selected: usize,
    /// Whether nothing lies before the window.
    begins: bool,
    /// How many steps are to be made once there are more events.
    pending: isize,
    pub(super) mode: Mode,
    /// What there is to say, until the next key.
    pub(super) said: String,
    /// How many lines of the details are passed over.
    pub(super) scrolled: usize,
    pub(super) fit: Fit,
}

/// What fits on the screen, as it was drawn last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fit {
    /// How many events.
    pub(super) events: usize,
    /// How many lines of the details.
    pub(super) details: usize,
    /// How many lines of the details are passed over when the last one is seen.
    pub(super) scrolled_max: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Mode {
    Events,
    Help,
    /// What is typed so far.
    Jump(String),
    Causes {
        rows: Vec<Row>,
        selected: usize,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wish {
    Quit,
    Read(Wanted),
}

/// What has to be read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wanted {
    /// Events after this one.
    Later(Box<Recorded>),
    /// Events before this one.
    Earlier(Box<Recorded>),
    First,
    Last,
    Position(Position),
    Jump(Place),
    /// The events of a correlation.
    Causes(Uuid),
}

pub(super) enum Answer {
    /// Instead of all that is shown, in order.
    Window {
        events: Vec<Shown>,
        selected: usize,
        begins: bool,
        ends: bool,
        landed: Landed,
    },
    Later {
        events: Vec<Shown>,
        is_last: bool,
    },
    /// Newest first.
    Earlier {
        events: Vec<Shown>,
        is_first: bool,
    },
    Causes(Related),
    Nothing(String),
}

/// What a window has selected, of a place that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Landed {
    There,
    /// What comes first after the position: that has an event of this stream, or none of the tenant.
    After(Option<String>),
    /// The last event: there is nothing at the place or after it.
    Before,
}

impl Model {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            window: VecDeque::new(),
            selected: 0,
            begins: false,
            pending: 0,
            mode: Mode::Events,
            said: String::new(),
            scrolled: 0,
            fit: Fit {
                events: 1,
                details: 1,
                scrolled_max: 0,
            },
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.window.is_empty()
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.window.len()
    }

    pub(super) fn selected(&self) -> Option<&Shown> {
        self.window.get(self.selected)
    }

    /// As many events as fit into some rows, the selected one among them, and its place among these.
    pub(super) fn visible(&self, rows: usize) -> (impl Iterator<Item = &Shown>, usize) {
        let first = first_visible(self.selected, self.window.len(), rows);
        (
            self.window.iter().skip(first).take(rows),
            self.selected - first,
        )
    }

    /// What was drawn; nothing is scrolled past the last line.
    pub(super) fn drawn(&mut self, fit: Fit) {
        self.fit = fit;
        self.scrolled = self.scrolled.min(fit.scrolled_max);
    }

    pub(super) fn press(&mut self, key: KeyCode, with: KeyModifiers) -> Option<Wish> {
        self.said.clear();
        if with.contains(KeyModifiers::CONTROL) && key == KeyCode::Char('c') {
            return Some(Wish::Quit);
        }
        match &mut self.mode {
            Mode::Events => self.press_at_events(key),
            Mode::Help => {
                self.mode = Mode::Events;
                None
            }
            Mode::Jump(_) => self.press_at_jump(key).map(Wish::Read),
            Mode::Causes { .. } => self.press_at_causes(key).map(Wish::Read),
        }
    }

    /// Something is being read.
    pub(super) fn waits(&mut self) {
        "reading; Esc stops it".clone_into(&mut self.said);
    }

    /// It is not waited for any longer.
    pub(super) fn stop(&mut self) {
        self.pending = 0;
        "stopped".clone_into(&mut self.said);
    }

    /// What was read; there may be more to wish for.
    pub(super) fn take(&mut self, answer: Answer) -> Option<Wanted> {
        self.said.clear();
        match answer {
            Answer::Window {
                events,
                selected,
                begins,
                ends,
                landed,
            } => {
                self.window = events.into();
                self.selected = selected;
                (self.begins, self.pending) = (begins, 0);
                self.show_events();
                let is_last = ends && self.selected + 1 == self.window.len();
                self.said = match landed {
                    Landed::Before => {
                        "nothing is at or after it; this is the last event".to_owned()
                    }
                    Landed::After(Some(stream)) => {
                        format!("that event is of stream {stream}; this is the next one here")
                    }
                    Landed::After(None) => {
                        "nothing here has that position; this is the next one".to_owned()
                    }
                    Landed::There if is_last => "this is the last event".to_owned(),
                    Landed::There => String::new(),
                };
                None
            }
            Answer::Later { events, is_last } => self.take_later(events, is_last),
            Answer::Earlier { events, is_first } => self.take_earlier(events, is_first),
            Answer::Causes(related) => {
                self.show_causes(&related);
                None
            }
            Answer::Nothing(why) => {
                self.pending = 0;
                self.said = why;
                None
            }
        }
    }

    fn show_events(&mut self) {
        self.mode = Mode::Events;
        self.scrolled = 0;
    }

    fn show_causes(&mut self, related: &Related) {
        let rows = causation::tree(&related.events);
        let current = self.selected().map(|shown| shown.event.position);
        let is_current = |row: &Row| match &row.what {
            What::Event(event) => Some(event.position) == current,
            What::Command { .. } => false,
        };
        let selected = rows.iter().position(is_current).unwrap_or(0);
        self.mode = Mode::Causes { rows, selected };
        if related.is_cut {
            let count = related.events.len();
            self.said = format!("there are more than these first {count} events");
        }
    }

    fn press_at_events(&mut self, key: KeyCode) -> Option<Wish> {
        let page = isize::try_from(self.fit.events).unwrap_or(isize::MAX);
        let wanted = if matches!(
            key,
            KeyCode::Down | KeyCode::Right | KeyCode::Char('j' | 'l' | 'n')
        ) {
            self.go(1)
        } else if matches!(
            key,
            KeyCode::Up | KeyCode::Left | KeyCode::Char('k' | 'h' | 'p')
        ) {
            self.go(-1)
        } else if matches!(key, KeyCode::PageDown | KeyCode::Char(' ')) {
            self.go(page)
        } else if matches!(key, KeyCode::PageUp | KeyCode::Char('b')) {
            self.go(-page)
        } else if key == KeyCode::Home {
            Some(Wanted::First)
        } else if matches!(key, KeyCode::End | KeyCode::Char('G')) {
            Some(Wanted::Last)
        } else if key == KeyCode::Char('g') {
            self.mode = Mode::Jump(String::new());
            None
        } else if key == KeyCode::Char('c') {
            let shown = self.selected()?;
            Some(Wanted::Causes(shown.event.correlation_id))
        } else if key == KeyCode::Char('?') {
            self.mode = Mode::Help;
            None
        } else if key == KeyCode::Char('q') {
            return Some(Wish::Quit);
        } else {
            self.scroll(key);
            None
        };
        wanted.map(Wish::Read)
    }

    fn scroll(&mut self, key: KeyCode) {
        let page = self.fit.details;
        let scrolled = if key == KeyCode::Char(']') {
            self.scrolled.saturating_add(1)
        } else if key == KeyCode::Char('[') {
            self.scrolled.saturating_sub(1)
        } else if key == KeyCode::Char('}') {
            self.scrolled.saturating_add(page)
        } else if key == KeyCode::Char('{') {
            self.scrolled.saturating_sub(page)
        } else {
            return;
        };
        self.scrolled = scrolled.min(self.fit.scrolled_max);
    }

    fn press_at_jump(&mut self, key: KeyCode) -> Option<Wanted> {
        let Mode::Jump(typed) = &mut self.mode else {
            return None;
        };
        if let KeyCode::Char(character) = key {
            if typed.chars().count() < TYPED_CHARS_MAX {
                typed.push(character);
            }
        } else if key == KeyCode::Backspace {
            typed.pop();
        } else if key == KeyCode::Esc {
            self.mode = Mode::Events;
        } else if key == KeyCode::Enter {
            match typed.trim().parse() {
                Ok(place) => return Some(Wanted::Jump(place)),
                Err(why) => self.said = format!("{why:#}"),
            }
        }
        None
    }

    fn press_at_causes(&mut self, key: KeyCode) -> Option<Wanted> {
        let page = self.fit.events;
        let Mode::Causes { rows, selected } = &mut self.mode else {
            return None;
        };
        let last = rows.len().saturating_sub(1);
        if matches!(key, KeyCode::Down | KeyCode::Char('j')) {
            *selected = (*selected + 1).min(last);
        } else if matches!(key, KeyCode::Up | KeyCode::Char('k')) {
            *selected = selected.saturating_sub(1);
        } else if key == KeyCode::PageDown {
            *selected = (*selected + page).min(last);
        } else if key == KeyCode::PageUp {
            *selected = selected.saturating_sub(page);
        } else if key == KeyCode::Home {
            *selected = 0;
        } else if key == KeyCode::End {
            *selected = last;
        } else if key == KeyCode::Enter {
            let position = rows.get(*selected).map(|row| match &row.what {
                What::Command { first, .. } => first.position,
                What::Event(event) => event.position,
            });
            return position.map(Wanted::Position);
        } else if matches!(key, KeyCode::Esc | KeyCode::Char('q' | 'c')) {
            self.mode = Mode::Events;
        }
        None
    }

    /// Steps forward, or back where it is negative. At the end it is looked whether the log has grown.
    fn go(&mut self, by: isize) -> Option<Wanted> {
        self.scrolled = 0;
        let last = self.window.len().checked_sub(1)?;
        match self.selected.checked_add_signed(by) {
            Some(target) if target <= last => {
                self.selected = target;
                None
            }
            Some(target) => {
                self.pending = isize::try_from(target - last).unwrap_or(isize::MAX);
                self.selected = last;
                let event = self.window.back()?.event.clone();
                Some(Wanted::Later(Box::new(event)))
            }
            None => {
                self.pending = by.saturating_add_unsigned(self.selected);
                self.selected = 0;
                if self.begins {
                    self.pending = 0;
                    "this is the first event".clone_into(&mut self.said);
                    return None;
                }
                let event = self.window.front()?.event.clone();
                Some(Wanted::Earlier(Box::new(event)))
            }
        }
    }

    fn take_later(&mut self, events: Vec<Shown>, is_last: bool) -> Option<Wanted> {
        let is_none = events.is_empty();
        self.window.extend(events);
        let beyond = self.window.len().saturating_sub(WINDOW_EVENTS_MAX);
        let passed = beyond.min(self.selected);
        self.window.drain(..passed);
        self.selected -= passed;
        self.begins &= passed == 0;
        let pending = std::mem::take(&mut self.pending);
        if is_none {
            "this is the last event".clone_into(&mut self.said);
            return None;
        }
        let room = self.window.len() - 1 - self.selected;
        let steps = usize::try_from(pending).unwrap_or(0);
        if is_last && steps > room {
            self.selected += room;
            return None;
        }
        self.go(pending)
    }

    fn take_earlier(&mut self, events: Vec<Shown>, is_first: bool) -> Option<Wanted> {
        self.begins = is_first || events.is_empty();
        self.selected += events.len();
        for event in events {
            self.window.push_front(event);
        }
        self.window
            .truncate(WINDOW_EVENTS_MAX.max(self.selected + 1));
        let pending = std::mem::take(&mut self.pending);
        self.go(pending)
    }
}

/// Which of some lines is the first on a screen that shows one of them, in the middle where there is room.
pub(super) fn first_visible(selected: usize, lines: usize, rows: usize) -> usize {
    let in_the_middle = selected.saturating_sub(rows / 2);
    in_the_middle.min(lines.saturating_sub(rows)).min(selected)
}
