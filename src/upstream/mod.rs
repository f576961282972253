//! Connections to the homeserver: HTTP/1.1 by the codec of [`crate::http1`], one request in flight
//! per connection.
//!
//! A [`Pool`] belongs to one worker thread; a connection never leaves it. What a caller may try again:
//! a request whose connect failed, or of which a reused connection took no byte, with any method;
//! once, on a reused connection that closed without a byte of an answer, a GET, HEAD or OPTIONS without a body.
//! Nothing else: a homeserver may have acted on what it received.
//!
//! Before each upstream stands a [`Gate`]: while the upstream is down, requests wait there, bounded,
//! and nothing but `/health` is sent to it, or nothing at all if it is no process of a homeserver
//! ([`Check`]).

pub mod balance;
mod budget;
mod connect;
mod connection;
mod gate;
mod health;
mod outages;
mod outbound;
mod pace;
mod pool;
mod probe;

pub use budget::weight;
pub use connect::ConnectError;
pub use connection::{AnswerBodyError, Connection, Exchange, SendError};
pub use gate::{Gate, Refused, Turn, Waiting};
pub use outages::{Commons, Down, Past, Standing};
pub use outbound::{Outbound, Source};
pub use pool::{Lease, Pool};
pub use probe::Check;
