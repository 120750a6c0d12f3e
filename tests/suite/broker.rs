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
use foldline_schema::testing::TestDatabase;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};

use crate::{
    checks,
    load::Load,
    processes::{Role, Stack, TENANT, is_soak},
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
    let head = stored::head(url).await;
    stored::folded(url, head).await;
    let replayed = TestDatabase::empty().await;
    let _replay = stack.replay_into(&replayed).await;
    stored::folded(&replayed.url, head).await;
    let live = stored::rows(url, TENANT, &[]).await;
    let fresh = stored::rows(&replayed.url, TENANT, &[]).await;
    assert!(!acknowledged.is_empty() && !live.is_empty());
    let complaints = [
        checks::acknowledged_once(&acknowledged, &stored::events(url).await),
        checks::same_rows(&live, &fresh),
    ]
    .concat();
    assert_eq!(complaints, [""; 0]);
    drop(stack);
    server.stop().await.unwrap();
}
