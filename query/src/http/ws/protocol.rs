//! The messages and close codes of graphql-transport-ws.
//!
//! Source: <https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>.

use std::borrow::Cow;

use async_graphql::{Response, ServerError, Value};
use axum::extract::ws::{CloseFrame, Message};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// What a client selects when it opens the socket.
pub const SUBPROTOCOL: &str = "graphql-transport-ws";

/// From the client.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromClient {
    ConnectionInit { payload: Option<Json> },
    Ping { payload: Option<Json> },
    Pong {},
    Subscribe { id: String, payload: Json },
    Complete { id: String },
}

/// To the client.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToClient<'a> {
    ConnectionAck {},
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<Json>,
    },
    Next {
        id: &'a str,
        payload: Next<'a>,
    },
    /// The operation was refused, or ended in errors; nothing follows under this id.
    Error {
        id: &'a str,
        payload: &'a [ServerError],
    },
    Complete {
        id: &'a str,
    },
}

/// One result.
#[derive(Debug, Serialize)]
pub struct Next<'a> {
    data: &'a Value,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ServerError],
    extensions: &'a std::collections::BTreeMap<String, Value>,
}

/// Why the server closes the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Close {
    /// A message that the protocol does not have.
    BadMessage(String),
    /// An operation before the connection was acknowledged.
    Unauthorized,
    /// The token is not good, or no longer. Not 4401: clients take that as final, and after this code they come back,
    /// with a new token if they have one.
    Forbidden(String),
    NotAcceptable,
    InitTimeout,
    SubscriberExists(String),
    TooManyInits,
    GoingAway,
}

impl Close {
    pub fn code(&self) -> u16 {
        match self {
            Self::BadMessage(_) => 4400,
            Self::Unauthorized => 4401,
            Self::Forbidden(_) => 4403,
            Self::NotAcceptable => 4406,
            Self::InitTimeout => 4408,
            Self::SubscriberExists(_) => 4409,
            Self::TooManyInits => 4429,
            Self::GoingAway => 1001,
        }
    }

    /// The reason phrases are the protocol's own where it has one.
    fn reason(&self) -> Cow<'static, str> {
        match self {
            Self::BadMessage(problem) => format!("Invalid message: {problem}").into(),
            Self::Unauthorized => "Unauthorized".into(),
            Self::Forbidden(problem) => format!("Forbidden: {problem}").into(),
            Self::NotAcceptable => "Subprotocol not acceptable".into(),
            Self::InitTimeout => "Connection initialisation timeout".into(),
            Self::SubscriberExists(id) => format!("Subscriber for {id} already exists").into(),
            Self::TooManyInits => "Too many initialisation requests".into(),
            Self::GoingAway => "The service is shutting down".into(),
        }
    }

    pub fn message(&self) -> Message {
        /// A close frame carries at most 123 bytes of reason (RFC 6455, 5.5).
        const REASON_BYTES_MAX: usize = 123;
        let reason = self.reason();
        let mut end = reason.len().min(REASON_BYTES_MAX);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        Message::Close(Some(CloseFrame {
            code: self.code(),
            reason: reason[..end].into(),
        }))
    }
}

impl FromClient {
    pub fn read(message: &Message) -> Result<Option<Self>, Close> {
        match message {
            Message::Text(text) => serde_json::from_str(text)
                .map(Some)
                .map_err(|error| Close::BadMessage(error.to_string())),
            Message::Binary(_) => Err(Close::BadMessage("binary".to_owned())),
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Ok(None),
        }
    }
}

impl<'a> ToClient<'a> {
    pub fn next(id: &'a str, response: &'a Response) -> Self {
        Self::Next {
            id,
            payload: Next {
                data: &response.data,
                errors: &response.errors,
                extensions: &response.extensions,
            },
        }
    }

    pub fn message(&self) -> Message {
        let text =
            serde_json::to_string(self).expect("text, numbers and lists of them can be written");
        Message::Text(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_reason_fits_its_frame() {
        let Message::Close(Some(frame)) = Close::BadMessage("ä".repeat(200)).message() else {
            panic!("a close is a close frame");
        };
        assert!(frame.reason.len() <= 123);
        assert_eq!(frame.code, 4400);
    }

    #[test]
    fn an_acknowledgement_has_no_payload() {
        let Message::Text(text) = ToClient::ConnectionAck {}.message() else {
            panic!("messages are text");
        };
        assert_eq!(text.as_str(), r#"{"type":"connection_ack"}"#);
    }
}
