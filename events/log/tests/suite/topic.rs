//! The comparison of topic and log: it passes what is right, and finds every kind of wrong, over a real broker.

use std::time::Duration;

use foldline_log::{
    Error, Log, Service, relay,
    topic::{self, Range, Report},
};
use foldline_schema::testing::TestDatabase;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::{Header, Headers, OwnedHeaders, OwnedMessage},
    producer::{FutureProducer, FutureRecord},
};

use crate::{
    kafka::{PATIENCE, Relay, admin, cell, fill, kafka, resend},
    store::{open, owner},
};

const EVERYTHING: Range = Range {
    from: None,
    to: None,
};

async fn verify(database: &TestDatabase, range: Range) -> Result<Report, Error> {
    let log = open(database, Service::Relay).await;
    topic::verify(&log, &kafka(), range).await
}

/// Events that a relay has carried; the relay is gone.
async fn carried(events: usize) -> (TestDatabase, Log, i64) {
    let database = cell().await;
    let log = open(&database, Service::Command).await;
    let last = fill(&log, events).await;
    let mut relay = Relay::start(&database).await;
    relay.reaches(last).await;
    relay.stop().await;
    (database, log, last)
}

fn counts(report: &Report) -> Vec<(&'static str, u64)> {
    let kinds = report.kinds().into_iter();
    kinds
        .map(|(kind, findings)| (kind, findings.count))
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// Every record of a topic, partition by partition.
fn records(topic: &str) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka().brokers)
        .set("group.id", "copy")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    let mut wanted = TopicPartitionList::new();
    for partition in 0..32 {
        wanted
            .add_partition_offset(topic, partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&wanted).unwrap();
    let mut all = Vec::new();
    let mut ended = 0;
    while ended < 32 {
        match consumer.poll(PATIENCE) {
            Some(Ok(message)) => all.push(message.detach()),
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
    all.sort_by_key(OwnedMessage::partition);
    all
}

fn header<'a>(message: &'a OwnedMessage, name: &str) -> &'a str {
    let headers = message.headers().unwrap();
    let found = headers.iter().find(|header| header.key == name).unwrap();
    std::str::from_utf8(found.value.unwrap()).unwrap()
}

fn is_event(message: &OwnedMessage) -> bool {
    header(message, "ce_type") != "foldline.Watermark"
}

/// Makes a topic anew with the records that `change` returns for those that were there.
async fn rewritten(log: &Log, change: impl FnOnce(&mut Vec<OwnedMessage>)) {
    let topic = relay::topic(log.cell());
    let mut messages = records(&topic);
    change(&mut messages);
    admin()
        .delete_topics(&[&topic], &Default::default())
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let again =
        rdkafka::admin::NewTopic::new(&topic, 32, rdkafka::admin::TopicReplication::Fixed(1));
    let made = admin().create_topics([&again], &Default::default()).await;
    made.unwrap().remove(0).unwrap();
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka().brokers)
        .create()
        .unwrap();
    for message in messages {
        produce(&producer, &topic, &message).await;
    }
}

async fn produce(producer: &FutureProducer, topic: &str, message: &OwnedMessage) {
    let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(topic)
        .partition(message.partition())
        .key(message.key().unwrap_or_default())
        .payload(message.payload().unwrap_or_default());
    record.timestamp = message.timestamp().to_millis();
    record.headers = message.headers().cloned();
    producer.send(record, PATIENCE).await.unwrap();
}

/// The same record with a header said differently.
fn with_header(message: &OwnedMessage, name: &str, value: &str) -> OwnedMessage {
    let mut headers = OwnedHeaders::new();
    for header in message.headers().unwrap().iter() {
        let is_it = header.key == name;
        headers = headers.insert(Header {
            key: header.key,
            value: if is_it {
                Some(value.as_bytes())
            } else {
                header.value
            },
        });
    }
    message.clone().replace_headers(Some(headers))
}

