//! Before a CA is asked: would it get where it wants to go?
//!
//! A CA allows five failed validations an hour for a name, and a mistake in DNS or a firewall uses
//! them up without anybody looking. So the way is looked at first: [`Preflight::examine`] observes,
//! `judge` decides (pure), and only what is certain keeps an order back. What a machine cannot know
//! about itself from inside (a router that does not lead back, a second view of DNS) is told and
//! does not block.

mod facts;
mod judge;
mod report;

pub use report::{Aspect, Finding, Report, Verdict};

use crate::certs::{Challenges, Store};
use crate::config::Challenge;
use crate::dns::{Outcome, Resolver};
use crate::matrix::{Host, HostPattern};
use crate::net::listen::Role;
use crate::net::range::not_public;
use crate::probe::{OwnListeners, is_own, reach};
use crate::telemetry::log::Chain;
use facts::{Facts, Lookup, NameFacts, Way};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use std::net::SocketAddr;

/// Names that are looked at side by side. Each takes ten seconds at most for DNS and as long for its
/// addresses, and hardly ever more than a second.
const PARALLEL_NAMES: usize = 8;

/// What is written to the store and removed again. As much as several certificates with their keys
/// and records: less room than that is none. Writing it asks quotas as well, which a look at the free
/// space would not.
const STATE_PROBE_SIZE: usize = 1024 * 1024;

/// Where a CA connects to. RFC 8555 §8.3 and RFC 8737 §3 leave no choice; a test's CA may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidationPorts {
    /// For HTTP-01.
    pub http: u16,
    /// For TLS-ALPN-01.
    pub tls: u16,
}

impl Default for ValidationPorts {
    fn default() -> Self {
        Self { http: 80, tls: 443 }
    }
}

/// What an examination works with.
#[derive(Clone, Debug)]
pub struct Preflight {
    /// Whom to ask for addresses and CAA records. The hosts file counts only where DNS knows nothing.
    pub resolver: Resolver,
    /// Where the listeners answer challenges from.
    pub challenges: Challenges,
    /// State.
    pub store: Store,
    /// The listeners of this process, as bound.
    pub own: OwnListeners,
    /// Where the CA connects to.
    pub ports: ValidationPorts,
}

impl Preflight {
    /// Looks at everything an order for `names` needs, with `challenges` as the configured candidates.
    /// `ca_identities` is what the CA calls itself in CAA records (`caaIdentities` in its directory's
    /// `meta`), `account_uri` the account's URL once there is one. Takes a second where all is well,
    /// and is bounded: twenty seconds for up to eight names.
    ///
    /// Must not run while an order for one of the names is under way: where its challenge is open,
    /// nothing is asked and nothing learnt.
    pub async fn examine(
        &self,
        names: &[HostPattern],
        challenges: &[Challenge],
        ca_identities: &[String],
        account_uri: Option<&str>,
    ) -> Report {
        let seen = stream::iter(names).map(|name| self.look_at(name, challenges)).buffered(PARALLEL_NAMES);
        let (names, state) = tokio::join!(seen.collect(), self.try_state(names));
        let facts = Facts { names, state, challenges, ca_identities, account_uri };
        judge::judge(&facts)
    }

    async fn look_at(&self, name: &HostPattern, challenges: &[Challenge]) -> NameFacts {
        // The name that is asked for: a wildcard's records are its parent's.
        let (asked, wildcard) = (name.base(), name.is_wildcard());
        let connects = !wildcard && challenges.iter().any(|challenge| self.door(*challenge).is_some());
        let caa = async {
            match &asked {
                Host::Dns(text) => Some(self.resolver.caa(text).await.outcome),
                // RFC 8659 is about domain names only.
                Host::Ip(_) => None,
            }
        };
        let ways = async {
            match connects {
                true => self.ways(&asked, challenges).await,
                false => (Lookup::NotNeeded, Vec::new()),
            }
        };
        let (caa, (lookup, ways)) = tokio::join!(caa, ways);
        NameFacts { name: name.clone(), wildcard, lookup, ways, caa }
    }

    /// The addresses of a name and what is found there.
    async fn ways(&self, name: &Host, challenges: &[Challenge]) -> (Lookup, Vec<Way>) {
        let lookup = match name {
            Host::Ip(_) => Lookup::Literal,
            Host::Dns(text) => self.look_up(text).await,
        };
        let addresses: Vec<_> = match (&lookup, name) {
            (_, Host::Ip(address)) => vec![*address],
            (Lookup::Dns(Outcome::Found(found)) | Lookup::HostsFile(found, _), _) => {
                found.all().take(reach::MAX_ADDRESSES).collect()
            }
            _ => Vec::new(),
        };
        let public_view = !matches!(lookup, Lookup::HostsFile(..));
        let doors = challenges.iter().filter_map(|challenge| Some((*challenge, self.door(*challenge)?)));
        let asked = doors.map(async |(challenge, (role, port))| {
            let targets: Vec<_> = addresses.iter().map(|address| SocketAddr::new(*address, port)).collect();
            let reaches = match role {
                Role::Http => reach::over_http(&self.own, &self.challenges, name, &targets).await,
                _ => reach::over_tls(&self.own, &self.challenges, name, &targets).await,
            };
            let ways = reaches.into_iter().map(|(address, reach)| Way {
                challenge,
                role,
                address,
                own: is_own(address.ip()),
                public: public_view && not_public(address.ip()).is_none(),
                listened: self.own.has_port(role, port),
                reach,
            });
            ways.collect::<Vec<_>>()
        });
        let ways = join_all(asked).await.into_iter().flatten().collect();
        (lookup, ways)
    }

    /// DNS first, as a CA has it. A Debian machine often has its own name in the hosts file, with an
    /// address that nobody else can use.
    async fn look_up(&self, name: &str) -> Lookup {
        let everybodys = self.resolver.without_hosts_file().addresses(name).await.outcome;
        if matches!(everybodys, Outcome::Found(_)) {
            return Lookup::Dns(everybodys);
        }
        match self.resolver.in_hosts_file(name) {
            Some(found) => Lookup::HostsFile(found, Box::new(everybodys)),
            None => Lookup::Dns(everybodys),
        }
    }

    /// Which listener a challenge type needs, and at which port the CA looks for it; `None` for a
    /// type that needs no connection.
    fn door(&self, challenge: Challenge) -> Option<(Role, u16)> {
        let doors =
            [(Challenge::Http01, (Role::Http, self.ports.http)), (Challenge::TlsAlpn01, (Role::Https, self.ports.tls))];
        doors.into_iter().find(|(known, _)| *known == challenge).map(|(_, door)| door)
    }

    /// Writes, reads back and removes an entry of these names; what failed, in words.
    async fn try_state(&self, names: &[HostPattern]) -> Result<(), String> {
        // Orders are looked at side by side. A fixed name for each leaves nothing to pile up.
        let key = format!("preflight-{}", names.first().map(HostPattern::file_name).unwrap_or_default());
        let content = vec![b'.'; STATE_PROBE_SIZE];
        let tried = async {
            self.store.store(&key, &content).await?;
            self.store.load(&key).await
        };
        let tried = tried.await;
        let removed = self.store.remove(&key).await;
        match (tried, removed) {
            (Ok(Some(back)), Ok(())) if back == content => Ok(()),
            (Ok(_), Ok(())) => Err(format!("{} does not read back as it was written", self.store.describe(&key))),
            (Err(error), _) | (_, Err(error)) => Err(Chain(&error).to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
