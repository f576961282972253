//! Looking: sockets, DNS and time in, an [`Observation`] out. No opinions here.
//!
//! The observation is filled in place, so that a check whose time runs out keeps what it has seen.

pub mod announced;
pub mod around;
pub mod browser;
pub mod caa;
pub mod client_api;
pub mod dns;
pub mod exposure;
pub mod federation;
pub mod habits;
pub mod http;
pub mod http2;
pub mod login;
pub mod requests;
pub mod rtc;
pub mod session;
pub mod signed;
mod tcp;
pub mod tls;
mod url;
pub mod well_known;

use self::requests::Place;
use super::discovery::{Discovery, Next, Plan, Query, Reply, SRV_CURRENT, SRV_DEPRECATED, Target, srv_name};
use super::loop_back::{self, LoopSource};
use super::network::Network;
use crate::clock::Timestamp;
use crate::dns::{Outcome, SrvRecord};
use crate::matrix::well_known::SERVER_PATH;
use crate::matrix::{Host, ServerName};
use crate::probe::loopback::LoopSeen;
use around::{Around, Known};
use browser::BrowserSeen;
use caa::CaaSeen;
use client_api::ClientSeen;
use dns::{Located, Role, SrvSeen};
use federation::Connection;
use futures_util::future::join_all;
use futures_util::stream::{self, Stream, StreamExt as _};
use std::net::SocketAddr;
use well_known::{Url, Visit};

/// Addresses looked at side by side.
const PARALLEL: usize = 8;

/// Targets of SRV records that are located, and addresses of all targets that are looked at. A
/// server has a handful; a zone with thousands must not make this machine open as many connections.
const MAX_TARGETS: usize = 10;
const MAX_ENDPOINTS: usize = 32;

/// Everything seen in one check.
#[derive(Debug, Default)]
pub struct Observation {
    /// The hosts located, with their part in it.
    pub located: Vec<Located>,
    /// SRV records asked for.
    pub srv: Vec<SrvSeen>,
    /// The delegation document from each address, in order of address.
    pub well_known: Vec<Visit>,
    /// How peers reach the server, once known.
    pub plan: Option<Plan>,
    /// Every address of every target, in order of address.
    pub connections: Vec<Connection>,
    /// What clients find.
    pub client: Option<ClientSeen>,
    /// What browsers and uploaders meet at the client API, where one is published.
    pub browser: Option<BrowserSeen>,
    /// The loop-back proof of an own server.
    pub loopback: Option<LoopBack>,
    /// What is being waited for: non-empty only while looking, or when time ran out.
    pub pending: Vec<String>,
    /// The same for what clients find, which is looked at alongside.
    pub client_pending: bool,
    /// What stands beside the way.
    pub around: Around,
    /// CAA records of the certificates presented.
    pub caa: Vec<CaaSeen>,
    /// Targets and addresses that are too many to be looked at.
    pub left_out: usize,
}

/// The loop-back proof, made or not.
#[derive(Debug)]
pub struct LoopBack {
    /// When it was looked at, for the age of what came before.
    pub at: Timestamp,
    /// Each address, in their order; or why nobody made it, in words.
    pub seen: Result<Vec<LoopSeen>, String>,
    /// Whether it is still being made, or was when time ran out.
    pub pending: bool,
}

impl Observation {
    /// Whether whatever was seen at `address` may be a router's doing ([`LoopSeen::is_hidden_by_nat`]).
    pub fn is_hidden_by_nat(&self, address: SocketAddr) -> bool {
        let seen = self.loopback.iter().flat_map(|loopback| loopback.seen.iter().flatten());
        seen.filter(|seen| seen.is_hidden_by_nat()).any(|seen| seen.address.ip() == address.ip())
    }

    /// Hosts located for `role`.
    pub fn located(&self, role: Role) -> impl Iterator<Item = &Located> {
        self.located.iter().filter(move |located| located.role == role)
    }
}

/// Looks at everything there is to see about `name`.
pub(super) async fn observe(network: &Network, name: &ServerName, seen: &mut Observation) {
    seen.pending = vec!["discovery".to_owned()];
    let plan = discover(network, name, seen).await;
    seen.plan = Some(plan.clone());
    let endpoints = locate(network, &plan, seen).await;
    seen.pending = endpoints.iter().map(|(_, address)| address.to_string()).collect();
    let own: Vec<_> = seen.located.iter().flat_map(|host| &host.addresses).map(SocketAddr::ip).collect();
    let Observation {
        connections,
        pending,
        client,
        client_pending,
        around,
        caa,
        located,
        srv,
        well_known,
        loopback,
        ..
    } = seen;
    let known = Known { name, plan: &plan, located, srv, well_known };
    let federation = async {
        let places: Vec<_> = endpoints
            .iter()
            .map(|(target, address)| Place { server: name, plan: &plan, target, address: *address })
            .collect();
        let mut looking = side_by_side(places.iter().map(|place| federation::connect(network, place)));
        while let Some(connection) = looking.next().await {
            let label = connection.address.to_string();
            if let Some(position) = pending.iter().position(|entry| *entry == label) {
                pending.remove(position);
            }
            connections.push(connection);
        }
        // Every run must read the same, whoever answers first.
        connections.sort_by(|a, b| (&a.target, a.address).cmp(&(&b.target, b.address)));
        pending.push("CAA records".to_owned());
        *caa = caa::look(network, &plan, connections, (name.host(), known.well_known)).await;
        pending.pop();
    };
    let answering = known.well_known.iter().find(|visit| visit.last().is_some_and(|last| last.answer.is_ok()));
    let clients = async {
        if let Some(visit) = answering {
            *client_pending = true;
            *client = Some(Box::pin(client_api::look(network, name.host(), visit.address, &own)).await);
            *client_pending = false;
        }
    };
    let proof = async {
        let at = network.clock.now();
        match &network.loopback {
            LoopSource::Nowhere => {}
            LoopSource::Told(seen) => *loopback = Some(LoopBack { at, seen: seen.clone(), pending: false }),
            LoopSource::Here(prover) => {
                *loopback = Some(LoopBack { at, seen: Ok(Vec::new()), pending: true });
                let seen =
                    Box::pin(loop_back::prove(prover, &plan, endpoints.iter().map(|(_, address)| *address))).await;
                *loopback = Some(LoopBack { at, seen: Ok(seen), pending: false });
            }
        }
    };
    tokio::join!(federation, clients, Box::pin(around::look(network, known, around)), proof);
    let homeserver = seen.client.as_ref().and_then(|client| client.homeserver.as_ref());
    if let Some(place) = homeserver.and_then(browser::Place::of) {
        seen.client_pending = true;
        seen.browser = Some(Box::pin(browser::look(network, &place, &seen.connections)).await);
        seen.client_pending = false;
    }
}