/// Where the event at a position lies among the records.
fn place(messages: &[OwnedMessage], position: i64) -> usize {
    let text = position.to_string();
    messages
        .iter()
        .position(|message| is_event(message) && header(message, "ce_position") == text)
        .unwrap()
}

/// The places of two events of one partition that follow each other there, with another after them.
fn neighbours(messages: &[OwnedMessage]) -> (usize, usize) {
    let events: Vec<usize> = (0..messages.len())
        .filter(|place| is_event(&messages[*place]))
        .collect();
    let three = events.windows(3).find(|three| {
        let partition = |place: usize| messages[place].partition();
        partition(three[0]) == partition(three[1]) && partition(three[1]) == partition(three[2])
    });
    let three = three.expect("a partition holds three events");
    (three[0], three[1])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intact_topic_is_the_log_over_any_range() {
    let (database, log, last) = carried(150).await;
    let report = verify(&database, EVERYTHING).await.unwrap();
    assert!(report.is_well(), "{report:?}");
    assert_eq!((report.from, report.through), (1, last));
    assert_eq!((report.events, report.complete_from), (150, 1));
    assert_eq!(report.repeated, report.records - 150 - report.watermarks);

    for (from, to, events) in [(1, 1, 1), (40, 90, 51), (last, last, 1), (100, last, 51)] {
        let range = Range {
            from: Some(from),
            to: Some(to),
        };
        let report = verify(&database, range).await.unwrap();
        assert!(report.is_well(), "{report:?}");
        assert_eq!(report.events, events);
    }
    let beyond = Range {
        from: None,
        to: Some(last + 1),
    };
    let refused = verify(&database, beyond).await;
    assert!(matches!(refused, Err(Error::NotCarried { mark, .. }) if mark == last));
    drop(log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_compared_while_the_relay_goes_on_and_repeats_itself() {
    let (database, log, _) = carried(40).await;
    resend(&database).await;
    let mut relay = Relay::start(&database).await;
    relay.reaches(40).await;
    let filling = tokio::spawn(async move { fill(&log, 300).await });
    while !filling.is_finished() {
        let report = verify(&database, EVERYTHING).await.unwrap();
        assert!(report.is_well(), "{report:?}");
        assert!(report.repeated >= 40 && report.through >= 40);
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_topic_lacks_is_found_whether_or_not_its_successor_knows_of_it() {
    let (database, log, _) = carried(100).await;
    let mut lost = Vec::new();
    rewritten(&log, |messages| {
        let (_, second) = neighbours(messages);
        let third = second + 1;
        // The one after it is made to name the one before it: nobody could tell from the topic alone.
        let before = header(&messages[second], "ce_predecessor").to_owned();
        messages[third] = with_header(&messages[third], "ce_predecessor", &before);
        lost.push(header(&messages.remove(second), "ce_position").to_owned());
    })
    .await;
    let report = verify(&database, EVERYTHING).await.unwrap();
    assert_eq!(counts(&report), [("missing", 1), ("different", 1)]);
    let found = report.missing.first[0].position.unwrap().to_string();
    assert_eq!(found, lost[0]);
    assert!(report.missing.first[0].what.contains("does not know"));
    assert_eq!(report.different.first[0].what, "header ce_predecessor");

    let (database, log, _) = carried(100).await;
    rewritten(&log, |messages| {
        let (_, second) = neighbours(messages);
        messages.remove(second);
    })
    .await;
    let report = verify(&database, EVERYTHING).await.unwrap();
    assert_eq!(counts(&report), [("missing", 1)]);
    assert!(report.missing.first[0].what.contains("names it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_a_moved_and_a_foreign_record_are_found() {
    let (database, log, last) = carried(100).await;
    let mut spoilt = Vec::new();
    rewritten(&log, |messages| {
        let changed = place(messages, 3);
        let payload = b"{\"n\" : 2}".to_vec();
        messages[changed] = messages[changed].clone().set_payload(Some(payload));
        let relabelled = place(messages, 4);
        messages[relabelled] = with_header(&messages[relabelled], "ce_actor", "bob");
        let (first, second) = neighbours(messages);
        messages.swap(first, second);
        spoilt.push(header(&messages[second], "ce_position").to_owned());
        let mut foreign = messages[place(messages, 5)].clone();
        foreign = foreign.replace_headers(None);
        messages.push(foreign);
        let beyond = messages[place(messages, 6)].clone();
        let position = (last + 1).to_string();
        messages.push(with_header(&beyond, "ce_position", &position));
    })
    .await;
    let report = verify(&database, EVERYTHING).await.unwrap();
    let found = counts(&report);
    assert_eq!(
        found,
        [
            ("extra", 1),
            ("different", 2),
            ("out of order", 1),
            ("foreign", 1)
        ],
        "{report:?}"
    );
    let mut what: Vec<&str> = report
        .different
        .first
        .iter()
        .map(|it| it.what.as_str())
        .collect();
    what.sort_unstable();
    assert_eq!(what, ["header ce_actor", "payload"]);
    let late = report.out_of_order.first[0].position.unwrap().to_string();
    assert_eq!(late, spoilt[0]);
    assert_eq!(report.extra.first[0].position, Some(last + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_has_removed_is_not_missed_and_the_report_says_from_where_the_topic_is_complete()
 {
    let (database, log, last) = carried(100).await;
    let topic = relay::topic(log.cell());
    let kept_from = {
        let messages = records(&topic);
        let (first, second) = neighbours(&messages);
        let mut before = TopicPartitionList::new();
        before
            .add_partition_offset(
                &topic,
                messages[second].partition(),
                Offset::Offset(messages[second].offset()),
            )
            .unwrap();
        admin()
            .delete_records(&before, &Default::default())
            .await
            .unwrap();
        header(&messages[first], "ce_position")
            .parse::<i64>()
            .unwrap()
            + 1
    };
    let report = verify(&database, EVERYTHING).await.unwrap();
    assert!(report.is_well() && report.removed > 0, "{report:?}");
    assert_eq!(report.complete_from, kept_from);

    let asked = |from| Range {
        from: Some(from),
        to: Some(last),
    };
    let report = verify(&database, asked(1)).await.unwrap();
    assert!(
        report.missing.count > 0,
        "asked for, and not there: {report:?}"
    );
    let report = verify(&database, asked(kept_from)).await.unwrap();
    assert!(
        report.is_well() && report.complete_from == kept_from,
        "{report:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_made_again_lacks_what_was_sent_before() {
    let (database, log, last) = carried(100).await;
    let topic = relay::topic(log.cell());
    admin()
        .delete_topics(&[&topic], &Default::default())
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(matches!(
        verify(&database, EVERYTHING).await,
        Err(Error::NoTopic { .. })
    ));
    let mut relay = Relay::start(&database).await;
    let head = fill(&log, 20).await;
    relay.reaches(head).await;
    relay.stop().await;
    let report = verify(&database, EVERYTHING).await.unwrap();
    assert_eq!(counts(&report), [("missing", 100)]);
    assert_eq!(report.complete_from, last + 1);
    let rest = Range {
        from: Some(report.complete_from),
        to: None,
    };
    assert!(verify(&database, rest).await.unwrap().is_well());
}

/// As after `foldline log new-epoch`, before the relay has begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_to_which_nothing_of_the_log_was_carried_is_not_said_to_be_the_log() {
    let (database, _log, _last) = carried(20).await;
    sqlx::raw_sql("delete from log.relay; update log.cell set epoch = gen_random_uuid()")
        .execute(&mut owner(&database).await)
        .await
        .unwrap();
    let refused = verify(&database, EVERYTHING).await.unwrap_err();
    assert!(
        matches!(
            refused,
            Error::NotCarried {
                position: 1,
                mark: 0
            }
        ),
        "{refused:?}"
    );
}
