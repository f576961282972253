//! One certificate, and what a peer may mind about it.

use crate::clock::Timestamp;
use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use std::fmt;
use std::fmt::Write as _;
use std::net::IpAddr;
use x509_parser::asn1_rs::{FromDer as _, Oid};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::objects::{oid_registry, oid2sn};
use x509_parser::prelude::X509Certificate;
use x509_parser::public_key::PublicKey;
use x509_parser::signature_algorithm::SignatureAlgorithm;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The subject's distinguished name, as text.
    pub subject: String,
    /// The issuer's.
    pub issuer: String,
    /// DNS names and addresses of the subjectAltName extension.
    pub names: Vec<String>,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// SHA-256 fingerprint in lower-case hex.
    pub sha256: String,
    /// Subject and issuer are the same.
    pub self_issued: bool,
    /// It tells where its issuer's certificate can be fetched: typical of public CAs, all of which
    /// issue from intermediates.
    pub names_issuer_url: bool,
    /// The kind of its key.
    pub key: Key,
    /// How its issuer signed it.
    pub signature: Signature,
    /// Signed certificate timestamps in it (RFC 6962, section 3.3).
    pub scts: usize,
    /// It says that a status must be stapled to every handshake (RFC 7633).
    pub must_staple: bool,
    pub(super) raw_subject: Vec<u8>,
    pub(super) raw_issuer: Vec<u8>,
}

/// The kind of a public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// RSA with so many bits.
    Rsa(usize),
    /// Elliptic curve P-256.
    P256,
    /// Elliptic curve P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// Anything else, by its name.
    Other(String),
}

/// A signature's algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Its name.
    pub name: String,
    /// The digest under it, where that one can be forged: "SHA-1" or "MD5" for instance.
    pub broken: Option<&'static str>,
}

/// `id-ad-caIssuers` (RFC 5280, 4.2.2.1).
const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";
/// `id-pe-tlsfeature` (RFC 7633, section 6).
const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";
/// `ecdsa-with-SHA1` (RFC 3279, section 2.2.3).
const ECDSA_SHA1: &str = "1.2.840.10045.4.1";
/// Numbers of the TLS extensions `status_request` and `status_request_v2`.
const STATUS_REQUESTS: [u32; 2] = [5, 17];

/// RSA keys below this are refused by web clients and by OpenSSL's usual level of security.
const MIN_RSA_BITS: usize = 2048;

impl Certificate {
    pub(super) fn parse(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, x509) = X509Certificate::from_der(der).ok()?;
        let mut names = Vec::new();
        if let Ok(Some(extension)) = x509.subject_alternative_name() {
            names.extend(extension.value.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name) => Some((*name).to_owned()),
                GeneralName::IPAddress(bytes) => ip_text(bytes),
                _ => None,
            }));
        }
        let scts = x509.iter_extensions().map(|extension| match extension.parsed_extension() {
            ParsedExtension::SCT(timestamps) => timestamps.len(),
            _ => 0,
        });
        Some(Self {
            subject: x509.subject().to_string(),
            issuer: x509.issuer().to_string(),
            names,
            not_before: Timestamp(x509.validity().not_before.timestamp()),
            not_after: Timestamp(x509.validity().not_after.timestamp()),
            sha256: hex(digest(&SHA256, der).as_ref()),
            self_issued: x509.subject().as_raw() == x509.issuer().as_raw(),
            names_issuer_url: x509.iter_extensions().any(|extension| match extension.parsed_extension() {
                ParsedExtension::AuthorityInfoAccess(access) => {
                    access.iter().any(|entry| entry.access_method.to_id_string() == CA_ISSUERS)
                }
                _ => false,
            }),
            key: Key::of(x509.public_key()),
            signature: Signature::of(&x509.signature_algorithm),
            scts: scts.sum(),
            must_staple: x509
                .iter_extensions()
                .any(|extension| extension.oid.to_id_string() == TLS_FEATURE && wants_status(extension.value)),
            raw_subject: x509.subject().as_raw().to_vec(),
            raw_issuer: x509.issuer().as_raw().to_vec(),
        })
    }

    /// The name to show: the subject, or the first alternative name where the subject is empty, as
    /// short certificates have it.
    pub fn label(&self) -> &str {
        if self.subject.is_empty() { self.names.first().map_or("(no name)", String::as_str) } else { &self.subject }
    }

    /// Whether it is for `host`, a DNS name: by name or by a wildcard for its first label. Good for
    /// hints; whether it will do is decided by [`super::Chain::covers_name`].
    pub fn names_host(&self, host: &str) -> bool {
        let parent = host.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|name| {
            let wildcard = name.strip_prefix("*.").zip(parent);
            name.eq_ignore_ascii_case(host) || wildcard.is_some_and(|(rest, parent)| rest.eq_ignore_ascii_case(parent))
        })
    }

    /// Whether it only has a common name, which nobody looks at any more.
    pub fn only_common_name(&self) -> bool {
        self.names.is_empty() && self.subject.contains("CN=")
    }
}

/// Whether the value of a TLS feature extension, a SEQUENCE OF INTEGER, asks for a status.
fn wants_status(value: &[u8]) -> bool {
    Vec::<u32>::from_der(value).is_ok_and(|(_, features)| features.iter().any(|f| STATUS_REQUESTS.contains(f)))
}

