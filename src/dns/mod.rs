//! Names to addresses, SRV and CAA records, and zones, with an outcome that tells "there is none" from "nobody
//! answered": the check's whole advice hangs on that difference.
//!
//! The resolver behind it is hickory's. Two things are done here and not there: the hosts file and
//! `localhost` are looked at first and, as `getaddrinfo` has it, settle the question for both
//! families; and a machine without any name server still gets a [`Resolver`], which then knows
//! those two sources only.

mod caa;
pub mod direct;
pub mod permission;
mod records;
mod unvalidated;
mod zones;

pub use caa::{CaaIssuer, CaaProperty, CaaRecord, CaaSet};
pub use records::{Addresses, Answer, Failure, FailureKind, Outcome, Source, SrvRecord};

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long one question may take, tries and all. Peers give up in this order of magnitude.
const QUERY_LIMIT: Duration = Duration::from_secs(5);

/// How long a walk from a name to its top-level domain may take: two questions that take their whole
/// time. A CA gives up in the same order of magnitude.
const CLIMB_LIMIT: Duration = Duration::from_secs(10);

/// How long one try waits: leaves room for a second one inside [`QUERY_LIMIT`].
const TRY_LIMIT: Duration = Duration::from_millis(2300);

/// Asks DNS.
#[derive(Clone, Debug)]
pub struct Resolver {
    /// `None` where no name server is configured.
    dns: Option<TokioResolver>,
    /// The name servers behind it, for questions that hickory does not put.
    servers: Arc<[SocketAddr]>,
    hosts: Arc<Hosts>,
}

impl Resolver {
    /// The machine's own view: `/etc/hosts`, then the name servers of `/etc/resolv.conf`. A missing
    /// or empty file is no error; it leaves less to ask.
    pub fn from_system() -> Self {
        let (dns, servers) = match hickory_resolver::system_conf::read_system_conf() {
            Ok((config, options)) => {
                let servers = unvalidated::servers(&config);
                (build(config, options), servers)
            }
            Err(_) => (None, Arc::default()),
        };
        Self { dns, servers, hosts: Arc::new(Hosts::from_system().unwrap_or_default()) }
    }

    /// Asks exactly this name server. The hosts file is left out: whoever names a server wants to
    /// know what that server says.
    pub fn from_server(server: SocketAddr) -> Self {
        let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
        (udp.port, tcp.port) = (server.port(), server.port());
        let entry = NameServerConfig::new(server.ip(), true, vec![udp, tcp]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![entry]);
        Self { dns: build(config, ResolverOpts::default()), servers: Arc::new([server]), hosts: Arc::default() }
    }

    /// A resolver that knows `localhost` and nothing else, for closed set-ups and tests.
    pub fn offline() -> Self {
        Self { dns: None, servers: Arc::default(), hosts: Arc::default() }
    }

    /// The same without the hosts file: what DNS alone says, as everybody else hears it.
    pub fn without_hosts_file(&self) -> Self {
        Self { hosts: Arc::default(), ..self.clone() }
    }

    /// What the hosts file says of `host`, which nobody else hears.
    pub fn in_hosts_file(&self, host: &str) -> Option<Addresses> {
        self.local(host).filter(|found| found.source == Source::HostsFile)
    }

    /// Whether there is a name server to ask at all.
    pub fn has_name_server(&self) -> bool {
        self.dns.is_some()
    }

    /// The IPv4 and IPv6 addresses of `host`, following CNAMEs.
    pub async fn addresses(&self, host: &str) -> Answer<Addresses> {
        let started = Instant::now();
        let outcome = match self.local(host) {
            Some(addresses) => Outcome::Found(addresses),
            None => {
                let (v4, v6) = tokio::join!(self.ask(host, RecordType::A), self.ask(host, RecordType::AAAA));
                records::addresses(v4, v6)
            }
        };
        Answer { outcome, took: started.elapsed() }
    }

