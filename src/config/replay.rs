//! Settings of `foldline replay`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use foldline_events::{Tenant, tasks};
use uuid::Uuid;

use super::{Database, DatabaseArgs, LogArgs, Problems};
use crate::{changes::Moment, replay::Place, up::TENANT};

#[derive(Args, Clone)]
pub struct ReplayArgs {
    /// Only this task or project: its UUID, or the name of its stream. Without it everything of the tenant, for which the whole
    /// log is read in order of position, as far as is looked.
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// Only this stream, such as task-0198c0de-0000-7000-8000-000000000001.
    #[arg(long, value_name = "STREAM", conflicts_with = "id")]
    stream: Option<String>,
    /// Whose events.
    #[arg(long, default_value = TENANT)]
    tenant: String,
    /// Begin at the first event from here on: a position, a recorded time (2026-03-01T12:00:00Z), an event's or a command's id. An
    /// id that was not recorded near its own time is looked for in the whole log.
    #[arg(long, value_name = "PLACE")]
    from: Option<Place>,
    /// End with the last event up to here: a position, a recorded time, an event's or a command's id.
    #[arg(long, value_name = "PLACE", conflicts_with = "step")]
    to: Option<Place>,
    /// Newest first.
    #[arg(long, conflicts_with = "step")]
    backward: bool,
    /// No more events than this.
    #[arg(long, value_name = "EVENTS", conflicts_with = "step", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// What led to what: all events with the correlation of this event or command, or with this correlation id, each below
    /// what caused it. Reads the whole log in order of position.
    #[arg(
        long, value_name = "UUID",
        conflicts_with_all = ["id", "stream", "from", "to", "backward", "limit", "step"]
    )]
    causation: Option<Uuid>,
    /// A table for people; one JSON array; or one JSON object a line.
    #[arg(long, value_enum, default_value_t = ReplayFormat::Table, conflicts_with = "step")]
    format: ReplayFormat,
    /// Step through the events on the whole screen; `?` lists the keys.
    #[arg(long)]
    pub step: bool,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    /// The data folder of a running `foldline up`, when no database is given; by default the user's data folder.
    #[arg(long, env = "FOLDLINE_DATA")]
    data: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReplayFormat {
    Table,
    Json,
    Ndjson,
}

pub struct ReplayConfig {
    /// When it is not that of the data folder.
    pub database: Option<Database>,
    pub data: Option<PathBuf>,
    pub tenant: Tenant,
    /// In this order the streams that may be meant; none for all of the tenant.
    pub streams: Vec<String>,
    pub from: Option<Place>,
    pub format: ReplayFormat,
    pub showing: Showing,
}

/// What `replay` does.
pub enum Showing {
    Events {
        to: Option<Place>,
        is_backward: bool,
        limit: u64,
    },
    Causation(Uuid),
    Steps,
}

impl ReplayArgs {
    pub fn read(&self) -> anyhow::Result<ReplayConfig> {
        let mut problems = Problems::default();
        let given = self.log.is_given(&self.database);
        let database = given.then(|| problems.note(self.log.read(&self.database)));
        let tenant = Tenant::parse(&self.tenant).map_err(|error| format!("--tenant: {error}"));
        let tenant = problems.note(tenant);
        problems.note(self.in_order());
        let showing = match (self.causation, self.step) {
            (Some(id), _) => Showing::Causation(id),
            (None, true) => Showing::Steps,
            (None, false) => Showing::Events {
                to: self.to,
                is_backward: self.backward,
                limit: self.limit.unwrap_or(u64::MAX),
            },
        };
        problems.report(|| {
            Some(ReplayConfig {
                database: database.flatten(),
                data: self.data.clone(),
                tenant: tenant?,
                streams: self.streams(),
                from: self.from,
                format: self.format,
                showing,
            })
        })
    }

    /// Whether `--from` can lie before `--to`. Of a position and a time, or of an id, only the log knows, and has nothing between.
    fn in_order(&self) -> Result<(), String> {
        let is_turned_round = match (self.from, self.to) {
            (Some(Place::Moment(from)), Some(Place::Moment(to))) => match (from, to) {
                (Moment::Position(from), Moment::Position(to)) => from > to,
                (Moment::RecordedAt(from), Moment::RecordedAt(to)) => from > to,
                (Moment::Position(_), Moment::RecordedAt(_))
                | (Moment::RecordedAt(_), Moment::Position(_)) => false,
            },
            (Some(Place::Id(_)) | None, _) | (_, Some(Place::Id(_)) | None) => false,
        };
        match is_turned_round {
            true => Err("--from lies after --to: there is nothing between them".to_owned()),
            false => Ok(()),
        }
    }

    fn streams(&self) -> Vec<String> {
        let named = self.stream.as_ref().or(self.id.as_ref());
        let of_id = self.id.as_deref().and_then(|id| Uuid::try_parse(id).ok());
        match (of_id, named) {
            (Some(id), _) => vec![tasks::task_stream(id), tasks::project_stream(id)],
            (None, Some(stream)) => vec![stream.clone()],
            (None, None) => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ReplayArgs,
    }

    fn is_taken(from: &str, to: &str) -> bool {
        let line = ["replay", "--from", from, "--to", to];
        Line::parse_from(line).args.read().is_ok()
    }

    #[test]
    fn only_a_position_after_a_position_or_a_time_after_a_time_is_refused() {
        let (early, late) = ("2026-03-01T12:00:00Z", "2099-03-01T12:00:00Z");
        let id = "00000000-0000-0000-0000-000000000007";
        for (from, to) in [("9", "8"), (late, early)] {
            assert!(!is_taken(from, to), "{from} {to}");
        }
        for (from, to) in [("8", "9"), ("8", "8"), (early, late), (late, late)] {
            assert!(is_taken(from, to), "{from} {to}");
        }
        for (from, to) in [("9", early), (late, "1"), (id, "1"), ("9", id), (id, id)] {
            assert!(is_taken(from, to), "{from} {to}");
        }
    }
}
