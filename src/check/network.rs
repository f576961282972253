//! What a check may use of the world: whom it asks, whom it trusts, how long it waits.

use super::chain::{Policy, TrustSets};
use super::discovery::Target;
use super::guard::{Fence, Guard};
use super::loop_back::LoopSource;
use super::progress::Progress;
use crate::clock::{Clock, Timestamp};
use crate::dns::Resolver;
use crate::matrix::Host;
use crate::matrix::keys::SigningKey;
use crate::net::roots::{self, BadRoots};
use rustls::RootCertStore;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// The surroundings of a check. Nothing in the check reaches past them.
#[derive(Clone, Debug)]
pub struct Network {
    pub(super) resolver: Resolver,
    pub(super) roots: Arc<TrustSets>,
    pub(super) overrides: Vec<Override>,
    pub(super) limits: Limits,
    pub(super) private: bool,
    pub(super) guard: Guard,
    pub(super) fence: Fence,
    pub(super) clock: Clock,
    pub(super) progress: Progress,
    /// The signing keys of the server to be checked, where its operator gave them.
    pub(super) signing_key: Option<Arc<[SigningKey]>>,
    pub(super) loopback: LoopSource,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The whole check.
    pub total: Duration,
    /// Opening one connection, and separately its TLS handshake.
    pub connect: Duration,
    /// One request and its whole answer.
    pub exchange: Duration,
    /// Pause before something that failed is tried once more.
    pub retry: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total: Duration::from_secs(30),
            connect: Duration::from_secs(5),
            exchange: Duration::from_secs(8),
            retry: Duration::from_millis(500),
        }
    }
}

impl Network {
    /// A public network: every server is expected on public addresses with a public CA, which
    /// `roots`, those of this machine, know as well as Mozilla's list.
    pub fn new(resolver: Resolver, roots: RootCertStore, clock: Clock) -> Self {
        Self {
            resolver,
            roots: Arc::new(TrustSets::new(roots)),
            overrides: Vec::new(),
            limits: Limits::default(),
            private: false,
            guard: Guard::default(),
            fence: Fence::default(),
            clock,
            progress: Progress::default(),
            signing_key: None,
            loopback: LoopSource::default(),
        }
    }

    /// The machine's resolver and trust roots. Reads files: not for a data-plane thread.
    pub fn from_system(clock: Clock) -> Self {
        Self::new(Resolver::from_system(), roots::system(), clock)
    }

    /// Asks `resolver` instead.
    pub fn with_resolver(self, resolver: Resolver) -> Self {
        Self { resolver, ..self }
    }

    /// Trusts the CA certificates in `pem` too, as peers would that were told of them.
    pub fn with_ca_pem(mut self, pem: &[u8]) -> Result<Self, BadRoots> {
        Arc::make_mut(&mut self.roots).add_pem(pem)?;
        Ok(self)
    }

    /// Adds a connect override; the first that matches counts.
    pub fn with_override(mut self, replacement: Override) -> Self {
        self.overrides.push(replacement);
        self
    }

    /// In a private network, address ranges and unknown CAs are remarks and not failures.
    pub fn with_private(self, private: bool) -> Self {
        Self { private, ..self }
    }

    /// Other limits, for instance a `--timeout`.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Tells `progress` what is being waited for.
    pub fn with_progress(self, progress: Progress) -> Self {
        Self { progress, ..self }
    }

    /// Signs some questions with these keys of the server that is checked. They are used only where
    /// the server publishes one of them, and over connections whose certificate verified.
    pub fn with_signing_keys(self, keys: Vec<SigningKey>) -> Self {
        Self { signing_key: Some(keys.into()), ..self }
    }

    /// Now, by the clock handed in.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Has the loop-back proof from there: the server checked is an own one.
    pub fn with_loopback(self, loopback: LoopSource) -> Self {
        Self { loopback, ..self }
    }

    /// Whose certificates are expected.
    pub(super) fn policy(&self) -> Policy {
        Policy { private: self.private, roots_given: self.roots.has_given() }
    }

    /// Where a connection to `target` really goes: the target itself, or what an override says.
    pub(super) fn route(&self, target: &Target) -> Route {
        match self.overrides.iter().find(|entry| entry.matches(target)) {
            Some(entry) => Route { target: entry.apply(target), overridden: true },
            None => Route { target: target.clone(), overridden: false },
        }
    }
}

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) target: Target,
    pub(super) overridden: bool,
}

/// `HOST:PORT:ADDR:PORT`, as curl's `--connect-to`: connections to the first pair go to the
/// second. An empty HOST or PORT on the left matches any, on the right keeps the original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    host: Option<Host>,
    port: Option<u16>,
    to_host: Option<Host>,
    to_port: Option<u16>,
}

