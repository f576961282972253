//! The paths of the side services: pure.
//!
//! The authentication service (`[mas]`) takes the homeserver's login paths as they are. The services
//! behind calls (`[rtc]`) stand at paths of their own, of which they know nothing: Element Call's
//! layout, in which the proxy takes the prefix away.

use super::destination::UpstreamId;
use super::serving::ServedServer;
use crate::config::RTC_JWT_PATH;

/// Where the SFU's signalling is.
const RTC_SFU_PATH: &str = "/livekit/sfu";

/// A side service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Mas,
    RtcJwt,
    RtcSfu,
}

impl Service {
    /// The service whose path this is.
    pub(super) fn of(path: &str) -> Option<Self> {
        let below = |prefix| path.strip_prefix(prefix).is_some_and(|rest: &str| rest.starts_with('/'));
        if below(RTC_JWT_PATH) {
            Some(Self::RtcJwt)
        } else if below(RTC_SFU_PATH) {
            Some(Self::RtcSfu)
        } else {
            is_login(path).then_some(Self::Mas)
        }
    }

    /// How many bytes of the path it does not get.
    pub(super) fn strip(self) -> usize {
        match self {
            Self::Mas => 0,
            Self::RtcJwt => RTC_JWT_PATH.len(),
            Self::RtcSfu => RTC_SFU_PATH.len(),
        }
    }
}

impl ServedServer {
    /// The configured service whose path this is.
    pub(super) fn service_at(&self, path: &str) -> Option<(Service, UpstreamId)> {
        let service = Service::of(path)?;
        let upstream = match service {
            Service::Mas => self.mas,
            Service::RtcJwt => self.rtc_jwt,
            Service::RtcSfu => self.rtc_sfu,
        };
        Some((service, upstream?))
    }
}

/// `^/_matrix/client/(api/v1|r0|v3|unstable)/(login|logout|refresh)(/.*)?$`. The version is part of it:
/// `v1/login/get_token` is the homeserver's, and so is a room with a state key called `login`.
fn is_login(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/_matrix/client/") else {
        return false;
    };
    let behind_version = ["api/v1/", "r0/", "v3/", "unstable/"].iter().find_map(|version| rest.strip_prefix(version));
    let endpoint = behind_version.and_then(|rest| rest.split('/').next());
    matches!(endpoint, Some("login" | "logout" | "refresh"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        use Service::{Mas, RtcJwt, RtcSfu};
        for (path, expected) in [
            ("/_matrix/client/v3/login", Some(Mas)),
            ("/_matrix/client/api/v1/login", Some(Mas)),
            ("/_matrix/client/r0/login/sso/redirect/idp", Some(Mas)),
            ("/_matrix/client/v3/logout/all", Some(Mas)),
            ("/_matrix/client/unstable/refresh", Some(Mas)),
            ("/_matrix/client/v3/login/", Some(Mas)),
            ("/_matrix/client/v1/login/get_token", None),
            ("/_matrix/client/unstable/org.matrix.msc3882/login/token", None),
            ("/_matrix/client/v3/rooms/!a/state/m.x/login", None),
            ("/_matrix/client/v3/loginx", None),
            ("/_matrix/client/login", None),
            ("/x/_matrix/client/v3/login", None),
            ("/livekit/jwt/sfu/get", Some(RtcJwt)),
            ("/livekit/jwt/", Some(RtcJwt)),
            ("/livekit/jwt", None),
            ("/livekit/jwtx/", None),
            ("/livekit/sfu/rtc", Some(RtcSfu)),
            ("/livekit/", None),
        ] {
            assert_eq!(Service::of(path), expected, "{path}");
        }
        assert_eq!("/livekit/jwt/sfu/get".get(RtcJwt.strip()..), Some("/sfu/get"));
        assert_eq!("/livekit/sfu/rtc".get(RtcSfu.strip()..), Some("/rtc"));
    }
}
