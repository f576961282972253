//! Whose connection it is, and whether there is room for it: between accepting and the handshake.

use super::accept::Accepted;
use super::client::ClientKey;
use super::connections::{Connections, Share, Slot};
use super::proxy_protocol::{self, ProxyProtocolError};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// What [`admit`] goes by.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Networks whose connections begin with a PROXY protocol header.
    pub proxy_protocol_from: Vec<IpNet>,
    /// Networks of HTTP proxies. Many clients share their addresses, so these are not counted.
    pub trusted_proxies: Vec<IpNet>,
    /// Most connections of one client at a time.
    pub per_client: u32,
    /// For the header and the TLS handshake together.
    pub time: Duration,
}

/// A connection whose client is known and has room for it.
#[derive(Debug)]
pub struct Admitted {
    /// The stream, with what follows the header.
    pub stream: TcpStream,
    /// The client: from the PROXY protocol header where there is one, or else the socket's peer.
    pub client: SocketAddr,
    /// What is left for the TLS handshake.
    pub time: Duration,
    /// To be held as long as the socket is open, tunnels included.
    pub permit: Permit,
}

/// The count of a connection; dropping it makes room.
#[derive(Debug)]
#[must_use = "it counts only as long as it is held"]
pub struct Permit {
    _slot: Slot,
    _share: Option<Share>,
}

impl Permit {
    /// For a connection in `slot`, and of a client with a share unless it is not counted.
    pub fn new(slot: Slot, share: Option<Share>) -> Self {
        Self { _slot: slot, _share: share }
    }
}

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is no good header where there must be one.
    #[error(transparent)]
    ProxyProtocol(#[from] ProxyProtocolError),
    /// The header did not end in time.
    #[error("no complete PROXY protocol header within {0:?}")]
    Timeout(Duration),
    /// The client has its share already.
    #[error("{0} has as many connections as it may have")]
    TooMany(ClientKey),
}

/// Reads the PROXY protocol header where `rules` ask for one, and counts the connection.
pub async fn admit(accepted: Accepted, rules: &Rules, connections: &Arc<Connections>) -> Result<Admitted, Refused> {
    let Accepted { mut stream, peer, slot, .. } = accepted;
    let mut time = rules.time;
    let client = match contains(&rules.proxy_protocol_from, peer.ip()) {
        false => Some(peer),
        true => {
            let started = Instant::now();
            let read = timeout(time, proxy_protocol::read(&mut stream)).await;
            let source = read.map_err(|_| Refused::Timeout(time))??;
            time = time.saturating_sub(started.elapsed());
            source
        }
    };
    // A balancer that speaks for itself (a health check) is no client to count.
    let counted = client.filter(|client| !contains(&rules.trusted_proxies, client.ip()));
    let share = match counted.map(|client| ClientKey::from(client.ip())) {
        None => None,
        Some(key) => Some(connections.share(key, rules.per_client).ok_or(Refused::TooMany(key))?),
    };
    Ok(Admitted { stream, client: client.unwrap_or(peer), time, permit: Permit::new(slot, share) })
}

/// Whether one of `networks` has `address`.
pub fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}
