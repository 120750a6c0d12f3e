//! `foldline up`: every part in one process, with a Postgres of its own. Nothing to configure, nothing to install.

mod offers;
mod ready;
mod running;
pub(crate) mod sample;

use anyhow::Context;
use foldline_events::upcast;
use foldline_gate::Secret;
use foldline_log::Service;
use foldline_query::{Commands, Wakes};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{FeedConfig, Projecting, UpArgs},
    folder::{Databases, Folder},
    migrate, roles,
    serve::{self, Check},
    shutdown,
};
pub use ready::{Ready, TOKEN_DAYS};
pub use running::{Announced, Running};
use sample::Start;

/// The tenant of the development token, of the sample project, and of what is imported when nobody says otherwise.
pub const TENANT: &str = "dev";

pub async fn run(args: UpArgs) -> anyhow::Result<()> {
    upcast::check()?;
    let config = args.read()?;
    let shutdown = shutdown::on_signal()?;
    let listener = serve::bind(config.listen).await.context("see --port")?;
    let folder = Folder::open(config.data.as_deref())?;
    let secret = folder.secret()?;
    let (databases, embedded) = folder.databases(config.databases).await?;
    let ending = shutdown.clone();
    let wanted = Wanted {
        worker: config.worker,
        projecting: config.projecting,
        as_json: args.json,
    };
    let work = run_on(&databases, &folder, &secret, listener, wanted, shutdown);
    embedded.under(work, &ending).await
}

/// What was asked for.
struct Wanted {
    worker: bool,
    projecting: Projecting,
    /// What is said when all is ready.
    as_json: bool,
}

/// All the roles, over databases that whoever calls stops afterwards.
async fn run_on(
    databases: &Databases,
    folder: &Folder,
    secret: &Secret,
    listener: TcpListener,
    wanted: Wanted,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    migrate::log(&databases.log.direct, "main").await?;
    migrate::views(&databases.view.direct).await?;
    let log = roles::open_log(&databases.log, Service::Command).await?;
    let (command_routes, handler) = roles::command_routes(&log, secret);

    let reading = roles::open_log(&databases.log, Service::Projector)
        .await?
        .woken_by(&log);
    let feed = FeedConfig::Postgres;
    let opening = roles::open_projector(&databases.view, &reading, &feed, &wanted.projecting);
    let (projector, moved) = opening.await?;
    let checks_of_projector = Check::Projector(projector.health());
    // The projector goes on until requests are drained: some of them wait for it.
    let drained = CancellationToken::new();
    let projecting = tokio::spawn(projector.run(drained.clone()));

    let commands = Commands::InProcess(handler.clone());
    let wakes = Wakes::InProcess(moved);
    let query =
        roles::open_query(&databases.view, secret, commands, wakes, shutdown.clone()).await?;
    let routes = command_routes.merge(foldline_query::router(query.clone()));

    let start = sample::create_when_empty(&log, &handler).await?;
    let worker = match wanted.worker {
        true => {
            let options = roles::worker_options(&databases.log);
            Some(roles::open_worker(&databases.log, handler, &log, options).await?)
        }
        false => None,
    };
    let checks_of_worker = (worker.as_ref()).map(|worker| Check::Worker(worker.status()));
    let working = worker.map(|worker| tokio::spawn(worker.run(shutdown.clone())));
    if let Start::First(whole) = start {
        sample::say_unless_seen(query.has_folded(&whole).await);
    }
    let token = crate::token::issue(
        secret,
        TENANT,
        "developer",
        foldline_gate::Role::Admin,
        TOKEN_DAYS,
    )?;
    let origin = format!(
        "http://{}",
        listener.local_addr().context("no local address")?
    );
    let _announced = Running::announce(folder.path(), &origin, &origin)?;
    Ready::of_one_process(&origin, token, folder.path())
        .offering(start)
        .announce(wanted.as_json)?;

    let log_ended = roles::log_ended(log.clone(), shutdown.clone());
    let mut checks = vec![
        Check::Log(log),
        Check::Query(Box::new(query)),
        checks_of_projector,
    ];
    checks.extend(checks_of_worker);
    let serving = async {
        let ended = serve::serve(listener, routes, checks, shutdown.clone()).await;
        drained.cancel();
        ended
    };
    let projecting = async {
        let ended = projecting.await;
        // It ends by itself only when it cannot go on, and then nothing here is worth serving.
        shutdown.cancel();
        Ok(ended??)
    };
    let working = async {
        let Some(working) = working else {
            return anyhow::Ok(());
        };
        let ended = working.await;
        shutdown.cancel();
        Ok(ended??)
    };
    let (served, projected, worked, log_ended) =
        tokio::join!(serving, projecting, working, log_ended);
    log_ended.and(projected).and(worked).and(served)
}
