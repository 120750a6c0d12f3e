//! `foldline replay`: the log read again, forward and back, each event with what it changed and the state that it leaves.
//!
//! It reads recorded events straight from the log, in sessions that are read-only, and folds them by the rules of this build; no
//! view is asked, and nothing is written. [`source`] finds and reads the events, [`states`] folds them, [`causation`] says what
//! led to what; [`output`] and [`step`] are what people and programs see.

mod causation;
mod json;
mod output;
mod place;
mod shown;
mod source;
mod states;
mod step;

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use anyhow::Context;
use foldline_events::{Position, Recorded, upcast};
use foldline_log::{AnyLog, Error, Log, LogOptions, Service};
use uuid::Uuid;

pub use place::Place;

use self::{causation::Payloads, json::Data, output::Output, source::Source, states::States};
use crate::{
    config::{ReplayArgs, ReplayConfig, ReplayFormat, Showing},
    roles::called,
    status::running,
};

/// What the process ends with.
const SHOWN: u8 = 0;
const NO_SUCH_THING: u8 = 1;

/// How long the database may take to accept a connection.
const CONNECT_SECONDS_MAX: u64 = 5;
/// One at a time would do; a read that was cut closes its own.
const CONNECTIONS_MAX: u32 = 2;
/// How many events are read, and their states held, at a time.
const PAGE_EVENTS: usize = 250;

/// Which events, in which order.
struct Wanted {
    first: Position,
    last: Position,
    is_backward: bool,
    limit: u64,
}

/// # Errors
/// When the log cannot be read, or what was asked for makes no sense.
pub async fn run(args: ReplayArgs) -> anyhow::Result<u8> {
    upcast::check()?;
    let config = args.read()?;
    if matches!(config.showing, Showing::Steps) {
        step::must_be_a_terminal()?;
    }
    let log = AnyLog::Postgres(open(&config).await?);
    let Some(source) = source(&config, log).await? else {
        say(&match &config.streams[..] {
            [] => format!("tenant {} has no events", config.tenant),
            streams => format!(
                "tenant {} has no stream {}",
                config.tenant,
                streams.join(" and no stream ")
            ),
        });
        return Ok(NO_SUCH_THING);
    };
    match config.showing {
        Showing::Events {
            to,
            is_backward,
            limit,
        } => {
            let Some(first) = edge(config.from, 1, async |it| source.first_from(it).await).await?
            else {
                return Ok(NO_SUCH_THING);
            };
            let Some(last) = edge(to, Position::MAX, async |it| source.last_to(it).await).await?
            else {
                return Ok(NO_SUCH_THING);
            };
            let wanted = Wanted {
                first,
                last,
                is_backward,
                limit,
            };
            replay(source, wanted, output(config.format)).await
        }
        Showing::Causation(id) => causes(&source, id, config.format).await,
        Showing::Steps => {
            let Some(from) = edge(config.from, 1, async |it| source.first_from(it).await).await?
            else {
                return Ok(NO_SUCH_THING);
            };
            step::run(source, from).await
        }
    }
}

/// To standard error, which may be closed: nobody reads there then, and what is shown is shown all the same.
fn say(text: &str) {
    writeln!(io::stderr(), "foldline: {text}").ok();
}

fn output(format: ReplayFormat) -> Output<io::Stdout> {
    let stdout = io::stdout();
    let data = match stdout.is_terminal() {
        true => Data::WithoutSteering,
        false => Data::AsRecorded,
    };
    Output::new(format, data, stdout)
}

/// Reads alone, which the sessions are told too, and gives up soon: somebody waits for it.
async fn open(config: &ReplayConfig) -> anyhow::Result<Log> {
    let database = match &config.database {
        Some(database) => database.clone(),
        None => running::database(config.data.as_deref())?,
    };
    let reading = [("default_transaction_read_only", "on")];
    let options = LogOptions {
        url: called(&database.url, "replay").options(reading),
        direct: Some(called(&database.direct, "replay").options(reading)),
        service: Service::Projector,
        connections_max: CONNECTIONS_MAX,
    };
    let bound = Duration::from_secs(CONNECT_SECONDS_MAX);
    tokio::time::timeout(bound, Log::open(options))
        .await
        .with_context(|| {
            format!("the log's database did not answer within {CONNECT_SECONDS_MAX} s")
        })?
        .context("cannot open the log; LOG_URL must name its database")
}

