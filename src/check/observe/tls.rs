//! One connection to one address: TCP, then a TLS handshake that looks and does not judge.
//!
//! Every chain is accepted ([`looker`]), so that a bad one can be shown, and the chain is examined
//! afterwards. No secret is ever sent over these connections, only public questions.

use super::tcp;
use crate::check::chain::{Chain, tls_name};
use crate::check::network::Network;
use crate::matrix::Host;
use crate::net::looker;
use rustls::SupportedProtocolVersion;
use rustls::pki_types::ServerName;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What to offer in a handshake.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    /// Protocol versions.
    pub(super) versions: &'static [&'static SupportedProtocolVersion],
    /// Application protocols; none at all is what older peers do.
    pub(super) alpn: &'static [&'static str],
    /// The name to ask for.
    pub(super) sni: Sni,
}

/// The name to send as SNI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sni {
    /// The one that the certificate is expected for.
    Right,
    /// None.
    Absent,
    /// One that no server has.
    Wrong,
}

/// A name that cannot exist (RFC 2606, section 2).
const NOBODY: &str = "vestibule-check.invalid";

impl Offer {
    /// Every version, no ALPN: as Synapse connects.
    pub(super) const PLAIN: Self = Self { versions: rustls::ALL_VERSIONS, alpn: &[], sni: Sni::Right };
    /// Every version, HTTP/1.1 asked for by name.
    pub(super) const HTTP1: Self = Self { alpn: &["http/1.1"], ..Self::PLAIN };
    /// TLS 1.2 alone, as a client with HTTP/2 would connect.
    pub(super) const ONLY_12: Self = Self { versions: &[&rustls::version::TLS12], ..Self::BOTH };
    /// TLS 1.3 alone.
    pub(super) const ONLY_13: Self = Self { versions: &[&rustls::version::TLS13], ..Self::BOTH };
    /// Every version, HTTP/2 and HTTP/1.1.
    const BOTH: Self = Self { alpn: &["h2", "http/1.1"], ..Self::PLAIN };
    /// The same without SNI.
    pub(super) const NO_SNI: Self = Self { sni: Sni::Absent, ..Self::BOTH };
    /// The same for a name that no server has.
    pub(super) const WRONG_SNI: Self = Self { sni: Sni::Wrong, ..Self::BOTH };
}

/// A completed handshake.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// "TLSv1.2" or "TLSv1.3".
    pub version: String,
    /// The cipher suite's IANA name.
    pub cipher: String,
    /// The application protocol the server chose, if any.
    pub alpn: Option<String>,
    /// Whether an OCSP response was stapled to it.
    pub stapled: bool,
    /// The chain presented.
    pub chain: Chain,
}

/// Why a connection, a handshake or an exchange did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No TCP connection.
    Connect(String),
    /// This machine has no way to such an address (for instance no IPv6): says nothing about the
    /// server.
    NoRoute(String),
    /// The guard of the check does not let it go there; to where.
    Guarded(String),
    /// The TLS handshake failed.
    Handshake(String),
    /// The server refused the handshake with an alert, whose name this is.
    Refused(String),
    /// The HTTP exchange failed.
    Exchange(String),
    /// The answer is longer than anybody reads.
    TooLarge(usize),
    /// Nothing came in time; the stage it was in.
    Timeout(Stage, Duration),
}

/// Where time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Opening the connection.
    Connect,
    /// The TLS handshake.
    Handshake,
    /// The HTTP exchange.
    Exchange,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(text) => write!(f, "cannot connect: {text}"),
            Self::NoRoute(text) => write!(f, "this machine cannot reach such an address: {text}"),
            Self::Guarded(text) => write!(f, "not connected to, because {text}"),
            Self::Handshake(text) => write!(f, "the TLS handshake failed: {text}"),
            Self::Refused(alert) => write!(f, "the TLS handshake failed: the server sent the alert {alert}"),
            Self::Exchange(text) => write!(f, "no usable HTTP answer: {text}"),
            Self::TooLarge(limit) => write!(f, "the answer is longer than the {limit} bytes that peers read"),
            Self::Timeout(Stage::Connect, limit) => write!(f, "no connection within {} s", limit.as_secs_f32()),
            Self::Timeout(Stage::Handshake, limit) => write!(f, "no TLS handshake within {} s", limit.as_secs_f32()),
            Self::Timeout(Stage::Exchange, limit) => write!(f, "no complete answer within {} s", limit.as_secs_f32()),
        }
    }
}

impl Trouble {
    /// Whether it happened before TLS: then every other probe of the address fails the same way.
    pub fn before_tls(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::NoRoute(_) | Self::Guarded(_) | Self::Timeout(Stage::Connect, _))
    }

    /// Whether it is the TLS layer that failed.
    pub fn in_tls(&self) -> bool {
        matches!(self, Self::Handshake(_) | Self::Refused(_) | Self::Timeout(Stage::Handshake, _))
    }

    /// Whether a second try may help. What took its whole time has been patient already (TCP
    /// itself repeats lost packets), and a missing route does not appear within a second.
    pub(super) fn worth_a_retry(&self) -> bool {
        !matches!(self, Self::Timeout(..) | Self::NoRoute(_) | Self::Guarded(_) | Self::TooLarge(_))
    }
}

/// Connects and shakes hands with `address` as `name`.
pub(super) async fn open(
    network: &Network,
    address: SocketAddr,
    name: &Host,
    offer: Offer,
) -> Result<(TlsStream<TcpStream>, Handshake), Trouble> {
    let limit = network.limits.connect;
    let _step = network.progress.begin(|| format!("a connection to {address}"));
    let tcp = tcp::connect(network, address).await?;
    let server = match offer.sni {
        Sni::Wrong => ServerName::try_from(NOBODY).ok(),
        Sni::Right | Sni::Absent => tls_name(name),
    };
    let Some(server) = server else {
        return Err(Trouble::Handshake(format!("{name} is not a name that TLS can ask for")));
    };
    let config = looker::watching_config(offer.versions, offer.alpn);
    let (mut config, aside) = config.map_err(|error| Trouble::Handshake(error.to_string()))?;
    config.enable_sni = offer.sni != Sni::Absent;
    let stream = match timeout(limit, TlsConnector::from(Arc::new(config)).connect(server, tcp)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(handshake_trouble(&error)),
        Err(_) => return Err(Trouble::Timeout(Stage::Handshake, limit)),
    };
    let (_, session) = stream.get_ref();
    let presented = session.peer_certificates().unwrap_or_default();
    let mut chain = Chain::examine(presented, name, &network.roots, network.clock.now());
    chain.unproved = aside.unproved().map(str::to_owned);
    let handshake = Handshake {
        version: match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3".to_owned(),
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2".to_owned(),
            other => format!("{other:?}"),
        },
        cipher: session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())).unwrap_or_default(),
        alpn: session.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned()),
        stapled: aside.stapled(),
        chain,
    };
    Ok((stream, handshake))
}

fn handshake_trouble(error: &io::Error) -> Trouble {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return Trouble::Handshake("the server closed the connection".to_owned());
    }
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => Trouble::Refused(format!("{alert:?}")),
        Some(rustls::Error::InvalidMessage(_)) => {
            Trouble::Handshake("the server does not speak TLS on this port".to_owned())
        }
        Some(inner) => Trouble::Handshake(inner.to_string()),
        None => Trouble::Handshake(error.to_string()),
    }
}
