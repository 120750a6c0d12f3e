//! What Kafka is told about an event, and how it is read back: CloudEvents 1.0 in binary mode, one header an attribute.
//!
//! The key is `tenant/stream`, the value the payload byte for byte. Beyond CloudEvents' own attributes each record
//! carries the epoch, the position, and the position of its predecessor in the partition. A consumer whose last
//! position is below a record's predecessor has a hole before it, and reads the hole from the log. Records at or
//! below what it has are repetitions. `docs/ARCHITECTURE.md` states the rule for consumers of others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
    time::Duration,
};

use chrono::{DateTime, SecondsFormat, Utc};
use foldline_events::{PARTITIONS, Partition, Position, Recorded, Tenant};
use rdkafka::{
    ClientConfig, Message,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, Headers, OwnedHeaders},
    producer::{DeliveryFuture, FutureProducer, FutureRecord},
};
use uuid::Uuid;

use crate::{Error, Mark};

/// The type of the records that say "nothing else up to here" in a partition. They carry no event.
const WATERMARK_TYPE: &str = "foldline.Watermark";

/// How many headers a record has at most.
const HEADERS_MAX: usize = 20;

/// How long clients wait for a topic that the brokers do not know: long enough for a new one to become known to all of
/// them, short enough for one that was deleted to be made again soon.
pub(crate) const TOPIC_UNKNOWN_MS_MAX: &str = "2000";

/// How long an administrative request to the brokers may take.
const ADMIN_TIMEOUT_MS: u64 = 10_000;

/// How to reach Kafka.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// Further librdkafka properties. This build has no TLS towards Kafka.
    pub properties: BTreeMap<String, String>,
}

impl KafkaOptions {
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }
}

/// The topic of a cell's events.
pub fn topic_of(cell: &str) -> String {
    format!("foldline.{cell}.events")
}

/// Whether the topic was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    Made,
    Found,
}

/// Makes sure that the topic is there and has our partitions.
///
/// # Errors
/// [`Error::TopicPartitions`] when somebody made it with another count: streams would lie in other partitions.
pub(crate) async fn ensure_topic(options: &KafkaOptions, topic: &str) -> Result<Topic, Error> {
    let doing = || format!("creating topic {topic}");
    let admin: AdminClient<DefaultClientContext> =
        options.client().create().map_err(|source| Error::Kafka {
            doing: doing(),
            source,
        })?;
    let timeout = Duration::from_millis(ADMIN_TIMEOUT_MS);
    let wanted = NewTopic::new(topic, i32::from(PARTITIONS), TopicReplication::Fixed(-1));
    let made = admin
        .create_topics(
            [&wanted],
            &AdminOptions::new()
                .operation_timeout(Some(timeout))
                .request_timeout(Some(timeout)),
        )
        .await
        .map_err(|source| Error::Kafka {
            doing: doing(),
            source,
        })?;
    let mut state = Topic::Made;
    for result in made {
        match result {
            Ok(_) => {}
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => state = Topic::Found,
            Err((_, code)) => {
                let source = KafkaError::AdminOp(code);
                return Err(Error::Kafka {
                    doing: doing(),
                    source,
                });
            }
        }
    }
    let found = partition_count(admin, topic.to_owned(), timeout).await?;
    let needed = usize::from(PARTITIONS.unsigned_abs());
    // A topic made a moment ago may not have reached the broker that answers; 0 means "not known yet".
    if found != 0 && found != needed {
        return Err(Error::TopicPartitions {
            topic: topic.to_owned(),
            found,
            needed,
        });
    }
    Ok(state)
}

async fn partition_count(
    admin: AdminClient<DefaultClientContext>,
    topic: String,
    timeout: Duration,
) -> Result<usize, Error> {
    let name = topic.clone();
    let metadata =
        tokio::task::spawn_blocking(move || admin.inner().fetch_metadata(Some(&name), timeout))
            .await
            .expect("asking for metadata does not panic")
            .map_err(|source| Error::Kafka {
                doing: format!("asking for the partitions of {topic}"),
                source,
            })?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    Ok(found.map_or(0, |found| found.partitions().len()))
}

