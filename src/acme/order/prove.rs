//! Nothing is stored or shown that is not proved: the key fits, every name is covered, the chain
//! links, and it is valid now.

use super::error::OrderError;
use crate::certs::Certificate;
use crate::clock::Timestamp;
use crate::matrix::HostPattern;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Seconds by which this machine's clock may be behind the CA's.
const CLOCK_SLACK: i64 = 60;

/// Whether this is a chain at all, rather than a page of a proxy or the first half of one.
pub(super) fn is_chain(text: &str) -> bool {
    let mut certificates = CertificateDer::pem_slice_iter(text.as_bytes()).peekable();
    certificates.peek().is_some() && certificates.all(|certificate| certificate.is_ok())
}

/// The certificate in `chain`, which the CA says is for `key` and `names`.
pub(super) fn prove(chain: &str, key: &str, names: &[HostPattern], now: Timestamp) -> Result<Certificate, OrderError> {
    let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes())?;
    if let Some(missing) = names.iter().find(|name| !certificate.includes(name)) {
        return Err(OrderError::Unproved(format!("it does not cover {missing}")));
    }
    certificate.verify_links(now)?;
    // A CA that does not backdate is ahead of a clock that is a little behind.
    if !certificate.is_valid_at(now) && !certificate.is_valid_at(now.plus(CLOCK_SLACK)) {
        let (from, until) = (certificate.facts().not_before, certificate.facts().not_after);
        return Err(OrderError::Unproved(format!("it is valid from {from} to {until}, and it is {now}")));
    }
    Ok(certificate)
}
