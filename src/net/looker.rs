//! A TLS client that looks and does not judge.
//!
//! Its verifier accepts every chain, so that a bad one can be seen and told. It is for connections
//! over which only public questions go, never a secret.

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use std::sync::{Arc, OnceLock};

/// A configuration that offers these protocol versions and, unless empty, these application
/// protocols. The handshake's own signature is checked, so that what is shown is what the server
/// holds the key of.
pub fn client_config(
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> Result<ClientConfig, rustls::Error> {
    config(versions, alpn, None)
}

/// The same, but a handshake whose signature is no good goes on too, and what it showed besides the
/// chain is noted. Whoever uses it must look at [`Aside::unproved`] before believing the chain.
pub fn watching_config(
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> Result<(ClientConfig, Arc<Aside>), rustls::Error> {
    let aside = Arc::new(Aside::default());
    Ok((config(versions, alpn, Some(Arc::clone(&aside)))?, aside))
}

fn config(
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
    aside: Option<Arc<Aside>>,
) -> Result<ClientConfig, rustls::Error> {
    let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
    let looker = Looker { algorithms: provider.signature_verification_algorithms, aside };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(looker))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    // Every handshake must be a full one, or there would be no chain to look at.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// What a handshake shows besides the chain.
#[derive(Debug, Default)]
pub struct Aside {
    stapled: OnceLock<bool>,
    unproved: OnceLock<String>,
}

impl Aside {
    /// Whether an OCSP response was stapled (RFC 6066, section 8). rustls asks for one always.
    pub fn stapled(&self) -> bool {
        self.stapled.get().copied().unwrap_or_default()
    }

    /// Why the handshake does not prove that the server holds the key of its certificate, if it
    /// does not: a wrong signature, or a key too weak for its signature to count.
    pub fn unproved(&self) -> Option<&str> {
        self.unproved.get().map(String::as_str)
    }
}

/// Accepts every chain.
#[derive(Debug)]
struct Looker {
    algorithms: WebPkiSupportedAlgorithms,
    aside: Option<Arc<Aside>>,
}

impl Looker {
    fn note(
        &self,
        verified: Result<HandshakeSignatureValid, rustls::Error>,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match (verified, &self.aside) {
            (Err(error), Some(aside)) => {
                // A handshake has one signature, so the first is the only one.
                let _ = aside.unproved.set(error.to_string());
                Ok(HandshakeSignatureValid::assertion())
            }
            (verified, _) => verified,
        }
    }
}

impl ServerCertVerifier for Looker {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(aside) = &self.aside {
            let _ = aside.stapled.set(!ocsp_response.is_empty());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.note(verify_tls12_signature(message, cert, dss, &self.algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.note(verify_tls13_signature(message, cert, dss, &self.algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
