//! The request path, from a finished handshake to the homeserver and back.
//!
//! [`connection`] shakes hands and hands over to [`http1`] or [`http2`] by the protocol that was agreed
//! on. Behind both, [`service`] takes one request through [`router`] (pure, with [`target`], [`class`],
//! [`services`] and [`workers`]) to an answer of our own ([`respond`]) or to [`forward`]. Workers read
//! one immutable [`Serving`] snapshot; it is swapped whole.

mod activity;
mod answer;
mod balance_key;
mod body;
mod choice;
mod class;
mod connection;
mod date;
mod deadline;
mod destination;
mod documents;
mod downstream;
mod error;
mod flights;
mod forward;
mod frames;
mod headers;
mod http1;
mod http2;
mod identity;
mod loop_back;
mod origins;
mod pace;
mod query;
mod rates;
mod readings;
mod respond;
mod router;
mod service;
mod services;
mod serving;
mod target;
mod tunnel;
mod upstream_body;
mod worker;
mod workers;

pub use rates::Rates;
pub use serving::Serving;
pub use worker::{Shared, Worker};
