//! The operator's own PEM files: repaired where that is safe, refused with the exact remedy
//! where it is not.

use super::access;
use super::certificate::{Certificate, InvalidCertificate};
use crate::clock::Timestamp;
use crate::config::CertificateFiles;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// More than any chain: its certificates have a few KiB each.
const MOST_BYTES: u64 = 1024 * 1024;

/// Why a pair of files gives no certificate. Each sentence ends in the thing to do.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file is not there or may not be read.
    #[error("{path}: {reason}; {remedy}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's word for it.
        reason: io::Error,
        /// What to type.
        remedy: String,
    },
    /// The content is no certificate with its key.
    #[error("{path}: {reason}; {remedy}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: InvalidCertificate,
        /// What would be right.
        remedy: String,
    },
    /// A certificate with its key that no client would accept.
    #[error("{path}: {reason}; {remedy}")]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Without its issuer, expired, or not yet valid.
        reason: String,
        /// What to do.
        remedy: String,
    },
}

/// A loaded pair, with what had to be put right.
#[derive(Debug)]
pub struct Loaded {
    /// The certificate.
    pub certificate: Certificate,
    /// What was repaired, as sentences.
    pub repairs: Vec<String>,
}

/// Loads a pair. A leaf-only chain is completed from the `fullchain.pem` beside it, as certbot
/// writes it; a chain in the wrong order is sorted.
pub fn load(files: &CertificateFiles, now: Timestamp) -> Result<Loaded, FilesError> {
    let (chain, key) = match (read(&files.chain), read(&files.key)) {
        (Ok(chain), Ok(key)) => (chain, key),
        (Err(reason), key) => {
            let other = key.as_ref().err().map(|reason| (files.key.as_path(), reason));
            return Err(unreadable(&files.chain, reason, other));
        }
        (Ok(_), Err(reason)) => return Err(unreadable(&files.key, reason, None)),
    };
    let mut repairs = Vec::new();
    let mut used = &files.chain;
    let sibling = fullchain(files);
    let mut certificate = Certificate::from_pem(&chain, &key).map_err(|reason| invalid(files, reason))?;
    if let Some(issuer) = certificate.absent_issuer() {
        let wrong = format!("it holds 1 certificate, its issuer ({issuer}) is missing");
        let whole = read(&sibling).ok();
        let whole = whole.and_then(|whole| Certificate::from_pem(&whole, &key).ok());
        let Some(whole) = whole.filter(|whole| whole.absent_issuer().is_none()) else {
            let remedy = "name the full chain (certbot calls it fullchain.pem)".to_owned();
            return Err(FilesError::Unfit { path: files.chain.clone(), reason: wrong, remedy });
        };
        repairs.push(format!(
            "{}: {wrong}; {} is used instead, name it in the configuration",
            files.chain.display(),
            sibling.display()
        ));
        used = &sibling;
        certificate = whole;
    }
    if certificate.was_repaired() {
        repairs.push(format!("{}: the chain is not in order, leaf first; it is served in order", used.display()));
    }
    certificate.verify_links(now).map_err(|reason| invalid(files, reason))?;
    let facts = certificate.facts();
    let unfit = |reason, remedy: &str| FilesError::Unfit { path: used.clone(), reason, remedy: remedy.to_owned() };
    if facts.not_after < now {
        let remedy =
            "renew it (certbot renew), or remove this [[tls.certificates]] and let issuer = \"acme\" order one";
        return Err(unfit(format!("expired at {}", facts.not_after), remedy));
    }
    if facts.not_before > now {
        let remedy = "set this machine's clock (timedatectl set-ntp true), or wait";
        return Err(unfit(format!("not valid before {}", facts.not_before), remedy));
    }
    Ok(Loaded { certificate, repairs })
}

/// What certbot calls the whole chain, beside the configured one.
pub(super) fn fullchain(files: &CertificateFiles) -> PathBuf {
    files.chain.with_file_name("fullchain.pem")
}

