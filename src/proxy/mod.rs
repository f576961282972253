//! The request path, from a finished handshake to the homeserver and back.
//!
//! [`connection`] speaks HTTP by the protocol that was agreed on, [`service`] takes one request
//! through [`router`] (pure) to an answer of our own ([`respond`]) or to [`forward`]. Workers read
//! one immutable [`Serving`] snapshot; it is swapped whole.

mod activity;
mod body;
mod class;
mod connection;
mod documents;
mod error;
mod forward;
mod frames;
mod headers;
mod linger;
mod rates;
mod respond;
mod router;
mod service;
mod serving;
mod target;
mod upgrade;
mod worker;

pub use rates::Rates;
pub use serving::Serving;
pub use worker::{Shared, Worker};
