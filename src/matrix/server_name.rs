//! Server names: `hostname[:port]` (Matrix specification, appendices, "Server Name").
//!
//! A [`ServerName`] keeps the text it was parsed from byte for byte: signatures, key lookups and
//! `Host` headers compare names as text, and names are case-sensitive there. The [`Host`] inside
//! is the form for machines: lower-case DNS name or parsed address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Port a peer connects to when neither name, well-known nor SRV gives one.
pub const DEFAULT_FEDERATION_PORT: u16 = 8448;

/// The longest DNS name the grammar admits.
const MAX_DNS_NAME: usize = 255;

/// The host part of a server name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A DNS name in lower case, without a trailing dot.
    Dns(String),
    /// An IPv4 or (bracketed in text) IPv6 literal.
    Ip(IpAddr),
}

impl Host {
    /// Parses a host alone: no port, IPv6 in brackets.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(InvalidName::UnclosedBracket)?;
            let address = Ipv6Addr::from_str(inner).map_err(|_| InvalidName::BadIpv6)?;
            return Ok(Self::Ip(IpAddr::V6(address)));
        }
        if text.is_empty() {
            return Err(InvalidName::Empty);
        }
        if let Ok(address) = Ipv4Addr::from_str(text) {
            return Ok(Self::Ip(IpAddr::V4(address)));
        }
        if text.len() > MAX_DNS_NAME {
            return Err(InvalidName::TooLong);
        }
        if let Some(bad) = text.chars().find(|c| !is_name_char(*c)) {
            return Err(InvalidName::BadCharacter(bad));
        }
        // A trailing dot makes another text of the same name: certificates, signatures and peers' caches
        // would disagree about it.
        if text.split('.').any(str::is_empty) {
            return Err(InvalidName::EmptyLabel);
        }
        Ok(Self::Dns(text.to_ascii_lowercase()))
    }

    /// The DNS name, unless this is an address.
    pub fn dns(&self) -> Option<&str> {
        match self {
            Self::Dns(name) => Some(name),
            Self::Ip(_) => None,
        }
    }

    /// The host as certificates and CAs write it: IPv6 without brackets.
    pub fn plain(&self) -> String {
        match self {
            Self::Dns(name) => name.clone(),
            Self::Ip(address) => address.to_string(),
        }
    }

    /// Several hosts for people.
    pub fn list(hosts: &[Self]) -> String {
        let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
        hosts.join(",")
    }

    /// True for an IP literal: such names have no well-known, no SRV and no SNI.
    pub fn is_ip(&self) -> bool {
        matches!(self, Self::Ip(_))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(address)) => address.fmt(f),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// The characters a DNS name may hold here. Underscore is not among them.
fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '.'
}

/// A server name as it stands after the colon of a user ID, or inside `m.server`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerName {
    text: String,
    host: Host,
    port: Option<u16>,
}

impl ServerName {
    /// Parses `hostname[:port]`.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if text.contains("://") {
            return Err(InvalidName::Scheme);
        }
        if text.contains('/') {
            return Err(InvalidName::Path);
        }
        let (host, port) = split_port(text)?;
        Ok(Self { text: text.to_owned(), host: Host::parse(host)?, port })
    }

    /// The name exactly as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host part, for machines.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The host part exactly as written, without the port.
    pub fn host_text(&self) -> &str {
        match self.port {
            Some(_) => self.text.rsplit_once(':').map_or(self.text.as_str(), |(host, _)| host),
            None => &self.text,
        }
    }

    /// The port, if the name has one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Splits a trailing `:port` off. The colons inside brackets belong to the host.
fn split_port(text: &str) -> Result<(&str, Option<u16>), InvalidName> {
    let after_host = match text.rfind(']') {
        Some(bracket) => bracket + 1,
        None => 0,
    };
    let Some(colon) = text.get(after_host..).and_then(|rest| rest.find(':')) else {
        return Ok((text, None));
    };
    let (host, port) = text.split_at(after_host + colon);
    let port = port.strip_prefix(':').unwrap_or(port);
    let digits = (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(number) if digits && number != 0 => Ok((host, Some(number))),
        _ => Err(InvalidName::BadPort(port.to_owned())),
    }
}

/// Why a text is not a server name. The sentence ends in what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing before the port.
    #[error("the host is empty; write a name such as \"example.com\"")]
    Empty,
    /// A URL instead of a name.
    #[error("a scheme does not belong here; write \"example.com\", not \"https://example.com\"")]
    Scheme,
    /// A path behind the name.
    #[error("a path does not belong here; write \"example.com\" without a slash")]
    Path,
    /// Longer than DNS allows.
    #[error("longer than the 255 characters a name may have")]
    TooLong,
    /// Two dots in a row, or one at either end.
    #[error("a dot stands at an end or beside another; write \"example.com\" without it")]
    EmptyLabel,
    /// A character outside the grammar.
    #[error("the character {0:?} is not allowed; a name holds letters, digits, '-' and '.'")]
    BadCharacter(char),
    /// `[` without `]`.
    #[error("the IPv6 address lacks its closing bracket; write \"[2001:db8::1]\"")]
    UnclosedBracket,
    /// Not an IPv6 address between the brackets.
    #[error("not an IPv6 address; write it as \"[2001:db8::1]\"")]
    BadIpv6,
    /// Zero, over 65535 or not a number.
    #[error("{0:?} is not a port; a port is a number from 1 to 65535")]
    BadPort(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn grammar_table() {
        let good = [
            ("matrix.org", "matrix.org", None),
            ("Matrix.ORG", "matrix.org", None),
            ("matrix.org:8888", "matrix.org", Some(8888)),
            ("1.2.3.4", "1.2.3.4", None),
            ("1.2.3.4:1234", "1.2.3.4", Some(1234)),
            ("[1234:5678::abcd]", "[1234:5678::abcd]", None),
            ("[1234:5678::abcd]:5678", "[1234:5678::abcd]", Some(5678)),
            ("localhost:8448", "localhost", Some(8448)),
        ];
        for (text, host, port) in good {
            let name = ServerName::parse(text).unwrap();
            assert_eq!((name.host().to_string().as_str(), name.port()), (host, port), "{text}");
            assert_eq!(name.as_str(), text);
        }
        for bad in [
            "",
            ":80",
            "https://a.b",
            "a/b",
            "a_b.c",
            "a b",
            "[::1",
            "[g::1]",
            "a:0",
            "a:65536",
            "a:",
            "a:+1",
            "a:000001",
            "::1",
            "a:1:2",
            "ä.org",
            "example.com.",
            ".example.com",
            "a..b",
            "..",
        ] {
            assert!(ServerName::parse(bad).is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn written_host_keeps_its_case() {
        let name = ServerName::parse("Example.com:8448").unwrap();
        assert_eq!((name.host_text(), name.host().dns()), ("Example.com", Some("example.com")));
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_printing_returns_the_text(text in "\\PC{0,40}") {
            if let Ok(name) = ServerName::parse(&text) {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
