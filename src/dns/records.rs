//! What a lookup brings back, and hickory's answers turned into it.

use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// An outcome and how long it took.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    /// What came back.
    pub outcome: Outcome<T>,
    /// From the question to here.
    pub took: Duration,
}

/// What DNS said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// There are records.
    Found(T),
    /// The name, or a record of this kind, does not exist: a real answer.
    NoRecords,
    /// No usable answer, which says nothing about the name.
    Failed(Failure),
}

/// Why there was no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// The kind, to judge by.
    pub kind: FailureKind,
    /// The sentence, to show.
    pub detail: String,
}

/// The kinds of [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Nobody answered in time.
    Timeout,
    /// The name server answered that it could not answer (SERVFAIL): broken delegation or DNSSEC.
    ServFail,
    /// There is no name server to ask.
    NoNameServer,
    /// Anything else, such as a refused connection.
    Other,
}

impl Failure {
    pub(super) fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

/// Addresses of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// A records.
    pub v4: Vec<Ipv4Addr>,
    /// AAAA records.
    pub v6: Vec<Ipv6Addr>,
    /// Where a CNAME led, if the name asked for is an alias.
    pub canonical: Option<String>,
    /// Smallest TTL seen, in seconds.
    pub ttl: Option<u32>,
    /// The family that failed while the other was found.
    pub trouble: Option<Failure>,
    /// Who said so.
    pub source: Source,
}

impl Addresses {
    /// All addresses, IPv4 first.
    pub fn all(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.v4.iter().copied().map(IpAddr::from).chain(self.v6.iter().copied().map(IpAddr::from))
    }
}

/// Where addresses come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// A name server.
    #[default]
    Dns,
    /// The hosts file.
    HostsFile,
    /// The rule that `localhost` is this machine.
    Localhost,
}

/// One SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrvRecord {
    /// Lower first.
    pub priority: u16,
    /// Share among equals.
    pub weight: u16,
    /// Port of the service.
    pub port: u16,
    /// Host of the service in lower case without a trailing dot; `.` says "no such service".
    pub target: String,
}

/// The two ways of not getting a [`Lookup`].
#[derive(Debug)]
pub(super) enum Miss {
    NoRecords,
    Failed(Failure),
}

impl From<Failure> for Miss {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<NetError> for Miss {
    fn from(error: NetError) -> Self {
        if error.is_no_records_found() {
            return Self::NoRecords;
        }
        let kind = match &error {
            NetError::Timeout => FailureKind::Timeout,
            NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)) => FailureKind::ServFail,
            NetError::NoConnections => FailureKind::NoNameServer,
            _ => FailureKind::Other,
        };
        let detail = match kind {
            FailureKind::Timeout => "the name server did not answer in time".to_owned(),
            FailureKind::ServFail => "the name server answered SERVFAIL".to_owned(),
            FailureKind::NoNameServer => "no name server could be reached".to_owned(),
            FailureKind::Other => error.to_string(),
        };
        Self::Failed(Failure { kind, detail })
    }
}

impl<T> From<Miss> for Outcome<T> {
    fn from(miss: Miss) -> Self {
        match miss {
            Miss::NoRecords => Self::NoRecords,
            Miss::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// Joins the two families: one that has addresses outweighs one that failed.
pub(super) fn addresses(v4: Result<Lookup, Miss>, v6: Result<Lookup, Miss>) -> Outcome<Addresses> {
    let mut found = Addresses::default();
    for answer in [v4, v6] {
        match answer {
            Ok(lookup) => collect(&lookup, &mut found),
            Err(Miss::NoRecords) => {}
            Err(Miss::Failed(failure)) => found.trouble = Some(failure),
        }
    }
    if !found.v4.is_empty() || !found.v6.is_empty() {
        return Outcome::Found(found);
    }
    found.trouble.map_or(Outcome::NoRecords, Outcome::Failed)
}

pub(super) fn from_hosts(v4: Option<&Lookup>, v6: Option<&Lookup>) -> Addresses {
    let mut found = Addresses { source: Source::HostsFile, ..Addresses::default() };
    for lookup in [v4, v6].into_iter().flatten() {
        collect(lookup, &mut found);
    }
    // The file has no TTL; what stands there is hickory's placeholder.
    found.ttl = None;
    // A hosts file may name an address twice.
    dedup(&mut found.v4);
    dedup(&mut found.v6);
    found
}

fn dedup<T: PartialEq + Copy>(items: &mut Vec<T>) {
    let mut kept: Vec<T> = Vec::with_capacity(items.len());
    items.retain(|item| {
        let new = !kept.contains(item);
        if new {
            kept.push(*item);
        }
        new
    });
}

fn collect(lookup: &Lookup, found: &mut Addresses) {
    for record in lookup.answers() {
        match &record.data {
            RData::A(address) => found.v4.push(address.0),
            RData::AAAA(address) => found.v6.push(address.0),
            RData::CNAME(target) => found.canonical = Some(text(target)),
            _ => continue,
        }
        found.ttl = Some(found.ttl.map_or(record.ttl, |ttl| ttl.min(record.ttl)));
    }
}

pub(super) fn srv(lookup: &Lookup) -> Outcome<Vec<SrvRecord>> {
    let mut records: Vec<_> = lookup
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(SrvRecord {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: text(&srv.target),
            }),
            _ => None,
        })
        .collect();
    records.sort_by(|a, b| (a.priority, b.weight, &a.target).cmp(&(b.priority, a.weight, &b.target)));
    if records.is_empty() { Outcome::NoRecords } else { Outcome::Found(records) }
}

/// Whether a record of this kind stands at `name` itself.
pub(super) fn owns(lookup: &Lookup, name: &str, kind: RecordType) -> bool {
    lookup.answers().iter().any(|record| record.record_type() == kind && text(&record.name) == name)
}

/// The names in all records that `pick` takes.
pub(super) fn names<'a>(lookup: &'a Lookup, pick: impl Fn(&'a RData) -> Option<&'a Name>) -> Outcome<Vec<String>> {
    let names: Vec<_> = lookup.answers().iter().filter_map(|record| pick(&record.data)).map(text).collect();
    if names.is_empty() { Outcome::NoRecords } else { Outcome::Found(names) }
}

/// A name as people write it; the root stays a dot.
fn text(name: &Name) -> String {
    if name.is_root() {
        return ".".to_owned();
    }
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}
