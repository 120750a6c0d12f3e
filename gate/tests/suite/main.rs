//! The gate, knocked at over real HTTP.
#![expect(
    clippy::disallowed_methods,
    reason = "tests are an edge: times enter with them"
)]

mod bodies;
mod house;
mod routes;
mod traces;
