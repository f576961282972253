//! Whether an endpoint is up, as one worker knows it: pure.
//!
//! An endpoint goes **down** when no connection to it can be opened because nobody is there, or when
//! `/health` fails. It is only **suspect** when a fresh connection ended without a byte of an answer:
//! that may have been one request's bad luck, or a container's proxy that accepts for a backend that
//! is gone. `/health` tells which.
//!
//! Only `/health` brings an endpoint back. A connection that opens proves nothing (that proxy again),
//! and an answer on an older connection proves nothing either: a homeserver that is stopping answers
//! what it has begun after it has closed its listener.

use super::connect::ConnectError;
use http::StatusCode;
use std::io::ErrorKind;
use tokio::time::Instant;

/// What is known of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// Requests may go.
    Up,
    /// `/health` is asked before more bytes are sent.
    Suspect,
    /// Nobody is there.
    Down {
        /// Since when.
        since: Instant,
        /// Whether a connect fails at once: then a request that does not wait may as well try one.
        absent: bool,
    },
}

/// What one `/health` said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It serves.
    Healthy,
    /// It does not, and why.
    Unhealthy(String),
    /// Nobody listens: a connect is refused at once, for this reason.
    Absent(String),
    /// It could not be asked, for a reason on this side.
    Unknown,
}

impl Health {
    /// Whether requests may go.
    pub(super) fn is_up(self) -> bool {
        self == Self::Up
    }

    /// Whether it is known that nobody is there.
    pub(super) fn is_down(self) -> bool {
        matches!(self, Self::Down { .. })
    }

    /// Whether a request that does not wait is refused without a try. One that is tried and refused by
    /// the system is as quick, has sent nothing, and is the first to see that the endpoint is back.
    pub(super) fn refuses(self) -> bool {
        matches!(self, Self::Down { absent: false, .. })
    }

    /// A connection could not be opened because nobody is there ([`is_outage`]).
    pub(super) fn unreachable(self, error: &ConnectError, now: Instant) -> Self {
        self.down(is_absence(error), now)
    }

    fn down(self, absent: bool, now: Instant) -> Self {
        match self {
            Self::Up | Self::Suspect => Self::Down { since: now, absent },
            Self::Down { since, .. } => Self::Down { since, absent },
        }
    }

    /// A fresh connection ended without a byte of an answer.
    pub(super) fn broke_unanswered(self) -> Self {
        match self {
            Self::Up => Self::Suspect,
            other => other,
        }
    }

    /// `/health` was asked.
    pub(super) fn probed(self, verdict: &Verdict, now: Instant) -> Self {
        match verdict {
            Verdict::Healthy => Self::Up,
            Verdict::Unhealthy(_) => self.down(false, now),
            Verdict::Absent(_) => self.down(true, now),
            Verdict::Unknown => self,
        }
    }
}

/// Whether a failed connect says that nobody is there: ECONNREFUSED, ENOENT (a unix socket), a host
/// that cannot be reached, silence, or a name without an address (a container's name is gone with
/// the container).
///
/// Anything else is a fault that waiting would hide: EACCES on a socket stays until somebody changes
/// its mode, and EMFILE is a lack on this side, which held requests would only make worse.
pub(super) fn is_outage(error: &ConnectError) -> bool {
    match error {
        ConnectError::Timeout(_) | ConnectError::Lookup(_) => true,
        ConnectError::Refused(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionRefused | ErrorKind::NotFound | ErrorKind::HostUnreachable | ErrorKind::TimedOut
        ),
    }
}

/// Whether an outage shows at once and on this machine, at no cost to anybody.
pub(super) fn is_absence(error: &ConnectError) -> bool {
    let ConnectError::Refused(error) = error else { return false };
    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound)
}

/// What an answer to `/health` says. Synapse answers 200 and Conduit's family 404; a proxy without
/// its backend says 502, 503 or 504. Everything else comes from a homeserver that runs.
pub(super) fn judge(status: StatusCode) -> Verdict {
    match status {
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            Verdict::Unhealthy(format!("/health is answered with {}", status.as_u16()))
        }
        _ => Verdict::Healthy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::time::Duration;

    #[test]
    fn transitions() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let (bad, gone) = (Verdict::Unhealthy("x".to_owned()), Verdict::Absent("x".to_owned()));
        let refused = ConnectError::Refused(ErrorKind::ConnectionRefused.into());
        let silent = ConnectError::Timeout(Duration::from_secs(5));
        let down = |absent| Health::Down { since: now, absent };
        for before in [Health::Up, Health::Suspect] {
            assert_eq!(before.unreachable(&refused, now), down(true));
            assert_eq!(before.unreachable(&silent, now), down(false));
            assert_eq!(before.probed(&bad, now), down(false));
            assert_eq!(before.probed(&gone, now), down(true));
        }
        for absent in [true, false] {
            assert_eq!(down(absent).unreachable(&refused, later), down(true), "it is down since the first failure");
            assert_eq!(down(absent).probed(&bad, later), down(false));
            assert_eq!(down(absent).broke_unanswered(), down(absent));
            assert_eq!(down(absent).refuses(), !absent);
        }
        assert_eq!(Health::Up.broke_unanswered(), Health::Suspect);
        assert_eq!(Health::Suspect.broke_unanswered(), Health::Suspect);
        for before in [Health::Up, Health::Suspect, down(true)] {
            assert_eq!(before.probed(&Verdict::Healthy, later), Health::Up);
            assert_eq!(before.probed(&Verdict::Unknown, later), before);
        }
        assert_eq!(
            (Health::Suspect.is_up(), Health::Suspect.is_down(), Health::Suspect.refuses()),
            (false, false, false)
        );
    }

    #[test]
    fn nobody_there_or_something_wrong() {
        let refused = |kind: ErrorKind| is_outage(&ConnectError::Refused(io::Error::from(kind)));
        for kind in [ErrorKind::ConnectionRefused, ErrorKind::NotFound, ErrorKind::HostUnreachable, ErrorKind::TimedOut]
        {
            assert!(refused(kind), "{kind}");
        }
        for kind in [ErrorKind::PermissionDenied, ErrorKind::AddrNotAvailable, ErrorKind::Other] {
            assert!(!refused(kind), "{kind}");
        }
        // EMFILE has no kind of its own.
        assert!(!is_outage(&ConnectError::Refused(io::Error::from_raw_os_error(24))));
        assert!(is_outage(&ConnectError::Timeout(Duration::from_secs(5))));
        assert!(is_outage(&ConnectError::Lookup(io::Error::other("no such name"))));
    }

    #[test]
    fn answers_to_health() {
        for status in [200, 204, 301, 401, 404, 429, 500] {
            assert_eq!(judge(StatusCode::from_u16(status).unwrap()), Verdict::Healthy, "{status}");
        }
        for status in [502, 503, 504] {
            assert!(matches!(judge(StatusCode::from_u16(status).unwrap()), Verdict::Unhealthy(_)), "{status}");
        }
    }
}
