//! The outcome of a check, in the shape of the contract.
//!
//! `{server_name, verdict, findings, discovery, connections, took_ms}`: the first three say what to
//! do, the others show what was seen.

pub use super::area_view::{ClientsView, HomeserverView, RequestsView};
use super::chain::Policy;
use super::finding::{Finding, Severity};
use super::judge;
use super::lifetime;
use super::loop_back::LoopView;
use super::observe::Observation;
use super::observe::federation::Connection;
use super::observe::well_known::Visit;
use super::own::Own;
pub use super::tls_view::{CertificateView, SniView, TlsView, WeakView};
use crate::dns::Outcome;
use crate::matrix::version::ServerVersion;
use crate::matrix::well_known::parse_server_document;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The outcome of a check.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The name checked, as given.
    pub server_name: String,
    /// The outcome in a word.
    pub verdict: Verdict,
    /// What there is to say, the worst first.
    pub findings: Vec<Finding>,
    /// How peers find the server. Absent where that could not be found out.
    pub discovery: Option<DiscoveryView>,
    /// What was seen at each address.
    pub connections: Vec<ConnectionView>,
    /// What clients find. Absent where that could not be looked at.
    pub clients: Option<ClientsView>,
    /// The homeserver behind this program. Absent where the server is not an own one.
    pub homeserver: Option<HomeserverView>,
    /// The loop-back proof, for own servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loopback: Option<LoopView>,
    /// How long the check took, in milliseconds.
    pub took_ms: u64,
    /// A closed network was checked: findings about address ranges and public CAs are remarks.
    pub private: bool,
}

/// The outcome in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every peer can federate with it.
    Federates,
    /// It federates, with something to mend.
    Degraded,
    /// Some peers, or all, cannot federate with it.
    Fails,
    /// The check could not tell.
    Unknown,
}

