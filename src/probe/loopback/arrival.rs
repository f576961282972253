//! What arrived at a listener, kept for the comparison and for nothing else.

use bytes::Bytes;
use std::net::{IpAddr, Ipv4Addr};

/// The longest body that is kept, in bytes. Ours have one kibibyte.
pub const MAX_BODY: usize = 64 * 1024;

/// A request as a listener got it. Heads are bounded by the listener, bodies by [`MAX_BODY`].
#[derive(Debug)]
pub struct Arrival {
    /// The method.
    pub method: String,
    /// Path and query, byte for byte.
    pub target: String,
    /// The host as written: the `Host` line, or the `:authority` of HTTP/2.
    pub host: String,
    /// What the TLS handshake was like; `None` on a plain listener.
    pub tls: Option<ArrivedTls>,
    /// Who is connected: the socket's peer, or whom its PROXY protocol header names.
    pub peer: IpAddr,
    /// Who the client is taken for, by `trusted_proxies.from`.
    pub client: IpAddr,
    /// The header lines in their order.
    pub lines: Vec<(Bytes, Bytes)>,
    /// The body, cut at [`MAX_BODY`].
    pub body: Bytes,
    /// The head that the homeserver would have got.
    pub onward: Bytes,
}

/// A handshake from the listener's side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrivedTls {
    /// The name asked for.
    pub sni: Option<String>,
    /// The application protocol agreed on.
    pub alpn: Option<String>,
    /// The serial number of the certificate shown, in lower-case hexadecimal.
    pub serial: String,
}

impl Default for Arrival {
    fn default() -> Self {
        Self {
            method: String::new(),
            target: String::new(),
            host: String::new(),
            tls: None,
            peer: Ipv4Addr::UNSPECIFIED.into(),
            client: Ipv4Addr::UNSPECIFIED.into(),
            lines: Vec::new(),
            body: Bytes::new(),
            onward: Bytes::new(),
        }
    }
}

impl Arrival {
    /// The values of a header, in order.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = move |line: &&(Bytes, Bytes)| line.0.eq_ignore_ascii_case(name.as_bytes());
        self.lines.iter().filter(named).map(|(_, value)| &**value)
    }

    /// The values of a header in the head that the homeserver would have got.
    pub(super) fn all_onward<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.onward.split(|byte| *byte == b'\n').filter_map(move |line| {
            let (found, value) = line.split_at_checked(line.iter().position(|byte| *byte == b':')?)?;
            let value = value.strip_prefix(b":")?.trim_ascii();
            found.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
        })
    }
}
