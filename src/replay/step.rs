//! Stepping through events on the whole screen.
//!
//! [`model`] is what is shown and what keys do to it, [`draw`] is how it looks. Here are the terminal, the keys as they come, and
//! the reading that the model wishes for. The terminal is given back however this ends.

mod draw;
mod model;

use std::{
    collections::VecDeque,
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

use self::model::{Answer, Landed, Model, Wanted, Wish};
use super::{
    NO_SUCH_THING, Place, SHOWN,
    causation::{self, Payloads},
    say,
    source::Source,
    states::States,
};
use crate::{changes::Moment, shutdown};

/// How many events are read at a time.
const STEP_PAGE_EVENTS: usize = 100;
/// How many keys may wait to be looked at, and how many more for what is being read.
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
        say(&format!("{} has no events", reader.source.name()));
        return Ok(NO_SUCH_THING);
    }
    let shutdown = shutdown::on_signal()?;
    let mut screen = Screen::open()?;
    let mut keys = keys();
    let mut waiting = VecDeque::new();
    loop {
        screen.draw(&mut model)?;
        let key = match waiting.pop_front() {
            Some(key) => Some(key),
            None => tokio::select! {
                event = keys.recv() => match event {
                    Some(event) => pressed(event?),
                    None => return Ok(SHOWN),
                },
                () = shutdown.cancelled() => return Ok(SHOWN),
            },
        };
        let mut wish = key.and_then(|key| model.press(key.code, key.modifiers));
        while let Some(wished) = wish {
            let wanted = match wished {
                Wish::Quit => return Ok(SHOWN),
                Wish::Read(wanted) => wanted,
            };
            model.waits();
            screen.draw(&mut model)?;
            wish = tokio::select! {
                answer = reader.answer(wanted) => {
                    let answer = answer.unwrap_or_else(refused);
                    if matches!(answer, Answer::Nothing(_)) {
                        // They were meant for something else than what is there still.
                        waiting.clear();
                    }
                    model.take(answer).map(Wish::Read)
                }
                stop = stopped(&mut keys, &mut waiting) => match stop? {
                    Stop::Reading => {
                        model.stop();
                        None
                    }
                    Stop::All => Some(Wish::Quit),
                },
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

/// What a key ends while something is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Reading,
    All,
}

/// Waits for a key that ends the waiting. The others wait for what is read; those that are too many are lost, and all of them when
/// it is stopped. May be dropped at any time.
async fn stopped(
    keys: &mut mpsc::Receiver<io::Result<Event>>,
    waiting: &mut VecDeque<KeyEvent>,
) -> io::Result<Stop> {
    loop {
        let Some(event) = keys.recv().await else {
            return Ok(Stop::All);
        };
        let Some(key) = pressed(event?) else {
            continue;
        };
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if key.code == KeyCode::Esc {
            waiting.clear();
            return Ok(Stop::Reading);
        }
        if key.code == KeyCode::Char('q') || (is_control && key.code == KeyCode::Char('c')) {
            return Ok(Stop::All);
        }
        if waiting.len() < KEYS_WAITING_MAX {
            waiting.push_back(key);
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
        let mut fit = model.fit;
        self.0
            .draw(|frame| fit = draw::draw(frame, model))
            .context("cannot draw on the terminal")?;
        model.drawn(fit);
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

    async fn answer(&mut self, wanted: Wanted) -> Result<Answer, Error> {
        match wanted {
            Wanted::Later(last) => {
                let (events, is_last) = self.later(self.source.mark(&last)).await?;
                let events = self.states.beside(events).await?;
                Ok(Answer::Later { events, is_last })
            }
            Wanted::Earlier(first) => {
                let (events, is_first) = self.earlier(self.source.mark(&first)).await?;
                let events = self.states.beside(events).await?;
                Ok(Answer::Earlier { events, is_first })
            }
            Wanted::First => self.around(1).await,
            Wanted::Last => {
                let (mut events, begins) = self.earlier(i64::MAX).await?;
                events.reverse();
                Ok(Answer::Window {
                    selected: events.len().saturating_sub(1),
                    events: self.states.beside(events).await?,
                    begins,
                    ends: true,
                    landed: Landed::There,
                })
            }
            Wanted::Position(position) => self.at(position).await,
            Wanted::Jump(place) => match (self.source.first_from(place).await?, place) {
                (Some(position), Place::Id(_) | Place::Moment(Moment::Position(_))) => {
                    self.at(position).await
                }
                (Some(position), Place::Moment(Moment::RecordedAt(_))) => {
                    self.around(position).await
                }
                (None, _) => Ok(Answer::Nothing(
                    "no event or command has that id".to_owned(),
                )),
            },
            Wanted::Causes(correlation_id) => {
                let payloads = Payloads::Dropped;
                let related = causation::of_correlation(&self.source, correlation_id, payloads);
                Ok(Answer::Causes(related.await?))
            }
        }
    }

    /// The same as [`Self::around`], and what the position has, if that is not here.
    async fn at(&mut self, position: Position) -> Result<Answer, Error> {
        let mut answer = self.around(position).await?;
        if let Answer::Window {
            events,
            selected,
            landed,
            ..
        } = &mut answer
            && *landed == Landed::There
            && events.get(*selected).map(|it| it.event.position) != Some(position)
        {
            *landed = Landed::After(self.stream_at(position).await?);
        }
        Ok(answer)
    }

    /// The stream of the event at a position, if that is the tenant's.
    async fn stream_at(&self, position: Position) -> Result<Option<String>, Error> {
        let source = &self.source;
        let events = source.log.read(position.saturating_sub(1), 1).await?;
        let event = events.into_iter().next();
        let event = event.filter(|it| it.position == position && it.tenant == source.tenant);
        Ok(event.map(|it| it.stream))
    }

    /// A page before a position and one from it on.
    async fn around(&mut self, position: Position) -> Result<Answer, Error> {
        let mark = self.source.mark_before(position).await?;
        let (later, ends) = self.later(mark).await?;
        let (mut events, begins) = self.earlier(mark.saturating_add(1)).await?;
        events.reverse();
        let landed = match later.is_empty() {
            true => Landed::Before,
            false => Landed::There,
        };
        let before = events.len();
        events.extend(later);
        Ok(Answer::Window {
            selected: before.min(events.len().saturating_sub(1)),
            events: self.states.beside(events).await?,
            begins,
            ends,
            landed,
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
