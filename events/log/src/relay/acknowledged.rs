//! What Kafka says of records that were produced, and whether they are still there.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use foldline_events::PARTITIONS;
use futures_util::{FutureExt, future::BoxFuture};
use rdkafka::{
    error::KafkaError,
    producer::{DeliveryFuture, FutureProducer, Producer},
};
use tokio::{sync::watch, time::Instant};

use super::RelayStatus;
use crate::Error;

/// How long Kafka may take to acknowledge before the relay says that it is stuck. It goes on waiting.
const STUCK_AFTER_MS: u64 = 5_000;
/// How long the brokers may take to say whether the topic is there.
const TOPIC_TIMEOUT_MS: u64 = 5_000;

/// Where a record came to lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivered {
    partition: i32,
    offset: i64,
}

/// Waits until some records are acknowledged, however long Kafka is away, and says so when it takes long. Not to be polled
/// again after it was ready.
pub(super) struct Acknowledging(BoxFuture<'static, Result<Option<Delivered>, Error>>);

impl Acknowledging {
    pub(super) fn of(deliveries: Vec<DeliveryFuture>, status: &watch::Sender<RelayStatus>) -> Self {
        Self(patiently(deliveries, status.clone()).boxed())
    }
}

impl Future for Acknowledging {
    type Output = Result<Option<Delivered>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_unpin(context)
    }
}

async fn patiently(
    deliveries: Vec<DeliveryFuture>,
    status: watch::Sender<RelayStatus>,
) -> Result<Option<Delivered>, Error> {
    let count = deliveries.len();
    let began = Instant::now();
    let mut acknowledged = pin!(acknowledged(deliveries));
    let patience = Duration::from_millis(STUCK_AFTER_MS);
    loop {
        if let Ok(ended) = tokio::time::timeout(patience, &mut acknowledged).await {
            status.send_if_modified(|status| status.failure.take().is_some());
            return ended;
        }
        let seconds = began.elapsed().as_secs();
        let mark = status.borrow().mark;
        tracing::warn!(count, seconds, mark, "kafka acknowledges nothing");
        status.send_modify(|status| {
            let failure = format!("Kafka has acknowledged none of {count} records for {seconds} s");
            status.failure = Some(failure);
        });
    }
}

/// Waits for every delivery report; the first failure is the answer, else the last report.
async fn acknowledged(deliveries: Vec<DeliveryFuture>) -> Result<Option<Delivered>, Error> {
    let mut last = None;
    for delivery in deliveries {
        match delivery.await {
            Ok(Ok(delivered)) => {
                last = Some(Delivered {
                    partition: delivered.partition,
                    offset: delivered.offset,
                });
            }
            Ok(Err((source, _record))) => return Err(producing(source)),
            Err(_cancelled) => return Err(producing(KafkaError::Canceled)),
        }
    }
    Ok(last)
}

pub(super) fn producing(source: KafkaError) -> Error {
    Error::Kafka {
        doing: "producing".to_owned(),
        source,
    }
}

/// Whether the topic has our partitions, and the record that was delivered to it.
pub(super) fn is_there(
    producer: &FutureProducer,
    topic: &str,
    delivered: Option<Delivered>,
) -> Result<bool, KafkaError> {
    let timeout = Duration::from_millis(TOPIC_TIMEOUT_MS);
    let client = producer.client();
    let metadata = client.fetch_metadata(Some(topic), timeout)?;
    let known = metadata.topics().iter().find(|known| known.name() == topic);
    let partitions = known.map_or(0, |known| known.partitions().len());
    if partitions != usize::from(PARTITIONS.unsigned_abs()) {
        return Ok(false);
    }
    let Some(delivered) = delivered else {
        return Ok(true);
    };
    let (_, end) = client.fetch_watermarks(topic, delivered.partition, timeout)?;
    Ok(end > delivered.offset)
}
