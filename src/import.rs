//! `foldline import`: the commands of a history file, sent to a command service as if somebody had sent one by one.
//!
//! It is a client like any other: it owns the way from a file to the HTTP API, and must not know the log, a view or a
//! rule of any context. What it needs of a command is its stream, and the project and the key it names; read [`window`] for
//! the order that it keeps, then [`server`] for how it persists. Command ids make repeating it harmless, so an import
//! that broke off is continued by running it again. [`offline`] is the other way: past the service into an empty log.

pub(crate) mod lines;
mod offline;
mod order;
mod progress;
mod server;
mod summary;
mod target;
mod window;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use anyhow::{Context, anyhow};
use clap::Args;
use foldline_command::{Outcome, Verdict};
use futures_util::{StreamExt, stream::FuturesUnordered};

use self::{
    lines::Source,
    offline::OfflineArgs,
    progress::Progress,
    server::{Answer, Server},
    summary::Summary,
    window::Window,
};
pub(crate) use server::{address, client, unreachable};
pub(crate) use target::{ACTOR, TargetArgs};

/// How many requests are on their way at the same time. Measured on 2 shared cores with the first 20,000 commands of
/// the history, in commands a second: 3,100 to 3,200 with 8 requests of 500; 2,600 to 2,800 with 4 of 500; 2,800 to
/// 3,300 with 8 of 200; 2,300 with 16 of 500; 2,100 with one of 1,000.
const REQUESTS_IN_FLIGHT_MAX: usize = 8;
/// How many commands go in one request.
const COMMANDS_PER_REQUEST: usize = 500;

#[derive(Args)]
pub struct ImportArgs {
    /// A file with one command a line, plain or gzip; `-` reads standard input
    file: PathBuf,

    #[command(flatten)]
    target: TargetArgs,

    #[command(flatten)]
    offline: OfflineArgs,

    /// Print the summary as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Imports the file, and says on standard output what became of its commands.
///
/// # Errors
/// When it could not be brought to its end. A command that was rejected, and whose line does not say that it must be, is
/// no error, but makes the exit code 1.
pub async fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let source = lines::open(&args.file)?;
    if args.offline.offline {
        let began = Instant::now();
        let mut summary = offline::run(source, &args.offline, &args.target).await?;
        summary.took(began.elapsed());
        return Ok(told(&summary, args.json));
    }
    send(source, &args.target, args.json).await
}

/// Sends all commands of a source, and says what became of them.
pub(crate) async fn send(
    source: Source,
    target: &TargetArgs,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let target = target.find().await?;
    let server = Server::new(&target.server, &target.token)?;
    let mut import = Import {
        progress: Progress::new(&source),
        source,
        server,
        window: Window::default(),
        summary: Summary::default(),
    };
    let began = Instant::now();
    let carried = tokio::select! {
        carried = import.carry() => carried,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
    };
    import.progress.finish();
    let mut summary = import.summary;
    summary.took(began.elapsed());
    carried.with_context(|| summary.broken_off())?;
    Ok(told(&summary, as_json))
}

fn told(summary: &Summary, as_json: bool) -> ExitCode {
    if as_json {
        println!("{}", summary.as_json());
    } else {
        print!("{summary}");
    }
    ExitCode::from(u8::from(!summary.is_as_expected()))
}

struct Import {
    source: Source,
    server: Server,
    window: Window,
    summary: Summary,
    progress: Progress,
}

impl Import {
    /// Fills the window from the file and empties it into requests, until both are done.
    async fn carry(&mut self) -> anyhow::Result<()> {
        let server = self.server.clone();
        let mut requests = FuturesUnordered::new();
        let mut ended = false;
        loop {
            while requests.len() < REQUESTS_IN_FLIGHT_MAX {
                let commands = self.window.take(COMMANDS_PER_REQUEST);
                if commands.is_empty() {
                    break;
                }
                requests.push(server.send(commands));
            }
            if ended && requests.is_empty() {
                return Ok(());
            }
            tokio::select! {
                // Reading is fast, and a full window is what makes full requests.
                biased;
                lines = self.source.next(), if !ended && self.window.has_room() => match lines? {
                    Some(lines) => self.read(lines),
                    None => ended = true,
                },
                Some(answer) = requests.next() => self.answered(answer?),
            }
            self.progress.show(&self.source, &self.summary);
        }
    }

    fn read(&mut self, lines: Vec<lines::Line>) {
        for line in lines {
            match line.command {
                Ok(command) => self.window.push(command),
                Err(problem) => self.summary.malformed(line.number, &problem),
            }
        }
    }

    fn answered(&mut self, answer: Answer) {
        self.window.answered(&answer.commands);
        for (command, verdict) in answer.commands.iter().zip(answer.verdicts) {
            match verdict {
                Verdict::Accepted(accepted) => self.summary.accept(command, accepted.outcome),
                Verdict::Known(_) => self.summary.accept(command, Outcome::Known),
                Verdict::Rejected { problem, .. } => {
                    let detail = problem.detail.as_deref().unwrap_or(&problem.title);
                    self.summary.reject(command, &problem.code, detail);
                }
            }
        }
    }
}
