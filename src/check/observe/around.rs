//! What stands beside the way that peers go, and trips those that miss it: records that do not
//! count, the fallback port, rules about bots, name servers that do not validate.

use super::dns::{Located, Role, SrvSeen, locate, srv};
use super::http::{Ask, Fetched, ask, ask_all};
use super::side_by_side;
use super::tls::Offer;
use super::well_known::{MAX_BODY, Url, Visit};
use crate::check::discovery::{Plan, SRV_CURRENT, SRV_DEPRECATED, Step, Target, srv_name};
use crate::check::network::Network;
use crate::dns::{FailureKind, Outcome};
use crate::matrix::server_name::DEFAULT_FEDERATION_PORT;
use crate::matrix::{Host, ServerName};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use http::header;
use std::net::SocketAddr;

/// What Synapse, homeservers and testers in Go, and people call themselves. Firewalls have lists of
/// such words.
pub const AGENTS: [&str; 3] = ["Synapse/1.157.1", "Go-http-client/1.1", "curl/8.17.0"];

/// Needs no authentication.
const VERSION: &str = "/_matrix/federation/v1/version";

/// More names than this that are answered SERVFAIL teach nothing new.
const MAX_UNVALIDATED: usize = 6;

/// What was seen there.
#[derive(Debug, Default)]
pub struct Around {
    /// SRV records that discovery had no need of.
    pub shadowed: Vec<SrvSeen>,
    /// Names that were answered SERVFAIL, and have an answer where nobody validates it.
    pub bogus: Vec<String>,
    /// The server name's own port 8448 at each address, where peers are sent elsewhere.
    pub fallback: Vec<Fetched>,
    /// The delegation document as clients of other names are given it.
    pub agents: Vec<Agent>,
    /// What is being waited for.
    pub pending: Vec<&'static str>,
}

/// The delegation document, asked for by another name.
#[derive(Clone, Debug)]
pub struct Agent {
    /// What the question called itself.
    pub name: &'static str,
    /// What came.
    pub fetched: Fetched,
}

/// What is known by now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) name: &'a ServerName,
    pub(super) plan: &'a Plan,
    pub(super) located: &'a [Located],
    pub(super) srv: &'a [SrvSeen],
    pub(super) well_known: &'a [Visit],
}

/// Looks around.
pub(super) async fn look(network: &Network, known: Known<'_>, seen: &mut Around) {
    seen.pending = vec!["SRV records that are not used", "port 8448 of the server name", "other user agents"];
    let Around { shadowed, bogus, fallback, agents, pending } = seen;
    // Each keeps what it has seen as soon as it has: time may run out while another waits.
    let records = async {
        *shadowed = unused(network, known).await;
        *bogus = unvalidated(network, known, shadowed).await;
    };
    let port = async { *fallback = port_8448(network, known).await };
    let asked = async { *agents = by_other_names(network, known.well_known).await };
    tokio::join!(records, port, asked);
    pending.clear();
}

/// SRV records of the server name and of the name it delegates to that no row of the table asked for.
async fn unused(network: &Network, known: Known<'_>) -> Vec<SrvSeen> {
    if !network.resolver.has_name_server() {
        return Vec::new();
    }
    let mut names: Vec<(&Host, String)> = Vec::new();
    for host in [known.name.host(), &known.plan.certificate_name] {
        if host.dns().is_none() {
            continue;
        }
        for name in [srv_name(SRV_CURRENT, host), srv_name(SRV_DEPRECATED, host)] {
            let asked = known.srv.iter().any(|seen| seen.name == name) || names.iter().any(|(_, seen)| *seen == name);
            if !asked {
                names.push((host, name));
            }
        }
    }
    join_all(names.iter().map(|(host, name)| srv(network, host, name))).await
}

/// The names answered SERVFAIL that are answered when the answer need not be valid.
async fn unvalidated(network: &Network, known: Known<'_>, shadowed: &[SrvSeen]) -> Vec<String> {
    let hosts = known.located.iter().filter_map(|host| match &host.dns.as_ref()?.outcome {
        Outcome::Failed(failure) if failure.kind == FailureKind::ServFail => Some(host.target.host.to_string()),
        Outcome::Found(found) => {
            let failure = found.trouble.as_ref()?;
            (failure.kind == FailureKind::ServFail).then(|| host.target.host.to_string())
        }
        Outcome::Failed(_) | Outcome::NoRecords => None,
    });
    let records = known.srv.iter().chain(shadowed).filter_map(|srv| match &srv.answer.outcome {
        Outcome::Failed(failure) if failure.kind == FailureKind::ServFail => Some(srv.name.clone()),
        Outcome::Failed(_) | Outcome::Found(_) | Outcome::NoRecords => None,
    });
    let mut names: Vec<_> = hosts.chain(records).take(MAX_UNVALIDATED).collect();
    names.sort();
    names.dedup();
    let answers = join_all(names.iter().map(|name| network.resolver.answers_unvalidated(name))).await;
    names.into_iter().zip(answers).filter(|(_, answered)| *answered).map(|(name, _)| name).collect()
}

/// Port 8448 of the server name, where a delegation leads away from it: peers that miss the
/// delegation for an hour go there.
async fn port_8448(network: &Network, known: Known<'_>) -> Vec<Fetched> {
    let delegated = matches!(
        known.plan.step,
        Step::DelegatedIp
            | Step::DelegatedPort
            | Step::DelegatedSrv
            | Step::DelegatedSrvDeprecated
            | Step::DelegatedDefault
    );
    let target = Target { host: known.name.host().clone(), port: DEFAULT_FEDERATION_PORT };
    if !delegated || known.plan.targets.contains(&target) {
        return Vec::new();
    }
    let mut addresses: Vec<SocketAddr> = if network.route(&target).overridden {
        locate(network, Role::WellKnown, &target).await.addresses
    } else {
        let well_known = known.located.iter().filter(|host| host.role == Role::WellKnown && !host.overridden);
        well_known.flat_map(|host| &host.addresses).map(|address| SocketAddr::new(address.ip(), target.port)).collect()
    };
    addresses.dedup();
    let looks = addresses.iter().map(|address| async {
        let question = Ask::get(*address, &target.host, known.name.as_str(), VERSION, MAX_BODY);
        ask(network, &question).await
    });
    let mut seen: Vec<_> = side_by_side(looks).collect().await;
    seen.sort_by_key(|fetched| fetched.address);
    seen
}

/// Asks for the document once more as others would, at the first address that gave an answer.
async fn by_other_names(network: &Network, visits: &[Visit]) -> Vec<Agent> {
    let first = visits.iter().filter_map(|visit| visit.hops.first()).find(|hop| hop.fetched.answer.is_ok());
    let Some((address, Ok(url))) = first.map(|hop| (hop.fetched.address, Url::parse(&hop.url))) else {
        return Vec::new();
    };
    let headers = AGENTS.map(|agent| [(header::USER_AGENT, agent)]);
    let questions = headers.each_ref().map(|headers| {
        Ask::get(address, url.host(), url.authority(), url.target(), MAX_BODY).offering(Offer::HTTP1).sending(headers)
    });
    let answers = ask_all(network, &questions).await;
    AGENTS.into_iter().zip(answers).map(|(name, fetched)| Agent { name, fetched }).collect()
}
