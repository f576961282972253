//! One address of the federation endpoint: the two public questions every peer asks, one that no
//! homeserver knows, and a handshake for each protocol version.

use super::http::{Ask, Fetched, ask};
use super::tls::{self, Handshake, Offer, Trouble};
use crate::check::discovery::{Plan, Target};
use crate::check::network::Network;
use crate::matrix::Host;
use std::net::SocketAddr;

/// "Get server version": needs no authentication.
const VERSION: &str = "/_matrix/federation/v1/version";
/// "Retrieving server keys".
const KEYS: &str = "/_matrix/key/v2/server";
/// Nobody has this endpoint, so the homeserver itself should say so.
const UNKNOWN: &str = "/_matrix/federation/v1/vestibule.no_such_endpoint";

/// Key documents and version replies are a few kilobytes; this leaves room for many old keys.
const MAX_BODY: usize = 256 * 1024;

/// Everything seen at one address.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The target this address belongs to.
    pub target: Target,
    /// The address.
    pub address: SocketAddr,
    /// The version reply, asked for without ALPN.
    pub version: Fetched,
    /// The rest; `None` where no connection could be made at all.
    pub more: Option<More>,
}

/// What is asked once a connection is possible.
#[derive(Clone, Debug)]
pub struct More {
    /// The server keys, asked for with ALPN `http/1.1`.
    pub keys: Fetched,
    /// The answer to an endpoint that does not exist.
    pub unknown: Fetched,
    /// A handshake with TLS 1.2 only.
    pub only_12: Result<Handshake, Trouble>,
    /// A handshake with TLS 1.3 only.
    pub only_13: Result<Handshake, Trouble>,
}

impl Connection {
    /// A completed handshake to judge the certificate by, if there was any.
    pub fn handshake(&self) -> Option<&Handshake> {
        let more = self.more.as_ref();
        let later = || more.and_then(|more| more.keys.tls.as_ref().or_else(|| more.only_13.as_ref().ok()));
        let last = || more.and_then(|more| more.only_12.as_ref().ok());
        self.version.tls.as_ref().or_else(later).or_else(last)
    }

    /// All exchanges made.
    pub fn exchanges(&self) -> impl Iterator<Item = (&'static str, &Fetched)> {
        let more = self.more.iter().flat_map(|more| [(KEYS, &more.keys), (UNKNOWN, &more.unknown)]);
        std::iter::once((VERSION, &self.version)).chain(more)
    }
}

/// Looks at one address.
pub(in crate::check) async fn connect(
    network: &Network,
    plan: &Plan,
    target: &Target,
    address: SocketAddr,
) -> Connection {
    let question = |target| Ask::get(address, &plan.certificate_name, &plan.host_header, target, MAX_BODY);
    let version = ask(network, &question(VERSION)).await;
    let mut connection = Connection { target: target.clone(), address, version, more: None };
    if connection.version.answer.as_ref().is_err_and(Trouble::before_tls) {
        return connection;
    }
    let name = &plan.certificate_name;
    let (keys, unknown) = (question(KEYS).offering(Offer::HTTP1), question(UNKNOWN).offering(Offer::HTTP1));
    let (keys, unknown, only_12, only_13) = tokio::join!(
        ask(network, &keys),
        ask(network, &unknown),
        probe(network, address, name, Offer::ONLY_12),
        probe(network, address, name, Offer::ONLY_13),
    );
    connection.more = Some(More { keys, unknown, only_12, only_13 });
    connection
}

/// A handshake and nothing more, with the same second try that requests get: a connection lost on
/// the way must not pass for a protocol version refused.
async fn probe(network: &Network, address: SocketAddr, name: &Host, offer: Offer) -> Result<Handshake, Trouble> {
    match tls::open(network, address, name, offer).await {
        Ok((_, handshake)) => return Ok(handshake),
        Err(trouble) if !trouble.worth_a_retry() => return Err(trouble),
        Err(_) => tokio::time::sleep(network.limits.retry).await,
    }
    tls::open(network, address, name, offer).await.map(|(_, handshake)| handshake)
}
