//! `[limits]`: bounds on what clients and upstreams may take.

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
    /// Most connections of one client at a time.
    pub per_ip_connections: u32,
    /// Networks that may reach `/_synapse/admin`.
    pub admin_allow: Vec<IpNet>,
}

/// Reads `[limits]`.
pub fn read(reader: &Reader) -> Limits {
    let limits = Limits {
        max_body: reader.read("max_body", "\"none\"", values::size_or_none),
        header_timeout: reader.read("header_timeout", "\"10s\"", values::timeout),
        first_byte_timeout: reader.read("first_byte_timeout", "\"10m\"", values::timeout),
        drain: reader.read("drain", "\"40s\"", values::duration),
        per_ip_connections: reader.read("per_ip_connections", "1000", values::count),
        admin_allow: reader.read("admin_allow", "[]", |node| values::list(node, values::network)),
    };
    reader.read("min_body_rate", "\"1KiB/s\"", values::rate);
    let hold = reader.table("hold");
    hold.read("federation", "\"50s\"", values::duration);
    hold.read("key", "\"8s\"", values::duration);
    hold.read("client", "\"20s\"", values::duration);
    hold.finish();
    for rate in reader.tables("rate") {
        rate.read_required("class", "write class = \"login\"", values::string);
        rate.read("key", "\"client_ip\"", values::string);
        rate.read("per", "\"1m\"", values::duration);
        rate.read_required("burst", "write burst = 30", values::count);
        rate.finish();
    }
    for key in ["min_body_rate", "hold", "rate"] {
        reader.without_effect(key);
    }
    limits
}