    /// The SRV records of `name` (`_service._proto.host`), in order of priority, then falling weight.
    pub async fn srv(&self, name: &str) -> Answer<Vec<SrvRecord>> {
        let started = Instant::now();
        let outcome = match self.ask(name, RecordType::SRV).await {
            Ok(lookup) => records::srv(&lookup),
            Err(outcome) => outcome.into(),
        };
        Answer { outcome, took: started.elapsed() }
    }

    /// The CAA records that count for `name`, a DNS name without `*.`: its own, or those of the nearest
    /// ancestor that has any (RFC 8659 §3). An answer that failed ends the search, as it does for a
    /// CA: what it would have said must not be skipped.
    pub async fn caa(&self, name: &str) -> Answer<CaaSet> {
        let started = Instant::now();
        let climbed = tokio::time::timeout(CLIMB_LIMIT, self.climb(name)).await;
        let outcome = climbed.unwrap_or_else(|_| {
            Outcome::Failed(Failure::new(FailureKind::Timeout, format!("no answer within {CLIMB_LIMIT:?}")))
        });
        Answer { outcome, took: started.elapsed() }
    }

    async fn climb(&self, name: &str) -> Outcome<CaaSet> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        for owner in caa::ancestors(&name) {
            // With its dot, so that a top-level domain is not looked for in a search list.
            match self.ask(&format!("{owner}."), RecordType::CAA).await {
                Ok(lookup) => {
                    let records = caa::records(&lookup);
                    if !records.is_empty() {
                        return Outcome::Found(CaaSet { owner: owner.to_owned(), records });
                    }
                }
                Err(records::Miss::NoRecords) => {}
                Err(records::Miss::Failed(failure)) => return Outcome::Failed(caa::at(owner, failure)),
            }
        }
        Outcome::NoRecords
    }

    /// What the hosts file or the rule about `localhost` (RFC 6761) says.
    fn local(&self, host: &str) -> Option<Addresses> {
        let name = absolute(host).ok()?;
        let lookup = |kind| self.hosts.lookup_static_host(&Query::query(name.clone(), kind));
        let (v4, v6) = (lookup(RecordType::A), lookup(RecordType::AAAA));
        if v4.is_some() || v6.is_some() {
            return Some(records::from_hosts(v4.as_ref(), v6.as_ref()));
        }
        let bare = host.trim_end_matches('.').to_ascii_lowercase();
        (bare == "localhost" || bare.ends_with(".localhost")).then(|| Addresses {
            v4: vec![Ipv4Addr::LOCALHOST],
            v6: vec![Ipv6Addr::LOCALHOST],
            source: Source::Localhost,
            ..Addresses::default()
        })
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Result<Lookup, records::Miss> {
        let Some(dns) = &self.dns else {
            return Err(Failure::new(FailureKind::NoNameServer, "no name server is configured on this machine").into());
        };
        let name = absolute(name).map_err(|detail| Failure::new(FailureKind::Other, detail))?;
        match tokio::time::timeout(QUERY_LIMIT, dns.lookup(name, kind)).await {
            Ok(answer) => answer.map_err(records::Miss::from),
            Err(_) => Err(Failure::new(FailureKind::Timeout, format!("no answer within {QUERY_LIMIT:?}")).into()),
        }
    }
}

fn build(config: ResolverConfig, mut options: ResolverOpts) -> Option<TokioResolver> {
    options.timeout = TRY_LIMIT;
    options.attempts = 1;
    // A check reports what is there now, not what was there an hour ago.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    let provider = TokioRuntimeProvider::default();
    TokioResolver::builder_with_config(config, provider).with_options(options).build().ok()
}

/// The name to ask for. Names with a dot are absolute, so that a search list never answers for a
/// foreign name; a single label goes through the list, as container networks need it.
fn absolute(text: &str) -> Result<Name, String> {
    let mut name = Name::from_ascii(text).map_err(|error| error.to_string())?;
    if text.contains('.') {
        name.set_fqdn(true);
    }
    Ok(name)
}

#[cfg(test)]
pub(crate) mod tests;
