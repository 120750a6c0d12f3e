//! `foldline up`: every part in one process, with a Postgres of its own. Nothing to configure, nothing to install.

pub(crate) mod folder;
mod ready;
pub(crate) mod sample;

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context;
use clap::Args;
use foldline_log::Service;
use foldline_query::{Commands, Wakes};

use crate::{
    config::{Database, FeedConfig},
    migrate, roles,
    serve::{self, Check},
    shutdown,
};
use folder::Folder;
pub use folder::existing_secret;
pub use ready::{Ready, TOKEN_DAYS};

/// The tenant of the development token and of the sample project.
pub const TENANT: &str = "dev";

#[derive(Args, Clone)]
pub struct UpArgs {
    /// The port of everything; 0 takes any free one.
    #[arg(long, env = "FOLDLINE_PORT", default_value_t = 8080)]
    pub port: u16,
    /// Where data is kept; by default the user's data folder.
    #[arg(long, env = "FOLDLINE_DATA")]
    pub data: Option<PathBuf>,
    /// Print one line of JSON on standard output when ready, for scripts.
    #[arg(long)]
    pub json: bool,
    /// A Postgres to use instead of the embedded one.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// A Postgres for the log alone.
    #[arg(long, env = "LOG_URL", hide_env_values = true)]
    pub log_url: Option<String>,
    /// Brokers to use instead of a local Kafka; only `up-kafka` needs any.
    #[arg(long, env = "KAFKA_BROKERS")]
    pub kafka_brokers: Option<String>,
    /// A Postgres for the views alone.
    #[arg(long, env = "VIEW_URL", hide_env_values = true)]
    pub view_url: Option<String>,
}

pub async fn run(args: UpArgs) -> anyhow::Result<()> {
    let shutdown = shutdown::on_signal()?;
    let address = SocketAddr::from(([127, 0, 0, 1], args.port));
    let listener = serve::bind(address).await.context("see --port")?;
    let folder = Folder::open(args.data.as_deref())?;
    let secret = folder.secret()?;
    let databases = folder.databases(&args).await?;

    migrate::log(&databases.log.direct, "main").await?;
    migrate::views(&databases.view.direct).await?;
    let log = roles::open_log(&databases.log, Service::Command).await?;
    let (command_routes, handler) = roles::command_routes(&log, &secret);

    let reading = roles::open_log(&databases.log, Service::Projector)
        .await?
        .woken_by(&log);
    let feed = FeedConfig::Postgres;
    let (projector, moved) = roles::open_projector(&databases.view, &reading, &feed).await?;
    let checks_of_projector = Check::Projector(projector.health());
    // The projector goes on until requests are drained: some of them wait for it.
    let drained = tokio_util::sync::CancellationToken::new();
    let projecting = tokio::spawn(projector.run(drained.clone()));

    let commands = Commands::InProcess(handler.clone());
    let wakes = Wakes::InProcess(moved);
    let query =
        roles::open_query(&databases.view, &secret, commands, wakes, shutdown.clone()).await?;
    let routes = command_routes.merge(foldline_query::router(query.clone()));

    sample::create_when_empty(&log, &handler).await?;
    let token = crate::token::issue(
        &secret,
        TENANT,
        "developer",
        foldline_gate::Role::Admin,
        TOKEN_DAYS,
    )?;
    let origin = format!(
        "http://{}",
        listener.local_addr().context("no local address")?
    );
    Ready::of_one_process(&origin, token, folder.path()).announce(args.json)?;

    let checks = vec![Check::Log(log), Check::Query(query), checks_of_projector];
    let stop = stop_when_projector_ends(projecting, shutdown.clone(), drained);
    let served = serve::serve(listener, routes, checks, shutdown);
    let (served, projected) = tokio::join!(served, stop);
    databases.stop().await?;
    projected.and(served)
}

/// Ends the process when the projector cannot go on, and the projector when the process ends.
async fn stop_when_projector_ends(
    projecting: tokio::task::JoinHandle<Result<(), foldline_projector::Error>>,
    shutdown: tokio_util::sync::CancellationToken,
    drained: tokio_util::sync::CancellationToken,
) -> anyhow::Result<()> {
    let mut projecting = projecting;
    tokio::select! {
        () = shutdown.cancelled() => {}
        ended = &mut projecting => {
            shutdown.cancel();
            return Ok(ended??);
        }
    }
    drained.cancel();
    Ok(projecting.await??)
}

/// Where log and views are, and the server behind them when it is ours.
pub struct Databases {
    pub log: Database,
    pub view: Database,
    server: Option<foldline_local::postgres::PostgresServer>,
}

impl Databases {
    pub async fn stop(self) -> anyhow::Result<()> {
        match self.server {
            Some(server) => server
                .stop()
                .await
                .context("cannot stop the embedded Postgres"),
            None => Ok(()),
        }
    }
}
