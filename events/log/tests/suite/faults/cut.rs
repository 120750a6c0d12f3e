//! Connections that fail between a request and its answer.

use std::{cell::Cell, time::Duration};

use foldline_events::Tenant;
use foldline_log::{Append, Error, Log, Service, Verdict};
use foldline_schema::testing::TestDatabase;
use sqlx::{Connection, PgConnection};
use tokio::{sync::Mutex, time::Instant};
use uuid::Uuid;

use super::{
    Load, PATIENCE, Sent, is_soak,
    load::{ANSWER_BOUND, Retry},
    proxy::{Network, Proxy},
    server::execute,
    settle,
};
use crate::store::{appended, database, database_with_large_segments, one, open, owner};

const APPENDERS: usize = 12;
/// What a read may take, and a connection for it, and what a loaded machine adds.
const READ_BOUND: Duration = Duration::from_secs(25);
/// How many answers must be cut off, and how many appends given up, for the check to mean something.
const CUTS_MIN: usize = 20;
const GIVEN_UP_MIN: usize = 4;

async fn through_a_proxy() -> (TestDatabase, Proxy, Log) {
    let database = database_with_large_segments().await;
    let proxy = Proxy::start(&database).await;
    let log = open(&proxy.before(&database), Service::Command).await;
    (database, proxy, log)
}

async fn cut_off(proxy: &Proxy, answers: usize) {
    let due = proxy.cut() + answers;
    super::until("answers to be cut off", async || proxy.cut() >= due).await;
}

/// A load of which some answers are cut off, and then all of them until appends are given up, among them one that is stored.
async fn cut_after_commit(load: &Load, proxy: &Proxy, database: &TestDatabase) {
    let owner = Mutex::new(owner(database).await);
    load.goes_on(50).await;
    for round in 1..=if is_soak() { 5 } else { 1 } {
        proxy.set(Network::CutsAnswers { one_of: 5 });
        cut_off(proxy, CUTS_MIN).await;
        proxy.set(Network::CutsAnswers { one_of: 1 });
        let due = load.failed() + GIVEN_UP_MIN;
        super::until("appends to be given up", async || load.failed() >= due).await;
        // A batch is not stored while one of its appends is refused, and the answer that says so is cut off as well.
        super::until("one that is stored to be given up", async || {
            is_any_stored(&mut *owner.lock().await, &load.given_up()).await
        })
        .await;
        proxy.set(Network::Well);
        load.goes_on(50).await;
        eprintln!("round {round}: {} answers cut off", proxy.cut());
    }
}

async fn is_any_stored(owner: &mut PgConnection, commands: &[Uuid]) -> bool {
    sqlx::query_scalar("select exists (select from log.commands where command_id = any($1))")
        .bind(commands)
        .fetch_one(owner)
        .await
        .unwrap()
}

fn is_unknown(sent: &Sent) -> bool {
    matches!(sent.answer, Err(Error::Unavailable { .. }))
}

fn is_stored(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Appended(_) | Verdict::Known(_))
}

