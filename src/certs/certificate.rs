//! A certificate with its chain and key, proved to belong together.

use super::x509::{self, Facts};
use crate::clock::Timestamp;
use crate::matrix::{Host, HostPattern};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A chain, leaf first, and the key of its leaf.
pub struct Certificate {
    key: Arc<CertifiedKey>,
    facts: Facts,
    repaired: bool,
}

/// Why chain and key do not make a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificate {
    /// No certificate in the chain's PEM.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// A certificate that cannot be read.
    #[error("certificate {position} of the chain cannot be read: {reason}")]
    Unreadable {
        /// Counting from 1.
        position: usize,
        /// The parser's sentence.
        reason: String,
    },
    /// No private key in the key's PEM.
    #[error("there is no private key in it")]
    NoKey,
    /// A key of a kind that TLS does not use here.
    #[error("the private key is of a kind that is not supported: {0}")]
    UnsupportedKey(String),
    /// The key is none of these certificates'.
    #[error("the private key belongs to none of the certificates")]
    ForeignKey,
    /// A certificate that is not the issuer of the one before it.
    #[error("certificate {position} ({subject}) did not issue the one before it ({issuer} did)")]
    BrokenChain {
        /// Counting from 1.
        position: usize,
        /// What stands there.
        subject: String,
        /// What should stand there.
        issuer: String,
    },
    /// A certificate whose signature is not its issuer's, or whose issuer's time is over.
    #[error("the chain does not hold: {0}")]
    BadLink(String),
    /// No subject alternative name.
    #[error("the certificate names no host (the common name does not count)")]
    NoNames,
}

impl Certificate {
    /// Proves that `chain_pem` and `key_pem` belong together. A chain in another order is put
    /// right; certificates that do not link to the leaf are refused.
    pub fn from_pem(chain_pem: &[u8], key_pem: &[u8]) -> Result<Self, InvalidCertificate> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain_pem).collect();
        let chain = chain.map_err(|_| InvalidCertificate::NoCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| InvalidCertificate::NoKey)?;
        Self::new(chain, key)
    }

    /// The same from DER.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, InvalidCertificate> {
        if chain.is_empty() {
            return Err(InvalidCertificate::NoCertificate);
        }
        let mut links = Vec::new();
        for (index, der) in chain.into_iter().enumerate() {
            let facts = x509::facts(&der)
                .map_err(|error| InvalidCertificate::Unreadable { position: index + 1, reason: error.to_string() })?;
            links.push((der, facts));
        }
        let key = any_supported_type(&key).map_err(|error| InvalidCertificate::UnsupportedKey(error.to_string()))?;
        let leaf = links
            .iter()
            .position(|(der, _)| CertifiedKey::new(vec![der.clone()], Arc::clone(&key)).keys_match().is_ok());
        let leaf = leaf.ok_or(InvalidCertificate::ForeignKey)?;
        let (links, repaired) = in_order(links, leaf)?;
        let Some((_, facts)) = links.first() else {
            return Err(InvalidCertificate::NoCertificate);
        };
        if facts.names.is_empty() {
            return Err(InvalidCertificate::NoNames);
        }
        let facts = facts.clone();
        let chain = links.into_iter().map(|(der, _)| der).collect();
        Ok(Self { key: Arc::new(CertifiedKey::new(chain, key)), facts, repaired })
    }

    /// For the TLS library.
    pub fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// The facts of the leaf.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Whether the chain was given in another order.
    pub fn was_repaired(&self) -> bool {
        self.repaired
    }

    /// The issuer's name when the chain is the leaf alone and somebody else signed it. A CA may
    /// mean it so, where its root signs leaves; in an operator's file it is nearly always a slip.
    pub fn absent_issuer(&self) -> Option<&str> {
        let alone = self.key.cert.len() == 1 && self.facts.issuer_der != self.facts.subject_der;
        alone.then_some(self.facts.issuer.as_str())
    }

    /// Verifies every signature of the chain, with its last certificate taken for the root. Names
    /// alone have put it in order.
    pub fn verify_links(&self, now: Timestamp) -> Result<(), InvalidCertificate> {
        let [leaf, intermediates @ .., last] = self.key.cert.as_slice() else {
            return Ok(());
        };
        let bad = |error: &dyn fmt::Display| InvalidCertificate::BadLink(error.to_string());
        let mut roots = RootCertStore::empty();
        roots.add(last.clone()).map_err(|error| bad(&error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier = verifier.map_err(|error| bad(&error))?;
        let Some(name) = self.facts.names.iter().find_map(example) else {
            return Err(InvalidCertificate::NoNames);
        };
        // The leaf's own time is the caller's to judge, with better words than this verifier has.
        let within = now.0.max(self.facts.not_before.0).min(self.facts.not_after.0);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(within).unwrap_or(0)));
        verifier.verify_server_cert(leaf, intermediates, &name, &[], now).map(drop).map_err(|error| bad(&error))
    }

    /// Whether the leaf is valid for `host`.
    pub fn covers(&self, host: &Host) -> bool {
        self.facts.names.iter().any(|name| name.covers(host))
    }

    /// Whether the leaf is valid for everything that `pattern` stands for.
    pub fn includes(&self, pattern: &HostPattern) -> bool {
        self.facts.names.iter().any(|name| name.includes(pattern))
    }

    /// Whether `other` is the same leaf with the same certificates behind it. The key is the same
    /// then, or its public half would differ.
    pub fn has_chain_of(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }

    /// Whether `now` lies in the leaf's validity.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.facts.not_before <= now && now <= self.facts.not_after
    }

    /// The names for people, comma separated.
    pub fn names(&self) -> String {
        let names: Vec<_> = self.facts.names.iter().map(ToString::to_string).collect();
        names.join(",")
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the key.
        f.debug_struct("Certificate").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// A name that `pattern` covers, as the TLS library takes it.
fn example(pattern: &HostPattern) -> Option<ServerName<'static>> {
    match pattern {
        HostPattern::Exact(host) => ServerName::try_from(host.plain()).ok(),
        HostPattern::Wildcard(parent) => ServerName::try_from(format!("a.{parent}")).ok(),
    }
}

