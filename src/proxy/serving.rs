//! The snapshot that workers read.

use super::documents::Documents;
use super::pace;
use crate::config::{Config, Hold, NameMap, UpstreamAddress};
use crate::net::admit::Rules;
use crate::tls::TlsTable;
use http::HeaderValue;
use ipnet::IpNet;
use std::time::Duration;

/// Everything a request needs to know. Immutable: a change makes a new one.
#[derive(Debug)]
pub struct Serving {
    /// Certificates by name.
    pub tls: TlsTable,
    /// Who answers for a name.
    pub(super) names: NameMap,
    /// The homeservers, in configuration order.
    pub(super) servers: Vec<ServedServer>,
    /// The sites' upstreams, in configuration order.
    pub(super) sites: Vec<UpstreamAddress>,
    /// The value of Strict-Transport-Security, if the header is wanted.
    pub(super) hsts: Option<HeaderValue>,
    /// Whose connections are taken, and how many.
    pub(super) admission: Rules,
    /// Bounds.
    pub(super) limits: ServingLimits,
}

/// A homeserver as requests see it.
#[derive(Debug)]
pub(super) struct ServedServer {
    pub documents: Documents,
    pub homeserver: UpstreamAddress,
    /// The port of https URLs for the public host.
    pub public_port: u16,
    pub public_host: crate::matrix::Host,
}

/// The bounds the request path holds.
#[derive(Clone, Debug)]
pub(super) struct ServingLimits {
    pub max_body: Option<u64>,
    pub timeouts: Timeouts,
    pub hold: Hold,
    pub admin_allow: Vec<IpNet>,
}

/// How long a connection may wait for what. Read once, when it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// For a request's head, from its first byte; for the first one, from the handshake.
    pub header: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// For the upstream: from the last movement of the request's body to the head of the answer.
    pub first_byte: Duration,
    /// For the upstream within an answer, and for both sides of a WebSocket.
    pub between_bytes: Duration,
    /// For bodies in both directions.
    pub pace: pace::Bounds,
}

impl Serving {
    /// The snapshot for a configuration and its certificates.
    pub fn new(config: &Config, tls: TlsTable) -> Self {
        let servers = config.servers.iter().map(|server| ServedServer {
            documents: Documents::new(server),
            homeserver: server.homeserver.clone(),
            public_port: server.public_host.port,
            public_host: server.public_host.host.clone(),
        });
        // Never includeSubDomains: other services live on subdomains of a homeserver's name.
        let hsts = config.tls.hsts.map(|age| format!("max-age={}", age.as_secs()));
        Self {
            tls,
            names: config.names.clone(),
            servers: servers.collect(),
            sites: config.sites.iter().map(|site| site.upstream.clone()).collect(),
            hsts: hsts.and_then(|value| HeaderValue::from_str(&value).ok()),
            admission: Rules {
                proxy_protocol_from: config.listen.proxy_protocol_from.clone(),
                trusted_proxies: config.trusted_proxies.clone(),
                per_client: config.limits.per_ip_connections,
                time: config.limits.header_timeout,
            },
            limits: ServingLimits {
                max_body: config.limits.max_body,
                timeouts: Timeouts {
                    header: config.limits.header_timeout,
                    idle: config.limits.idle_timeout,
                    first_byte: config.limits.first_byte_timeout,
                    between_bytes: config.limits.between_bytes_timeout,
                    pace: pace::Bounds { patience: config.limits.stall_timeout, rate: config.limits.min_body_rate },
                },
                hold: config.limits.hold,
                admin_allow: config.limits.admin_allow.clone(),
            },
        }
    }
}
