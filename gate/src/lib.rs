//! The door of both HTTP services: who calls, what they may, how much they may send, and how a "no" looks.
//!
//! It owns the token ([`Gate`]), the problem document ([`Problem`]), reading of JSON bodies ([`Json`]), the answers
//! for unknown routes and methods ([`closed`]), the room for bodies ([`bounded`]) and the span and trace of a request
//! ([`observe`]). It must not know
//! any command, query or event. Real identity will replace the token's source, not this door. Read [`token`] next.

mod body;
mod door;
mod problem;
mod room;
mod secret;
mod token;
mod trace;

pub use body::{
    BODY_BYTES_MAX, BODY_PAUSE_SECONDS_MAX, BODY_SECONDS_MAX, BodyBytesMax, Json, JsonText,
    OptionalJson, PathParameters, media_type_must_be, parse, parse_object,
};
pub use door::{bounded, closed, observe};
pub use problem::{Fault, PROBLEM_MEDIA_TYPE, Problem, RETRY_AFTER_S};
pub use room::{BODIES_BYTES_MAX, FEW_BYTES_MAX, counts_for};
pub use secret::{InvalidSecret, SECRET_BYTES_MIN, Secret};
pub use token::{Caller, Gate, IssueError, LEEWAY_S, Role, UnknownRole};
pub use trace::TraceContext;
