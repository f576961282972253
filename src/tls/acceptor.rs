//! One handshake: read the ClientHello, choose, finish or refuse.

use super::config::{TlsTable, challenge_config};
use crate::certs::{Certificate, Challenges};
use crate::matrix::Host;
use crate::net::counted::Counted;
use rustls::server::Acceptor;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;

/// The protocol of TLS-ALPN-01 (RFC 8737 §6.1).
pub(super) const ACME_TLS_ALPN: &[u8] = b"acme-tls/1";

/// A fatal `unrecognized_name` alert (RFC 6066 §3) as a plain-text record: the library's own
/// refusal says `access_denied`, which tells a person nothing.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Sealed bytes that may wait for the socket: a piece of 64 KiB, the head before it and the records'
/// overhead, so that they leave together. (The library's 64 KiB would cut off a small rest.)
const BUFFER: usize = 96 * 1024;

/// The stream after the handshake.
pub type TlsStream = tokio_rustls::server::TlsStream<Counted>;

/// A finished handshake.
pub struct Handshake {
    /// The stream; its connection knows the protocol version and ALPN.
    pub stream: TlsStream,
    /// What the client may ask for on it.
    pub name: ProvenName,
    /// Whether HTTP/2 was agreed on.
    pub http2: bool,
}

/// What the handshake proved to the client.
#[derive(Clone, Debug)]
pub struct ProvenName {
    /// The certificate it was shown.
    pub certificate: Arc<Certificate>,
    /// The name it asked for, in lower case.
    pub sni: Option<String>,
    /// The protocol agreed on, of those that are offered.
    pub alpn: Option<&'static str>,
}

impl ProvenName {
    /// Whether requests for `host` belong on this connection (RFC 9110 §7.4): the certificate that
    /// the client was shown covers it, whether or not the client asked for that name.
    pub fn admits(&self, host: &Host) -> bool {
        self.certificate.covers(host)
    }
}

/// Why there is no stream. None of these is this server's fault; they are logged at debug level.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The client was too slow.
    #[error("no complete handshake within {0:?}")]
    Timeout(Duration),
    /// No certificate for the name.
    #[error("no certificate for {0:?}")]
    UnknownName(String),
    /// No server name indication, and no default certificate.
    #[error("no server name indication")]
    NoName,
    /// The transport or the protocol failed.
    #[error("the handshake failed")]
    Io(#[from] io::Error),
    /// The library refused the configuration.
    #[error("the handshake could not be prepared")]
    Tls(#[from] rustls::Error),
}

/// Performs a handshake within `limit`. `Ok(None)` is a finished challenge validation, which
/// carries no requests.
pub async fn handshake(
    stream: TcpStream,
    table: &TlsTable,
    challenges: &Challenges,
    limit: Duration,
) -> Result<Option<Handshake>, HandshakeError> {
    match tokio::time::timeout(limit, perform(Counted::new(stream), table, challenges)).await {
        Ok(result) => result,
        Err(_) => Err(HandshakeError::Timeout(limit)),
    }
}

async fn perform(
    stream: Counted,
    table: &TlsTable,
    challenges: &Challenges,
) -> Result<Option<Handshake>, HandshakeError> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let hello = start.client_hello();
    let sni = hello.server_name().map(str::to_ascii_lowercase);
    let is_challenge = hello.alpn().is_some_and(|mut protocols| protocols.any(|protocol| protocol == ACME_TLS_ALPN));
    if is_challenge {
        let key = sni.as_deref().and_then(|name| challenges.answer_tls(name));
        let Some(key) = key else {
            return Err(refuse(start.io, sni).await);
        };
        let config = challenge_config(key.as_ref().clone())?;
        start.into_stream(Arc::new(config)).await?.shutdown().await?;
        return Ok(None);
    }
    let Some(shown) = table.choose(sni.as_deref()) else {
        return Err(refuse(start.io, sni).await);
    };
    let certificate = Arc::clone(&shown.certificate);
    let mut stream = start.into_stream(Arc::clone(&shown.config)).await?;
    stream.get_mut().1.set_buffer_limit(Some(BUFFER));
    let alpn = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Some("h2"),
        Some(_) => Some("http/1.1"),
        None => None,
    };
    Ok(Some(Handshake { stream, name: ProvenName { certificate, sni, alpn }, http2: alpn == Some("h2") }))
}

async fn refuse(mut stream: Counted, sni: Option<String>) -> HandshakeError {
    // Best effort: the client may be gone already.
    let _ = stream.write_all(&UNRECOGNIZED_NAME).await;
    let _ = stream.shutdown().await;
    sni.map_or(HandshakeError::NoName, HandshakeError::UnknownName)
}
