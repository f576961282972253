//! What the metrics are made of, read when somebody asks.

use super::Checks;
use crate::certs::expiry::{ratio_left, rung};
use crate::certs::x509::Facts;
use crate::certs::{Certificate, Published};
use crate::check::Code;
use crate::check::finding::Severity;
use crate::check::report::Verdict;
use crate::clock::{Clock, Timestamp};
use crate::config::{Config, Owner};
use crate::net::connections::Connections;
use crate::telemetry::exposition::{Families, Labels};
use crate::telemetry::names;
use crate::telemetry::origins::{Answered, Origins};
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

/// What the self-check has found of the own servers.
#[derive(Debug)]
pub struct CheckMetrics {
    /// Which servers those are.
    pub config: Arc<Config>,
    /// What was found.
    pub checks: Checks,
}

impl Collector for CheckMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let names = self.config.servers.iter().map(|server| server.server_name.to_string());
        let known: Vec<_> = names.filter_map(|name| Some((self.checks.last(&name)?, name))).collect();
        let mut families = Families::new(encoder);
        let by_code = known.iter().flat_map(|(checked, server)| {
            Code::ALL.iter().map(|code| {
                let of_code = checked.report.findings.iter().filter(|finding| finding.id == *code);
                let worst = of_code.map(|finding| finding.severity).max();
                let number = match worst {
                    None | Some(Severity::Info) => 0_i64,
                    Some(Severity::Warn) => 1,
                    Some(Severity::Fail) => 2,
                };
                (vec![("server", server.as_str()), ("code", code.id())], number)
            })
        });
        families.gauges(&names::CHECK_STATUS, by_code)?;
        let verdicts = known.iter().flat_map(|(checked, server)| {
            VERDICTS.map(|verdict| {
                let labels = vec![("server", server.as_str()), ("verdict", verdict.as_str())];
                (labels, i64::from(checked.report.verdict == verdict))
            })
        });
        families.gauges(&names::CHECK_VERDICT, verdicts)?;
        let times = known.iter().map(|(checked, server)| (vec![("server", server.as_str())], checked.at.0));
        families.gauges(&names::CHECK_LAST_RUN, times)
    }
}

/// Every verdict there is.
const VERDICTS: [Verdict; 4] = [Verdict::Federates, Verdict::Degraded, Verdict::Fails, Verdict::Unknown];

/// Servers that have been answered.
#[derive(Debug)]
pub struct OriginMetrics {
    /// Which servers have answered.
    pub config: Arc<Config>,
    /// Whom.
    pub origins: Arc<Origins>,
}

impl Collector for OriginMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let answered = self.origins.answered();
        let servers: Vec<_> = self.config.servers.iter().map(|server| server.server_name.to_string()).collect();
        let samples = servers.iter().flat_map(|server| {
            let Answered { hour, day } = answered.get(server).copied().unwrap_or_default();
            [("1h", hour), ("24h", day)]
                .map(|(window, count)| (vec![("server", server.as_str()), ("window", window)], count))
        });
        Families::new(encoder).gauges(&names::FEDERATION_ORIGINS, samples)
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
