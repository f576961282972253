//! Hosts and the addresses to try for them.

use crate::check::discovery::Target;
use crate::check::network::Network;
use crate::dns::{Addresses, Answer, Outcome, SrvRecord};
use crate::matrix::Host;
use std::net::SocketAddr;
use std::time::Duration;

/// More addresses than this are not tried: a name with hundreds of records must not make this
/// machine open hundreds of connections.
const MAX_ADDRESSES: usize = 16;

/// What a host is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The host that serves the well-known documents.
    WellKnown,
    /// The host peers connect to.
    Federation,
}

/// A host, and where it is.
#[derive(Clone, Debug)]
pub struct Located {
    /// What it is needed for.
    pub role: Role,
    /// Host and port as discovery names them.
    pub target: Target,
    /// A connect override decided; DNS was not asked.
    pub overridden: bool,
    /// What DNS said. `None` for literals and where an override gave an address.
    pub dns: Option<Answer<Addresses>>,
    /// The addresses to connect to.
    pub addresses: Vec<SocketAddr>,
}

/// SRV records asked for, and the answer.
#[derive(Clone, Debug)]
pub struct SrvSeen {
    /// `_service._proto.host`.
    pub name: String,
    /// The answer.
    pub answer: Answer<Vec<SrvRecord>>,
}

/// Finds the addresses of `target`, by override, literal or DNS.
pub(in crate::check) async fn locate(network: &Network, role: Role, target: &Target) -> Located {
    let route = network.route(target);
    let port = route.target.port;
    let mut located =
        Located { role, target: target.clone(), overridden: route.overridden, dns: None, addresses: Vec::new() };
    let name = match &route.target.host {
        Host::Ip(address) => {
            located.addresses.push(SocketAddr::new(*address, port));
            return located;
        }
        Host::Dns(name) => name,
    };
    let _step = network.progress.begin(|| format!("the addresses of {name}"));
    let answer = network.resolver.addresses(name).await;
    if let Outcome::Found(found) = &answer.outcome {
        located.addresses = found.all().take(MAX_ADDRESSES).map(|address| SocketAddr::new(address, port)).collect();
    }
    // An override to another name leaves nothing to say about this name's DNS.
    located.dns = (!route.overridden).then_some(answer);
    located
}

/// Asks for SRV records. Where an override says where the host's federation port is, there are
/// none: the caller has answered the question that DNS would be asked.
pub(super) async fn srv(network: &Network, host: &Host, name: &str) -> SrvSeen {
    let _step = network.progress.begin(|| format!("SRV {name}"));
    let port = crate::matrix::server_name::DEFAULT_FEDERATION_PORT;
    let answer = if network.route(&Target { host: host.clone(), port }).overridden {
        Answer { outcome: Outcome::NoRecords, took: Duration::ZERO }
    } else {
        network.resolver.srv(name).await
    };
    SrvSeen { name: name.to_owned(), answer }
}
