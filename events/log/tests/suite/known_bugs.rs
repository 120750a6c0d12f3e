//! The checks of relay and feed over builds that have a bug which others have had: they must find it. A bug is switched
//! on for one topic, so the tests beside these are spared. What a sequence cursor loses is in `tailing.rs`.

use foldline_log::{
    Service, relay,
    topic::{self, Range},
};

use crate::{
    kafka::{Relay, by_partition, cell, feed, fill, fold, kafka, resend},
    store::open,
};

/// Switches a bug on for a topic.
fn switch_on(bug: &str, topic: &str) {
    if !cfg!(feature = "crash-points") {
        panic!("build with --features crash-points, as `make test` does");
    }
    fail::cfg(bug, &format!("return({topic})")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_moves_before_the_delivery_reports_is_found_by_comparing_the_topic() {
    let database = cell().await;
    let log = open(&database, Service::Command).await;
    let bug = "relay_mark_before_delivery";
    fill(&log, 20).await;
    let mut relay = Relay::start(&database).await;
    relay.reaches(20).await;
    switch_on(bug, &relay::topic(log.cell()));
    fill(&log, 20).await;
    relay.reaches(40).await;
    fail::remove(bug);
    let last = fill(&log, 20).await;
    relay.reaches(last).await;

    let reader = open(&database, Service::Relay).await;
    let report = topic::verify(&reader, &kafka(), Range::default()).await;
    let report = report.unwrap();
    assert_eq!(report.missing.count, 20, "{report:?}");
    assert!(!report.is_well());
    // Its consumers lose nothing by it: what the topic lacks they read from the log.
    let mut feed = feed(&database).await;
    assert_eq!(fold(&mut feed, last).await, by_partition(&log).await);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_does_not_drop_repetitions_is_found_by_comparing_what_it_delivers() {
    let database = cell().await;
    let log = open(&database, Service::Command).await;
    let last = fill(&log, 40).await;
    let mut relay = Relay::start(&database).await;
    relay.reaches(last).await;
    relay.stop().await;
    resend(&database).await;
    let mut relay = Relay::start(&database).await;
    relay.reaches(last).await;
    let last = fill(&log, 10).await;
    relay.reaches(last).await;

    let bug = "feed_without_dedupe";
    switch_on(bug, &relay::topic(log.cell()));
    let mut spoilt = feed(&database).await;
    assert_ne!(fold(&mut spoilt, last).await, by_partition(&log).await);
    fail::remove(bug);
    let mut feed = feed(&database).await;
    assert_eq!(fold(&mut feed, last).await, by_partition(&log).await);
    relay.stop().await;
}
