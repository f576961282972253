//! Which kind of path a request target names: pure.
//!
//! X-Matrix signs the raw target, so it is forwarded byte for byte. The decision is made twice, on
//! the raw path and on a copy that is decoded and has its dot segments removed, and the stricter
//! answer counts: `/_matrix/%2e%2e/_synapse/admin` is an admin path, whatever it looks like.

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

/// Public prefixes of the homeservers. Synapse, then tuwunel and continuwuity, whose OAuth issuer
/// is the homeserver itself, with its discovery document.
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

/// The access of a path (without its query).
pub(super) fn access(path: &str) -> Access {
    let raw = prefix_access(path);
    if !path.contains('%') && !path.contains("/.") && !path.contains("//") && !path.contains('\\') {
        return raw;
    }
    raw.max(prefix_access(&normalised(path)))
}

/// Whether a path belongs to the APIs of a homeserver: an apex site does not get it.
pub(super) fn is_matrix(path: &str) -> bool {
    const NAMESPACES: [&str; 5] = ["/_matrix", "/_synapse", "/_tuwunel", "/_continuwuity", "/.well-known/matrix"];
    let decoded = normalised(path);
    NAMESPACES.iter().any(|prefix| is_below(path, prefix) || is_below(&decoded, prefix))
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
/// dropped.
pub(super) fn normalised(path: &str) -> String {
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
    format!("/{}", segments.join("/"))
}

fn decode(path: &[u8]) -> Vec<u8> {
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
            ("//_synapse/admin", Closed),
            ("/_tuwunel/sso/x", Public),
        ] {
            assert_eq!(access(path), expected, "{path}");
        }
    }

    #[test]
    fn an_apex_site_gets_nothing_of_matrix() {
        for path in ["/_matrix/x", "/_synapse/admin", "/.well-known/matrix/client", "/x/../_matrix/y", "/%5fmatrix/x"] {
            assert!(is_matrix(path), "{path}");
        }
        for path in ["/", "/index.html", "/.well-known/webfinger", "/blog/_matrix"] {
            assert!(!is_matrix(path), "{path}");
        }
    }

    proptest! {
        #[test]
        fn an_admin_path_never_passes_as_public(noise in r"([/\\][a-z.%0-9]{0,6}){0,3}", dots in 0_usize..6) {
            let path = format!("/_matrix{noise}{}/_synapse/admin/x", "/%2e%2E".repeat(dots));
            let escapes = normalised(&path).starts_with("/_synapse/admin");
            prop_assert!(!escapes || access(&path) != Access::Public, "{}", path);
        }
    }
}
