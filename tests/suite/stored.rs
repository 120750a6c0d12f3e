//! What the processes left behind, read past them: the log, the topic, and the rows of the views.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use foldline_events::{Cursor, PARTITIONS};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::{BorrowedMessage, Headers},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use uuid::Uuid;

use crate::processes::{PATIENCE, setting, until};

/// How many views there are, each with a checkpoint per partition.
const VIEWS: i64 = 4;
const KAFKA_TIMEOUT: Duration = Duration::from_secs(30);

/// An event in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub position: i64,
    pub partition: i16,
    pub id: Uuid,
    /// `tenant/stream`.
    pub key: String,
    pub version: i64,
    pub command_id: Uuid,
    pub payload: String,
    pub attributes: Attributes,
    pub recorded_at: DateTime<Utc>,
}

/// An event's record in the topic; there may be several of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub partition: i16,
    pub position: i64,
    pub predecessor: i64,
    pub id: Uuid,
    pub key: String,
    pub payload: String,
    pub attributes: Attributes,
}

/// What log and topic say of an event beside its place and its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    pub epoch: Uuid,
    pub event_type: String,
    pub version: i64,
    pub schema_version: i16,
    pub actor: String,
    pub command_id: Uuid,
    pub occurred_at: DateTime<Utc>,
    pub recorded_at: DateTime<Utc>,
    pub tags: Vec<String>,
}

pub async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

/// The log's last position.
pub async fn head(url: &str) -> i64 {
    sqlx::query_scalar("select coalesce(max(position), 0) from log.events")
        .fetch_one(&mut connect(url).await)
        .await
        .unwrap()
}

/// A cursor to everything that is in the log.
pub async fn cursor_of_all(url: &str) -> String {
    let epoch = sqlx::query_scalar("select epoch from log.cell")
        .fetch_one(&mut connect(url).await)
        .await
        .unwrap();
    let position = head(url).await;
    let partition = None;
    Cursor {
        epoch,
        position,
        partition,
    }
    .to_string()
}

/// Waits until all views have folded all partitions up to there.
pub async fn folded(views_url: &str, position: i64) {
    until(&format!("views folded to {position}"), async || {
        let there: i64 = sqlx::query_scalar(
            "select count(*)
             from views.checkpoints
             join views.active using (view, version)
             where position >= $1",
        )
        .bind(position)
        .fetch_one(&mut connect(views_url).await)
        .await
        .ok()?;
        (there == VIEWS * i64::from(PARTITIONS)).then_some(())
    })
    .await;
}

/// Waits until the relay has carried everything up to there.
pub async fn relayed(url: &str, position: i64) {
    until(&format!("the relay at {position}"), async || {
        let mark: i64 = sqlx::query_scalar("select mark from log.relay")
            .fetch_optional(&mut connect(url).await)
            .await
            .ok()??;
        (mark >= position).then_some(())
    })
    .await;
}

/// The whole log, in order.
pub async fn events(url: &str) -> Vec<Event> {
    let rows = sqlx::query(
        "select
             position,
             partition,
             id,
             tenant || '/' || stream as key,
             version,
             command_id,
             payload::text as payload,
             recorded_at,
             (select epoch from log.cell) as epoch,
             type,
             schema_version,
             actor,
             occurred_at,
             tags
         from log.events
         order by position",
    )
    .fetch_all(&mut connect(url).await)
    .await
    .unwrap();
    let event = |row: sqlx::postgres::PgRow| Event {
        position: row.get("position"),
        partition: row.get("partition"),
        id: row.get("id"),
        key: row.get("key"),
        version: row.get("version"),
        command_id: row.get("command_id"),
        payload: row.get("payload"),
        attributes: Attributes {
            epoch: row.get("epoch"),
            event_type: row.get("type"),
            version: row.get("version"),
            schema_version: row.get("schema_version"),
            actor: row.get("actor"),
            command_id: row.get("command_id"),
            occurred_at: row.get("occurred_at"),
            recorded_at: row.get("recorded_at"),
            tags: row.get("tags"),
        },
        recorded_at: row.get("recorded_at"),
    };
    rows.into_iter().map(event).collect()
}

