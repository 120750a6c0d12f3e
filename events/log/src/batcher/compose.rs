//! Which of the waiting appends share the next batch.

use std::collections::{HashSet, VecDeque};

use uuid::Uuid;

use super::Request;
use crate::Append;

/// How many appends share a batch at most.
const BATCH_APPENDS_MAX: usize = 1_000;
/// How many bytes of payload share a batch at most; one append may exceed it alone.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Takes the next batch from those waiting, in their order, leaving behind each append that touches an earlier one,
/// whether that one is in the batch or was left behind itself.
pub(super) fn compose(waiting: &mut VecDeque<Request>) -> Vec<Request> {
    let mut touched = Touched::default();
    let mut batch = Vec::new();
    let mut left = VecDeque::new();
    let mut bytes = 0;
    while let Some(request) = waiting.pop_front() {
        let size = payload_bytes(&request.append);
        let full = batch.len() >= BATCH_APPENDS_MAX
            || (bytes + size > BATCH_BYTES_MAX && !batch.is_empty());
        if full {
            left.push_back(request);
            break;
        }
        let apart = touched.is_apart_from(&request.append);
        touched.add(&request.append);
        if apart {
            bytes += size;
            batch.push(request);
        } else {
            left.push_back(request);
        }
    }
    left.append(waiting);
    *waiting = left;
    batch
}

fn payload_bytes(append: &Append) -> usize {
    let events = append.writes.iter().flat_map(|write| &write.events);
    events.map(|event| event.encoded.payload.len()).sum()
}

/// What the appends so far read or write; each key with its tenant and kind.
#[derive(Default)]
struct Touched {
    streams_and_commands: HashSet<(String, String)>,
    tags_written: HashSet<(String, String)>,
}

impl Touched {
    fn is_apart_from(&self, append: &Append) -> bool {
        let tenant = append.tenant.as_str();
        let key = |name: &str| (tenant.to_owned(), name.to_owned());
        let streams_apart = append
            .writes
            .iter()
            .all(|write| !self.streams_and_commands.contains(&key(&write.stream)));
        let command_apart = !self
            .streams_and_commands
            .contains(&key(&command_key(append.command_id)));
        let guards_apart = append
            .guards
            .iter()
            .all(|guard| !self.tags_written.contains(&key(&guard.tag)));
        streams_apart && command_apart && guards_apart
    }

    fn add(&mut self, append: &Append) {
        let tenant = append.tenant.as_str();
        let key = |name: &str| (tenant.to_owned(), name.to_owned());
        self.streams_and_commands
            .insert(key(&command_key(append.command_id)));
        for write in &append.writes {
            self.streams_and_commands.insert(key(&write.stream));
            for tag in write.events.iter().flat_map(|event| &event.encoded.tags) {
                self.tags_written.insert(key(tag));
            }
        }
    }
}

/// A colon cannot begin a stream's name, so the two kinds of key never meet.
fn command_key(command_id: Uuid) -> String {
    format!(":{}", command_id.simple())
}
