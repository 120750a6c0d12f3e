//! How far an import is, on standard error: a bar for a person, a line now and then for a file.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{lines::Source, summary::Summary};

/// How often a line is written where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// How often the bar moves.
const TICK: Duration = Duration::from_millis(100);

pub(super) enum Progress {
    Bar(ProgressBar),
    Lines { told_at: Instant },
}

impl Progress {
    pub(super) fn new(source: &Source) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines {
                told_at: Instant::now(),
            };
        }
        let (bar, template) = match source.bytes_total {
            Some(_) => (
                ProgressBar::new(0),
                "{bar:40} {percent:>3}%  {msg}  {elapsed}",
            ),
            None => (ProgressBar::new_spinner(), "{spinner} {msg}  {elapsed}"),
        };
        let style = ProgressStyle::with_template(template).expect("the template is well-formed");
        bar.set_style(style);
        bar.enable_steady_tick(TICK);
        Self::Bar(bar)
    }

    pub(super) fn show(&mut self, source: &Source, summary: &Summary) {
        match self {
            Self::Bar(bar) => {
                if let Some(total) = source.bytes_total {
                    // What was read is ahead of what is done, and their ratio is known in lines alone.
                    bar.set_length(total * source.lines_read.max(1));
                    bar.set_position(source.bytes_read() * summary.commands());
                }
                bar.set_message(so_far(summary));
            }
            Self::Lines { told_at } => {
                if told_at.elapsed() >= LINE_INTERVAL {
                    *told_at = Instant::now();
                    eprintln!("importing: {}", so_far(summary));
                }
            }
        }
    }

    pub(super) fn finish(&self) {
        match self {
            Self::Bar(bar) => bar.finish_and_clear(),
            Self::Lines { .. } => {}
        }
    }
}

fn so_far(summary: &Summary) -> String {
    format!(
        "{} commands, {} rejected",
        summary.commands(),
        summary.rejected()
    )
}
