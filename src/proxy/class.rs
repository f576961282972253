//! What kind of request a path names, as limits and the hold look at it: pure.
//!
//! Classes are read as homeservers match paths ([`Target::literal`](super::target::Target::literal)): a
//! login does not stop being one because a letter of it is escaped, and a transaction whose identifier
//! is `..%2F..` does not become what that would lead to.

use std::str::Split;

/// The kind of a request. The names are the public face of `limits.rate.class`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Class {
    /// Peers: `/_matrix/federation` and what else servers sign.
    Federation,
    /// Server keys: `/_matrix/key`.
    Key,
    /// Logins, and what a login is made of.
    Login,
    /// Registrations.
    Register,
    /// Long polls of clients.
    Sync,
    /// Media of clients.
    Media,
    /// The admin API.
    Admin,
    /// Everything else that clients ask a homeserver.
    Client,
    /// Calls: the token service and the SFU's signalling.
    Rtc,
    /// A plain site.
    Site,
}

/// How long a request waits for a homeserver that is down: the keys of `limits.hold`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum HoldGroup {
    Federation,
    Key,
    Client,
}

impl Class {
    /// Every class, in the order of the reference.
    #[cfg(test)]
    pub(super) const ALL: [Self; 10] = [
        Self::Federation,
        Self::Key,
        Self::Login,
        Self::Register,
        Self::Sync,
        Self::Media,
        Self::Admin,
        Self::Client,
        Self::Rtc,
        Self::Site,
    ];

    /// The stable name.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Federation => "federation",
            Self::Key => "key",
            Self::Login => "login",
            Self::Register => "register",
            Self::Sync => "sync",
            Self::Media => "media",
            Self::Admin => "admin",
            Self::Client => "client",
            Self::Rtc => "rtc",
            Self::Site => "site",
        }
    }

    /// How it waits; `None` does not wait, since no homeserver is asked.
    pub(super) fn hold(self) -> Option<HoldGroup> {
        match self {
            Self::Federation => Some(HoldGroup::Federation),
            Self::Key => Some(HoldGroup::Key),
            Self::Login | Self::Register | Self::Sync | Self::Media | Self::Admin | Self::Client => {
                Some(HoldGroup::Client)
            }
            Self::Rtc | Self::Site => None,
        }
    }
}

impl Class {
    /// The class of a decoded path at a homeserver.
    pub(super) fn of(path: &str) -> Self {
        let mut segments = path.split('/');
        // What stands before the first slash.
        segments.next();
        match (segments.next(), segments.next()) {
            (Some("_matrix"), Some("federation" | "policy")) => Self::Federation,
            (Some("_matrix"), Some("key")) => Self::Key,
            (Some("_matrix"), Some("media")) => Self::Media,
            (Some("_matrix"), Some("client")) => Self::of_client(segments),
            (Some("_synapse"), Some("admin")) => Self::Admin,
            _ => Self::Client,
        }
    }

    /// The class of what stands behind `/_matrix/client/`: a version, perhaps in two or more segments,
    /// then the endpoint.
    fn of_client(mut segments: Split<'_, char>) -> Self {
        let version = segments.next();
        let endpoint = match version {
            Some("api") => segments.nth(1),
            _ => segments.next(),
        };
        let unstable = version == Some("unstable");
        match (endpoint, segments.next(), segments.next()) {
            (Some("login"), ..) => Self::Login,
            (Some("register"), ..) => Self::Register,
            (Some("sync" | "events" | "initialSync"), None, _) => Self::Sync,
            (Some("rooms"), Some(_), Some("initialSync")) => Self::Sync,
            (Some("media"), ..) => Self::Media,
            // Proposals keep their own namespace between version and endpoint.
            (Some(_), Some("login"), _) if unstable => Self::Login,
            (Some(_), Some("sync"), _) if unstable => Self::Sync,
            (Some(_), Some("media"), _) if unstable => Self::Media,
            _ => Self::Client,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        use Class::{Admin, Client, Federation, Key, Login, Media, Register, Sync};
        for (path, expected) in [
            ("/_matrix/federation/v1/send/1", Federation),
            ("/_matrix/federation/v1/media/download/x", Federation),
            ("/_matrix/policy/v1/sign", Federation),
            ("/_matrix/key/v2/server", Key),
            ("/_matrix/client/v3/login", Login),
            ("/_matrix/client/api/v1/login", Login),
            ("/_matrix/client/v3/login/sso/redirect/x", Login),
            ("/_matrix/client/v1/login/get_token", Login),
            ("/_matrix/client/unstable/org.matrix.msc3882/login/token", Login),
            ("/_matrix/client/v3/register", Register),
            ("/_matrix/client/v3/register/email/requestToken", Register),
            ("/_matrix/client/v1/register/m.login.registration_token/validity", Register),
            ("/_matrix/client/r0/sync", Sync),
            ("/_matrix/client/v4/sync", Sync),
            ("/_matrix/client/api/v1/events", Sync),
            ("/_matrix/client/v3/events/$x", Client),
            ("/_matrix/client/v3/rooms/!a/initialSync", Sync),
            ("/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", Sync),
            ("/_matrix/media/v3/download/a/b", Media),
            ("/_matrix/client/v1/media/thumbnail/a/b", Media),
            ("/_matrix/client/v3/rooms/login/send/x/1", Client),
            ("/_matrix/client/versions", Client),
            ("/_matrix/client", Client),
            ("/_synapse/client/oidc/callback", Client),
            ("/_synapse/admin/v1/users", Admin),
            ("/.well-known/openid-configuration", Client),
            ("/", Client),
            ("", Client),
        ] {
            assert_eq!(Class::of(path), expected, "{path}");
        }
    }

    #[test]
    fn whoever_asks_a_homeserver_may_wait() {
        assert_eq!(Class::Federation.hold(), Some(HoldGroup::Federation));
        assert_eq!(Class::Key.hold(), Some(HoldGroup::Key));
        assert_eq!(Class::Login.hold(), Some(HoldGroup::Client));
        assert_eq!(Class::Site.hold(), None);
    }

    #[test]
    fn what_hangs_on_behind_makes_no_other_class() {
        use crate::proxy::target::Target;
        for (path, expected) in [
            ("/_matrix/federation/v1/send/..%2F..%2F..%2Fclient%2Fx", Class::Federation),
            ("/_matrix/media/v3/download/a/b/..%2f..%2f..%2f..%2f..%2fclient%2fx", Class::Media),
            ("/_matrix/client/v3/logi%6E", Class::Login),
            ("/_matrix/client/v3/rooms/%21a%2Flogin/send", Class::Client),
            ("/_matrix/client/v3/%", Class::Client),
            ("/%5Fmatrix/key/v2/server", Class::Key),
        ] {
            assert_eq!(Class::of(&Target::new(path).literal()), expected, "{path}");
        }
    }
}
