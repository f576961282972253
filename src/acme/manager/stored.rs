//! Certificates in the store: the CA's name, the key and the chain, in one file.

use super::{Current, Manager};
use crate::certs::Certificate;
use crate::certs::keyring::Slot;
use crate::certs::store::StoreError;
use crate::matrix::HostPattern;
use crate::telemetry::log::Chain;
use std::sync::Arc;

/// The line before the PEM in a stored certificate: whose it is, so that a change of the CA is one.
const CA_LINE: &str = "ca: ";

/// Where a certificate with its key is stored.
pub(super) fn key(first: &HostPattern) -> String {
    format!("certificates/{}.pem", first.file_name())
}

/// The content of that file.
pub(super) fn content(ca: &str, pem: &str) -> String {
    format!("{CA_LINE}{ca}\n{pem}")
}

/// Publishes what is stored for `names`. Returns it if it will do until it is due for renewal.
pub(super) async fn load(manager: &Manager, names: &[HostPattern]) -> Result<Option<Current>, StoreError> {
    let Some(first) = names.first() else { return Ok(None) };
    let key = key(first);
    let store = &manager.parts.store;
    let Some(content) = store.load(&key).await? else { return Ok(None) };
    let certificate = Certificate::from_pem(&content, &content);
    // By its own time: a clock that is wrong at start-up must not condemn a good certificate.
    let linked = |certificate: Certificate| {
        certificate.verify_links(certificate.facts().not_before)?;
        Ok(certificate)
    };
    match certificate.and_then(linked) {
        Ok(certificate) => {
            let certificate = Arc::new(certificate);
            manager.parts.published.publish(Slot::Issued(first.to_string()), Arc::clone(&certificate));
            // Another CA's, or for fewer names: served until the new one is there, and no longer.
            let covers = names.iter().all(|name| certificate.includes(name));
            let ca = ca_of(manager, &content);
            Ok((covers && ca.is_some()).then_some(Current { certificate, ca }))
        }
        Err(error) => {
            let path = store.describe(&key);
            tracing::error!(%path, %error, "the stored certificate is damaged; it is set aside and a new one ordered");
            if let Err(error) = store.set_aside(&key).await {
                tracing::error!(error = %Chain(&error), "it could not be set aside");
            }
            Ok(None)
        }
    }
}

/// Which of the configured CAs a stored certificate came from. One without the line does not say,
/// and is taken for the first one's.
fn ca_of(manager: &Manager, content: &[u8]) -> Option<usize> {
    let line = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match line.strip_prefix(CA_LINE.as_bytes()) {
        Some(name) => manager.cas.iter().position(|ca| ca.key.as_bytes() == name),
        None => Some(0),
    }
}
