//! Which kind of path a request target names: pure.
//!
//! X-Matrix signs the raw target, so it is forwarded byte for byte. The decision is made on the raw
//! path and on whatever else a server may read in it ([`readings`]), and the strictest answer counts:
//! `/_matrix/%2e%2e/_synapse/admin` is an admin path, whatever it looks like.

use super::readings::readings;
use std::borrow::Cow;

/// What may happen with a path, from open to closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    /// Public.
    Public,
    /// Only from the networks of `limits.admin_allow`.
    Admin,
    /// Not forwarded.
    Closed,
}

/// Public prefixes of the homeservers. Synapse's (Dendrite and Conduit have no more than the first),
/// then those of tuwunel and continuwuity, whose OAuth issuer is the homeserver itself, with its
/// discovery document.
const PUBLIC: [&str; 9] = [
    "/_matrix",
    "/_synapse/client",
    "/_tuwunel/oidc",
    "/_tuwunel/sso",
    "/_tuwunel/3pid",
    "/_continuwuity/account",
    "/_continuwuity/oauth2",
    "/_continuwuity/oidc",
    "/.well-known/openid-configuration",
];

/// Admin prefixes, closed unless a network is named.
const ADMIN: [&str; 1] = ["/_synapse/admin"];

/// What no route opens that does not name it: unauthenticated or for machines, and a pattern as wide
/// as `^/` was never meant for it.
const PRIVATE: [&str; 4] = ["/_synapse/replication", "/_synapse/metrics", "/_synapse/mas", "/_dendrite"];

/// Prefixes of the homeservers' APIs, public or not.
const NAMESPACES: [&str; 6] =
    ["/_matrix", "/_synapse", "/_dendrite", "/_tuwunel", "/_continuwuity", "/.well-known/matrix"];

/// A path (without its query) in the forms that count.
#[derive(Debug)]
pub(super) struct Target<'a> {
    raw: &'a str,
    /// Unless it is the same.
    normalised: Option<String>,
    /// What else servers may read in it.
    readings: Vec<String>,
}

impl<'a> Target<'a> {
    pub(super) fn new(path: &'a str) -> Self {
        let plain = !path.contains('%') && !path.contains("/.") && !path.contains("//") && !path.contains('\\');
        Self { raw: path, normalised: (!plain).then(|| normalised(path)), readings: readings(path) }
    }

