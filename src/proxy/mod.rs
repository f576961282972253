//! The request path, from a finished handshake to the homeserver and back.
//!
//! [`connection`] speaks HTTP by the protocol that was agreed on, [`service`] takes one request
//! through [`router`] (pure, with [`target`], [`class`], [`services`] and [`workers`]) to an answer of our own ([`respond`]) or to [`forward`]. Workers read
//! one immutable [`Serving`] snapshot; it is swapped whole.

mod activity;
mod balance_key;
mod body;
mod choice;
mod class;
mod connection;
mod destination;
mod documents;
mod error;
mod forward;
mod headers;
mod linger;
mod query;
mod respond;
mod router;
mod service;
mod services;
mod serving;
mod target;
mod upgrade;
mod worker;
mod workers;

pub use serving::Serving;
pub use worker::{Shared, Worker};
