//! Where challenges are answered: by this program's listeners, or in DNS.

use super::error::OrderError;
use crate::acme::dns01::{Dns01, OpenRecord};
use crate::certs::Challenges;
use crate::certs::challenges::OpenChallenge;
use crate::config::Challenge;
use instant_acme::ChallengeHandle;
use rcgen::{CertificateParams, CustomExtension, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// Everybody who answers.
pub(in crate::acme) struct Answers {
    pub challenges: Challenges,
    /// Set where DNS-01 is configured.
    pub dns01: Option<Dns01>,
}

/// A challenge that is answered until it is closed.
pub(super) enum Open {
    /// By the listeners.
    Here { _challenge: OpenChallenge },
    /// By the name servers.
    InDns(OpenRecord),
}

impl Open {
    /// Closes them all. A record in DNS has to be removed, which takes more than a drop.
    pub(super) async fn close(all: Vec<Self>) {
        for open in all {
            if let Self::InDns(record) = open {
                record.close().await;
            }
        }
    }
}

impl Answers {
    /// Opens a challenge for `name`, which is without the star of a wildcard.
    pub(super) async fn open(
        &self,
        handle: &ChallengeHandle<'_>,
        challenge: Challenge,
        name: &str,
    ) -> Result<Open, OrderError> {
        let authorization = handle.key_authorization();
        Ok(match challenge {
            Challenge::Http01 => {
                Open::Here { _challenge: self.challenges.open_http(&handle.token, authorization.as_str()) }
            }
            Challenge::TlsAlpn01 => {
                let certificate = challenge_certificate(name, authorization.digest().as_ref())?;
                Open::Here { _challenge: self.challenges.open_tls(name, Arc::new(certificate)) }
            }
            Challenge::Dns01 => {
                let dns01 = self.dns01.as_ref().ok_or(OrderError::NoDns)?;
                let name = name.trim_start_matches("*.");
                Open::InDns(dns01.open(name, &authorization.dns_value()).await?)
            }
        })
    }
}

/// The certificate of TLS-ALPN-01 (RFC 8737 §3): one name, and the digest in a critical extension.
fn challenge_certificate(name: &str, digest: &[u8]) -> Result<CertifiedKey, OrderError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    let private =
        PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| OrderError::Unproved(error.to_owned()))?;
    let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&private);
    let signer = signer.map_err(|error| OrderError::Unproved(error.to_string()))?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], signer))
}
