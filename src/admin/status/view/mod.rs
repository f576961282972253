//! What an operator wants to know, as data: `/status.json` is its JSON, the page is made of it.

mod certificates;
mod problems;
mod servers;
mod upstreams;

pub(super) use certificates::{BudgetView, CertificateState, CertificateView, Source, certificates};
pub(super) use problems::{Problem, State, Summary, summary};
pub(super) use servers::{ServerView, servers};
pub(super) use upstreams::{HeldView, UpstreamState, UpstreamView, upstreams};

use crate::clock::Timestamp;
use crate::net::listen::Role;
use serde::{Serialize, Serializer};
use std::net::SocketAddr;

/// Everything. The README describes its JSON.
#[derive(Debug, Serialize)]
pub(super) struct View {
    /// When it was put together.
    pub now: Moment,
    #[serde(flatten)]
    pub summary: Summary,
    /// The own servers, in the order of the configuration.
    pub servers: Vec<ServerView>,
    pub certificates: Vec<CertificateView>,
    pub upstreams: Vec<UpstreamView>,
    /// Requests that had to wait, over all upstreams.
    pub held: HeldView,
    pub listeners: Vec<ListenerView>,
    /// Open connections of clients and peers.
    pub connections: u64,
    pub process: ProcessView,
}

/// The program itself.
#[derive(Debug, Serialize)]
pub(super) struct ProcessView {
    pub version: &'static str,
    pub phase: &'static str,
    pub started: Moment,
    pub uptime_seconds: i64,
    /// When the configuration that is in use was read.
    pub configured: Moment,
}

/// A bound socket.
#[derive(Debug, Serialize)]
pub(super) struct ListenerView {
    pub listener: String,
    pub address: SocketAddr,
    pub families: &'static [&'static str],
}

impl ListenerView {
    pub(super) fn new(role: Role, address: SocketAddr) -> Self {
        let families: &[&str] = match address {
            SocketAddr::V4(_) => &["IPv4"],
            // Listeners on [::] take both (`net::listen`).
            SocketAddr::V6(six) if six.ip().is_unspecified() => &["IPv4", "IPv6"],
            SocketAddr::V6(six) if six.ip().to_ipv4_mapped().is_some() => &["IPv4"],
            SocketAddr::V6(_) => &["IPv6"],
        };
        Self { listener: role.to_string(), address, families }
    }
}

/// A point of time that is written as RFC 3339 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub Timestamp);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
