//! The snapshot that workers read.

use super::destination::{Destination, UpstreamId};
use super::documents::Documents;
use super::pace;
use super::workers::Workers;
use crate::config::pool::HOMESERVER;
use crate::config::{Balance, Config, Hold, NameMap, RouteRule, RouteTarget, Server, UpstreamAddress};
use crate::net::admit::Rules;
use crate::tls::TlsTable;
use crate::upstream::Check;
use crate::upstream::balance::Seat;
use http::HeaderValue;
use ipnet::IpNet;
use std::collections::HashMap;
use std::slice;
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
    pub(super) sites: Vec<UpstreamId>,
    /// Everything that requests are forwarded to; an [`UpstreamId`] is an index.
    pub(super) upstreams: Vec<ServedUpstream>,
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
    pub server_name: String,
    pub documents: Documents,
    pub homeserver: UpstreamId,
    /// Explicit routes, in their order.
    pub routes: Vec<ServedRoute>,
    /// The worker map, where a pool takes part in it.
    pub workers: Option<Workers>,
    pub mas: Option<UpstreamId>,
    pub rtc_jwt: Option<UpstreamId>,
    pub rtc_sfu: Option<UpstreamId>,
    /// The port of https URLs for the public host.
    pub public_port: u16,
    pub public_host: crate::matrix::Host,
}

/// An explicit route.
#[derive(Debug)]
pub(super) struct ServedRoute {
    pub rule: RouteRule,
    pub upstream: UpstreamId,
    /// How the pool chooses among its endpoints.
    pub balance: Balance,
    /// Whether it leads to workers of the homeserver, for which the main process can stand in. Any
    /// other service may be there to refuse what the homeserver would allow.
    pub to_workers: bool,
}

/// An upstream as requests see it.
#[derive(Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "labels for what is counted"))]
pub(super) struct ServedUpstream {
    /// What logs and metrics call it: `homeserver`, a pool's name, `mas`, `rtc_jwt`, `rtc_sfu`, or a
    /// site's host.
    pub name: String,
    /// The server it belongs to; none for a site.
    pub server: Option<usize>,
    /// One or more.
    pub endpoints: Vec<ServedEndpoint>,
}