impl Verdict {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Federates => "federates",
            Self::Degraded => "degraded",
            Self::Fails => "fails",
            Self::Unknown => "unknown",
        }
    }

    /// What `findings` amount to. `answered` says whether a single federation address gave an HTTP
    /// answer: without one, and without a fault, nothing has been learnt.
    pub fn of(findings: &[Finding], answered: bool) -> Self {
        let worst = findings.iter().map(|finding| finding.severity).max();
        match worst {
            Some(Severity::Fail) => Self::Fails,
            _ if !answered => Self::Unknown,
            Some(Severity::Warn) => Self::Degraded,
            Some(Severity::Info) | None => Self::Federates,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How peers find the server.
#[derive(Clone, Debug, Serialize)]
pub struct DiscoveryView {
    /// Number of the step of "Resolving server names".
    pub step: &'static str,
    /// What the step says.
    pub meaning: &'static str,
    /// Hosts and ports to connect to, in order.
    pub targets: Vec<String>,
    /// The `Host` header.
    pub host_header: String,
    /// The name the certificate must cover.
    pub certificate_name: String,
    /// The SNI, none for addresses.
    pub sni: Option<String>,
    /// The delegation document as seen at each address.
    pub well_known: Vec<WellKnownView>,
    /// Until when peers that read the delegation now may use it, or may go by there being none
    /// (RFC 3339). Absent where there is none to be read.
    pub delegation_until: Option<String>,
    /// SRV records asked for, with what they lead to.
    pub srv: BTreeMap<String, Vec<String>>,
    /// Addresses of every host that takes part.
    pub addresses: BTreeMap<String, Vec<String>>,
    /// Hosts and ports whose addresses come from a connect override, so that DNS was not asked.
    pub overridden: Vec<String>,
}

/// The delegation document at one address.
#[derive(Clone, Debug, Serialize)]
pub struct WellKnownView {
    /// The address.
    pub address: String,
    /// Status of the last answer.
    pub status: Option<u16>,
    /// `m.server`, if the document is valid.
    pub m_server: Option<String>,
    /// URLs redirected to.
    pub redirects: Vec<String>,
    /// Why there is no answer.
    pub error: Option<String>,
    /// The chain presented, whether or not peers accept it. Where redirects lead elsewhere: the first
    /// that they do not accept.
    pub certificates: Vec<CertificateView>,
    /// Where that chain was presented.
    pub presented_by: Option<String>,
}

/// What was seen at one address.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionView {
    /// The address.
    pub address: String,
    /// The target it belongs to.
    pub target: String,
    /// Why there is no answer.
    pub error: Option<String>,
    /// The handshake, if there was one.
    pub tls: Option<TlsView>,
    /// Name and version of the homeserver.
    pub version: Option<VersionView>,
    /// The server keys.
    pub keys: Option<KeysView>,
    /// What came of requests. Absent where none were made.
    pub requests: Option<RequestsView>,
}

/// Name and version of a homeserver.
#[derive(Clone, Debug, Serialize)]
pub struct VersionView {
    /// Name of the software.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
}

/// Published keys.
#[derive(Clone, Debug, Serialize)]
pub struct KeysView {
    /// Whose keys they are, by their own account.
    pub server_name: String,
    /// Until when they may be used, in milliseconds since the epoch.
    pub valid_until_ts: i64,
    /// Id to key.
    pub verify_keys: BTreeMap<String, String>,
    /// Retired keys: id to when they were, in milliseconds since the epoch.
    pub old_verify_keys: BTreeMap<String, Option<i64>>,
}

impl Report {
    pub(super) fn new(
        server_name: &str,
        findings: Vec<Finding>,
        (seen, own): (&Observation, Option<&Own>),
        policy: Policy,
        took: Duration,
    ) -> Self {
        // What answers at an address that is hidden by NAT may be the router.
        let answers = |connection: &Connection| {
            connection.exchanges().any(|(_, fetched)| fetched.answer.is_ok())
                && !seen.is_hidden_by_nat(connection.address)
        };
        let answered = seen.connections.iter().any(answers);
        Self {
            server_name: server_name.to_owned(),
            verdict: Verdict::of(&findings, answered),
            findings,
            discovery: discovery_view(seen, policy),
            connections: seen.connections.iter().map(connection_view).collect(),
            clients: seen.client.as_ref().map(ClientsView::of),
            homeserver: own.map(HomeserverView::of),
            loopback: seen.loopback.as_ref().map(LoopView::new),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            private: false,
        }
    }

    /// How many findings have this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

fn discovery_view(seen: &Observation, policy: Policy) -> Option<DiscoveryView> {
    let plan = seen.plan.as_ref()?;
    let srv = seen.srv.iter().map(|srv| {
        let records = match &srv.answer.outcome {
            Outcome::Found(records) => records.iter().map(|r| format!("{}:{}", r.target, r.port)).collect(),
            Outcome::NoRecords | Outcome::Failed(_) => Vec::new(),
        };
        (srv.name.clone(), records)
    });
    let addresses = seen
        .located
        .iter()
        .map(|host| (host.target.to_string(), host.addresses.iter().map(ToString::to_string).collect()));
    let overridden = seen.located.iter().filter(|host| host.overridden).map(|host| host.target.to_string());
    Some(DiscoveryView {
        step: plan.step.number(),
        meaning: plan.step.meaning(),
        targets: plan.targets.iter().map(ToString::to_string).collect(),
        host_header: plan.host_header.clone(),
        certificate_name: plan.certificate_name.to_string(),
        sni: plan.sni().map(str::to_owned),
        well_known: seen.well_known.iter().map(well_known_view).collect(),
        delegation_until: lifetime::until(&seen.well_known, policy).map(|until| until.to_string()),
        srv: srv.collect(),
        addresses: addresses.collect(),
        overridden: overridden.collect(),
    })
}

fn well_known_view(visit: &Visit) -> WellKnownView {
    let answer = visit.last().map(|last| &last.answer);
    let ok = answer.and_then(|answer| answer.as_ref().ok());
    let document = ok.filter(|answer| answer.status == 200 && visit.stopped.is_none());
    let stopped = visit.stopped.as_ref().map(ToString::to_string);
    let mut chains = visit.hops.iter().filter_map(|hop| Some((&hop.fetched, &hop.fetched.tls.as_ref()?.chain)));
    let first = chains.clone().next();
    let presented = chains.find(|(_, chain)| !chain.accepted(Policy::PUBLIC)).or(first);
    WellKnownView {
        address: visit.address.to_string(),
        status: ok.map(|answer| answer.status),
        m_server: document.and_then(|d| Some(parse_server_document(&d.body).ok()?.as_str().to_owned())),
        redirects: visit.hops.iter().skip(1).map(|hop| hop.url.clone()).collect(),
        error: stopped.or_else(|| answer.and_then(|answer| Some(answer.as_ref().err()?.to_string()))),
        certificates: presented.map(|(_, chain)| CertificateView::all(chain)).unwrap_or_default(),
        presented_by: presented.map(|(fetched, _)| fetched.address.to_string()),
    }
}

fn connection_view(seen: &Connection) -> ConnectionView {
    let version = seen.version.answer.as_ref().ok().and_then(|answer| ServerVersion::parse(&answer.body).ok());
    ConnectionView {
        address: seen.address.to_string(),
        target: seen.target.to_string(),
        error: seen.version.answer.as_ref().err().map(ToString::to_string),
        tls: TlsView::of(seen),
        version: version.map(|version| VersionView { name: version.name, version: version.version }),
        keys: judge::keys_document(seen).map(|keys| KeysView {
            server_name: keys.server_name,
            valid_until_ts: keys.valid_until_ts,
            verify_keys: keys.verify_keys,
            old_verify_keys: keys.old_verify_keys,
        }),
        requests: RequestsView::of(seen),
    }
}
