//! `[limits]`: bounds on what clients and upstreams may take.

use super::rate::{self, Rate};
use super::reader::Reader;
use super::values;
use ipnet::IpNet;
use std::time::Duration;

/// `[limits]`, as far as this version acts on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest request body in bytes; `None` leaves the decision to the homeserver.
    pub max_body: Option<u64>,
    /// For the handshake, and from the first to the last byte of a request's head.
    pub header_timeout: Duration,
    /// From the last movement of the request's body to the first byte of the answer.
    pub first_byte_timeout: Duration,
    /// How long running requests may take to finish at a stop.
    pub drain: Duration,
    /// Networks that may reach `/_synapse/admin`.
    pub admin_allow: Vec<IpNet>,
    /// `[[limits.rate]]`.
    pub rates: Vec<Rate>,
}

/// Reads `[limits]`.
pub fn read(reader: &Reader) -> Limits {
    let limits = Limits {
        max_body: reader.read("max_body", "\"none\"", values::size_or_none),
        header_timeout: reader.read("header_timeout", "\"10s\"", values::timeout),
        first_byte_timeout: reader.read("first_byte_timeout", "\"10m\"", values::timeout),
        drain: reader.read("drain", "\"40s\"", values::duration),
        admin_allow: reader.read("admin_allow", "[]", |node| values::list(node, values::network)),
        rates: rate::read_all(reader),
    };
    reader.read("per_ip_connections", "1000", values::count);
    reader.read("min_body_rate", "\"1KiB/s\"", values::rate);
    let hold = reader.table("hold");
    hold.read("federation", "\"50s\"", values::duration);
    hold.read("key", "\"8s\"", values::duration);
    hold.read("client", "\"20s\"", values::duration);
    hold.finish();
    for key in ["per_ip_connections", "min_body_rate", "hold"] {
        reader.without_effect(key);
    }
    limits
}
