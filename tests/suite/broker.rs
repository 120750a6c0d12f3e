//! Kafka is away for a while, loses everything, loses the topic: views catch up by themselves.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use foldline_local::{
    Lifetime,
    kafka::{KafkaOptions, KafkaServer},
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};

use crate::{
    checks,
    load::Load,
    processes::{Role, Stack, is_soak},
    stored,
};

const CLIENTS: u64 = 4;

async fn kafka(data: &Path, broker_port: Option<u16>) -> KafkaServer {
    let options = KafkaOptions {
        data: data.to_owned(),
        broker_port,
        lifetime: Lifetime::DiesWithUs,
    };
    KafkaServer::start(options).await.unwrap()
}

async fn delete_topic(brokers: &str, topic: &str) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .unwrap();
    let deleted = admin
        .delete_topics(&[topic], &AdminOptions::new())
        .await
        .unwrap();
    deleted.into_iter().for_each(|topic| {
        topic.unwrap();
    });
}

/// All that is in the log now becomes rows.
async fn catches_up(stack: &Stack, after: &str) {
    let began = Instant::now();
    let url = &stack.database.url;
    stored::folded(url, stored::head(url).await).await;
    eprintln!(
        "{after}: caught up after {:.1} s",
        began.elapsed().as_secs_f64()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn views_catch_up_after_kafka_was_away_after_it_lost_everything_and_after_the_topic_was_deleted()
 {
    let folder = foldline_local::temporary_folder().unwrap();
    let data = folder.path().join("kafka");
    let mut server = kafka(&data, None).await;
    let (brokers, port) = (server.brokers(), server.broker_port());
    let mut stack = Stack::over(brokers.clone()).await;
    for role in [Role::Command, Role::Relay, Role::Projector] {
        stack.start(role).await;
    }
    let load = Load::start(&stack.client().await, CLIENTS, 7);
    catches_up(&stack, "at the start").await;
    let away = Duration::from_secs(if is_soak() { 60 } else { 2 });
    for after in ["away", "wiped"] {
        server.stop().await.unwrap();
        if after == "wiped" {
            fs::remove_dir_all(&data).unwrap();
        }
        tokio::time::sleep(away).await;
        server = kafka(&data, Some(port)).await;
        catches_up(&stack, after).await;
    }
    delete_topic(&brokers, &stack.topic).await;
    catches_up(&stack, "topic deleted").await;

    let acknowledged = load.finish().await;
    let url = &stack.database.url;
    assert!(!acknowledged.is_empty());
    let recorded = stored::events(url).await;
    assert_eq!(checks::acknowledged_once(&acknowledged, &recorded), [""; 0]);
    stack.has_the_rows_of_a_replay(url).await;
    drop(stack);
    server.stop().await.unwrap();
}