/// Where peers connect to, as far as that can be found out.
pub(super) async fn endpoints(network: &Network, name: &ServerName) -> (Plan, Vec<SocketAddr>) {
    let mut seen = Observation::default();
    let plan = discover(network, name, &mut seen).await;
    let endpoints = locate(network, &plan, &mut seen).await.into_iter().map(|(_, address)| address).collect();
    (plan, endpoints)
}

/// Every address of every target, within bounds.
async fn locate<'p>(network: &Network, plan: &'p Plan, seen: &mut Observation) -> Vec<(&'p Target, SocketAddr)> {
    let mut endpoints = Vec::new();
    let targets = || plan.targets.iter().take(MAX_TARGETS);
    seen.pending = targets().map(|target| format!("the addresses of {target}")).collect();
    let located = join_all(targets().map(|target| dns::locate(network, Role::Federation, target))).await;
    for (target, located) in targets().zip(located) {
        endpoints.extend(located.addresses.iter().map(|address| (target, *address)));
        seen.located.push(located);
    }
    seen.left_out = plan.targets.len().saturating_sub(MAX_TARGETS) + endpoints.len().saturating_sub(MAX_ENDPOINTS);
    endpoints.truncate(MAX_ENDPOINTS);
    endpoints
}

/// The results of `futures` as they come, so many at a time. Collected first: a stream that makes
/// its futures as it goes would borrow in a way that keeps a check from moving between threads.
fn side_by_side<F: Future>(futures: impl Iterator<Item = F>) -> impl Stream<Item = F::Output> + Unpin {
    stream::iter(futures.collect::<Vec<_>>()).buffer_unordered(PARALLEL)
}

/// Drives [`Discovery`] with answers from the network.
pub(super) async fn discover(network: &Network, name: &ServerName, seen: &mut Observation) -> Plan {
    let mut discovery = Discovery::new(name);
    loop {
        let reply = match discovery.next() {
            Next::Done(plan) => return plan,
            Next::Ask(Query::WellKnown(_)) => {
                seen.pending = vec![format!("https://{}{SERVER_PATH}", name.host())];
                fetch_well_known(network, name.host(), seen).await;
                // Peers pick an address at random; where they disagree, that is a finding of its own.
                Reply::WellKnown(seen.well_known.iter().find_map(|visit| visit.delegation(network.policy())))
            }
            Next::Ask(Query::Srv(record)) => {
                seen.pending = vec![format!("SRV {record}")];
                Reply::Srv(ask_srv(network, &record, seen).await)
            }
        };
        discovery = discovery.reply(reply);
    }
}

async fn fetch_well_known(network: &Network, host: &Host, seen: &mut Observation) {
    let url = Url::well_known(host, SERVER_PATH);
    let located = dns::locate(network, Role::WellKnown, &url.place()).await;
    let addresses = located.addresses.clone();
    seen.located.push(located);
    let mut visits = side_by_side(addresses.iter().map(|address| well_known::visit(network, *address, &url)));
    while let Some(visit) = visits.next().await {
        seen.well_known.push(visit);
    }
    seen.well_known.sort_by_key(|visit| visit.address);
}

/// Asks for `record`, and on the first occasion for both spellings of the service: whether they
/// agree is worth knowing even where the second one is not needed.
async fn ask_srv(network: &Network, record: &str, seen: &mut Observation) -> Vec<SrvRecord> {
    if !seen.srv.iter().any(|known| known.name == record) {
        let host = record.strip_prefix(SRV_CURRENT).or_else(|| record.strip_prefix(SRV_DEPRECATED));
        let host = host.and_then(|rest| Host::parse(rest.trim_start_matches('.')).ok());
        if let Some(host) = host {
            let (current, old) = (srv_name(SRV_CURRENT, &host), srv_name(SRV_DEPRECATED, &host));
            let (current, old) = tokio::join!(dns::srv(network, &host, &current), dns::srv(network, &host, &old));
            seen.srv.extend([current, old]);
        }
    }
    let known = seen.srv.iter().find(|known| known.name == record);
    match known.map(|known| &known.answer.outcome) {
        Some(Outcome::Found(records)) => records.clone(),
        _ => Vec::new(),
    }
}