fn is_known(verdict: Option<&Verdict>) -> bool {
    matches!(verdict, Some(Verdict::Known(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_whose_answer_was_cut_off_after_its_commit_is_there_once_and_its_retry_says_where()
 {
    let (database, proxy, log) = through_a_proxy().await;
    let load = Load::start(&[log], APPENDERS);
    cut_after_commit(&load, &proxy, &database).await;
    let (complaints, sent) = settle(&database, load).await;
    assert_eq!(complaints, [""; 0]);
    // Both the log's own retry and the sender's have met what was stored already.
    assert!(sent.iter().any(|sent| is_known(sent.answer.as_ref().ok())));
    assert!(
        sent.iter()
            .any(|sent| is_unknown(sent) && is_known(sent.retried.as_ref()))
    );
}

/// What refuses a later try knows nothing of the first one.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_was_cut_off_after_its_commit_is_not_said_to_be_refused_by_its_next_try() {
    let (database, proxy, log) = through_a_proxy().await;
    let append = one("task-1");
    proxy.set(Network::CutsAnswers { one_of: 1 });
    let (sent, again) = (append.clone(), log.clone());
    let sending = tokio::spawn(async move { again.append(sent).await });
    let owner = Mutex::new(owner(&database).await);
    super::until("the append to be stored", async || {
        is_any_stored(&mut *owner.lock().await, &[append.command_id]).await
    })
    .await;
    let mut owner = owner.into_inner();
    execute(
        &mut owner,
        "revoke execute on all functions in schema log from foldline_command",
    )
    .await;
    proxy.set(Network::Well);
    let said = sending.await.unwrap();
    assert!(
        matches!(
            said,
            Err(Error::Unavailable {
                is_unknown: true,
                ..
            })
        ),
        "{said:?}"
    );
    // Nothing is unknown of one that comes new.
    let refused = log.append(one("task-2")).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");

    execute(
        &mut owner,
        "grant execute on all functions in schema log to foldline_command",
    )
    .await;
    let known = log.append(append).await;
    assert!(matches!(known, Ok(Verdict::Known(_))), "{known:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_retries_with_a_fresh_id_is_found_by_the_same_check() {
    let (database, proxy, log) = through_a_proxy().await;
    let mut load = Load::start(&[log], APPENDERS);
    load.retry = Retry::FreshId;
    cut_after_commit(&load, &proxy, &database).await;
    let (complaints, _) = settle(&database, load).await;
    assert!(!complaints.is_empty());
}

/// A ledger that forgets each command at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_forgets_its_commands_is_found_by_the_same_check() {
    let (database, proxy, log) = through_a_proxy().await;
    execute(
        &mut owner(&database).await,
        "create function log.forget() returns trigger language plpgsql as 'begin return null; end';
         create trigger forget before insert on log.commands for each row execute function log.forget()",
    )
    .await;
    let load = Load::start(&[log], APPENDERS);
    proxy.set(Network::CutsAnswers { one_of: 5 });
    cut_off(&proxy, CUTS_MIN).await;
    proxy.set(Network::Well);
    let (complaints, _) = settle(&database, load).await;
    // Its own streams show the sender that what it sends again is there already.
    let is_found = |complaint: &String| complaint.contains("was said not to be recorded, and was");
    assert!(complaints.iter().any(is_found), "{complaints:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_swallows_everything_is_given_up_within_a_bound_and_keeps_nobody_else_waiting()
 {
    let (database, proxy, log) = through_a_proxy().await;
    let others = open(&database, Service::Command).await;
    let load = Load::start(&[others], APPENDERS);
    // Of another tenant than the load, which the check is about.
    let one = || Append {
        tenant: Tenant::parse("umbrella").unwrap(),
        ..one("task-1")
    };
    appended(log.append(one()).await.unwrap());
    proxy.set(Network::Swallows);
    let append = one();
    let swallowed = tokio::time::timeout(ANSWER_BOUND, log.append(append.clone())).await;
    let swallowed = swallowed.expect("it is given up within the bound");
    assert!(
        matches!(swallowed, Err(Error::Unavailable { .. })),
        "{swallowed:?}"
    );
    assert_eq!(load.failed(), 0, "others were kept from appending");
    proxy.set(Network::Well);
    // What was swallowed may still arrive.
    let answer = log.append(append).await.unwrap();
    assert!(is_stored(&answer), "{answer:?}");
    let (complaints, _) = settle(&database, load).await;
    assert_eq!(complaints, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_the_network_swallows_is_given_up_within_a_bound() {
    let (_database, proxy, log) = through_a_proxy().await;
    appended(log.append(one("task-1")).await.unwrap());
    log.read(0, 10).await.unwrap();
    proxy.set(Network::Swallows);
    let reads = [0, 0, 0].map(|after| log.read(after, 10));
    let reading = tokio::time::timeout(READ_BOUND, futures_util::future::join_all(reads));
    for read in reading.await.expect("they are given up within the bound") {
        assert!(matches!(read, Err(Error::Read(_))), "{read:?}");
    }
    proxy.set(Network::Well);
    let again = async { while log.read(0, 10).await.is_err() {} };
    tokio::time::timeout(READ_BOUND, again).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_whose_answer_the_network_swallows_is_given_up_within_a_bound() {
    let (database, proxy, log) = through_a_proxy().await;
    appended(log.append(one("task-1")).await.unwrap());
    log.read(0, 10).await.unwrap();
    // It is under way when the network fails: the server answers, and nobody hears it.
    let mut owner = owner(&database).await;
    let mut locking = owner.begin().await.unwrap();
    sqlx::query("lock table log.events")
        .execute(&mut *locking)
        .await
        .unwrap();
    let reading = tokio::spawn(async move { log.read(0, 10).await });
    let waits = "select exists (select from pg_locks where relation = 'log.events'::regclass and not granted)";
    let is_under_way = async {
        while !sqlx::query_scalar::<_, bool>(waits)
            .fetch_one(&mut *locking)
            .await
            .unwrap()
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, is_under_way).await.unwrap();
    proxy.set(Network::Swallows);
    locking.rollback().await.unwrap();
    let read = tokio::time::timeout(READ_BOUND, reading).await;
    let read = read.expect("it is given up within the bound").unwrap();
    assert!(matches!(read, Err(Error::Read(_))), "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stops_in_the_middle_of_a_request_holds_the_log_no_longer_than_a_bound() {
    let (database, proxy, log) = through_a_proxy().await;
    let others = open(&database, Service::Command).await;
    // Whatever is prepared once is prepared.
    appended(log.append(one("task-1")).await.unwrap());
    proxy.set(Network::HoldsAnEnd);
    let append = one("task-1");
    let held = tokio::spawn({
        let (log, append) = (log.clone(), append.clone());
        async move { log.append(append).await }
    });
    super::until("the request to lack its end", async || proxy.has_held()).await;
    let began = Instant::now();
    loop {
        match others.append(one("task-2")).await {
            Ok(verdict) => {
                appended(verdict);
                break;
            }
            Err(error) => assert!(began.elapsed() < ANSWER_BOUND, "still held: {error}"),
        }
    }
    eprintln!("held for {} ms", began.elapsed().as_millis());
    proxy.set(Network::Well);
    let held = tokio::time::timeout(PATIENCE, held).await.unwrap().unwrap();
    let answer = match held {
        Err(Error::Unavailable { .. }) => log.append(append).await.unwrap(),
        answered => answered.unwrap(),
    };
    assert!(is_stored(&answer), "{answer:?}");
    let events = others.read(0, 10).await.unwrap();
    assert_eq!(events.len(), 3);
}

/// When the server's end of a connection asks the other end whether it is still there: the one that last said this.
#[cfg(target_os = "linux")]
async fn asks_within(database: &TestDatabase, said: &str) -> Duration {
    let (of_server, of_log): (i32, i32) = sqlx::query_as(
        "select inet_server_port(), client_port
         from pg_stat_activity
         where datname = current_database()
             and query ilike $1
             and pid <> pg_backend_pid()",
    )
    .bind(said)
    .fetch_one(&mut owner(database).await)
    .await
    .unwrap();
    // See proc_net_tcp.txt of the kernel: which timer is set, and hundredths of a second until it rings. Until what was sent
    // last is acknowledged it is another.
    let ends = format!(":{of_server:04X} 0100007F:{of_log:04X} ");
    let timer = || {
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let socket = sockets.lines().find(|line| line.contains(&ends)).unwrap();
        let timer = socket.split_whitespace().nth(5).unwrap();
        let rings_in = timer.strip_prefix("02:")?;
        Some(u64::from_str_radix(rings_in, 16).unwrap())
    };
    let rings_in = Cell::new(None);
    super::until("a timer that keeps alive", async || {
        rings_in.set(timer());
        rings_in.get().is_some()
    })
    .await;
    let hundredths = rings_in.get().expect("it was waited for");
    Duration::from_millis(hundredths * 10)
}

/// A machine that is gone says nothing; the server must ask, or it keeps the locks for hours.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_server_asks_whoever_may_hold_a_lock_of_the_log_within_seconds_whether_it_is_there() {
    let database = database().await;
    let log = open(&database, Service::Command).await;
    appended(log.append(one("task-1")).await.unwrap());
    let _relay = open(&database, Service::Relay).await;
    super::until("the relay's own connection", async || {
        let listening = "select count(*) from pg_stat_activity
            where datname = current_database() and query ilike 'listen%'";
        let count: i64 = sqlx::query_scalar(listening)
            .fetch_one(&mut owner(&database).await)
            .await
            .unwrap();
        count == 1
    })
    .await;
    for said in ["%log.append%", "listen%"] {
        let within = asks_within(&database, said).await;
        assert!(within <= Duration::from_secs(10), "{said}: {within:?}");
    }
}