impl Override {
    /// Where connections go instead, if to another host.
    pub(super) fn to_host(&self) -> Option<&Host> {
        self.to_host.as_ref()
    }

    fn matches(&self, target: &Target) -> bool {
        self.host.as_ref().is_none_or(|host| *host == target.host) && self.port.is_none_or(|port| port == target.port)
    }

    fn apply(&self, target: &Target) -> Target {
        Target {
            host: self.to_host.clone().unwrap_or_else(|| target.host.clone()),
            port: self.to_port.unwrap_or(target.port),
        }
    }
}

impl FromStr for Override {
    type Err = BadOverride;

    fn from_str(text: &str) -> Result<Self, BadOverride> {
        let (host, rest) = split_host(text)?;
        let (port, rest) = rest.split_once(':').ok_or(BadOverride::Shape)?;
        let (to_host, to_port) = split_host(rest)?;
        Ok(Self {
            host: parse_host(host)?,
            port: parse_port(port)?,
            to_host: parse_host(to_host)?,
            to_port: parse_port(to_port)?,
        })
    }
}

/// Splits `HOST:` off; the colons inside brackets belong to the host.
fn split_host(text: &str) -> Result<(&str, &str), BadOverride> {
    if let Some(inside) = text.strip_prefix('[') {
        let end = inside.find(']').ok_or(BadOverride::Shape)? + 2;
        let (host, rest) = text.split_at_checked(end).ok_or(BadOverride::Shape)?;
        return Ok((host, rest.strip_prefix(':').ok_or(BadOverride::Shape)?));
    }
    text.split_once(':').ok_or(BadOverride::Shape)
}

fn parse_host(text: &str) -> Result<Option<Host>, BadOverride> {
    if text.is_empty() {
        return Ok(None);
    }
    Host::parse(text).map(Some).map_err(|error| BadOverride::Host { host: text.to_owned(), reason: error.to_string() })
}

fn parse_port(text: &str) -> Result<Option<u16>, BadOverride> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(port) if port != 0 => Ok(Some(port)),
        _ => Err(BadOverride::Port(text.to_owned())),
    }
}

/// Why a text is not an [`Override`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOverride {
    /// Not four parts.
    #[error("write HOST:PORT:ADDR:PORT, for instance example.com:443:127.0.0.1:8443")]
    Shape,
    /// A host that is none.
    #[error("{host:?} is not a host: {reason}")]
    Host {
        /// What stands there.
        host: String,
        /// Why not.
        reason: String,
    },
    /// A port that is none.
    #[error("{0:?} is not a port; a port is a number from 1 to 65535, or empty")]
    Port(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, port: u16) -> Target {
        Target { host: Host::parse(host).unwrap(), port }
    }

    #[test]
    fn overrides_follow_curl() {
        let table = [
            ("ex.org:443:127.0.0.1:8443", ("ex.org", 443), Some("127.0.0.1:8443")),
            ("EX.org:443:127.0.0.1:8443", ("ex.org", 443), Some("127.0.0.1:8443")),
            ("ex.org:443:127.0.0.1:8443", ("ex.org", 8448), None),
            ("ex.org:443:127.0.0.1:8443", ("other.org", 443), None),
            ("::127.0.0.1:8443", ("any.org", 1), Some("127.0.0.1:8443")),
            ("ex.org::[::1]:", ("ex.org", 8448), Some("[::1]:8448")),
            (":443::8443", ("ex.org", 443), Some("ex.org:8443")),
            ("[2001:db8::1]:443:back.lan:9", ("[2001:db8::1]", 443), Some("back.lan:9")),
        ];
        let network = Network::new(Resolver::offline(), RootCertStore::empty(), Clock::System);
        for (text, (host, port), expected) in table {
            let network = network.clone().with_override(text.parse().unwrap());
            let route = network.route(&target(host, port));
            assert_eq!(route.overridden.then(|| route.target.to_string()).as_deref(), expected, "{text}");
        }
        for bad in
            ["", "a", "a:1", "a:1:b", "a:x:b:1", "a:1:b:0", "a b:1:c:2", "[::1:1:b:1", "[::1]1:b:1", "a:1:b:99999"]
        {
            assert!(bad.parse::<Override>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_ca_file_must_hold_a_certificate() {
        let network = Network::new(Resolver::offline(), RootCertStore::empty(), Clock::System);
        assert!(matches!(network.clone().with_ca_pem(b""), Err(BadRoots::Empty)));
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(network.with_ca_pem(broken), Err(BadRoots::Empty)));
    }
}