type Link = (CertificateDer<'static>, Facts);

/// Leaf first, then each issuer of the one before. What links nowhere breaks the chain.
fn in_order(mut links: Vec<Link>, leaf: usize) -> Result<(Vec<Link>, bool), InvalidCertificate> {
    let mut repaired = leaf != 0;
    let mut ordered = vec![links.remove(leaf)];
    while !links.is_empty() {
        let Some((_, last)) = ordered.last() else { break };
        let next = links.iter().position(|(_, facts)| facts.subject_der == last.issuer_der);
        let Some(next) = next.filter(|_| last.issuer_der != last.subject_der) else {
            let (_, stray) = links.swap_remove(0);
            return Err(InvalidCertificate::BrokenChain {
                position: ordered.len() + 1,
                subject: stray.subject,
                issuer: last.issuer.clone(),
            });
        };
        repaired |= next != 0;
        ordered.push(links.remove(next));
    }
    Ok((ordered, repaired))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    struct Made {
        root: String,
        intermediate: String,
        leaf: String,
        key: String,
    }

    fn authority(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    fn made() -> Made {
        let root = CertifiedIssuer::self_signed(authority("root"), KeyPair::generate().unwrap()).unwrap();
        let intermediate =
            CertifiedIssuer::signed_by(authority("middle"), KeyPair::generate().unwrap(), &root).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["a.example".to_owned()]).unwrap().signed_by(&key, &intermediate).unwrap();
        Made { root: root.pem(), intermediate: intermediate.pem(), leaf: leaf.pem(), key: key.serialize_pem() }
    }

    fn load(parts: &[&str], key: &str) -> Result<Certificate, InvalidCertificate> {
        Certificate::from_pem(parts.concat().as_bytes(), key.as_bytes())
    }

    #[test]
    fn a_whole_chain_in_any_order() {
        let Made { root, intermediate, leaf, key } = made();
        let good = load(&[&leaf, &intermediate], &key).unwrap();
        good.verify_links(crate::clock::Clock::System.now()).unwrap();
        assert!(!good.was_repaired() && good.covers(&Host::parse("a.example").unwrap()));
        assert_eq!(good.certified_key().cert.len(), 2);
        for order in [[&intermediate, &leaf, &root], [&root, &intermediate, &leaf], [&leaf, &root, &intermediate]] {
            let repaired = load(&order.map(String::as_str), &key).unwrap();
            assert!(repaired.was_repaired());
            assert_eq!(repaired.certified_key().cert[0], good.certified_key().cert[0]);
        }
    }

    /// Files may hold anything; a validity that ends before it begins must not end the program.
    #[test]
    fn an_inverted_validity_is_refused_and_not_a_panic() {
        let root = CertifiedIssuer::self_signed(authority("root"), KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2030, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        let leaf = params.signed_by(&key, &root).unwrap();
        let inverted = load(&[&leaf.pem(), &root.pem()], &key.serialize_pem()).unwrap();
        assert!(matches!(inverted.verify_links(Timestamp(1_790_000_000)), Err(InvalidCertificate::BadLink(_))));
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let Made { root, intermediate, leaf, key } = made();
        let other = made();
        assert_eq!(load(&[], &key).unwrap_err(), InvalidCertificate::NoCertificate);
        assert_eq!(load(&[&leaf], "").unwrap_err(), InvalidCertificate::NoKey);
        assert_eq!(load(&[&leaf, &intermediate], &other.key).unwrap_err(), InvalidCertificate::ForeignKey);
        assert!(load(&[&leaf], &key).unwrap().absent_issuer().is_some_and(|issuer| issuer.contains("middle")));
        assert!(matches!(load(&[&leaf, &root], &key).unwrap_err(), InvalidCertificate::BrokenChain { .. }));
        // The right name and the wrong key.
        let forged = load(&[&leaf, &other.intermediate], &key).unwrap();
        let verdict = forged.verify_links(crate::clock::Clock::System.now());
        assert!(matches!(verdict, Err(InvalidCertificate::BadLink(_))), "{verdict:?}");
        let stray = load(&[&leaf, &intermediate, &root, &other.leaf], &key).unwrap_err();
        assert!(matches!(stray, InvalidCertificate::BrokenChain { position: 4, .. }), "{stray}");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(load(&[broken], &key).unwrap_err(), InvalidCertificate::Unreadable { position: 1, .. }));
    }
}