/// Every row of every view as text, without order; `without` names columns that are left out.
pub async fn rows(views_url: &str, tenant: &str, without: &[&str]) -> Vec<String> {
    let mut connection = connect(views_url).await;
    let tables: Vec<String> = sqlx::query_scalar(
        "select table_name::text
         from information_schema.tables
         where table_schema = 'views'
           and table_type = 'BASE TABLE'
           and table_name ~ '_v[0-9]+$'
         order by table_name",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(!tables.is_empty(), "there are views");
    let mut all = Vec::new();
    for table in tables {
        let found: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!(
            "select (to_jsonb(r) - $1)::text from views.{table} r where tenant = $2"
        )))
        .bind(without)
        .bind(tenant)
        .fetch_all(&mut connection)
        .await
        .unwrap();
        all.extend(found.into_iter().map(|row| format!("{table} {row}")));
    }
    all.sort_unstable();
    all
}

/// Every record of an event in the topic, in the topic's order by partition.
pub async fn records(topic: &str) -> Vec<Record> {
    let topic = topic.to_owned();
    let reading = tokio::task::spawn_blocking(move || read_topic(&topic));
    tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("the topic can be read")
        .unwrap()
}

/// A broker that has just made the topic may not lead all of its partitions yet.
fn watermarks(consumer: &BaseConsumer, topic: &str, partition: i32) -> (i64, i64) {
    let began = Instant::now();
    loop {
        match consumer.fetch_watermarks(topic, partition, KAFKA_TIMEOUT) {
            Ok(watermarks) => return watermarks,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn read_topic(topic: &str) -> Vec<Record> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", setting("KAFKA_BROKERS"))
        .set("group.id", format!("check-{topic}"))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "false")
        .create()
        .unwrap();
    let mut wanted = TopicPartitionList::new();
    let mut ends = BTreeMap::new();
    for partition in 0..i32::from(PARTITIONS) {
        let (low, high) = watermarks(&consumer, topic, partition);
        if high > low {
            wanted
                .add_partition_offset(topic, partition, Offset::Beginning)
                .unwrap();
            ends.insert(partition, high);
        }
    }
    consumer.assign(&wanted).unwrap();
    let mut records = Vec::new();
    while !ends.is_empty() {
        let message = consumer
            .poll(KAFKA_TIMEOUT)
            .expect("a record comes")
            .unwrap();
        records.extend(record(&message));
        let partition = message.partition();
        if ends
            .get(&partition)
            .is_some_and(|end| message.offset() + 1 >= *end)
        {
            ends.remove(&partition);
        }
    }
    records.sort_by_key(|record: &Record| record.partition);
    records
}

/// `None` for a watermark.
fn record(message: &BorrowedMessage<'_>) -> Option<Record> {
    let headers: BTreeMap<&str, String> = message
        .headers()?
        .iter()
        .map(|header| {
            let value = header.value.unwrap_or_default();
            (header.key, String::from_utf8(value.to_vec()).unwrap())
        })
        .collect();
    if headers["ce_type"] == "foldline.Watermark" {
        return None;
    }
    let text =
        |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
    Some(Record {
        partition: i16::try_from(message.partition()).unwrap(),
        position: headers["ce_position"].parse().unwrap(),
        predecessor: headers["ce_predecessor"].parse().unwrap(),
        id: headers["ce_id"].parse().unwrap(),
        key: text(message.key()),
        payload: text(message.payload()),
        attributes: Attributes {
            epoch: headers["ce_epoch"].parse().unwrap(),
            event_type: headers["ce_type"].clone(),
            version: headers["ce_streamversion"].parse().unwrap(),
            schema_version: headers["ce_schemaversion"].parse().unwrap(),
            actor: headers["ce_actor"].clone(),
            command_id: headers["ce_commandid"].parse().unwrap(),
            occurred_at: headers["ce_time"].parse().unwrap(),
            recorded_at: headers["ce_recordedtime"].parse().unwrap(),
            tags: headers.get("ce_tags").map_or(Vec::new(), |tags| {
                tags.split(' ').map(str::to_owned).collect()
            }),
        },
    })
}
