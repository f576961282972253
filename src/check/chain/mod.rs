//! A presented certificate chain, taken apart: what is in it, whether it leads to a trusted root,
//! and if not, which of the many reasons it is.
//!
//! Peers only say "verification failed". Here the four questions are answered apart, so that one
//! fault does not hide or fake another: does a path lead to a root, is everything in its validity,
//! does the leaf cover the name, is the presentation in order. Only presented certificates count;
//! nothing is fetched (peers fetch nothing either).

use crate::clock::Timestamp;
use crate::matrix::Host;
use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A chain as presented, and what is true of it.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The certificates in the order presented; those that cannot be parsed are left out.
    pub certificates: Vec<Certificate>,
    /// Whether a path leads to a root, dates aside.
    pub trust: Trust,
    /// Indexes of certificates on the path that have expired.
    pub expired: Vec<usize>,
    /// Indexes of certificates on the path that are not valid yet.
    pub not_yet: Vec<usize>,
    /// Whether the leaf covers the expected name.
    pub covers_name: bool,
    /// Whether each certificate comes after the one it certifies.
    pub in_order: bool,
    /// Indexes of certificates that the path does not need.
    pub extra: Vec<usize>,
}

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
    raw_subject: Vec<u8>,
    raw_issuer: Vec<u8>,
}

/// Where the path from the leaf leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// To a trusted root.
    Verified,
    /// Nowhere: the leaf is its own issuer.
    SelfSigned,
    /// To a root that is not trusted here. `issuer` is that root.
    UnknownRoot {
        /// The root's name.
        issuer: String,
    },
    /// To a certificate that was not presented: the leaf stands alone.
    Incomplete {
        /// Who issued the leaf.
        issuer: String,
        /// The leaf says where to fetch its issuer, so there is one to present.
        issuer_published: bool,
    },
    /// Nothing can be said: this machine has no trust roots.
    NoRoots,
    /// Into a certificate that breaks a rule.
    Refused(String),
}

impl Chain {
    /// Takes `presented` apart, for a server that should be `expected`, at `now`.
    pub fn examine(presented: &[CertificateDer<'_>], expected: &Host, roots: &RootCertStore, now: Timestamp) -> Self {
        let readable = presented.iter().filter_map(|der| Some((Certificate::parse(der)?, der)));
        let (certificates, ders): (Vec<_>, Vec<_>) = readable.unzip();
        let path = linked(&certificates);
        let on_path = |index: &usize| path.contains(index);
        let mut chain = Self {
            trust: Trust::Verified,
            expired: Vec::new(),
            not_yet: Vec::new(),
            covers_name: covers(presented, expected),
            in_order: is_in_order(&certificates, &path),
            extra: (0..certificates.len())
                .filter(|index| {
                    let root = *index > 0 && certificates.get(*index).is_some_and(|c| c.self_issued);
                    root || !on_path(index)
                })
                .collect(),
            certificates,
        };
        if verify(presented, roots, now).is_ok() {
            return chain;
        }
        let dates = |wrong: fn(&Certificate, Timestamp) -> bool| {
            let wrong = |index: &usize| chain.certificates.get(*index).is_some_and(|c| wrong(c, now));
            path.iter().copied().filter(wrong).collect::<Vec<_>>()
        };
        let (expired, not_yet) = (dates(|c, now| now >= c.not_after), dates(|c, now| now < c.not_before));
        (chain.expired, chain.not_yet) = (expired, not_yet);
        // Trust is asked for at a time when nothing on the path is out of its dates, so that an
        // expired certificate is not called an untrusted one as well.
        let common = path.iter().filter_map(|index| chain.certificates.get(*index));
        let (from, until) = common.fold((Timestamp(0), Timestamp(i64::MAX)), |(from, until), c| {
            (from.max(c.not_before), until.min(c.not_after))
        });
        let at = if now >= from && now < until { now } else { from.min(until) };
        if let Err(error) = verify(presented, roots, at) {
            let end = path.last().and_then(|index| ders.get(*index)).filter(|_| path.len() > 1);
            let complete = end.is_some_and(|end| leads_to(presented, end, at));
            chain.trust = classify(&chain.certificates, &path, complete, roots, &error);
        }
        chain
    }

    /// The server's own certificate.
    pub fn leaf(&self) -> Option<&Certificate> {
        self.certificates.first()
    }

    /// Whether peers would go on after this chain.
    pub fn accepted(&self, policy: Policy) -> bool {
        let trusted = matches!(self.trust, Trust::Verified | Trust::NoRoots) || policy.forgives(&self.trust);
        trusted && self.covers_name && self.expired.is_empty() && self.not_yet.is_empty()
    }
}

/// Whose certificates are expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A closed network: its CAs may be unknown to this machine and known to the peers.
    pub private: bool,
    /// The caller named roots; then one of them should have matched.
    pub roots_given: bool,
}

impl Policy {
    /// Every server has a certificate from a public CA.
    pub const PUBLIC: Self = Self { private: false, roots_given: false };

    /// Whether what is wrong with `trust` is no fault here.
    pub fn forgives(self, trust: &Trust) -> bool {
        match trust {
            Trust::SelfSigned | Trust::UnknownRoot { .. } => self.private,
            Trust::Incomplete { .. } => self.private && self.child_of_a_root(trust),
            Trust::Verified | Trust::NoRoots | Trust::Refused(_) => false,
        }
    }

