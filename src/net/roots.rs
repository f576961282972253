//! Trust roots for connections that this program opens.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// A PEM file that was to add roots and cannot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRoots {
    /// Not PEM.
    #[error("not a PEM file: {0}")]
    Pem(String),
    /// PEM, but no certificate that could be a root.
    #[error("there is no certificate in it that can be a trust root")]
    Empty,
}

/// The roots that the operating system trusts. Unreadable ones are left out, as the system's own
/// tools do.
pub fn system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::debug!(%error, "a system root could not be read");
    }
    roots.add_parsable_certificates(native.certs);
    roots
}

/// Mozilla's list as it was when this program was built: what programs trust that carry their roots
/// with them.
pub fn mozilla() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

/// Adds every certificate of a PEM file: bundles hold several.
pub fn add_pem(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), BadRoots> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|error| BadRoots::Pem(error.to_string()))?;
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 { Err(BadRoots::Empty) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mozillas_list_is_there() {
        assert!(mozilla().len() > 50);
    }

    #[test]
    fn every_certificate_of_a_bundle_counts() {
        let made = || rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap().cert.pem();
        let mut roots = RootCertStore::empty();
        add_pem(&mut roots, format!("{}{}", made(), made()).as_bytes()).unwrap();
        assert_eq!(roots.len(), 2);
        assert_eq!(add_pem(&mut roots, b"nonsense"), Err(BadRoots::Empty));
    }
}
