//! What the metrics are made of, read when somebody asks.

use crate::certs::expiry::{ratio_left, rung};
use crate::certs::x509::Facts;
use crate::certs::{Certificate, Published};
use crate::clock::{Clock, Timestamp};
use crate::config::{Config, Owner};
use crate::net::connections::Connections;
use crate::telemetry::exposition::{Families, Labels};
use crate::telemetry::names;
use crate::upstream::{Commons, Standing};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;
use std::sync::Arc;

/// The program itself.
#[derive(Debug)]
pub struct ProcessMetrics {
    /// When it started.
    pub started: Timestamp,
}

impl Collector for ProcessMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families::new(encoder);
        families.info(&names::BUILD, &vec![("version", env!("CARGO_PKG_VERSION"))])?;
        families.gauges(&names::START_TIME, [(vec![], self.started.0)])
    }
}

/// The certificate that is shown for each served name.
#[derive(Debug)]
pub struct CertificateMetrics {
    /// Whose names are served.
    pub config: Arc<Config>,
    /// What is served.
    pub published: Arc<Published>,
    /// For what is left.
    pub clock: Clock,
}

/// A served name with its certificate.
struct Shown {
    name: String,
    /// The server that answers for it, or the site.
    server: String,
    certificate: Arc<Certificate>,
}

impl Shown {
    fn labels(&self) -> Labels<'_> {
        vec![("server", &self.server), ("name", &self.name)]
    }

    fn facts(&self) -> &Facts {
        self.certificate.facts()
    }
}

impl CertificateMetrics {
    /// Every served name that has a certificate.
    fn shown(&self) -> Vec<Shown> {
        let slots = self.published.subscribe().borrow().clone();
        let shown = self.config.names.iter().filter_map(|(host, owner)| {
            // The first that covers it, as the keyring chooses.
            let certificate = Arc::clone(slots.values().find(|certificate| certificate.covers(host))?);
            Some(Shown { name: host.to_string(), server: self.owner(owner), certificate })
        });
        shown.collect()
    }

    fn owner(&self, owner: Owner) -> String {
        let server = owner.server.and_then(|index| self.config.servers.get(index));
        let site = owner.site.and_then(|index| self.config.sites.get(index));
        match (server, site) {
            (Some(server), _) => server.server_name.to_string(),
            (None, Some(site)) => site.host.to_string(),
            (None, None) => String::new(),
        }
    }
}

impl Collector for CertificateMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (now, shown) = (self.clock.now(), self.shown());
        let mut families = Families::new(encoder);
        let samples = shown.iter().map(|one| (one.labels(), one.facts().not_after.0));
        families.gauges(&names::CERTIFICATE_NOT_AFTER, samples)?;
        let left = |facts: &Facts| ratio_left(now, facts.not_before, facts.not_after);
        families.gauges(&names::CERTIFICATE_LIFETIME, shown.iter().map(|one| (one.labels(), left(one.facts()))))?;
        let rung = |facts: &Facts| rung(now, facts.not_before, facts.not_after).number();
        families.gauges(&names::CERTIFICATE_RUNG, shown.iter().map(|one| (one.labels(), rung(one.facts()))))
    }
}

/// Connections of clients and peers.
#[derive(Debug)]
pub struct ConnectionMetrics(pub Arc<Connections>);

impl Collector for ConnectionMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let live = u64::try_from(self.0.live()).unwrap_or(u64::MAX);
        Families::new(encoder).gauges(&names::CONNECTIONS, [(vec![], live)])
    }
}

/// The upstreams, and the requests that wait for them, over all workers.
#[derive(Debug)]
pub struct UpstreamMetrics(pub Arc<Commons>);

impl Collector for UpstreamMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let standings = self.0.standings();
        let named: Vec<_> = standings.iter().map(|standing| (standing.address.to_string(), standing)).collect();
        let each = |value: fn(&Standing) -> u64| {
            named.iter().map(move |(address, standing)| (vec![("upstream", address.as_str())], value(standing)))
        };
        let mut families = Families::new(encoder);
        families.gauges(&names::UPSTREAM_UP, each(|standing| standing.up.into()))?;
        families.counters(&names::UPSTREAM_CONNECT_FAILURES, each(|standing| standing.connect_failures))?;
        families.gauges(&names::HELD_REQUESTS, each(|standing| standing.counts.waiting()))?;
        let by_outcome = named.iter().flat_map(|(address, Standing { counts, .. })| {
            let outcomes =
                [("saved", counts.saved), ("lost", counts.lost), ("left", counts.left), ("refused", counts.refused)];
            outcomes.map(|(outcome, count)| (vec![("upstream", address.as_str()), ("outcome", outcome)], count))
        });
        families.counters(&names::HELD_REQUESTS_TOTAL, by_outcome)
    }
}
