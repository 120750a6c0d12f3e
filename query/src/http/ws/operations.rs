//! The operations that run on one WebSocket.

use std::{collections::HashMap, future::pending};

use async_graphql::{Response, ServerError};
use axum::extract::ws::Message;
use futures_util::{
    StreamExt,
    stream::{self, AbortHandle, BoxStream, SelectAll},
};

use super::protocol::{Close, ToClient};
use crate::{
    ask::{Ask, Asker},
    error,
    http::document::{Parameters, Prepared},
    state::QueryState,
};

/// How many operations one connection may have at a time.
pub const OPERATIONS_PER_CONNECTION_MAX: usize = 100;

/// What an operation's stream brings.
enum Event {
    Result(Box<Response>),
    End,
}

/// One that runs. The number tells it from an earlier one under the same id.
struct Running {
    number: u64,
    stop: AbortHandle,
}

/// The operations of one connection, and their results in the order in which they come.
pub struct Operations {
    state: QueryState,
    asker: Asker,
    running: HashMap<String, Running>,
    begun: u64,
    results: SelectAll<BoxStream<'static, (String, u64, Event)>>,
}

impl Operations {
    pub fn new(state: QueryState, asker: Asker) -> Self {
        Self {
            state,
            asker,
            running: HashMap::new(),
            begun: 0,
            results: SelectAll::new(),
        }
    }

    /// Begins an operation; gives the message that refuses it, when its document is bad.
    pub fn begin(
        &mut self,
        id: String,
        payload: serde_json::Value,
    ) -> Result<Option<Message>, Close> {
        if self.running.contains_key(&id) {
            return Err(Close::SubscriberExists(id));
        }
        if self.running.len() >= OPERATIONS_PER_CONNECTION_MAX {
            let message = format!(
                "a connection has at most {OPERATIONS_PER_CONNECTION_MAX} operations at a time"
            );
            return Ok(Some(refusal(&id, &message, "TOO_MANY_OPERATIONS")));
        }
        let parameters = Parameters::of_json(payload).and_then(Parameters::prepare);
        match parameters
            .map_err(|problem| Close::BadMessage(problem.detail.unwrap_or(problem.title)))?
        {
            Ok(prepared) => {
                self.run(id, prepared);
                Ok(None)
            }
            Err(error) => {
                let payload = &[error];
                Ok(Some(ToClient::Error { id: &id, payload }.message()))
            }
        }
    }

    fn run(&mut self, id: String, prepared: Prepared) {
        let ask = Ask::new(&self.state, &self.asker);
        let request = prepared.request.data(ask.clone());
        let shape = prepared.shape;
        let results = self
            .state
            .schema
            .execute_stream(request)
            .map(move |response| {
                let response = error::answered(response);
                let response = if error::is_request_error(&response) {
                    response
                } else {
                    shape.shaped(response)
                };
                let response = response.extension("foldline", ask.extension());
                Event::Result(Box::new(response))
            });
        self.begun += 1;
        let number = self.begun;
        let (results, stop) = stream::abortable(results);
        let named = id.clone();
        let events = results
            .chain(stream::once(async { Event::End }))
            .map(move |event| (named.clone(), number, event));
        self.results.push(events.boxed());
        self.running.insert(id, Running { number, stop });
        metrics::gauge!("foldline_query_ws_operations").increment(1);
    }

    /// Ends one at its client's wish. Unknown ids are those that ended by themselves meanwhile.
    pub fn end(&mut self, id: &str) {
        if let Some(running) = self.running.remove(id) {
            running.stop.abort();
            metrics::gauge!("foldline_query_ws_operations").decrement(1);
        }
    }

    /// The next message for the client; never, while nothing runs. Cancel safe.
    pub async fn next(&mut self) -> Message {
        loop {
            let Some((id, number, event)) = self.results.next().await else {
                return pending().await;
            };
            let present = self
                .running
                .get(&id)
                .is_some_and(|running| running.number == number);
            if !present {
                continue; // What an ended operation had ready.
            }
            match event {
                Event::Result(response) if error::is_request_error(&response) => {
                    self.end(&id);
                    let payload = &response.errors;
                    return ToClient::Error { id: &id, payload }.message();
                }
                Event::Result(response) => return ToClient::next(&id, &response).message(),
                Event::End => {
                    self.end(&id);
                    return ToClient::Complete { id: &id }.message();
                }
            }
        }
    }
}

impl Drop for Operations {
    fn drop(&mut self) {
        for id in self.running.keys().cloned().collect::<Vec<_>>() {
            self.end(&id);
        }
    }
}

fn refusal(id: &str, message: &str, code: &str) -> Message {
    let mut error = ServerError::new(message, None);
    error.extensions.get_or_insert_default().set("code", code);
    let payload = &[error];
    ToClient::Error { id, payload }.message()
}
