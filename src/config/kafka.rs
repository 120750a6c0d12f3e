//! Where Kafka is, for every role that reads or writes it.

use std::collections::BTreeMap;

use clap::Args;
use foldline_log::KafkaOptions;

#[derive(Args, Clone, Default)]
pub struct KafkaArgs {
    /// `host:port`, several separated by commas.
    #[arg(long, env = "KAFKA_BROKERS")]
    kafka_brokers: Option<String>,
    /// Further librdkafka properties: `name=value`, several separated by commas.
    #[arg(long, env = "KAFKA_PROPERTIES", hide_env_values = true)]
    kafka_properties: Option<String>,
}

impl KafkaArgs {
    pub(super) fn is_given(&self) -> bool {
        self.kafka_brokers.is_some()
    }

    pub(super) fn read(&self) -> Result<KafkaOptions, String> {
        let brokers = self
            .kafka_brokers
            .clone()
            .filter(|brokers| !brokers.trim().is_empty())
            .ok_or("KAFKA_BROKERS is not given")?;
        let mut properties = BTreeMap::new();
        for property in self
            .kafka_properties
            .iter()
            .flat_map(|list| list.split(','))
        {
            let (name, value) = property
                .split_once('=')
                .ok_or_else(|| format!("KAFKA_PROPERTIES: {property:?} is not name=value"))?;
            properties.insert(name.trim().to_owned(), value.trim().to_owned());
        }
        Ok(KafkaOptions {
            brokers,
            properties,
        })
    }
}
