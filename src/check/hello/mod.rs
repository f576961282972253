//! The first two flights of an old TLS handshake, written and read by hand.
//!
//! rustls offers only what is sound, so it cannot ask whether a server would still agree to SSL 3.0
//! or RC4. Here is just enough of SSL 3.0 to TLS 1.2 to ask that: a ClientHello goes out, and what
//! comes back is read up to the certificates, which these versions send in the clear. There is no
//! key exchange and no secret; a handshake is never finished. No I/O either: bytes in, bytes out.

mod question;
mod reply;
mod suites;

pub use question::Question;
pub use reply::{Reader, Reply, ServerHello};
pub use suites::{Suite, Weakness};

use std::fmt;

/// A protocol version from before TLS 1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// SSL 3.0 (RFC 6101), prohibited by RFC 7568.
    Ssl3,
    /// TLS 1.0 (RFC 2246), deprecated by RFC 8996.
    Tls10,
    /// TLS 1.1 (RFC 4346), deprecated by RFC 8996.
    Tls11,
    /// TLS 1.2 (RFC 5246).
    Tls12,
}

impl Version {
    const ALL: [Self; 4] = [Self::Ssl3, Self::Tls10, Self::Tls11, Self::Tls12];

    /// The number on the wire.
    fn number(self) -> u16 {
        match self {
            Self::Ssl3 => 0x0300,
            Self::Tls10 => 0x0301,
            Self::Tls11 => 0x0302,
            Self::Tls12 => 0x0303,
        }
    }

    fn of(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.number() == number)
    }

    /// The next older one.
    pub fn older(self) -> Option<Self> {
        Self::ALL.into_iter().rev().find(|version| *version < self)
    }

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ssl3 => "SSLv3",
            Self::Tls10 => "TLSv1.0",
            Self::Tls11 => "TLSv1.1",
            Self::Tls12 => "TLSv1.2",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
