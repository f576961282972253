//! Certificates in the store: the CA's name, the key and the chain, in one file.

use super::plan::Validity;
use super::schedule::There;
use crate::certs::Certificate;
use crate::certs::certificate::InvalidCertificate;
use crate::matrix::HostPattern;

/// The line before the PEM in a stored certificate: whose it is, so that a change of the CA is one.
pub const CA_LINE: &str = "ca: ";

/// A stored certificate.
pub(super) struct Stored {
    pub certificate: Certificate,
    /// The folder of the CA that issued it. A file without the line does not say.
    pub ca: Option<String>,
}

/// Where a certificate with its key is stored.
pub fn key(first: &HostPattern) -> String {
    format!("certificates/{}.pem", first.file_name())
}

/// The content of that file, from the CA's folder and the PEM of key and chain.
pub fn content(ca: &str, pem: &str) -> String {
    format!("{CA_LINE}{ca}\n{pem}")
}

impl Stored {
    /// Reads the content of such a file, and proves again that it is a certificate. Not its time: a
    /// clock that is wrong at start-up must not condemn a good one.
    pub(super) fn parse(content: &[u8]) -> Result<Self, InvalidCertificate> {
        let certificate = Certificate::from_pem(content, content)?;
        certificate.verify_links(certificate.facts().not_before)?;
        let line = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let ca = line.strip_prefix(CA_LINE.as_bytes()).and_then(|ca| std::str::from_utf8(ca).ok());
        Ok(Self { certificate, ca: ca.map(str::to_owned) })
    }

    /// Which of these CAs issued it. One that does not say is taken for the first one's.
    pub(super) fn ca_among(&self, mut folders: impl Iterator<Item = String>) -> Option<usize> {
        match &self.ca {
            Some(ca) => folders.position(|folder| folder == *ca),
            None => Some(0),
        }
    }

    /// Whether it will do for these names, and need not be replaced at once.
    pub(super) fn fits(&self, names: &[HostPattern]) -> bool {
        names.iter().all(|name| self.certificate.includes(name))
    }
}

/// A certificate of one of the CAs, for the plan. What its CA calls it when it speaks of renewals
/// is the serial number where it has no other name.
pub(super) fn there(certificate: &Certificate, ca: Option<usize>) -> There<'_> {
    let facts = certificate.facts();
    let validity = Validity { not_before: facts.not_before, not_after: facts.not_after };
    There { validity, ca, renewal_id: facts.renewal_id.as_deref().unwrap_or(&facts.serial) }
}
