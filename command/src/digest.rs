//! Keyed digests: of what a command asks for, by which the log tells a retry from a misused command id; and of what must
//! be unique, so that the names of reservations do not say what is reserved.

use chrono::{DateTime, Utc};
use foldline_domain::Command;
use foldline_events::{Tenant, Version};
use foldline_gate::Secret;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;
use uuid::Uuid;

/// The keys, derived once.
#[derive(Clone)]
pub(crate) struct Digest {
    inputs: [u8; 32],
    reservations: [u8; 32],
}

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
        Self {
            inputs: secret.derive("command input"),
            reservations: secret.derive("reservation"),
        }
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
        hmac(&self.inputs, &input).to_vec()
    }

    /// The id of the stream that says who has `value`, of which there is one per `kind` and tenant.
    pub(crate) fn reservation(&self, kind: &str, tenant: &Tenant, value: &str) -> Uuid {
        // None of the first two can hold a slash, so no two inputs are spelled the same.
        let hash = hmac(
            &self.reservations,
            format!("{kind}/{tenant}/{value}").as_bytes(),
        );
        let half = hash
            .first_chunk()
            .expect("a hash of 32 bytes begins with 16");
        uuid::Builder::from_custom_bytes(*half).into_uuid()
    }
}

fn hmac(key: &[u8; 32], input: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(input);
    mac.finalize().into_bytes().into()
}
