//! What this server offers in a handshake.
//!
//! TLS 1.2 and 1.3 only; the six ECDHE suites with authenticated encryption for 1.2, the three of
//! 1.3; X25519MLKEM768 first among the groups. AES-128-GCM leads the list, but the client's order
//! decides: a phone without AES instructions asks for ChaCha20 with reason.

use crate::certs::{Certificate, Keyring};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, Ticketer, cipher_suite, kx_group};
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerConfig};
use rustls::sign::SingleCertAndKey;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// How many TLS 1.3 tickets a handshake gives. A client opens a few connections at once, but each
/// ticket costs a record; one more than needed is enough.
const TICKETS: usize = 2;

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        ..aws_lc_rs::default_provider()
    })
});

/// The keys of session tickets: made at start, rotated every six hours by the library, never
/// written anywhere. Shared by all certificates; the library refuses to resume a session under
/// another server name.
#[derive(Clone)]
pub struct Tickets(Arc<dyn ProducesTickets>);

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tickets")
    }
}

impl Tickets {
    /// Fresh keys.
    pub fn new() -> Result<Self, rustls::Error> {
        Ticketer::new().map(Self)
    }
}

/// The ready configurations of one keyring, by name.
#[derive(Clone, Debug, Default)]
pub struct TlsTable {
    by_name: HashMap<String, Shown>,
    default: Option<Shown>,
}

/// A certificate and the configuration that shows it.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub certificate: Arc<Certificate>,
    pub config: Arc<ServerConfig>,
}

impl TlsTable {
    /// Prepares a configuration for each certificate of `keyring`.
    pub fn new(keyring: &Keyring, tickets: &Tickets) -> Result<Self, rustls::Error> {
        let mut made: Vec<Shown> = Vec::new();
        let mut show = |certificate: &Arc<Certificate>| -> Result<Shown, rustls::Error> {
            if let Some(shown) = made.iter().find(|shown| Arc::ptr_eq(&shown.certificate, certificate)) {
                return Ok(shown.clone());
            }
            let config = Arc::new(server_config(certificate, tickets)?);
            let shown = Shown { certificate: Arc::clone(certificate), config };
            made.push(shown.clone());
            Ok(shown)
        };
        let mut by_name = HashMap::new();
        for (name, certificate) in keyring.iter() {
            by_name.insert(name.to_owned(), show(certificate)?);
        }
        let default = keyring.default_certificate().map(&mut show).transpose()?;
        Ok(Self { by_name, default })
    }

    /// What to show a client that asked for `sni`; `None` refuses it.
    pub(super) fn choose(&self, sni: Option<&str>) -> Option<&Shown> {
        match sni {
            Some(name) => self.by_name.get(name),
            None => self.default.as_ref(),
        }
    }
}

fn builder() -> Result<rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER));
    Ok(builder.with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?.with_no_client_auth())
}

fn server_config(certificate: &Certificate, tickets: &Tickets) -> Result<ServerConfig, rustls::Error> {
    let key = SingleCertAndKey::from(certificate.certified_key().as_ref().clone());
    let mut config = builder()?.with_cert_resolver(Arc::new(key));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ignore_client_order = false;
    config.ticketer = Arc::clone(&tickets.0);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = TICKETS;
    Ok(config)
}

/// The configuration of a TLS-ALPN-01 validation: the challenge certificate and no other protocol.
pub(super) fn challenge_config(key: rustls::sign::CertifiedKey) -> Result<ServerConfig, rustls::Error> {
    let mut config = builder()?.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![super::acceptor::ACME_TLS_ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(config)
}