/// A record as it is produced.
pub(crate) struct Outgoing<'a> {
    topic: &'a str,
    partition: Partition,
    key: String,
    payload: &'a str,
    headers: OwnedHeaders,
    /// Milliseconds since 1970, so that Kafka's own time look-ups agree with `recordedAt`.
    timestamp_ms: Option<i64>,
}

impl<'a> Outgoing<'a> {
    pub(crate) fn event(
        topic: &'a str,
        epoch: Uuid,
        event: &'a Recorded,
        predecessor: Position,
    ) -> Self {
        let mut headers = HeaderWriter::new()
            .text("ce_specversion", "1.0")
            .write("ce_id", event.id)
            .write("ce_source", format_args!("/foldline/{}", event.tenant))
            .text("ce_type", &event.event_type)
            .text("ce_subject", &event.stream)
            .text("ce_time", &time(event.occurred_at))
            .text("content-type", "application/json")
            .write("ce_epoch", epoch)
            .write("ce_position", event.position)
            .write("ce_predecessor", predecessor)
            .text("ce_tenant", event.tenant.as_str())
            .write("ce_streamversion", event.version)
            .write("ce_schemaversion", event.schema_version)
            .text("ce_recordedtime", &time(event.recorded_at))
            .text("ce_actor", &event.actor)
            .write("ce_commandid", event.command_id)
            .write("ce_correlationid", event.correlation_id)
            .write("ce_causationid", event.causation_id);
        if !event.tags.is_empty() {
            headers = headers.text("ce_tags", &event.tags.join(" "));
        }
        if let Some(trace_context) = &event.trace_context {
            headers = headers.text("ce_traceparent", trace_context);
        }
        Self {
            topic,
            partition: event.partition,
            key: format!("{}/{}", event.tenant, event.stream),
            payload: &event.payload,
            headers: headers.headers,
            timestamp_ms: Some(event.recorded_at.timestamp_millis()),
        }
    }

    pub(crate) fn watermark(
        topic: &'a str,
        epoch: Uuid,
        partition: Partition,
        mark: Mark,
        predecessor: Position,
    ) -> Self {
        let id = format!("{}-{}-{partition}", epoch.simple(), mark.position);
        let headers = HeaderWriter::new()
            .text("ce_specversion", "1.0")
            .text("ce_id", &id)
            .text("ce_source", "/foldline")
            .text("ce_type", WATERMARK_TYPE)
            .write("ce_epoch", epoch)
            .write("ce_position", mark.position)
            .write("ce_predecessor", predecessor)
            .write("ce_markid", mark.event_id);
        Self {
            topic,
            partition,
            key: String::new(),
            payload: "",
            headers: headers.headers,
            timestamp_ms: None,
        }
    }

    /// Hands it to the producer, which copies it.
    pub(crate) fn produce(self, producer: &FutureProducer) -> Result<DeliveryFuture, KafkaError> {
        let mut record: FutureRecord<'_, str, str> = FutureRecord::to(self.topic)
            .partition(i32::from(self.partition))
            .headers(self.headers)
            .key(self.key.as_str())
            .payload(self.payload);
        record.timestamp = self.timestamp_ms;
        producer
            .send_result(record)
            .map_err(|(source, _record)| source)
    }

    /// Names what of a record is not as this one would be produced: its key, its payload, its time, its headers.
    pub(crate) fn differences(&self, found: &impl Message) -> Vec<String> {
        let mut differing = Vec::new();
        if found.partition() != i32::from(self.partition) {
            differing.push("partition".to_owned());
        }
        if found.key() != Some(self.key.as_bytes()) {
            differing.push("key".to_owned());
        }
        if found.payload() != Some(self.payload.as_bytes()) {
            differing.push("payload".to_owned());
        }
        if found.timestamp().to_millis() != self.timestamp_ms {
            differing.push("timestamp".to_owned());
        }
        let wanted: BTreeMap<&str, Option<&[u8]>> = pairs(&self.headers);
        let present = found.headers().map(pairs).unwrap_or_default();
        let names: BTreeSet<&str> = wanted.keys().chain(present.keys()).copied().collect();
        let differs = |name: &&str| wanted.get(name) != present.get(name);
        let headers = names.into_iter().filter(differs);
        differing.extend(headers.map(|name| format!("header {name}")));
        differing
    }
}

