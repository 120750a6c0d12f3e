use std::fs;
use std::path::Path;

use foldline_local::kafka::{KafkaOptions, KafkaServer};
use foldline_local::{Error, Lifetime, temporary_folder};
use tokio::net::TcpStream;

use crate::is_alive;

fn options(data: &Path) -> KafkaOptions {
    KafkaOptions {
        data: data.to_owned(),
        broker_port: None,
        lifetime: Lifetime::DiesWithUs,
    }
}

/// The line of the formatted storage that no two clusters share.
fn cluster_id(data: &Path) -> String {
    let meta = fs::read_to_string(data.join("storage/meta.properties")).unwrap();
    meta.lines()
        .find(|line| line.starts_with("cluster.id="))
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn kafka_keeps_its_data_and_its_port_over_kill_9_and_starts_afresh_when_wiped() {
    let folder = temporary_folder().unwrap();
    let data = folder.path().join("kafka");
    let server = KafkaServer::start(options(&data)).await.unwrap();
    let (first, brokers, killed) = (cluster_id(&data), server.brokers(), server.pid());
    TcpStream::connect(&brokers).await.unwrap();
    server.kill().await.unwrap();
    assert!(!is_alive(killed));

    let server = KafkaServer::start(options(&data)).await.unwrap();
    assert_eq!(
        (cluster_id(&data), server.brokers()),
        (first.clone(), brokers)
    );
    let port = server.broker_port();
    server.kill().await.unwrap();

    fs::remove_dir_all(&data).unwrap();
    let server = KafkaServer::start(KafkaOptions {
        broker_port: Some(port),
        ..options(&data)
    })
    .await
    .unwrap();
    assert_ne!(cluster_id(&data), first);
    assert_eq!(server.broker_port(), port);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_kafka_left_running_is_replaced_and_a_used_folder_refused() {
    let folder = temporary_folder().unwrap();
    let data = folder.path().join("kafka");
    let outliving = KafkaOptions {
        lifetime: Lifetime::OutlivesUs,
        ..options(&data)
    };
    let left = KafkaServer::start(outliving).await.unwrap();
    let orphan = left.pid();
    // What a kill of ours would leave: a node that runs, and a free lock.
    drop(left);

    let server = KafkaServer::start(options(&data)).await.unwrap();
    assert!(!is_alive(orphan));
    let refused = KafkaServer::start(options(&data)).await.unwrap_err();
    assert!(matches!(refused, Error::FolderInUse { .. }), "{refused}");
    server.stop().await.unwrap();
}