impl Key {
    fn of(info: &SubjectPublicKeyInfo<'_>) -> Self {
        match info.parsed() {
            // The modulus is written with a leading zero byte where its first bit is set.
            Ok(PublicKey::RSA(key)) => Self::Rsa(bits(key.modulus)),
            _ => {
                let algorithm = info.algorithm.algorithm.to_id_string();
                let curve = info.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
                let curve = curve.map(|curve| curve.to_id_string());
                match (algorithm.as_str(), curve.as_deref()) {
                    ("1.2.840.10045.2.1", Some("1.2.840.10045.3.1.7")) => Self::P256,
                    ("1.2.840.10045.2.1", Some("1.3.132.0.34")) => Self::P384,
                    ("1.2.840.10045.2.1", Some("1.3.132.0.35")) => Self::Other("P-521".to_owned()),
                    ("1.2.840.10045.2.1", Some("1.3.132.0.10")) => Self::Other("secp256k1".to_owned()),
                    ("1.2.840.10045.2.1", curve) => Self::Other(format!("curve {}", curve.unwrap_or("of its own"))),
                    ("1.3.101.112", _) => Self::Ed25519,
                    ("1.3.101.113", _) => Self::Other("Ed448".to_owned()),
                    ("1.2.840.10040.4.1", _) => Self::Other("DSA".to_owned()),
                    (other, _) => Self::Other(other.to_owned()),
                }
            }
        }
    }

    /// Whether every peer can be expected to accept it.
    pub fn is_usual(&self) -> bool {
        match self {
            Self::Rsa(bits) => *bits >= MIN_RSA_BITS,
            Self::P256 | Self::P384 | Self::Ed25519 => true,
            Self::Other(_) => false,
        }
    }
}

fn bits(modulus: &[u8]) -> usize {
    let significant = modulus.iter().skip_while(|byte| **byte == 0);
    let first = significant.clone().next().map_or(0, |byte| byte.leading_zeros() as usize);
    (significant.count() * 8).saturating_sub(first)
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::P256 => f.write_str("P-256"),
            Self::P384 => f.write_str("P-384"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

impl Signature {
    fn of(algorithm: &AlgorithmIdentifier<'_>) -> Self {
        // The registry does not know this one, as nobody should use it.
        let name = |oid: &Oid<'_>| match oid.to_id_string() {
            id if id == ECDSA_SHA1 => "ecdsa-with-SHA1".to_owned(),
            id => oid2sn(oid, oid_registry()).map_or(id, ToOwned::to_owned),
        };
        let (digest, text) = match SignatureAlgorithm::try_from(algorithm) {
            // Its digest is a parameter, and SHA-1 where there is none.
            Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) => {
                let digest = parameters.hash_algorithm_oid();
                (digest.to_id_string(), format!("RSASSA-PSS with {}", name(digest)))
            }
            _ => (algorithm.algorithm.to_id_string(), name(&algorithm.algorithm)),
        };
        let broken = match digest.as_str() {
            "1.2.840.113549.1.1.2" => Some("MD2"),
            "1.2.840.113549.1.1.4" => Some("MD5"),
            "1.2.840.113549.1.1.5" | ECDSA_SHA1 | "1.2.840.10040.4.3" | "1.3.14.3.2.26" | "1.3.14.3.2.29" => {
                Some("SHA-1")
            }
            _ => None,
        };
        Self { name: text, broken }
    }
}

fn ip_text(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok().map(|address| address.to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, CustomExtension, KeyPair};

    #[test]
    fn the_bits_of_a_modulus() {
        assert_eq!((bits(&[0, 0x80, 0]), bits(&[0x40, 0]), bits(&[]), bits(&[0])), (16, 15, 0, 0));
    }

    #[test]
    fn features_are_read_and_rubbish_asks_for_nothing() {
        let table: [(&[u8], bool); 6] = [
            (&[0x30, 3, 2, 1, 5], true),
            (&[0x30, 6, 2, 1, 1, 2, 1, 17], true),
            (&[0x30, 3, 2, 1, 6], false),
            (&[0x30, 0], false),
            (&[5, 0], false),
            (&[0x30, 9, 2, 1, 5], false),
        ];
        for (value, wanted) in table {
            assert_eq!(wants_status(value), wanted, "{value:?}");
        }
    }

    #[test]
    fn kinds_of_keys_and_signatures() {
        let table = [
            (&rcgen::PKCS_ECDSA_P256_SHA256, Key::P256, true, "ecdsa-with-SHA256"),
            (&rcgen::PKCS_ECDSA_P384_SHA384, Key::P384, true, "ecdsa-with-SHA384"),
            (&rcgen::PKCS_ECDSA_P521_SHA512, Key::Other("P-521".to_owned()), false, "ecdsa-with-SHA512"),
            (&rcgen::PKCS_ED25519, Key::Ed25519, true, "ed25519"),
        ];
        for (algorithm, expected, usual, signature) in table {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let mut params = CertificateParams::new(vec!["ex.org".to_owned()]).unwrap();
            params
                .custom_extensions
                .push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 24], vec![0x30, 3, 2, 1, 5]));
            let certificate = Certificate::parse(params.self_signed(&key).unwrap().der()).unwrap();
            assert_eq!((&certificate.key, certificate.key.is_usual()), (&expected, usual));
            assert_eq!((certificate.signature.name.as_str(), certificate.signature.broken), (signature, None));
            assert!(certificate.must_staple && certificate.scts == 0);
        }
        assert!(Key::Rsa(2048).is_usual() && !Key::Rsa(2047).is_usual());
        assert_eq!(Key::Rsa(1024).to_string(), "RSA 1024");
    }
}
