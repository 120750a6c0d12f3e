//! Stepping through events on the whole screen.
//!
//! [`model`] is what is shown and what keys do to it, [`draw`] is how it looks. Here are the terminal, the keys as they come, and
//! the reading that the model wishes for. The terminal is given back however this ends.

mod draw;
mod model;

use std::{
    io::{self, IsTerminal},
    thread,
    time::Duration,
};

use anyhow::{Context, ensure};
use foldline_events::{Position, Recorded};
use foldline_log::Error;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};
use tokio::sync::mpsc;

use self::model::{Answer, Model, Wish};
use super::{NO_SUCH_THING, SHOWN, causation, source::Source, states::States};
use crate::shutdown;

/// How many events are read at a time.
const STEP_PAGE_EVENTS: usize = 100;
/// How many keys may wait.
const KEYS_WAITING_MAX: usize = 64;
/// How often the thread that reads keys looks whether anybody still wants them.
const KEYS_POLL_MS: u64 = 100;

/// # Errors
/// When there is no terminal to step on.
pub(super) fn must_be_a_terminal() -> anyhow::Result<()> {
    for (is_terminal, name) in [
        (io::stdout().is_terminal(), "output"),
        (io::stdin().is_terminal(), "input"),
    ] {
        ensure!(
            is_terminal,
            "--step takes over a terminal, and standard {name} is none; leave it out to have the events printed"
        );
    }
    Ok(())
}

/// # Errors
/// When the first events cannot be read, or the terminal fails.
pub(super) async fn run(source: Source, from: Position) -> anyhow::Result<u8> {
    let mut model = Model::new(source.name());
    let mut reader = Reader::new(source);
    // Whatever goes wrong with the first of them is said on the screen that there was.
    let first = reader.around(from).await?;
    model.take(first);
    if model.is_empty() {
        eprintln!("foldline: {} has no events", reader.source.name());
        return Ok(NO_SUCH_THING);
    }
    let shutdown = shutdown::on_signal()?;
    let mut screen = Screen::open()?;
    let mut keys = keys();
    loop {
        screen.draw(&mut model)?;
        let event = tokio::select! {
            event = keys.recv() => event,
            () = shutdown.cancelled() => None,
        };
        let Some(event) = event else {
            return Ok(SHOWN);
        };
        let mut wish = pressed(event?).and_then(|key| press(&mut model, key));
        while let Some(wanted) = wish {
            if wanted == Wish::Quit {
                return Ok(SHOWN);
            }
            model.waits();
            screen.draw(&mut model)?;
            wish = tokio::select! {
                answer = reader.answer(wanted) => model.take(answer.unwrap_or_else(refused)),
                stop = stopped(&mut keys) => model.stop(stop?),
                () = shutdown.cancelled() => Some(Wish::Quit),
            };
        }
    }
}

/// It is said, and the events that are there stay.
fn refused(error: Error) -> Answer {
    Answer::Nothing(format!("{:#}", anyhow::Error::from(error)))
}

fn pressed(event: Event) -> Option<KeyEvent> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => Some(key),
        // A new size is drawn anyway.
        Event::Key(_)
        | Event::Resize(..)
        | Event::FocusGained
        | Event::FocusLost
        | Event::Mouse(_)
        | Event::Paste(_) => None,
    }
}

fn press(model: &mut Model, key: KeyEvent) -> Option<Wish> {
    model.press(key.code, key.modifiers.contains(KeyModifiers::CONTROL))
}

/// Waits for a key that ends the waiting, and says whether it ends everything.
async fn stopped(keys: &mut mpsc::Receiver<io::Result<Event>>) -> io::Result<bool> {
    loop {
        let Some(event) = keys.recv().await else {
            return Ok(true);
        };
        let Some(key) = pressed(event?) else {
            continue;
        };
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if key.code == KeyCode::Esc {
            return Ok(false);
        }
        if key.code == KeyCode::Char('q') || (is_control && key.code == KeyCode::Char('c')) {
            return Ok(true);
        }
    }
}