/// An endpoint of an upstream.
#[derive(Debug)]
pub(super) struct ServedEndpoint {
    pub address: UpstreamAddress,
    pub seat: Seat,
    /// What shows that it is up: `/health` if it is a process of a homeserver, in whatever upstream it
    /// is found.
    pub check: Check,
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
        let mut upstreams = Upstreams::default();
        let servers: Vec<_> =
            config.servers.iter().enumerate().map(|(index, server)| upstreams.server(index, server)).collect();
        let sites = config
            .sites
            .iter()
            .map(|site| upstreams.add(&site.host.to_string(), None, slice::from_ref(&site.upstream), Check::Connect))
            .collect();
        upstreams.agree();
        // Never includeSubDomains: other services live on subdomains of a homeserver's name.
        let hsts = config.tls.hsts.map(|age| format!("max-age={}", age.as_secs()));
        Self {
            tls,
            names: config.names.clone(),
            servers,
            sites,
            upstreams: upstreams.0,
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

impl Serving {
    /// The one endpoint that a destination has, which is the case of a homeserver without workers.
    pub(super) fn only_endpoint(&self, destination: &Destination) -> Option<&ServedEndpoint> {
        let mut steps = destination.steps.iter();
        let (Some(step), None) = (steps.next(), steps.next()) else { return None };
        match self.upstreams.get(step.upstream.0)?.endpoints.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

impl Serving {
    /// The server name of the homeserver that a destination belongs to.
    pub(super) fn server_name(&self, destination: &Destination) -> Option<&str> {
        let upstream = self.upstreams.get(destination.steps.iter().next()?.upstream.0)?;
        Some(&self.servers.get(upstream.server?)?.server_name)
    }
}

/// The list while it is made.
#[derive(Default)]
struct Upstreams(Vec<ServedUpstream>);

impl Upstreams {
    fn add(&mut self, name: &str, server: Option<usize>, addresses: &[UpstreamAddress], check: Check) -> UpstreamId {
        let endpoints =
            addresses.iter().map(|address| ServedEndpoint { address: address.clone(), seat: Seat::of(address), check });
        self.0.push(ServedUpstream { name: name.to_owned(), server, endpoints: endpoints.collect() });
        UpstreamId(self.0.len() - 1)
    }

    /// An address has one gate, so one check: that of the upstream that asks for more.
    fn agree(&mut self) {
        let mut checks = HashMap::new();
        for endpoint in self.0.iter().flat_map(|upstream| &upstream.endpoints) {
            let check = checks.entry(endpoint.address.clone()).or_insert(endpoint.check);
            *check = endpoint.check.max(*check);
        }
        for endpoint in self.0.iter_mut().flat_map(|upstream| &mut upstream.endpoints) {
            endpoint.check = checks.get(&endpoint.address).copied().unwrap_or(endpoint.check);
        }
    }

    fn server(&mut self, index: usize, server: &Server) -> ServedServer {
        let homeserver = self.add(HOMESERVER, Some(index), slice::from_ref(&server.homeserver), Check::Health);
        let pools = server.pools.iter().map(|pool| {
            // One that serves no kind of requests is some other service.
            let check = match (pool.serves.is_empty(), pool.endpoints.len()) {
                (true, _) => Check::Connect,
                (false, ..=1) => Check::Health,
                (false, _) => Check::Watch,
            };
            self.add(&pool.name, Some(index), &pool.endpoints, check)
        });
        let pools: Vec<_> = pools.collect();
        let routes = server.routes.iter().map(|rule| {
            let pool = match rule.target {
                RouteTarget::Homeserver => None,
                RouteTarget::Pool(index) => server.pools.get(index).zip(pools.get(index)),
            };
            ServedRoute {
                rule: rule.clone(),
                upstream: pool.map_or(homeserver, |(_, id)| *id),
                balance: pool.and_then(|(pool, _)| pool.balance).unwrap_or(Balance::RoundRobin),
                to_workers: pool.is_some_and(|(pool, _)| !pool.serves.is_empty()),
            }
        });
        let routes = routes.collect();
        let mut service = |name, address: &Option<UpstreamAddress>| {
            address.as_ref().map(|address| self.add(name, Some(index), slice::from_ref(address), Check::Connect))
        };
        ServedServer {
            server_name: server.server_name.to_string(),
            documents: Documents::new(server),
            homeserver,
            routes,
            workers: Workers::new(&server.pools, &pools, homeserver),
            mas: service("mas", &server.services.mas),
            rtc_jwt: service("rtc_jwt", &server.services.rtc_jwt),
            rtc_sfu: service("rtc_sfu", &server.services.rtc_sfu),
            public_port: server.public_host.port,
            public_host: server.public_host.host.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A gate asks `/health` where a homeserver's process answers, and nowhere else.
    #[test]
    fn checks() {
        let config = r#"
            server_name = "a.example"
            homeserver = "http://127.0.0.1:1"
            [mas]
            url = "http://127.0.0.1:2"
            [rtc]
            jwt = "http://127.0.0.1:3"
            [[upstream]]
            name = "workers"
            endpoints = ["http://127.0.0.1:4"]
            serves = ["sync"]
            [[upstream]]
            name = "bridge"
            endpoints = ["http://127.0.0.1:5", "http://127.0.0.1:4"]
            [[site]]
            host = "site.example"
            upstream = "http://127.0.0.1:6"
            [[site]]
            host = "other.example"
            upstream = "http://127.0.0.1:1"
        "#;
        let serving = Serving::new(&Config::parse(config, Path::new("t")).unwrap(), TlsTable::default());
        let endpoints = serving.upstreams.iter().flat_map(|upstream| &upstream.endpoints);
        let mut asked: Vec<_> = endpoints
            .filter(|endpoint| endpoint.check != Check::Connect)
            .map(|endpoint| endpoint.address.to_string())
            .collect();
        asked.sort();
        asked.dedup();
        assert_eq!(asked.len(), 2, "{asked:?}");
        assert!(asked[0].ends_with(":1") && asked[1].ends_with(":4"), "{asked:?}");
        let site = serving.upstreams.get(serving.sites[1].0).unwrap();
        assert_eq!(site.endpoints[0].check, Check::Health, "a site that is the homeserver");
    }
}
