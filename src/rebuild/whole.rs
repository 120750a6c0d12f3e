//! A whole view folded again beside the build that readers see, compared with it, and shown in its place (`foldline_projector::Rebuild`).

use std::{io::IsTerminal, time::Duration};

use anyhow::bail;
use foldline_events::upcast;
use foldline_log::Service;
use foldline_projector::{
    Build, Differences, Progress, ProjectorOptions, Rebuild, Rebuilt, Stage, View,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{DONE, REFUSED, say};
use crate::{
    config::{Views, Whole, WholeTask},
    roles, shutdown,
    status::running,
};

/// How often the bar is drawn.
const DRAW_INTERVAL_MS: u64 = 200;
/// The bar, its rate in positions a second.
const BAR: &str = "{prefix} {msg} [{wide_bar}] {percent} %  {per_sec}  {eta} left";

pub(super) async fn run(config: &Whole, views: &Views, as_json: bool) -> anyhow::Result<u8> {
    upcast::check()?;
    let shutdown = shutdown::on_signal()?;
    let own = || running::database(views.data.as_deref());
    let views = match &views.database {
        Some(database) => database.clone(),
        None => own()?,
    };
    let log = match &config.log {
        Some(database) => database.clone(),
        None => own()?,
    };
    let (progress, told) = watch::channel(Progress::default());
    let rebuild = Rebuild {
        views: roles::open_views_to_write(&views).await?,
        direct: roles::as_projector(&views.direct),
        log: roles::open_log(&log, Service::Projector).await?,
        long_log_events: ProjectorOptions::LONG_LOG_EVENTS,
        progress,
    };
    let view = config.view;
    let rebuilt = match config.task {
        WholeTask::Drop => {
            let dropped = rebuild.drop_others(view).await?;
            return dropped_of(view, &dropped, as_json);
        }
        WholeTask::Forward {
            differences_expected,
        } => {
            let _drawing = AbortOnDropHandle::new(tokio::spawn(draw(view, told)));
            rebuild
                .forward(&[view], differences_expected, &shutdown)
                .await?
        }
        WholeTask::Back => {
            let _drawing = AbortOnDropHandle::new(tokio::spawn(draw(view, told)));
            rebuild.back(view, &shutdown).await?
        }
    };
    outcome(view, &rebuilt, as_json)
}

/// Draws how far the build is, on a terminal.
async fn draw(view: View, told: watch::Receiver<Progress>) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let bar = ProgressBar::new(0).with_prefix(view.name());
    bar.set_style(ProgressStyle::with_template(BAR).expect("the template is well-formed"));
    loop {
        let Progress {
            stage,
            through,
            head,
        } = *told.borrow();
        bar.set_length(head.unsigned_abs());
        bar.set_position(through.unsigned_abs());
        bar.set_message(match stage {
            Stage::Folding => "folding",
            Stage::Indexing => "making indexes",
            Stage::Comparing => "comparing",
            Stage::Showing => "showing",
        });
        tokio::time::sleep(Duration::from_millis(DRAW_INTERVAL_MS)).await;
    }
}

fn dropped_of(view: View, dropped: &[Build], as_json: bool) -> anyhow::Result<u8> {
    let versions: Vec<i32> = dropped.iter().map(|build| build.version).collect();
    if as_json {
        say(&json!({"dropped": versions}).to_string())?;
        return Ok(DONE);
    }
    if dropped.is_empty() {
        say(&format!("{view} has no build but the one that readers see"))?;
    }
    for build in dropped {
        say(&format!("{build} is dropped"))?;
    }
    Ok(DONE)
}

fn outcome(view: View, rebuilt: &Rebuilt, as_json: bool) -> anyhow::Result<u8> {
    match rebuilt {
        Rebuilt::Shown {
            builds,
            exchanged_in,
            differences,
        } => {
            let versions: Vec<i32> = builds.iter().map(|build| build.version).collect();
            if as_json {
                let exchanged_ms = exchanged_in.as_secs_f64() * 1_000.0;
                let shown = json!({
                    "shown": versions,
                    "exchangedMs": exchanged_ms,
                    "differences": as_data(differences),
                });
                say(&shown.to_string())?;
                return Ok(DONE);
            }
            told(differences)?;
            for build in builds.iter() {
                say(&format!(
                    "readers see {build}; it was exchanged in {:.1} ms",
                    exchanged_in.as_secs_f64() * 1_000.0
                ))?;
            }
            say(&format!(
                "the build before is kept: `foldline rebuild {view} --rollback` shows it again, `foldline rebuild {view} --drop` \
                 drops it"
            ))?;
            Ok(DONE)
        }
        Rebuilt::Refused(differences) => {
            if as_json {
                let refused = json!({"shown": [], "differences": as_data(differences)});
                say(&refused.to_string())?;
                return Ok(REFUSED);
            }
            told(differences)?;
            say(&format!(
                "readers see what they saw before. If these differences are meant, `foldline rebuild {view} --expect-differences` shows \
                 the new build; `foldline rebuild {view} --drop` drops it"
            ))?;
            Ok(REFUSED)
        }
        Rebuilt::Ended => bail!(
            "it was told to end; what is folded is kept, and `foldline rebuild {view}` goes on with it"
        ),
    }
}

fn told(differences: &Differences) -> anyhow::Result<()> {
    for what in &differences.not_compared {
        say(&format!(
            "not compared, because only one build has it: {what}"
        ))?;
    }
    for row in &differences.rows {
        say(&format!(
            "{}\n  stored        {}\n  folded again  {}",
            row.row, row.stored, row.again
        ))?;
    }
    if differences.count > 0 {
        say(&format!(
            "{} rows differ from what readers see",
            differences.count
        ))?;
    }
    Ok(())
}

fn as_data(differences: &Differences) -> Value {
    let rows: Vec<Value> = differences
        .rows
        .iter()
        .map(|row| {
            json!({
                "row": row.row,
                "fields": row.fields,
                "stored": row.stored,
                "foldedAgain": row.again,
            })
        })
        .collect();
    json!({
        "count": differences.count.to_string(),
        "rows": rows,
        "notCompared": differences.not_compared,
    })
}