/// Keys as they come, from a thread of their own.
fn keys() -> mpsc::Receiver<io::Result<Event>> {
    let (sender, keys) = mpsc::channel(KEYS_WAITING_MAX);
    thread::spawn(move || {
        while !sender.is_closed() {
            let read = match event::poll(Duration::from_millis(KEYS_POLL_MS)) {
                Ok(false) => continue,
                Ok(true) => event::read(),
                Err(error) => Err(error),
            };
            let is_over = read.is_err();
            if sender.blocking_send(read).is_err() || is_over {
                return;
            }
        }
    });
    keys
}

/// The whole terminal, given back when this is dropped; after a panic, too.
struct Screen(DefaultTerminal);

impl Screen {
    fn open() -> anyhow::Result<Self> {
        let terminal = ratatui::try_init();
        if terminal.is_err() {
            ratatui::restore();
        }
        Ok(Self(terminal.context("cannot take over the terminal")?))
    }

    fn draw(&mut self, model: &mut Model) -> anyhow::Result<()> {
        let mut rows = 0;
        self.0
            .draw(|frame| rows = draw::draw(frame, model))
            .context("cannot draw on the terminal")?;
        model.page_rows = rows.max(1);
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Reads what the model wishes for.
struct Reader {
    source: Source,
    states: States,
}

impl Reader {
    fn new(source: Source) -> Self {
        Self {
            states: States::new(source.log.clone(), source.tenant.clone()),
            source: Source {
                page_events: STEP_PAGE_EVENTS,
                ..source
            },
        }
    }

    async fn answer(&mut self, wish: Wish) -> Result<Answer, Error> {
        match wish {
            Wish::Quit => Ok(Answer::Nothing(String::new())),
            Wish::Later(last) => {
                let (events, is_last) = self.later(self.source.mark(&last)).await?;
                let events = self.states.beside(events).await?;
                Ok(Answer::Later { events, is_last })
            }
            Wish::Earlier(first) => {
                let (events, is_first) = self.earlier(self.source.mark(&first)).await?;
                let events = self.states.beside(events).await?;
                Ok(Answer::Earlier { events, is_first })
            }
            Wish::First => self.around(1).await,
            Wish::Last => {
                let (mut events, begins) = self.earlier(i64::MAX).await?;
                events.reverse();
                Ok(Answer::Window {
                    selected: events.len().saturating_sub(1),
                    events: self.states.beside(events).await?,
                    begins,
                    ends: true,
                    is_there: true,
                })
            }
            Wish::Position(position) => self.around(position).await,
            Wish::Jump(place) => match self.source.first_from(place).await? {
                Some(position) => self.around(position).await,
                None => Ok(Answer::Nothing(
                    "no event or command has that id".to_owned(),
                )),
            },
            Wish::Causes(correlation_id) => {
                let related = causation::of_correlation(&self.source, correlation_id).await?;
                Ok(Answer::Causes(related))
            }
        }
    }

    /// A page before a position and one from it on.
    async fn around(&mut self, position: Position) -> Result<Answer, Error> {
        let mark = self.source.mark_before(position).await?;
        let (later, ends) = self.later(mark).await?;
        let (mut events, begins) = self.earlier(mark.saturating_add(1)).await?;
        events.reverse();
        let is_there = !later.is_empty();
        let before = events.len();
        events.extend(later);
        Ok(Answer::Window {
            selected: before.min(events.len().saturating_sub(1)),
            events: self.states.beside(events).await?,
            begins,
            ends,
            is_there,
        })
    }

    /// Some events after a mark, and whether there are none after them.
    async fn later(&self, mut mark: i64) -> Result<(Vec<Recorded>, bool), Error> {
        loop {
            let page = self.source.later(mark).await?;
            match page.next {
                Some(next) if page.events.is_empty() => mark = next,
                next => return Ok((page.events, next.is_none())),
            }
        }
    }

    /// Some events before a mark, newest first, and whether there are none before them.
    async fn earlier(&self, mut mark: i64) -> Result<(Vec<Recorded>, bool), Error> {
        loop {
            let page = self.source.earlier(mark).await?;
            match page.next {
                Some(next) if page.events.is_empty() => mark = next,
                next => return Ok((page.events, next.is_none())),
            }
        }
    }
}

#[cfg(test)]
mod tests;
