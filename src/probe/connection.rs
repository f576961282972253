//! One TLS handshake that looks, and words for what a stranger answers.

use super::own::OwnListeners;
use crate::certs::x509;
use crate::matrix::Host;
use crate::net::looker;
use rustls::pki_types::{CertificateDer, ServerName};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsConnector;

/// As much of a stranger's words as goes into a log line, in characters.
const QUOTED: usize = 80;

/// How many names of a certificate are told.
const TOLD_NAMES: usize = 3;

/// The certificate that `address` shows to a client that asks for `name`.
pub(super) async fn leaf(
    own: &OwnListeners,
    address: SocketAddr,
    name: ServerName<'static>,
    alpn: &[&str],
) -> io::Result<CertificateDer<'static>> {
    let config = looker::client_config(rustls::ALL_VERSIONS, alpn).map_err(io::Error::other)?;
    let stream = own.connect(address).await?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).cloned();
    // Politely: a listener of ours would log a connection that breaks off. It may be gone already.
    let _ = stream.shutdown().await;
    leaf.ok_or_else(|| io::Error::other("no certificate was shown"))
}

/// What TLS calls `host`. An address is not sent: SNI knows names only (RFC 6066 §3).
pub(super) fn tls_name(host: &Host) -> io::Result<ServerName<'static>> {
    match host {
        Host::Ip(address) => Ok(ServerName::IpAddress((*address).into())),
        Host::Dns(name) => ServerName::try_from(name.clone()).map_err(io::Error::other),
    }
}

/// A certificate in words.
pub(super) fn describe(certificate: &CertificateDer<'_>) -> String {
    let Ok(facts) = x509::facts(certificate) else {
        return "a certificate that cannot be read".to_owned();
    };
    let mut names: Vec<_> = facts.names.iter().take(TOLD_NAMES).map(ToString::to_string).collect();
    if facts.names.len() > TOLD_NAMES {
        names.push("…".to_owned());
    }
    let names = if names.is_empty() { quote(&facts.subject) } else { names.join(", ") };
    format!("a certificate for {names} from {}", quote(&facts.issuer))
}

/// A stranger's words, shortened, with nothing in them that acts on a terminal.
pub(super) fn quote(text: &str) -> String {
    text.chars().take(QUOTED).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// What TLS itself found wrong with the other side; `None` where only the connection failed.
pub(super) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}