fn invalid(files: &CertificateFiles, reason: InvalidCertificate) -> FilesError {
    let (path, remedy) = match &reason {
        InvalidCertificate::NoCertificate | InvalidCertificate::Unreadable { .. } => {
            (&files.chain, "name a PEM file that begins with -----BEGIN CERTIFICATE-----".to_owned())
        }
        InvalidCertificate::NoKey => {
            (&files.key, "name a PEM file that begins with -----BEGIN PRIVATE KEY-----".to_owned())
        }
        InvalidCertificate::UnsupportedKey(_) => {
            (&files.key, "use an ECDSA P-256 or P-384 key, an RSA key of 2048 bits or more, or Ed25519".to_owned())
        }
        InvalidCertificate::ForeignKey => {
            let remedy = format!("name the key that {} was made with", files.chain.display());
            (&files.key, remedy)
        }
        InvalidCertificate::BrokenChain { .. } | InvalidCertificate::BadLink(_) => {
            (&files.chain, "remove what does not belong to the chain and add the issuer".to_owned())
        }
        InvalidCertificate::NoNames => (&files.chain, "have it issued with a subject alternative name".to_owned()),
    };
    FilesError::Invalid { path: path.clone(), reason, remedy }
}

/// The first file that cannot be read, and a remedy for both where rights are what is missing:
/// nobody wants to type twice.
fn unreadable(path: &Path, reason: io::Error, other: Option<(&Path, &io::Error)>) -> FilesError {
    let other = other.filter(|(_, reason)| reason.kind() == io::ErrorKind::PermissionDenied).map(|(path, _)| path);
    let remedy = match reason.kind() {
        io::ErrorKind::PermissionDenied => access::remedy(&Vec::from_iter(std::iter::once(path).chain(other))),
        io::ErrorKind::NotFound => "correct the path in [[tls.certificates]]".to_owned(),
        _ => "make it a readable file".to_owned(),
    };
    FilesError::Unreadable { path: path.to_owned(), reason, remedy }
}

/// Reads a file that is one, of at most 1 MiB: a pipe would never end, a device has no end.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Before it is opened, as opening a pipe waits for its other end.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut content)?;
    match u64::try_from(content.len()) {
        Ok(length) if length <= MOST_BYTES => Ok(content),
        _ => Err(io::Error::other(format!("more than {MOST_BYTES} bytes"))),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests lay out files as operators and crashes leave them")]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
    use std::time::Duration;

    /// Lays out a key and returns the leaf that it fits, valid for ninety days, and the root.
    fn pair(folder: &Path) -> (String, String) {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(Clock::System.now().0.unsigned_abs());
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.not_before = now - Duration::from_secs(3_600);
        params.not_after = now + Duration::from_secs(90 * 86_400);
        let leaf = params.signed_by(&key, &root).unwrap();
        std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
        (leaf.pem(), root.pem())
    }

    fn load_from(folder: &Path, now: Timestamp) -> Result<Loaded, String> {
        let files = CertificateFiles { chain: folder.join("cert.pem"), key: folder.join("key.pem") };
        load(&files, now).map_err(|error| error.to_string().replace(&folder.display().to_string(), "DIR"))
    }

    #[test]
    fn repaired_or_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let (leaf, root) = pair(folder);
        let now = Clock::System.now();
        let refused = |now| load_from(folder, now).unwrap_err();

        assert!(refused(now).starts_with("DIR/cert.pem: No such file or directory"));
        // What would never end is not even begun.
        std::fs::create_dir(folder.join("cert.pem")).unwrap();
        assert_eq!(refused(now), "DIR/cert.pem: not a regular file; make it a readable file");
        std::fs::remove_dir(folder.join("cert.pem")).unwrap();
        std::fs::write(folder.join("cert.pem"), vec![b'\n'; 1024 * 1024 + 1]).unwrap();
        assert_eq!(refused(now), "DIR/cert.pem: more than 1048576 bytes; make it a readable file");
        std::fs::write(folder.join("cert.pem"), &leaf).unwrap();
        let message = refused(now);
        assert!(message.ends_with("is missing; name the full chain (certbot calls it fullchain.pem)"), "{message}");

        std::fs::write(folder.join("fullchain.pem"), format!("{leaf}{root}")).unwrap();
        let loaded = load_from(folder, now).unwrap();
        assert!(loaded.repairs[0].contains("fullchain.pem is used instead"), "{:?}", loaded.repairs);

        std::fs::write(folder.join("cert.pem"), format!("{root}{leaf}")).unwrap();
        assert!(load_from(folder, now).unwrap().repairs[0].contains("served in order"));

        assert!(refused(now.plus(100 * 86_400)).contains("DIR/cert.pem: expired at "));
        assert!(refused(now.plus(-86_400)).contains("not valid before"));
        std::fs::write(folder.join("key.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
        let message = refused(now);
        assert_eq!(
            message,
            "DIR/key.pem: the private key belongs to none of the certificates; name the key that DIR/cert.pem was made with"
        );
    }
}
