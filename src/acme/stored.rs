//! Certificates in the store: the CA's name, the key and the chain, in one file.

use super::plan::Validity;
use super::schedule::There;
use crate::certs::certificate::InvalidCertificate;
use crate::certs::{Certificate, sealed};
use crate::matrix::HostPattern;

/// The line before the PEM in a stored certificate: whose it is, so that a change of the CA is one.
pub const CA_LINE: &str = "ca: ";

/// The line after it: the digest over all else (SHA-256, hexadecimal). Without it
/// nothing proves the last certificate of a chain, and a flipped bit in a `BEGIN` line hides one.
/// What was imported has no such line.
const DIGEST_LINE: &str = "sha256: ";

/// A stored certificate.
pub(super) struct Stored {
    pub certificate: Certificate,
    /// The folder of the CA that issued it. A file without the line does not say.
    pub ca: Option<String>,
}

/// Why a stored certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Damaged {
    /// It is none.
    #[error(transparent)]
    Invalid(#[from] InvalidCertificate),
    /// It is one, and not as it was written.
    #[error("its content does not match its digest")]
    Altered,
}

/// Where a certificate with its key is stored.
pub fn key(first: &HostPattern) -> String {
    format!("certificates/{}.pem", first.file_name())
}

/// The content of that file, from the CA's folder and the PEM of key and chain.
pub fn content(ca: &str, pem: &str) -> String {
    let line = format!("{CA_LINE}{ca}\n");
    let digest = digest(line.as_bytes(), pem.as_bytes());
    format!("{line}{DIGEST_LINE}{digest}\n{pem}")
}

impl Stored {
    /// Reads the content of such a file, and proves again that it is a certificate. Not its time: a
    /// clock that is wrong at start-up must not condemn a good one.
    pub(super) fn parse(content: &[u8]) -> Result<Self, Damaged> {
        let mut lines = content.splitn(3, |byte| *byte == b'\n');
        let (line, second, rest) = (lines.next().unwrap_or_default(), lines.next(), lines.next().unwrap_or_default());
        if let Some(written) = second.and_then(|line| line.strip_prefix(DIGEST_LINE.as_bytes()))
            && digest(&[line, b"\n"].concat(), rest).as_bytes() != written
        {
            return Err(Damaged::Altered);
        }
        let certificate = Certificate::from_pem(content, content)?;
        certificate.verify_links(certificate.facts().not_before)?;
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

fn digest(line: &[u8], pem: &[u8]) -> String {
    sealed::hexadecimal(&[line, pem].concat())
}

/// A certificate of one of the CAs, for the plan. What its CA calls it when it speaks of renewals
/// is the serial number where it has no other name.
pub(super) fn there(certificate: &Certificate, ca: Option<usize>) -> There<'_> {
    let facts = certificate.facts();
    let validity = Validity { not_before: facts.not_before, not_after: facts.not_after };
    There { validity, ca, renewal_id: facts.renewal_id.as_deref().unwrap_or(&facts.serial) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    /// Key, leaf and the certificate of its issuer.
    fn pem() -> String {
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "Test CA");
        let issuer = params.self_signed(&root_key).unwrap().pem();
        let leaf = CertificateParams::new(["a.example".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &Issuer::new(params, root_key)).unwrap().pem();
        format!("{}{leaf}{issuer}", key.serialize_pem())
    }

    #[test]
    fn no_flipped_bit_is_served() {
        let content = content("ca.test_dir", &pem()).into_bytes();
        let whole = Stored::parse(&content).unwrap();
        assert_eq!(whole.ca.as_deref(), Some("ca.test_dir"));
        let mut served = 0;
        for position in 0..content.len() {
            let mut flipped = content.clone();
            flipped[position] ^= 1 << (position % 8);
            if let Ok(read) = Stored::parse(&flipped) {
                // In the line with the digest.
                assert!(read.certificate.has_chain_of(&whole.certificate), "byte {position}");
                assert!(read.ca.is_none_or(|ca| ca.starts_with("ca.test_dir")), "byte {position}");
                served += 1;
            }
        }
        assert!(served <= 10, "{served}");
        assert!(Stored::parse(&content[..content.len() - 1]).is_err(), "cut off");
    }

    #[test]
    fn what_was_imported_has_no_digest() {
        let read = Stored::parse(format!("{CA_LINE}ca.test_dir\n{}", pem()).as_bytes()).unwrap();
        assert_eq!(read.ca.as_deref(), Some("ca.test_dir"));
        assert_eq!(Stored::parse(pem().as_bytes()).unwrap().ca, None);
    }
}