/// The first of the streams named that there is; all of the tenant where none is named. `None` where nothing of it has an event.
async fn source(config: &ReplayConfig, log: AnyLog) -> anyhow::Result<Option<Source>> {
    let mut source = Source {
        log,
        tenant: config.tenant.clone(),
        stream: None,
        page_events: PAGE_EVENTS,
    };
    for stream in &config.streams {
        let begins = source.log.read_stream(&config.tenant, stream, 0, 1);
        if !begins.await?.is_empty() {
            source.stream = Some(stream.clone());
            return Ok(Some(source));
        }
    }
    let is_there = config.streams.is_empty() && source.has_events().await?;
    Ok(is_there.then_some(source))
}

/// Where a place is; `None`, and said so, where nothing has that id.
async fn edge(
    place: Option<Place>,
    absent: Position,
    find: impl AsyncFnOnce(Place) -> Result<Option<Position>, Error>,
) -> anyhow::Result<Option<Position>> {
    let Some(place) = place else {
        return Ok(Some(absent));
    };
    let found = find(place).await?;
    if let (None, Place::Id(id)) = (found, place) {
        say(&format!("the tenant has no event or command {id}"));
    }
    Ok(found)
}

/// Shows what is wanted page by page, as long as somebody reads.
async fn replay(
    source: Source,
    wanted: Wanted,
    mut output: Output<impl io::Write>,
) -> anyhow::Result<u8> {
    if wanted.first > wanted.last {
        // Nothing was recorded between the two.
        output.end()?;
        return Ok(SHOWN);
    }
    let mut states = States::new(source.log.clone(), source.tenant.clone());
    let mut left = wanted.limit;
    let mut mark = match wanted.is_backward {
        true => {
            let last = source.mark_before(wanted.last.saturating_add(1)).await?;
            last.saturating_add(1)
        }
        false => source.mark_before(wanted.first).await?,
    };
    loop {
        let page = match wanted.is_backward {
            true => source.earlier(mark).await?,
            false => source.later(mark).await?,
        };
        let (events, is_past) = wanted.of(page.events, left);
        left -= events.len() as u64;
        for shown in states.beside(events).await? {
            if !output.event(&shown)? {
                return Ok(SHOWN);
            }
        }
        if !output.flush()? {
            return Ok(SHOWN);
        }
        match page.next {
            Some(next) if !is_past && left > 0 && !wanted.ends_before(&source, next) => mark = next,
            Some(_) | None => break,
        }
    }
    output.end()?;
    Ok(SHOWN)
}

impl Wanted {
    /// Those of a page that are wanted, and whether the page went past them.
    fn of(&self, mut events: Vec<Recorded>, left: u64) -> (Vec<Recorded>, bool) {
        let is_wanted = |event: &Recorded| (self.first..=self.last).contains(&event.position);
        let count = events.iter().take_while(|event| is_wanted(event)).count();
        let is_past = count < events.len();
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        events.truncate(count.min(left));
        (events, is_past)
    }

    /// Whether nothing that is wanted can come after a mark: known of positions, which are what a tenant's log goes on by.
    fn ends_before(&self, source: &Source, next: i64) -> bool {
        source.stream.is_none()
            && match self.is_backward {
                true => next <= self.first,
                false => next >= self.last,
            }
    }
}

async fn causes(source: &Source, id: Uuid, format: ReplayFormat) -> anyhow::Result<u8> {
    let payloads = match format {
        ReplayFormat::Table => Payloads::Dropped,
        ReplayFormat::Json | ReplayFormat::Ndjson => Payloads::Kept,
    };
    let related = causation::related(source, id, payloads).await?;
    if related.events.is_empty() {
        say(&format!(
            "{} has no event, command or correlation {id}",
            source.name()
        ));
        return Ok(NO_SUCH_THING);
    }
    let mut output = output(format);
    for row in causation::tree(&related.events) {
        if !output.row(&row)? {
            return Ok(SHOWN);
        }
    }
    if related.is_cut && !output.cut(related.events.len())? {
        return Ok(SHOWN);
    }
    output.end()?;
    if related.is_cut {
        say(&format!(
            "there are more; these are the first {} events of the correlation",
            related.events.len()
        ));
    }
    Ok(SHOWN)
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
