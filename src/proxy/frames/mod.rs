//! HTTP/2 frames that are no work: counted between TLS and hyper, and answered with
//! ENHANCE_YOUR_CALM (RFC 9113 §10.5).
//!
//! [`Metered`] passes bytes through untouched; [`meter`] (pure) follows the frame heads of both
//! directions and keeps the budgets.
//!
//! # Who limits what
//!
//! | flood | held by |
//! |---|---|
//! | PING, SETTINGS, PRIORITY, PRIORITY_UPDATE, WINDOW_UPDATE, unknown types, repeated GOAWAY, PING acks nobody asked for | the meter |
//! | requests opened and reset (rapid reset), requests that make us reset (MadeYouReset), streams over the concurrency limit | the meter; the h2 crate as well, with 20 reset before they were accepted at a time and 1024 errors in a connection's life |
//! | empty DATA | the h2 crate, 100 in a connection's life; the meter |
//! | tiny DATA nobody has read yet | the h2 crate, 25,600 bytes of overhead |
//! | CONTINUATION | the h2 crate, five without END_HEADERS; the meter |
//! | frames and header blocks that are begun and not ended, by bytes that drip | the meter, within `header_timeout`; DATA by the pace of its body |
//! | HPACK bombs, long header lists | the h2 crate, by the header list size it is given |
//!
//! # What the h2 crate hides
//!
//! Pseudo-headers in trailers are an error (RFC 9113 §8.1); the crate drops them unseen and serves
//! the request. They reach no homeserver: request trailers are not forwarded at all.

mod meter;
mod stream;

pub(super) use stream::Metered;
