//! What a homeserver's configuration file says, in the same words for all homeservers.
//!
//! Only what a proxy has to agree with is kept; a file's secrets are passed over while it is read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Software {
    /// `homeserver.yaml`.
    Synapse,
    /// `tuwunel.toml`.
    Tuwunel,
    /// `continuwuity.toml`, `conduwuit.toml`.
    Continuwuity,
    /// `dendrite.yaml`.
    Dendrite,
}

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1; 0 where a file does not say.
    pub line: u64,
}

/// A value, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

/// From where a homeserver takes the address of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// From a header that this program sends.
    Sent,
    /// From the connection, so that everybody is this program.
    Connection,
    /// From a header that this program never sends.
    Other(String),
}

/// How a homeserver takes the address of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAddress {
    /// From where.
    pub source: Source,
    /// Whether connections from loopback are exempt, and headers believed there.
    pub but_loopback: bool,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// Addresses as written, and a port.
    Tcp(Vec<String>, u16),
    /// A unix domain socket.
    Unix(PathBuf),
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Clients, and federation if the flag is set.
    Matrix {
        /// Whether clients are served.
        client: bool,
        /// Whether peers are served.
        federation: bool,
    },
    /// Something nobody outside may reach, by the name that Synapse gives it.
    Internal(&'static str),
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub at: At,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// What it is for.
    pub purpose: Purpose,
    /// How it takes the address of a client.
    pub client_address: ClientAddress,
    /// Where it is configured.
    pub place: Place,
}

/// Why a homeserver does not federate with everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// It does not federate at all.
    Off,
    /// With listed servers only.
    Listed,
}

/// An authentication service that the file names (Matrix Authentication Service).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// Where the homeserver reaches it, if that is written.
    pub endpoint: Option<String>,
}

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whose file it is.
    pub software: Software,
    /// The main file.
    pub file: PathBuf,
    /// The systemd unit that reads it.
    pub unit: String,
    /// What stands after the colon in user IDs.
    pub server_name: Option<Placed<String>>,
    /// Listeners; none where a file does not tell (Dendrite is told on its command line).
    pub listeners: Vec<Listener>,
    /// How it takes the address of a client, where that is not a listener's matter.
    pub client_address: Option<Placed<ClientAddress>>,
    /// The URL it believes to be reached at.
    pub base_url: Option<Placed<String>>,
    /// The host and port to which it would delegate if it were asked.
    pub delegation: Option<Placed<String>>,
    /// Largest upload, in bytes.
    pub max_upload: Option<Placed<u64>>,
    /// Why it does not federate with everybody.
    pub isolation: Option<Placed<Isolation>>,
    /// The authentication service it leaves logins to.
    pub authentication: Option<Placed<Authentication>>,
}

impl Settings {
    /// Settings of which nothing is known but whose they are.
    pub(super) fn new(software: Software, file: PathBuf, unit: &str) -> Self {
        Self {
            software,
            file,
            unit: unit.to_owned(),
            server_name: None,
            listeners: Vec::new(),
            client_address: None,
            base_url: None,
            delegation: None,
            max_upload: None,
            isolation: None,
            authentication: None,
        }
    }
}

impl Listener {
    /// Whether it listens on more than the machine itself.
    pub fn is_open(&self) -> bool {
        match &self.at {
            At::Tcp(addresses, _) => addresses.iter().any(|address| !is_loopback(address)),
            At::Unix(_) => false,
        }
    }

    /// Whether a connection to `port` of a loopback address arrives here.
    pub fn takes_loopback(&self, address: Option<IpAddr>, port: u16) -> bool {
        let At::Tcp(addresses, own) = &self.at else { return false };
        *own == port && addresses.iter().any(|bound| accepts(bound, address))
    }
}

/// Whether `text` is an address, or a name, of loopback.
fn is_loopback(text: &str) -> bool {
    text == "localhost" || text.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a socket bound to `bound` takes connections to `address`; to a name of unknown meaning if
/// that is `None`.
fn accepts(bound: &str, address: Option<IpAddr>) -> bool {
    let Some(address) = address else { return true };
    match bound.parse::<IpAddr>() {
        // Linux gives IPv4 connections to "::" too, unless it is told otherwise.
        Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => true,
        Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => address.is_ipv4(),
        Ok(bound) => bound == address,
        Err(_) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_socket_takes() {
        let table: [(&str, &str, bool); 8] = [
            ("::", "127.0.0.1", true),
            ("0.0.0.0", "127.0.0.1", true),
            ("0.0.0.0", "::1", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "::1", false),
            ("localhost", "127.0.0.1", true),
            ("localhost", "192.0.2.1", false),
            ("192.0.2.1", "192.0.2.1", true),
        ];
        for (bound, address, expected) in table {
            assert_eq!(accepts(bound, address.parse().ok()), expected, "{bound} {address}");
        }
        assert!(accepts("127.0.0.1", None));
        assert!(is_loopback("::1") && is_loopback("127.9.0.1") && !is_loopback("0.0.0.0") && !is_loopback("hs.lan"));
    }
}
