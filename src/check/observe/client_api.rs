//! What clients find: the documents of the server name, and what stands behind the URLs in them.
//!
//! Those URLs are the other side's word: few are asked, each once or twice, none of them leads into
//! a network that the server itself is not in ([`Guard`](crate::check::guard::Guard)), and what comes
//! is read up to [`MAX_BODY`]. Every question is a browser's: it has an `Origin`.

use super::dns::{Role, locate};
use super::http::{Ask, Fetched, ask_all};
use super::login::{self, Login};
use super::rtc::{self, Focus};
use super::tls::{Offer, Trouble};
use super::well_known::{MAX_BODY, Stop, Url, Visit, ask_first, visit_all};
use crate::check::network::Network;
use crate::matrix::Host;
use crate::matrix::well_known::{CLIENT_PATH, POLICY_PATH, SUPPORT_PATH};
use http::header::{HeaderName, ORIGIN};
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};

/// Endpoint that tells whether a homeserver is behind a base URL.
const VERSIONS: &str = "/_matrix/client/versions";
/// The metadata of the login (since v1.15), and the same before it was stable.
const METADATA: [&str; 2] =
    ["/_matrix/client/v1/auth_metadata", "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata"];

/// A web client that nobody has in a list of exceptions.
pub const PAGE: &str = "https://client.example";
const FROM_PAGE: &[(HeaderName, &str)] = &[(ORIGIN, PAGE)];
/// What clients find.
#[derive(Clone, Debug)]
pub struct ClientSeen {
    /// The client document.
    pub document: Visit,
    /// The homeserver it names, if it names one.
    pub homeserver: Option<Homeserver>,
    /// The support document.
    pub support: Visit,
    /// The document of a policy server.
    pub policy: Visit,
    /// The call back ends that the client document names.
    pub rtc: Vec<Focus>,
    /// The login with OAuth 2.0, where there is one.
    pub login: Option<Login>,
}

/// The `base_url` of a client document and what answers there.
#[derive(Clone, Debug)]
pub struct Homeserver {
    /// As written in the document.
    pub base_url: String,
    /// The versions reply, or why the URL cannot be asked.
    pub versions: Result<Fetched, Stop>,
    /// The metadata of the login: the stable endpoint, then the unstable one.
    pub auth_metadata: Vec<Fetched>,
}

impl Homeserver {
    /// The metadata of the login, with the path of each.
    pub fn metadata(&self) -> impl Iterator<Item = (&'static str, &Fetched)> {
        METADATA.into_iter().zip(&self.auth_metadata)
    }
}

/// Asks `address`, one of `host`'s, for the documents that clients use, and goes where they lead.
/// The server is at `own` addresses.
pub(super) async fn look(network: &Network, host: &Host, address: SocketAddr, own: &[IpAddr]) -> ClientSeen {
    let documents = [CLIENT_PATH, SUPPORT_PATH, POLICY_PATH].map(|path| Url::well_known(host, path));
    let mut visits = visit_all(network, address, &documents, FROM_PAGE).await.into_iter();
    let mut next = || visits.next().unwrap_or_else(|| Visit::none(address));
    let (document, support, policy) = (next(), next(), next());
    let second = network.second_hand(own.iter().copied().chain([address.ip()]));
    let value = content(&document).unwrap_or_default();
    let homeserver = async {
        let base_url = value.get("m.homeserver")?.get("base_url")?.as_str()?;
        Some(homeserver(&second, base_url).await)
    };
    let (homeserver, rtc) = tokio::join!(homeserver, rtc::look(&second, &value));
    let login = login::look(&second, &value, homeserver.as_ref()).await;
    ClientSeen { document, homeserver, support, policy, rtc, login }
}

/// A document as JSON, where there is one.
fn content(document: &Visit) -> Option<Value> {
    let answer = document.last()?.answer.as_ref().ok().filter(|answer| answer.status == 200)?;
    serde_json::from_slice(&answer.body).ok()
}

/// Asks what a client asks before anybody logs in, over one connection.
async fn homeserver(network: &Network, base_url: &str) -> Homeserver {
    let mut seen = Homeserver {
        base_url: base_url.to_owned(),
        versions: Err(Stop::BadLocation(base_url.to_owned())),
        auth_metadata: Vec::new(),
    };
    let base = match Url::parse(base_url) {
        Ok(base) => base,
        Err(stop) => return Homeserver { versions: Err(stop), ..seen },
    };
    let addresses = locate(network, Role::WellKnown, &base.place()).await.addresses;
    seen.versions = Err(Stop::NoAddress(base.place().host.to_string()));
    let [versions, stable, unstable] = [VERSIONS, METADATA[0], METADATA[1]].map(|path| base.append(path));
    for address in addresses.iter().take(2) {
        let get = |url| question(*address, url, FROM_PAGE);
        let questions = [get(&versions), get(&stable), get(&unstable)];
        let mut answers = ask_all(network, &questions).await.into_iter();
        let Some(first) = answers.next() else { continue };
        // Browsers have more than one address to try as well.
        let elsewhere = matches!(first.answer, Err(Trouble::NoRoute(_) | Trouble::Connect(_)));
        seen.versions = Ok(first);
        if !elsewhere {
            seen.auth_metadata = answers.collect();
            break;
        }
    }
    seen
}

fn question<'a>(address: SocketAddr, url: &'a Url, headers: &'a [(HeaderName, &'a str)]) -> Ask<'a> {
    Ask::get(address, url.host(), url.authority(), url.target(), MAX_BODY).offering(Offer::HTTP1).sending(headers)
}

/// Fetches what a document names, as a web client would.
pub(super) async fn fetch(network: &Network, url: &Url) -> Result<Fetched, Stop> {
    let place = url.place();
    let addresses = locate(network, Role::WellKnown, &place).await.addresses;
    ask_first(network, &addresses, url, FROM_PAGE).await.ok_or_else(|| Stop::NoAddress(place.host.to_string()))
}