    /// As the client wrote it.
    pub(super) fn raw(&self) -> &'a str {
        self.raw
    }

    /// As a homeserver matches it: each segment decoded by itself, so that an escaped letter makes no
    /// difference, an escaped slash no segment, and dots resolve nothing.
    pub(super) fn literal(&self) -> Cow<'a, str> {
        match self.raw.contains('%') {
            true => Cow::Owned(decode_segments(self.raw)),
            false => Cow::Borrowed(self.raw),
        }
    }

    /// Whether `matches` holds for any form but the raw one.
    pub(super) fn otherwise(&self, matches: impl Fn(&str) -> bool) -> bool {
        self.others().any(matches)
    }

    /// Decoded once, without dot and empty segments.
    pub(super) fn normalised(&self) -> &str {
        self.normalised.as_deref().unwrap_or(self.raw)
    }

    /// The strictest access of all forms.
    pub(super) fn access(&self) -> Access {
        self.others().map(prefix_access).fold(prefix_access(self.raw), Access::max)
    }

    /// Whether any form belongs to the APIs of a homeserver: an apex site does not get it.
    pub(super) fn is_matrix(&self) -> bool {
        self.below(&NAMESPACES).is_some()
    }

    /// Whether any form belongs to the admin API, for which [`Self::access`] may say something stricter.
    pub(super) fn is_admin(&self) -> bool {
        self.below(&ADMIN).is_some()
    }

    /// The private prefix that any form is below.
    pub(super) fn private(&self) -> Option<&'static str> {
        self.below(&PRIVATE)
    }

    /// What `read` finds in all forms; nothing when they disagree. The homeserver alone knows what it makes
    /// of such a path, so nobody else gets it.
    pub(super) fn agreed<T: PartialEq>(&self, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let found = read(self.raw)?;
        self.others().all(|form| read(form).as_ref() == Some(&found)).then_some(found)
    }

    fn below(&self, prefixes: &[&'static str]) -> Option<&'static str> {
        let mut prefixes = prefixes.iter().copied();
        prefixes.find(|prefix| is_below(self.raw, prefix) || self.others().any(|form| is_below(form, prefix)))
    }

    /// All forms but the raw one.
    fn others(&self) -> impl Iterator<Item = &str> {
        self.normalised.iter().chain(&self.readings).map(String::as_str)
    }
}

fn prefix_access(path: &str) -> Access {
    if ADMIN.iter().any(|prefix| is_below(path, prefix)) {
        Access::Admin
    } else if PUBLIC.iter().any(|prefix| is_below(path, prefix)) {
        Access::Public
    } else {
        Access::Closed
    }
}

fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The path as a careless server may read it: decoded once, `.` and `..` resolved, empty segments
/// dropped but for one at the end, which patterns look at.
fn normalised(path: &str) -> String {
    let decoded = decode(path.as_bytes());
    let decoded = String::from_utf8_lossy(&decoded);
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split(['/', '\\']) {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let end = if segments.is_empty() || !decoded.ends_with(['/', '\\']) { "" } else { "/" };
    format!("/{}{end}", segments.join("/"))
}

/// Percent-decoded once, but for slashes of both kinds.
fn decode_segments(path: &str) -> String {
    let separators = |escape: &str| ["%2f", "%5c"].iter().any(|kept| escape.eq_ignore_ascii_case(kept));
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, escape)) = rest.find('%').and_then(|at| rest.split_at_checked(at)) {
        decoded.extend_from_slice(before.as_bytes());
        let (escape, after) = escape.split_at_checked(3).unwrap_or((escape, ""));
        match separators(escape) {
            true => decoded.extend_from_slice(escape.as_bytes()),
            false => decoded.extend_from_slice(&decode(escape.as_bytes())),
        }
        rest = after;
    }
    decoded.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Percent-decoded once; what is no escape stays.
pub(super) fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        rest = tail;
        let escape = match (first, tail) {
            (b'%', [high, low, after @ ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| (high << 4 | low, after)),
            _ => None,
        };
        match escape {
            Some((byte, after)) => {
                decoded.push(byte);
                rest = after;
            }
            None => decoded.push(*first),
        }
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table() {
        use Access::{Admin, Closed, Public};
        for (path, expected) in [
            ("/_matrix/client/versions", Public),
            ("/_matrix", Public),
            ("/_matrix/federation/v1/event/%24x%2Fy", Public),
            ("/_matrix/client/v3/rooms/%21a%3Ab/state/m.x/%2E%2E", Public),
            ("/_synapse/client/oidc/callback", Public),
            ("/_synapse/admin/v1/users", Admin),
            ("/_synapse/metrics", Closed),
            ("/_synapse/replication", Closed),
            ("/_synapse/mas/x", Closed),
            ("/_synapse/clientx", Closed),
            ("/_matrixx", Closed),
            ("/", Closed),
            ("/health", Closed),
            ("/_matrix/../_synapse/admin/v1", Admin),
            ("/_matrix/%2e%2e/_synapse/admin", Admin),
            ("/_matrix/%2E%2E%2F_synapse%2Fadmin", Admin),
            ("/_matrix/..%5c_synapse%5cadmin", Admin),
            ("/_matrix/x\\..\\..\\_synapse/admin/v1", Admin),
            ("/_matrix/x/%2e%2e/%2e%2e/_synapse/metrics", Closed),
            ("/_matrix/a\\b/../../_synapse/admin", Admin),
            ("/_matrix/a%2Fb/../../_synapse/admin/v1", Admin),
            ("/_matrix/a%2Fb/../../_synapse/metrics", Closed),
            ("/_synapse/client/../admin///../../_matrix/x", Admin),
            ("/_synapse/client/../admin/%2e%2e/%2e%2e/_matrix/x", Admin),
            ("/_matrix/%252e%252e/_synapse/admin", Admin),
            ("//_synapse/admin", Closed),
            ("/_tuwunel/sso/x", Public),
        ] {
            assert_eq!(Target::new(path).access(), expected, "{path}");
        }
    }

    #[test]
    fn an_apex_site_gets_nothing_of_matrix() {
        for path in [
            "/_matrix/x",
            "/_synapse/admin",
            "/.well-known/matrix/client",
            "/x/../_matrix/y",
            "/%5fmatrix/x",
            "/a%2Fb/../_matrix/x",
        ] {
            assert!(Target::new(path).is_matrix(), "{path}");
        }
        for path in ["/", "/index.html", "/.well-known/webfinger", "/blog/_matrix"] {
            assert!(!Target::new(path).is_matrix(), "{path}");
        }
    }

    #[test]
    fn a_finding_counts_when_both_forms_have_it() {
        let ends_in_x = |path: &str| path.ends_with("/x").then_some(());
        for (path, expected) in [
            ("/a/x", true),
            ("/%61/x", true),
            ("/a/%78", false),
            ("/a/y", false),
            ("/a/x/../y", false),
            ("/a/y/..%2fx", false),
            ("/a/y%2fx", false),
        ] {
            assert_eq!(Target::new(path).agreed(ends_in_x).is_some(), expected, "{path}");
        }
        assert_eq!(Target::new("/a/%2e/").normalised(), "/a/");
        assert_eq!(Target::new("/%2e/").normalised(), "/");
    }

    #[test]
    fn private_prefixes_are_known_in_disguise() {
        for path in ["/_synapse/replication/x", "/x/%2e%2e/_synapse/mas", "/_dendrite/admin", "//_synapse/metrics"] {
            assert!(Target::new(path).private().is_some(), "{path}");
        }
        assert_eq!(Target::new("/_synapse/client/x").private(), None);
    }

    proptest! {
        #[test]
        fn an_admin_path_never_passes_as_public(noise in r"([/\\][a-z.%0-9]{0,6}){0,3}", dots in 0_usize..6) {
            let path = format!("/_matrix{noise}{}/_synapse/admin/x", "/%2e%2E".repeat(dots));
            let escapes = normalised(&path).starts_with("/_synapse/admin");
            prop_assert!(!escapes || Target::new(&path).access() != Access::Public, "{}", path);
        }
    }
}
