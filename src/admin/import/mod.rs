//! Takes over certificates, keys and accounts of certbot and Caddy, so that a migration costs no
//! issuance.
//!
//! [`read`] looks at the other program's folder and changes nothing in it, [`mod@plan`] decides what is
//! taken (pure), [`mod@write`] puts it into the state directory. Nothing that is there and better is
//! overwritten, so importing twice is importing once.

mod account;
mod caddy;
mod certbot;
mod folder;
mod owner;
pub mod plan;
pub mod write;

pub use plan::{Needs, Plan, Row, Verdict, plan};
pub use write::{Stored, Unwritten, load_stored, write};

use crate::certs::Certificate;
use crate::certs::certificate::InvalidCertificate;
use rustls::{SignatureAlgorithm, SignatureScheme};
use std::path::{Path, PathBuf};

/// Whose folder it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// certbot; its configuration folder is /etc/letsencrypt.
    Certbot,
    /// Caddy; its data folder is .local/share/caddy of its user.
    Caddy,
}

/// What was found in a folder.
#[derive(Debug, Default)]
pub struct Found {
    /// Certificates whose key fits and whose chain links.
    pub certificates: Vec<FoundCertificate>,
    /// Accounts at CAs.
    pub accounts: Vec<FoundAccount>,
    /// What was left out while reading, and why.
    pub notes: Vec<Row>,
}

/// A certificate of another program.
#[derive(Debug)]
pub struct FoundCertificate {
    /// Its file.
    pub source: PathBuf,
    /// The directory URL of the CA that issued it, if that can be told.
    pub directory: Option<String>,
    /// Key and chain, PEM.
    pub pem: Vec<u8>,
    /// The same, proved.
    pub certificate: Certificate,
}

/// An account of another program.
#[derive(Debug)]
pub struct FoundAccount {
    /// Its file.
    pub source: PathBuf,
    /// The CA's directory URL, if it can be told.
    pub directory: Option<String>,
    /// The account's URL at the CA.
    pub url: String,
    /// Addresses the CA has for it.
    pub contacts: Vec<String>,
    /// Its key as PKCS#8 DER, or why it cannot be used.
    pub key: Result<Vec<u8>, String>,
}

/// A folder that is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}; {remedy}", path.display())]
pub struct UnreadableFolder {
    path: PathBuf,
    reason: String,
    remedy: String,
}

/// Reads the folder of another program. `directories` are the CAs of the configuration, which helps to
/// tell Caddy's folders apart.
pub fn read(program: Program, folder: &Path, directories: &[String]) -> Result<Found, UnreadableFolder> {
    match program {
        Program::Certbot => certbot::read(folder),
        Program::Caddy => caddy::read(folder, directories),
    }
}

impl Found {
    /// Adds the pair in these two files, or says why it is left out.
    fn add_pair(&mut self, chain: &Path, key: &Path, directory: Option<String>) {
        let mut pem = match folder::content(key) {
            Ok(pem) => pem,
            Err(reason) => return self.failed(key, &reason),
        };
        pem.push(b'\n');
        match folder::content(chain) {
            Ok(content) => pem.extend(content),
            Err(reason) => return self.failed(chain, &reason),
        }
        match Certificate::from_pem(&pem, &pem) {
            Ok(certificate) if !is_supported(&certificate) => {
                self.note(Verdict::Skipped, key, "the key is of another kind than ECDSA P-256 or P-384, RSA, Ed25519");
            }
            Ok(certificate) => {
                self.certificates.push(FoundCertificate { source: chain.to_owned(), directory, pem, certificate });
            }
            Err(reason @ InvalidCertificate::UnsupportedKey(_)) => {
                self.note(Verdict::Skipped, key, &reason.to_string())
            }
            Err(reason) => self.failed(chain, &reason.to_string()),
        }
    }

    fn failed(&mut self, path: &Path, reason: &str) {
        self.note(Verdict::Failed, path, reason);
    }

    fn note(&mut self, verdict: Verdict, path: &Path, reason: &str) {
        self.notes.push(Row { verdict, what: path.display().to_string(), detail: reason.to_owned() });
    }
}

/// Whether clients everywhere can use the key. P-521 is left out on purpose: browsers do not offer it.
fn is_supported(certificate: &Certificate) -> bool {
    let key = &certificate.certified_key().key;
    let usable = [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ECDSA_NISTP384_SHA384];
    match key.algorithm() {
        SignatureAlgorithm::ECDSA => key.choose_scheme(&usable).is_some(),
        SignatureAlgorithm::RSA | SignatureAlgorithm::ED25519 => true,
        _ => false,
    }
}
