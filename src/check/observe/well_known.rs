//! The well-known documents, from each address, with redirects followed as peers follow them.

use super::dns::{Role, locate};
use super::http::{Ask, Fetched, ask};
use super::tls::{Offer, Trouble};
use crate::check::chain::Policy;
use crate::check::discovery::Target;
use crate::check::network::Network;
use crate::matrix::well_known::parse_server_document;
use crate::matrix::{Host, ServerName};
use http::Uri;
use std::fmt;
use std::net::SocketAddr;

/// Peers follow between 10 and 20 redirects; the smaller number decides.
const MAX_HOPS: usize = 10;

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
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loop(url) => write!(f, "the redirects run in a circle at {url}"),
            Self::TooMany => write!(f, "more than {MAX_HOPS} redirects"),
            Self::NotHttps(url) => write!(f, "a redirect leaves https: {url}"),
            Self::BadLocation(text) => write!(f, "a redirect without a usable Location ({text:?})"),
            Self::NoAddress(host) => write!(f, "a redirect to {host}, which has no address"),
        }
    }
}

impl Visit {
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

/// Asks `address`, one of `host`'s, for `path`, and follows where it leads.
pub(super) async fn visit(network: &Network, address: SocketAddr, start: &Url) -> Visit {
    let mut visit = Visit { address, hops: Vec::new(), stopped: None };
    let mut url = start.clone();
    let mut addresses = vec![address];
    loop {
        let fetched = ask_first(network, &addresses, &url).await;
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
        // A redirect to the same place stays at the address under test.
        if (&next.host, next.port) != (&url.host, url.port) {
            addresses = locate(network, Role::WellKnown, &next.place()).await.addresses;
            if addresses.is_empty() {
                return Visit { stopped: Some(Stop::NoAddress(next.host.to_string())), ..visit };
            }
        }
        url = next;
    }
}

/// Asks the first of two addresses that answers.
async fn ask_first(network: &Network, addresses: &[SocketAddr], url: &Url) -> Fetched {
    let question = |address| Ask::get(address, &url.host, &url.authority, &url.target, MAX_BODY).offering(Offer::HTTP1);
    let mut last = None;
    for address in addresses.iter().take(2) {
        let fetched = ask(network, &question(*address)).await;
        if fetched.answer.is_ok() {
            return fetched;
        }
        last = Some(fetched);
    }
    // There is always a first address; the other arm keeps the function total.
    last.unwrap_or_else(|| Fetched {
        address: SocketAddr::from(([0, 0, 0, 0], 0)),
        tls: None,
        answer: Err(Trouble::Connect("no address".to_owned())),
        first_try: None,
    })
}

fn redirect(fetched: &Fetched) -> Option<String> {
    let answer = fetched.answer.as_ref().ok()?;
    let redirects = matches!(answer.status, 301 | 302 | 303 | 307 | 308);
    redirects.then(|| answer.header("location").unwrap_or_default().to_owned())
}

/// An https URL, split into what a connection and what a request need of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    host: Host,
    port: u16,
    /// Host and port as written: the `Host` header.
    authority: String,
    /// Path and query.
    target: String,
}

impl Url {
    /// The document at `path` on `host`, port 443.
    pub fn well_known(host: &Host, path: &str) -> Self {
        Self { host: host.clone(), port: 443, authority: host.to_string(), target: path.to_owned() }
    }

    /// Parses an absolute https URL.
    pub fn parse(text: &str) -> Result<Self, Stop> {
        let bad = || Stop::BadLocation(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| bad())?;
        match uri.scheme_str() {
            Some("https") => {}
            Some(_) => return Err(Stop::NotHttps(text.to_owned())),
            None => return Err(bad()),
        }
        let authority = uri.authority().ok_or_else(bad)?;
        let name = ServerName::parse(authority.as_str()).map_err(|_| bad())?;
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        Ok(Self {
            host: name.host().clone(),
            port: name.port().unwrap_or(443),
            authority: name.as_str().to_owned(),
            target: target.to_owned(),
        })
    }

    /// The URL that `location`, read in an answer from this one, leads to (RFC 3986, 5.2, without
    /// the dot segments that nobody sends here).
    fn join(&self, location: &str) -> Result<Self, Stop> {
        let location = location.split('#').next().unwrap_or_default();
        if location.is_empty() {
            return Err(Stop::BadLocation(location.to_owned()));
        }
        if location.starts_with("//") {
            return Self::parse(&format!("https:{location}"));
        }
        if location.contains("://") && !location.starts_with('/') {
            return Self::parse(location);
        }
        let path = match location.strip_prefix('/') {
            Some(_) => location.to_owned(),
            None => {
                let folder = self.target.split('?').next().and_then(|path| path.rsplit_once('/'));
                format!("{}/{location}", folder.map_or("", |(folder, _)| folder))
            }
        };
        Self::parse(&format!("https://{}{path}", self.authority))
    }

    /// The same place with another path appended.
    pub(super) fn append(&self, path: &str) -> Self {
        Self { target: format!("{}{path}", self.target.trim_end_matches('/')), ..self.clone() }
    }

    /// Host and port as written.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// Where to connect.
    pub(super) fn place(&self) -> Target {
        Target { host: self.host.clone(), port: self.port }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority, self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_joined_as_browsers_do() {
        let base = Url::well_known(&Host::parse("ex.org").unwrap(), "/.well-known/matrix/server");
        let table = [
            ("https://other.org/x?y=1", Ok("https://other.org/x?y=1")),
            ("https://other.org", Ok("https://other.org/")),
            ("https://other.org:8443/x#frag", Ok("https://other.org:8443/x")),
            ("//cdn.org/a", Ok("https://cdn.org/a")),
            ("/a?b=c", Ok("https://ex.org/a?b=c")),
            ("server.json", Ok("https://ex.org/.well-known/matrix/server.json")),
            ("http://ex.org/a", Err(Stop::NotHttps("http://ex.org/a".to_owned()))),
            ("", Err(Stop::BadLocation(String::new()))),
        ];
        for (location, expected) in table {
            let joined = base.join(location).map(|url| url.to_string());
            assert_eq!(joined, expected.map(str::to_owned), "{location:?}");
        }
        assert!(Url::parse("https://user@ex.org/").is_err());
        let base = Url::parse("https://matrix.org:8443/prefix/").unwrap();
        assert_eq!(base.append("/_matrix/x").to_string(), "https://matrix.org:8443/prefix/_matrix/x");
    }
}
