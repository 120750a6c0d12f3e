//! The node's `server.properties`, written at every start.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, port};

const BROKER_KEY: &str = "# broker.port=";
const CONTROLLER_KEY: &str = "# controller.port=";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) broker: u16,
    pub(super) controller: u16,
}

impl Ports {
    /// Those of the last start where they are free: clients look for the broker where it was.
    pub(super) fn choose(asked: Option<u16>, data: &Path) -> Result<Self, Error> {
        let last = fs::read_to_string(file_in(data)).ok();
        let last = |key| {
            last.as_deref()
                .and_then(|text| port_after(text, key))
                .filter(|port| port::is_free(*port))
        };
        let broker = match asked.or_else(|| last(BROKER_KEY)) {
            Some(broker) => port::choose(Some(broker))?,
            None => port::free()?,
        };
        let controller = last(CONTROLLER_KEY).filter(|controller| *controller != broker);
        let controller = controller.map_or_else(port::free, Ok)?;
        Ok(Self { broker, controller })
    }
}

pub(super) struct Properties {
    pub(super) file: PathBuf,
    pub(super) storage: PathBuf,
    pub(super) ports: Ports,
}

impl Properties {
    pub(super) fn write(data: &Path, ports: Ports) -> Result<Self, Error> {
        let file = file_in(data);
        let storage = data.join("storage");
        fs::write(&file, text(&storage, ports)).map_err(Error::folder("write", &file))?;
        Ok(Self {
            file,
            storage,
            ports,
        })
    }
}

pub(super) fn file_in(data: &Path) -> PathBuf {
    data.join("server.properties")
}

fn port_after(text: &str, key: &str) -> Option<u16> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
}

/// Whoever needs a topic creates it, with the partitions it needs: a typing error must not. One node keeps one copy.
///
/// After a kill the controller takes the broker back only when it has given up the one before, which with the default
/// session of 9 s made every restart take 12 s.
fn text(storage: &Path, Ports { broker, controller }: Ports) -> String {
    // A backslash begins an escape in this format.
    let storage = storage.to_string_lossy().replace('\\', "\\\\");
    format!(
        "\
{BROKER_KEY}{broker}
{CONTROLLER_KEY}{controller}
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=BROKER://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=BROKER://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs={storage}
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
"
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{BROKER_KEY, CONTROLLER_KEY, Ports, port_after, text};

    #[test]
    fn the_ports_of_the_last_start_are_read_back() {
        let text = text(
            Path::new("/data"),
            Ports {
                broker: 15_001,
                controller: 15_002,
            },
        );
        assert_eq!(port_after(&text, BROKER_KEY), Some(15_001));
        assert_eq!(port_after(&text, CONTROLLER_KEY), Some(15_002));
        assert_eq!(port_after("", BROKER_KEY), None);
    }
}
