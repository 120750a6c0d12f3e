//! `foldline verify`: holds the views against each other, or says what each holds in one number.
//!
//! It owns what a person and a script see of it; what is compared, and how rows become a number, is the projector's
//! (`foldline_projector::verify`). It only reads, as the projector's database role, and needs no running process.

mod report;

use std::{collections::BTreeSet, process::ExitCode};

use anyhow::{Context, bail};
use foldline_events::Position;
use foldline_projector::{
    View,
    verify::{Check, Content, Need, Snapshot},
};
use serde_json::json;
use sqlx::PgConnection;

use crate::{
    config::{VerifyArgs, VerifyConfig, Verifying},
    views,
};
use report::{Checked, Digested, Report};

/// What the process ends with.
const DIFFERS: u8 = 1;
const NOT_CHECKED: u8 = 2;

/// 0 when all is well, 1 when something differs, 2 when it could not be checked.
pub async fn run(args: VerifyArgs) -> ExitCode {
    let as_json = args.json;
    match verify(args).await {
        Ok(report) => {
            if as_json {
                println!("{}", report.to_json());
            } else {
                print!("{report}");
            }
            ExitCode::from(if report.is_well() { 0 } else { DIFFERS })
        }
        Err(error) => {
            if as_json {
                println!("{}", json!({"error": format!("{error:#}")}));
            }
            eprintln!("foldline: could not be checked: {error:#}");
            ExitCode::from(NOT_CHECKED)
        }
    }
}

async fn verify(args: VerifyArgs) -> anyhow::Result<Report> {
    let config = args.read()?;
    let connection = views::connect(&config.views).await?;
    match config.verifying {
        Verifying::Checks { as_of } => checks(connection, &config, as_of).await,
        Verifying::Digests(content) => digests(connection, &config, content).await,
    }
}

async fn checks(
    connection: PgConnection,
    config: &VerifyConfig,
    as_of: Option<Position>,
) -> anyhow::Result<Report> {
    let due = |check: &Check| {
        let is_due = as_of.is_none() || check.is_of_a_moment();
        is_due && config.view.is_none_or(|view| check.views().contains(&view))
    };
    let due: Vec<Check> = Check::ALL.into_iter().filter(due).collect();
    if due.is_empty() {
        bail!("nothing of this view can be checked as of a position; leave out --as-of");
    }
    let views: BTreeSet<View> = due
        .iter()
        .flat_map(|check| check.views())
        .copied()
        .collect();
    let views: Vec<View> = views.into_iter().collect();
    let need = Need::SamePerPartition;
    let mut snapshot = Snapshot::take(connection, &views, need, config.wait_ms_max).await?;
    if let Some(position) = as_of {
        snapshot.look_back(position).await?;
    }
    let mut checked = Vec::new();
    for check in due {
        let outcome = snapshot.check(check, config.tenant()).await?;
        checked.push(Checked { check, outcome });
    }
    let compared = checked.iter().map(|checked| checked.outcome.compared);
    must_be_known(config, compared.sum())?;
    let parked = snapshot.parked(config.tenant()).await?;
    let standing = snapshot.standing.clone();
    snapshot
        .close()
        .await
        .context("cannot close the connection")?;
    Ok(Report::of_checks(
        &standing,
        as_of,
        parked,
        config.tenant(),
        checked,
    ))
}

async fn digests(
    connection: PgConnection,
    config: &VerifyConfig,
    content: Content,
) -> anyhow::Result<Report> {
    let need = Need::SameEverywhere;
    let views = config.view.map_or(View::ALL.to_vec(), |view| vec![view]);
    let mut snapshot = Snapshot::take(connection, &views, need, config.wait_ms_max).await?;
    let mut digested = Vec::new();
    for view in views {
        digested.push(Digested {
            view,
            version: snapshot.version(view),
            tables: snapshot.tables(view),
            digest: snapshot.digest(view, config.tenant(), content).await?,
        });
    }
    must_be_known(config, digested.iter().map(|of| of.digest.rows).sum())?;
    let parked = snapshot.parked(config.tenant()).await?;
    let standing = snapshot.standing.clone();
    snapshot
        .close()
        .await
        .context("cannot close the connection")?;
    Ok(Report::of_digests(
        &standing,
        parked,
        config.tenant(),
        digested,
    ))
}

/// A tenant of whom nothing is there is a slip of the finger: that all of nothing is equal proves nothing.
fn must_be_known(config: &VerifyConfig, rows: u64) -> anyhow::Result<()> {
    match config.tenant() {
        Some(tenant) if rows == 0 => {
            bail!("of a tenant {tenant} there is nothing in the views to look at")
        }
        Some(_) | None => Ok(()),
    }
}
