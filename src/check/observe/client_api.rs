//! What clients find: the client document, the homeserver behind it, the support document.

use super::dns::{Role, locate};
use super::http::{Ask, Fetched, ask};
use super::tls::{Offer, Trouble};
use super::well_known::{MAX_BODY, Stop, Url, Visit, visit};
use crate::check::network::Network;
use crate::matrix::Host;
use crate::matrix::well_known::{CLIENT_PATH, SUPPORT_PATH};
use serde_json::Value;
use std::net::SocketAddr;

/// Endpoint that tells whether a homeserver is behind a base URL.
const VERSIONS: &str = "/_matrix/client/versions";

/// What clients find.
#[derive(Clone, Debug)]
pub struct ClientSeen {
    /// The client document.
    pub document: Visit,
    /// The homeserver it names, if it names one.
    pub homeserver: Option<Homeserver>,
    /// The support document.
    pub support: Visit,
}

/// The `base_url` of a client document and what answers there.
#[derive(Clone, Debug)]
pub struct Homeserver {
    /// As written in the document.
    pub base_url: String,
    /// The versions reply, or why the URL cannot be asked.
    pub versions: Result<Fetched, Stop>,
}

/// Asks `address`, one of `host`'s, for the documents that clients use.
pub(super) async fn look(network: &Network, host: &Host, address: SocketAddr) -> ClientSeen {
    let (client, support) = (Url::well_known(host, CLIENT_PATH), Url::well_known(host, SUPPORT_PATH));
    let client = async {
        let document = visit(network, address, &client).await;
        let homeserver = match base_url(&document) {
            Some(base_url) => Some(Homeserver { versions: versions(network, &base_url).await, base_url }),
            None => None,
        };
        (document, homeserver)
    };
    let ((document, homeserver), support) = tokio::join!(client, visit(network, address, &support));
    ClientSeen { document, homeserver, support }
}

/// `m.homeserver.base_url`, where there is one.
fn base_url(document: &Visit) -> Option<String> {
    let answer = document.last()?.answer.as_ref().ok().filter(|answer| answer.status == 200)?;
    let value: Value = serde_json::from_slice(&answer.body).ok()?;
    value.get("m.homeserver")?.get("base_url")?.as_str().map(str::to_owned)
}

async fn versions(network: &Network, base_url: &str) -> Result<Fetched, Stop> {
    let url = Url::parse(base_url)?.append(VERSIONS);
    let place = url.place();
    let located = locate(network, Role::WellKnown, &place).await;
    let address = located.addresses.first().copied().ok_or_else(|| Stop::NoAddress(place.host.to_string()))?;
    let question =
        |address| Ask::get(address, &place.host, url.authority(), url.target(), MAX_BODY).offering(Offer::HTTP1);
    let mut fetched = ask(network, &question(address)).await;
    // Browsers have more than one address to try as well.
    if let (Err(Trouble::NoRoute(_) | Trouble::Connect(_)), Some(next)) = (&fetched.answer, located.addresses.get(1)) {
        fetched = ask(network, &question(*next)).await;
    }
    Ok(fetched)
}
