//! The well-known documents, from each address, with redirects followed as peers follow them.

use super::dns::{Role, locate};
use super::http::{Ask, Fetched, ask, ask_all};
use super::tls::Offer;
use crate::check::chain::Policy;
use crate::check::network::Network;
use crate::matrix::ServerName;
use crate::matrix::well_known::parse_server_document;
use futures_util::future::join_all;
use http::header::HeaderName;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, timeout};

pub use super::url::Url;

/// Peers follow between 10 and 20 redirects; the smaller number decides.
const MAX_HOPS: usize = 10;

/// How long the redirects may take together: the most patient peer gives the whole fetch 10 s.
const MAX_TIME: Duration = Duration::from_secs(10);

/// Peers read at most 50 KiB (Synapse, gomatrixserverlib); one byte more is enough to see it.
pub const MAX_BODY: usize = 50 * 1024;

/// One document asked of one address.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The address the first request went to.
    pub address: SocketAddr,
    /// Every request made, the first one first.
    pub hops: Vec<Hop>,
    /// Why a redirect was not followed, if one was not.
    pub stopped: Option<Stop>,
}

/// One request of a [`Visit`].
#[derive(Clone, Debug)]
pub struct Hop {
    /// What was asked for.
    pub url: String,
    /// What came.
    pub fetched: Fetched,
}

/// Why a redirect leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// To a place already visited.
    Loop(String),
    /// More than peers follow.
    TooMany,
    /// Away from https.
    NotHttps(String),
    /// Without a usable `Location`.
    BadLocation(String),
    /// To a host without addresses.
    NoAddress(String),
    /// To where nothing came in time.
    TooSlow(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loop(url) => write!(f, "the redirects run in a circle at {url}"),
            Self::TooMany => write!(f, "more than {MAX_HOPS} redirects"),
            Self::NotHttps(url) => write!(f, "a redirect leaves https: {url}"),
            Self::BadLocation(text) => write!(f, "a redirect without a usable Location ({text:?})"),
            Self::NoAddress(host) => write!(f, "a redirect to {host}, which has no address"),
            Self::TooSlow(url) => write!(f, "the redirects take more than {} s, the last to {url}", MAX_TIME.as_secs()),
        }
    }
}

impl Visit {
    /// Nothing was asked for.
    pub(super) fn none(address: SocketAddr) -> Self {
        Self { address, hops: Vec::new(), stopped: None }
    }

    /// The last request and its outcome.
    pub fn last(&self) -> Option<&Fetched> {
        self.hops.last().map(|hop| &hop.fetched)
    }

    /// The delegation that peers would read out of this: 200, a valid `m.server`, and certificates
    /// they accept on the way.
    pub fn delegation(&self, policy: Policy) -> Option<ServerName> {
        let accepted = |hop: &Hop| hop.fetched.tls.as_ref().is_some_and(|tls| tls.chain.accepted(policy));
        if self.stopped.is_some() || !self.hops.iter().all(accepted) {
            return None;
        }
        let answer = self.last()?.answer.as_ref().ok()?;
        if answer.status != 200 {
            return None;
        }
        parse_server_document(&answer.body).ok()
    }
}

/// Asks `address` for the document at `start`, and follows where it leads.
pub(super) async fn visit(network: &Network, address: SocketAddr, start: &Url) -> Visit {
    let first = ask(network, &question(address, start, &[])).await;
    follow(network, first, start, &[]).await
}

/// Asks `address` for several documents of one host, over one connection where that lasts, with
/// these headers on every hop, and follows where they lead.
pub(super) async fn visit_all(
    network: &Network,
    address: SocketAddr,
    documents: &[Url],
    headers: &[(HeaderName, &str)],
) -> Vec<Visit> {
    let questions: Vec<_> = documents.iter().map(|url| question(address, url, headers)).collect();
    let first = ask_all(network, &questions).await;
    let follows: Vec<_> =
        first.into_iter().zip(documents).map(|(fetched, url)| follow(network, fetched, url, headers)).collect();
    join_all(follows).await
}

fn question<'a>(address: SocketAddr, url: &'a Url, headers: &'a [(HeaderName, &'a str)]) -> Ask<'a> {
    Ask::get(address, url.host(), url.authority(), url.target(), MAX_BODY).offering(Offer::HTTP1).sending(headers)
}

/// Goes on from the `first` answer, which `start` gave.
async fn follow(network: &Network, first: Fetched, start: &Url, headers: &[(HeaderName, &str)]) -> Visit {
    let started = Instant::now();
    let mut visit = Visit::none(first.address);
    // What a redirect names is a stranger's word.
    let second = network.second_hand([first.address.ip()]);
    let (mut url, mut fetched, mut addresses) = (start.clone(), first, vec![visit.address]);
    loop {
        let location = redirect(&fetched);
        visit.hops.push(Hop { url: url.to_string(), fetched });
        let Some(location) = location else {
            return visit;
        };
        let next = match url.join(&location) {
            Ok(next) => next,
            Err(stop) => return Visit { stopped: Some(stop), ..visit },
        };
        if visit.hops.iter().any(|hop| hop.url == next.to_string()) {
            return Visit { stopped: Some(Stop::Loop(next.to_string())), ..visit };
        }
        if visit.hops.len() > MAX_HOPS {
            return Visit { stopped: Some(Stop::TooMany), ..visit };
        }
        let going = async {
            // A redirect to the same place stays at the address under test.
            if next.place() != url.place() {
                addresses = locate(&second, Role::WellKnown, &next.place()).await.addresses;
            }
            ask_first(&second, &addresses, &next, headers).await
        };
        let Ok(gone) = timeout(MAX_TIME.saturating_sub(started.elapsed()), going).await else {
            return Visit { stopped: Some(Stop::TooSlow(next.to_string())), ..visit };
        };
        let Some(gone) = gone else {
            return Visit { stopped: Some(Stop::NoAddress(next.place().host.to_string())), ..visit };
        };
        (url, fetched) = (next, gone);
    }
}

/// Asks the first of two addresses that answers; `None` where there is no address.
pub(super) async fn ask_first(
    network: &Network,
    addresses: &[SocketAddr],
    url: &Url,
    headers: &[(HeaderName, &str)],
) -> Option<Fetched> {
    let mut last = None;
    for address in addresses.iter().take(2) {
        let fetched = ask(network, &question(*address, url, headers)).await;
        if fetched.answer.is_ok() {
            return Some(fetched);
        }
        last = Some(fetched);
    }
    last
}

fn redirect(fetched: &Fetched) -> Option<String> {
    let answer = fetched.answer.as_ref().ok()?;
    let redirects = matches!(answer.status, 301 | 302 | 303 | 307 | 308);
    redirects.then(|| answer.header("location").unwrap_or_default().to_owned())
}