    /// Whether a leaf that came alone is more likely the child of an unknown root than one without
    /// its intermediate: only where nobody claims a public CA, no roots were given that should have
    /// matched, and the leaf names no place to fetch its issuer from.
    pub fn child_of_a_root(self, trust: &Trust) -> bool {
        let published = matches!(trust, Trust::Incomplete { issuer_published: true, .. });
        self.private && !self.roots_given && !published
    }
}

impl Certificate {
    fn parse(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, x509) = X509Certificate::from_der(der).ok()?;
        let mut names = Vec::new();
        if let Ok(Some(extension)) = x509.subject_alternative_name() {
            names.extend(extension.value.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name) => Some((*name).to_owned()),
                GeneralName::IPAddress(bytes) => ip_text(bytes),
                _ => None,
            }));
        }
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
            raw_subject: x509.subject().as_raw().to_vec(),
            raw_issuer: x509.issuer().as_raw().to_vec(),
        })
    }

    /// The name to show: the subject, or the first alternative name where the subject is empty, as
    /// short certificates have it.
    pub fn label(&self) -> &str {
        if self.subject.is_empty() { self.names.first().map_or("(no name)", String::as_str) } else { &self.subject }
    }

    /// Whether it only has a common name, which nobody looks at any more.
    pub fn only_common_name(&self) -> bool {
        self.names.is_empty() && self.subject.contains("CN=")
    }
}

/// `id-ad-caIssuers` (RFC 5280, 4.2.2.1).
const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";

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

/// Indexes reachable from the leaf by issuer names, the leaf first.
fn linked(certificates: &[Certificate]) -> Vec<usize> {
    let mut path: Vec<usize> = if certificates.is_empty() { Vec::new() } else { vec![0] };
    let mut next = 0;
    while let Some(current) = path.get(next).and_then(|index| certificates.get(*index)) {
        for (index, candidate) in certificates.iter().enumerate() {
            if candidate.raw_subject == current.raw_issuer && !path.contains(&index) {
                path.push(index);
            }
        }
        next += 1;
    }
    path
}

fn is_in_order(certificates: &[Certificate], path: &[usize]) -> bool {
    path.iter().all(|index| {
        let certified = |earlier: &Certificate| {
            certificates.get(*index).is_some_and(|issuer| issuer.raw_subject == earlier.raw_issuer)
        };
        *index == 0 || certificates.iter().take(*index).any(certified)
    })
}

fn covers(presented: &[CertificateDer<'_>], expected: &Host) -> bool {
    let leaf = presented.first().and_then(|leaf| ParsedCertificate::try_from(leaf).ok());
    match (leaf, tls_name(expected)) {
        (Some(leaf), Some(name)) => verify_server_name(&leaf, &name).is_ok(),
        _ => false,
    }
}

/// `host` as TLS wants it, unless it is no name that TLS could carry.
pub(super) fn tls_name(host: &Host) -> Option<ServerName<'static>> {
    match host {
        Host::Ip(address) => Some(ServerName::IpAddress((*address).into())),
        Host::Dns(name) => ServerName::try_from(name.trim_end_matches('.').to_owned()).ok(),
    }
}

fn verify(presented: &[CertificateDer<'_>], roots: &RootCertStore, at: Timestamp) -> Result<(), rustls::Error> {
    let Some((leaf, rest)) = presented.split_first() else {
        return Err(rustls::Error::NoCertificatesPresented);
    };
    let leaf = ParsedCertificate::try_from(leaf)?;
    let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.0).unwrap_or(0)));
    let algorithms = default_provider().signature_verification_algorithms;
    verify_server_cert_signed_by_trust_anchor(&leaf, roots, rest, at, algorithms.all)
}

/// Whether the path holds together up to `end`, its last presented certificate, were that trusted.
fn leads_to(presented: &[CertificateDer<'_>], end: &CertificateDer<'_>, at: Timestamp) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(end.clone().into_owned()).is_ok() && verify(presented, &roots, at).is_ok()
}

fn classify(
    certificates: &[Certificate],
    path: &[usize],
    complete: bool,
    roots: &RootCertStore,
    error: &rustls::Error,
) -> Trust {
    let Some(leaf) = certificates.first() else {
        return Trust::Refused("no certificate was presented that could be read".to_owned());
    };
    if leaf.self_issued {
        return Trust::SelfSigned;
    }
    let end = path.last().and_then(|index| certificates.get(*index)).unwrap_or(leaf);
    match error {
        // The dates on the path exclude each other: that is said by the dates alone.
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => Trust::Verified,
        // A path that holds together lacks nothing but the trust in its root (which itself need not
        // be presented), whatever was tried in vain.
        _ if complete && roots.is_empty() => Trust::NoRoots,
        _ if complete => Trust::UnknownRoot { issuer: end.issuer.clone() },
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) if path.len() == 1 => {
            Trust::Incomplete { issuer: leaf.issuer.clone(), issuer_published: leaf.names_issuer_url }
        }
        // A trusted root has the name of the issuer and another key: a CA that was made anew.
        rustls::Error::InvalidCertificate(CertificateError::BadSignature) if path.len() == 1 => {
            Trust::UnknownRoot { issuer: leaf.issuer.clone() }
        }
        other => Trust::Refused(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
