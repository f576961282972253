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
    /// How long an answer that has begun, or a WebSocket, may stand still.
    pub between_bytes_timeout: Duration,
    /// How long a connection may rest between two requests.
    pub idle_timeout: Duration,
    /// How long a client may stand still in a body, in either direction.
    pub stall_timeout: Duration,
    /// Bytes per second that a client must keep on average in a body; 0 asks for none.
    pub min_body_rate: u64,
    /// How long requests wait for a homeserver that is down.
    pub hold: Hold,
    /// How long running requests may take to finish at a stop.
    pub drain: Duration,
    /// Most connections of one client at a time.
    pub per_ip_connections: u32,
    /// Networks that may reach `/_synapse/admin`.
    pub admin_allow: Vec<IpNet>,
    /// `[[limits.rate]]`.
    pub rates: Vec<Rate>,
}

/// `[limits] hold`: by class, because whoever asks has a patience of its own. Zero is not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Requests of other homeservers.
    pub federation: Duration,
    /// Their requests for keys, which they give up sooner.
    pub key: Duration,
    /// Everything else.
    pub client: Duration,
}

/// Reads `[limits]`.
pub fn read(reader: &Reader) -> Limits {
    Limits {
        max_body: reader.read("max_body", "\"none\"", values::size_or_none),
        header_timeout: reader.read("header_timeout", "\"10s\"", values::timeout),
        first_byte_timeout: reader.read("first_byte_timeout", "\"10m\"", values::timeout),
        between_bytes_timeout: reader.read("between_bytes_timeout", "\"10m\"", values::timeout),
        idle_timeout: reader.read("idle_timeout", "\"75s\"", values::timeout),
        stall_timeout: reader.read("stall_timeout", "\"60s\"", values::timeout),
        min_body_rate: reader.read("min_body_rate", "\"1KiB/s\"", values::rate),
        drain: reader.read("drain", "\"40s\"", values::wait),
        per_ip_connections: reader.read("per_ip_connections", "1000", values::count),
        admin_allow: reader.read("admin_allow", "[]", |node| values::list(node, values::network)),
        hold: read_hold(reader.table("hold")),
        rates: rate::read_all(reader),
    }
}

fn read_hold(reader: Reader) -> Hold {
    let hold = Hold {
        federation: reader.read("federation", "\"50s\"", values::wait),
        key: reader.read("key", "\"8s\"", values::wait),
        client: reader.read("client", "\"20s\"", values::wait),
    };
    reader.finish();
    hold
}