fn pairs(headers: &impl Headers) -> BTreeMap<&str, Option<&[u8]>> {
    let headers = headers.iter();
    headers.map(|header| (header.key, header.value)).collect()
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Headers, written one after another. A record has many, and the relay does little else, so none costs a text of its own.
struct HeaderWriter {
    headers: OwnedHeaders,
    written: String,
}

impl HeaderWriter {
    fn new() -> Self {
        Self {
            headers: OwnedHeaders::new_with_capacity(HEADERS_MAX),
            written: String::new(),
        }
    }

    fn text(self, key: &str, value: &str) -> Self {
        let value = Some(value);
        Self {
            headers: self.headers.insert(Header { key, value }),
            ..self
        }
    }

    fn write(mut self, key: &str, value: impl fmt::Display) -> Self {
        let mut written = std::mem::take(&mut self.written);
        written.clear();
        write!(written, "{value}").expect("a String takes everything");
        let headers = self.text(key, &written).headers;
        Self { headers, written }
    }
}

/// A record as it is read back.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) partition: Partition,
    pub(crate) offset: i64,
    pub(crate) epoch: Uuid,
    pub(crate) predecessor: Position,
    /// How far the partition is complete with this record.
    pub(crate) through: Mark,
    /// None for a watermark.
    pub(crate) event: Option<Recorded>,
}

impl Incoming {
    pub(crate) fn read(message: &impl Message) -> Result<Self, Error> {
        Self::parse(message).map_err(|problem| Error::ForeignRecord {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            problem,
        })
    }

    fn parse(message: &impl Message) -> Result<Self, String> {
        let attributes = Attributes::of(message)?;
        let partition =
            Partition::try_from(message.partition()).map_err(|error| error.to_string())?;
        let position = attributes.parse("ce_position")?;
        let is_watermark = attributes.text("ce_type")? == WATERMARK_TYPE;
        let id = attributes.parse(if is_watermark { "ce_markid" } else { "ce_id" })?;
        let event = if is_watermark {
            None
        } else {
            let payload = message.payload().unwrap_or_default();
            let payload = String::from_utf8(payload.to_vec()).map_err(|error| error.to_string())?;
            Some(attributes.event(position, partition, id, payload)?)
        };
        Ok(Self {
            partition,
            offset: message.offset(),
            epoch: attributes.parse("ce_epoch")?,
            predecessor: attributes.parse("ce_predecessor")?,
            through: Mark {
                position,
                event_id: id,
            },
            event,
        })
    }
}

struct Attributes<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Attributes<'a> {
    fn of(message: &'a impl Message) -> Result<Self, String> {
        let headers = message.headers().ok_or("it has no headers")?;
        let mut attributes = BTreeMap::new();
        for header in headers.iter() {
            let value = std::str::from_utf8(header.value.unwrap_or_default())
                .map_err(|error| format!("header {}: {error}", header.key))?;
            attributes.insert(header.key, value);
        }
        Ok(Self(attributes))
    }

    fn text(&self, name: &str) -> Result<&'a str, String> {
        self.0
            .get(name)
            .copied()
            .ok_or_else(|| format!("header {name} is missing"))
    }

    fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<T, String> {
        self.text(name)?
            .parse()
            .map_err(|error| format!("header {name}: {error}"))
    }

    fn event(
        &self,
        position: Position,
        partition: Partition,
        id: Uuid,
        payload: String,
    ) -> Result<Recorded, String> {
        Ok(Recorded {
            position,
            partition,
            id,
            tenant: Tenant::parse(self.text("ce_tenant")?).map_err(|error| error.to_string())?,
            stream: self.text("ce_subject")?.to_owned(),
            version: self.parse("ce_streamversion")?,
            event_type: self.text("ce_type")?.to_owned(),
            schema_version: self.parse("ce_schemaversion")?,
            payload,
            tags: match self.text("ce_tags") {
                Ok(tags) => tags.split(' ').map(str::to_owned).collect(),
                Err(_) => Vec::new(),
            },
            actor: self.text("ce_actor")?.to_owned(),
            command_id: self.parse("ce_commandid")?,
            correlation_id: self.parse("ce_correlationid")?,
            causation_id: self.parse("ce_causationid")?,
            trace_context: self.text("ce_traceparent").ok().map(str::to_owned),
            occurred_at: self.parse("ce_time")?,
            recorded_at: self.parse("ce_recordedtime")?,
        })
    }
}
