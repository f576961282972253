//! A presented certificate chain, taken apart: what is in it, whether it leads to a trusted root,
//! and if not, which of the many reasons it is.
//!
//! Peers only say "verification failed". Here the four questions are answered apart, so that one
//! fault does not hide or fake another: does a path lead to a root, is everything in its validity,
//! does the leaf cover the name, is the presentation in order. Only presented certificates count;
//! nothing is fetched (peers fetch nothing either).

mod certificate;
mod sets;

pub use certificate::{Certificate, Key, Signature};
pub use sets::{TrustSets, TrustedBy};

use crate::clock::Timestamp;
use crate::matrix::Host;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};
use std::time::Duration;

/// A chain as presented, and what is true of it.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The certificates in the order presented; those that cannot be parsed are left out.
    pub certificates: Vec<Certificate>,
    /// Whether a path leads to a root, dates aside.
    pub trust: Trust,
    /// Which lists of roots it leads to, dates aside.
    pub trusted_by: TrustedBy,
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
    /// Indexes of certificates between leaf and root whose signature can be forged.
    pub broken_signatures: Vec<usize>,
    /// Why the handshake does not prove that the server holds the leaf's key, if it does not.
    pub unproved: Option<String>,
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
    /// Into a certificate that breaks a rule.
    Refused(String),
}

/// Chains of public CAs have three or four certificates; clients give up long before this. What
/// comes after it could only cost time.
const MAX_CERTIFICATES: usize = 32;

impl Chain {
    /// Takes `presented` apart, its first 32 certificates, for a server that should be `expected`, at
    /// `now`.
    pub fn examine(presented: &[CertificateDer<'_>], expected: &Host, roots: &TrustSets, now: Timestamp) -> Self {
        let presented = presented.get(..MAX_CERTIFICATES).unwrap_or(presented);
        let readable = presented.iter().filter_map(|der| Some((Certificate::parse(der)?, der)));
        let (certificates, ders): (Vec<_>, Vec<_>) = readable.unzip();
        let path = linked(&certificates);
        let on_path = |index: &usize| path.contains(index);
        let is_root = |index: &usize| certificates.get(*index).is_some_and(|c| c.self_issued);
        let broken = |index: &usize| certificates.get(*index).is_some_and(|c| c.signature.broken.is_some());
        let mut chain = Self {
            trust: Trust::Verified,
            trusted_by: TrustedBy::default(),
            expired: Vec::new(),
            not_yet: Vec::new(),
            covers_name: covers(presented, expected),
            in_order: is_in_order(&certificates, &path),
            extra: (0..certificates.len()).filter(|index| (*index > 0 && is_root(index)) || !on_path(index)).collect(),
            // Nobody looks at the signature of a root: it is trusted by itself.
            broken_signatures: path.iter().copied().filter(|index| !is_root(index) && broken(index)).collect(),
            unproved: None,
            certificates,
        };
        let at = if verify(presented, roots.every(), now).is_ok() {
            now
        } else {
            chain.dates(&path, now);
            let at = chain.within_dates(&path, now);
            if let Err(error) = verify(presented, roots.every(), at) {
                let end = path.last().and_then(|index| ders.get(*index)).filter(|_| path.len() > 1);
                let complete = end.is_some_and(|end| leads_to(presented, end, at));
                chain.trust = classify(&chain.certificates, &path, complete, &error);
            }
            at
        };
        if chain.trust == Trust::Verified {
            chain.trusted_by = roots.which(|roots| verify(presented, roots, at).is_ok());
        }
        chain
    }

    /// Notes what on `path` is out of its dates.
    fn dates(&mut self, path: &[usize], now: Timestamp) {
        let wrong = |wrong: fn(&Certificate, Timestamp) -> bool| {
            let wrong = |index: &usize| self.certificates.get(*index).is_some_and(|c| wrong(c, now));
            path.iter().copied().filter(wrong).collect::<Vec<_>>()
        };
        let (expired, not_yet) = (wrong(|c, now| now >= c.not_after), wrong(|c, now| now < c.not_before));
        (self.expired, self.not_yet) = (expired, not_yet);
    }

    /// A time when nothing on the path is out of its dates: trust is asked for then, so that an
    /// expired certificate is not called an untrusted one as well.
    fn within_dates(&self, path: &[usize], now: Timestamp) -> Timestamp {
        let common = path.iter().filter_map(|index| self.certificates.get(*index));
        let (from, until) = common.fold((Timestamp(0), Timestamp(i64::MAX)), |(from, until), c| {
            (from.max(c.not_before), until.min(c.not_after))
        });
        if now >= from && now < until { now } else { from.min(until) }
    }

    /// The server's own certificate.
    pub fn leaf(&self) -> Option<&Certificate> {
        self.certificates.first()
    }

    /// Whether peers would go on after this chain.
    pub fn accepted(&self, policy: Policy) -> bool {
        let trusted = self.trust == Trust::Verified || policy.forgives(&self.trust);
        trusted && self.covers_name && self.expired.is_empty() && self.not_yet.is_empty() && self.unproved.is_none()
    }

    /// The certificate that names the root, which need not be presented: the last on the path.
    pub fn top(&self) -> Option<&Certificate> {
        linked(&self.certificates).last().and_then(|index| self.certificates.get(*index))
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
            Trust::Verified | Trust::Refused(_) => false,
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

fn classify(certificates: &[Certificate], path: &[usize], complete: bool, error: &rustls::Error) -> Trust {
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
