//! A name as certificates hold it: one host, or a wildcard for many.

use super::server_name::{Host, InvalidName};
use std::fmt;

/// One host, or everything one label below a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// One name or address.
    Exact(Host),
    /// `*.example.com`: one label in place of the star (RFC 6125 §6.4.3). Holds what follows `*.`, in
    /// lower case.
    Wildcard(String),
}

impl HostPattern {
    /// Parses `example.com`, `*.example.com`, `192.0.2.1` or `[2001:db8::1]`. A star anywhere but
    /// alone in the first label is refused, as is one above an address.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        match text.strip_prefix("*.") {
            None => Host::parse(text).map(Self::Exact),
            Some(parent) => match Host::parse(parent)? {
                Host::Dns(parent) => Ok(Self::Wildcard(parent)),
                Host::Ip(_) => Err(InvalidName::BadCharacter('*')),
            },
        }
    }

    /// Whether a certificate with this name is valid for `host`.
    pub fn covers(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Exact(name), host) => name == host,
            (Self::Wildcard(parent), Host::Dns(name)) => {
                name.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent)
            }
            (Self::Wildcard(_), Host::Ip(_)) => false,
        }
    }

    /// Whether everything that `other` stands for is covered.
    pub fn includes(&self, other: &Self) -> bool {
        match other {
            Self::Exact(host) => self.covers(host),
            Self::Wildcard(_) => self == other,
        }
    }

    /// Whether this is a wildcard.
    pub fn is_wildcard(&self) -> bool {
        matches!(self, Self::Wildcard(_))
    }

    /// Whether this is an address.
    pub fn is_ip(&self) -> bool {
        matches!(self, Self::Exact(Host::Ip(_)))
    }

    /// The name without the `*.`: what a CA validates (RFC 8555 §7.1.4).
    pub fn base(&self) -> Host {
        match self {
            Self::Exact(host) => host.clone(),
            Self::Wildcard(parent) => Host::Dns(parent.clone()),
        }
    }

    /// The name as certificates and CAs write it: IPv6 without brackets.
    pub fn plain(&self) -> String {
        match self {
            Self::Exact(host) => host.plain(),
            Self::Wildcard(_) => self.to_string(),
        }
    }

    /// The name as a part of file names, where a star would be the shell's: `_.example.com`. No host
    /// begins like that.
    pub fn file_name(&self) -> String {
        match self {
            Self::Exact(host) => host.to_string(),
            Self::Wildcard(parent) => format!("_.{parent}"),
        }
    }

    /// Several for people.
    pub fn list(patterns: &[Self]) -> String {
        let patterns: Vec<_> = patterns.iter().map(ToString::to_string).collect();
        patterns.join(",")
    }
}

impl From<Host> for HostPattern {
    fn from(host: Host) -> Self {
        Self::Exact(host)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(f),
            Self::Wildcard(parent) => write!(f, "*.{parent}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> HostPattern {
        HostPattern::parse(text).unwrap()
    }

    #[test]
    fn a_wildcard_stands_for_exactly_one_label() {
        let wildcard = pattern("*.Example.com");
        let covers = |name| wildcard.covers(&Host::parse(name).unwrap());
        assert!(covers("matrix.example.com"));
        assert!(!covers("example.com") && !covers("a.b.example.com") && !covers("1.2.3.4"));
        assert!(wildcard.includes(&pattern("m.example.com")) && wildcard.includes(&wildcard));
        assert!(!pattern("m.example.com").includes(&wildcard) && !pattern("*.com").includes(&wildcard));
        assert_eq!((wildcard.to_string(), wildcard.base().to_string()), ("*.example.com".into(), "example.com".into()));
    }

    #[test]
    fn a_star_stands_alone_in_the_first_label() {
        for text in ["*", "*.", "a*.example.com", "*.*.example.com", "a.*.example.com", "*.1.2.3.4", "*.[::1]", "*com"]
        {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
        for text in ["example.com", "*.example.com", "1.2.3.4", "[::1]"] {
            assert_eq!(pattern(text).to_string(), text);
        }
        assert_eq!(pattern("[::1]").plain(), "::1");
        assert_eq!(pattern("*.example.com").file_name(), "_.example.com");
    }
}
