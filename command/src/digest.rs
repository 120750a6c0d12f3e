//! A keyed digest of what a command asks for, by which the log tells a retry from a misused command id.

use chrono::{DateTime, Utc};
use foldline_domain::Command;
use foldline_events::Version;
use foldline_gate::Secret;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;
use uuid::Uuid;

/// The key, derived once.
#[derive(Clone)]
pub(crate) struct Digest([u8; 32]);

/// In this order for ever: retries arrive across upgrades.
#[derive(Serialize)]
struct Input<'a> {
    command_type: &'a str,
    aggregate: Uuid,
    data: &'a str,
    at: Option<DateTime<Utc>>,
    expected_version: Option<Version>,
}

impl Digest {
    pub(crate) fn new(secret: &Secret) -> Self {
        Self(secret.derive("command input"))
    }

    pub(crate) fn of(
        &self,
        command: &Command,
        aggregate: Uuid,
        at: Option<DateTime<Utc>>,
        expected_version: Option<Version>,
    ) -> Vec<u8> {
        let input = Input {
            command_type: command.context_type(),
            aggregate,
            data: &command.canonical_data(),
            at,
            expected_version,
        };
        let input = serde_json::to_vec(&input).expect("text, numbers and times are JSON");
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(&input);
        mac.finalize().into_bytes().to_vec()
    }
}
