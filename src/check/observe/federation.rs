//! One address of the federation endpoint: the two public questions every peer asks, one that no
//! homeserver knows, and a handshake for each protocol version.

use super::habits::{self, Habits, Outdated};
use super::http::{Ask, Fetched, ask};
use super::requests::{self, Place, Requests};
use super::tls::{self, Handshake, Offer, Trouble};
use crate::check::chain::Chain;
use crate::check::discovery::Target;
use crate::check::network::Network;
use crate::matrix::Host;
use crate::matrix::keys::ServerKeys;
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
    /// How it meets other clients than peers of today.
    pub habits: Habits,
    /// What it agrees to instead, where no handshake came off.
    pub outdated: Option<Outdated>,
    /// What it does with requests. `None` where the first question got no answer.
    pub requests: Option<Box<Requests>>,
}

impl Connection {
    /// What it does with requests, where that was looked at.
    pub fn requests(&self) -> Option<&Requests> {
        self.more.as_ref()?.requests.as_deref()
    }

    /// A completed handshake to judge the certificate by, if there was any.
    pub fn handshake(&self) -> Option<&Handshake> {
        self.handshakes().next()
    }

    /// All completed handshakes as peers make them.
    pub fn handshakes(&self) -> impl Iterator<Item = &Handshake> {
        let more = self.more.iter().flat_map(|more| {
            let alone = [more.only_13.as_ref().ok(), more.only_12.as_ref().ok()];
            [more.keys.tls.as_ref(), more.unknown.tls.as_ref()].into_iter().chain(alone).flatten()
        });
        self.version.tls.iter().chain(more)
    }

    /// The chain presented, whether or not a peer could have gone on after it.
    pub fn chain(&self) -> Option<&Chain> {
        let outdated = || self.more.as_ref().and_then(|more| more.outdated.as_ref()).map(|outdated| &outdated.chain);
        self.handshake().map(|handshake| &handshake.chain).or_else(outdated)
    }

    /// All exchanges made.
    pub fn exchanges(&self) -> impl Iterator<Item = (&'static str, &Fetched)> {
        let more = self.more.iter().flat_map(|more| [(KEYS, &more.keys), (UNKNOWN, &more.unknown)]);
        std::iter::once((VERSION, &self.version)).chain(more)
    }
}

/// Looks at one address.
pub(in crate::check) async fn connect(network: &Network, place: &Place<'_>) -> Connection {
    let Place { plan, target, address, .. } = *place;
    let question = |target| Ask::get(address, &plan.certificate_name, &plan.host_header, target, MAX_BODY);
    let version = ask(network, &question(VERSION)).await;
    let mut connection = Connection { target: target.clone(), address, version, more: None };
    if connection.version.answer.as_ref().is_err_and(Trouble::before_tls) {
        return connection;
    }
    let name = &plan.certificate_name;
    let (keys, unknown) = (question(KEYS).offering(Offer::HTTP1), question(UNKNOWN).offering(Offer::HTTP1));
    let (keys, unknown, only_12, only_13, habits) = tokio::join!(
        ask(network, &keys),
        ask(network, &unknown),
        probe(network, address, name, Offer::ONLY_12),
        probe(network, address, name, Offer::ONLY_13),
        habits::look(network, address, name),
    );
    // Afterwards, as an address should not see ten connections at once; and only where the first
    // question was answered, as the others would wait in vain.
    let requests = match &connection.version.answer {
        Ok(_) => {
            let published = keys.answer.as_ref().ok().and_then(|answer| ServerKeys::parse(&answer.body).ok());
            Some(Box::new(Box::pin(requests::look(network, place, published.as_ref())).await))
        }
        Err(_) => None,
    };
    connection.more = Some(More { keys, unknown, only_12, only_13, habits, outdated: None, requests });
    if connection.handshake().is_none() {
        let outdated = habits::outdated(network, address, name).await;
        connection.more = connection.more.map(|more| More { outdated, ..more });
    }
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
