//! What a report shows of TLS at one address.

use super::chain::{Certificate, Chain, Policy};
use super::observe::federation::Connection;
use super::observe::habits::Habits;
use super::observe::tls::{Handshake, Trouble};
use serde::Serialize;

/// A handshake, and how the server meets others.
#[derive(Clone, Debug, Serialize)]
pub struct TlsView {
    /// Protocol version.
    pub version: String,
    /// Cipher suite.
    pub cipher: String,
    /// The application protocol chosen by a server that was offered `h2` and `http/1.1`.
    pub alpn: Option<String>,
    /// Versions that are agreed to, sound and unsound, the newest last.
    pub accepts: Vec<&'static str>,
    /// Weak suites that are agreed to: one for each weakness.
    pub weak: Vec<WeakView>,
    /// Whether peers accept the chain.
    pub trusted: bool,
    /// The lists of roots that the chain leads to: "system", "mozilla", "ca-file".
    pub trusted_by: Vec<&'static str>,
    /// Whether the certificate covers the name that discovery asks for.
    pub covers_name: bool,
    /// Signed certificate timestamps in the certificate.
    pub scts: usize,
    /// Whether an OCSP response was stapled.
    pub stapled: bool,
    /// Whether the certificate demands one.
    pub must_staple: bool,
    /// What a client without SNI gets. Absent where none is ever sent.
    pub without_sni: Option<SniView>,
    /// What a client gets that asks for a name the server does not have.
    pub wrong_sni: Option<SniView>,
    /// The chain presented.
    pub certificates: Vec<CertificateView>,
}

/// A weak suite that is agreed to.
#[derive(Clone, Debug, Serialize)]
pub struct WeakView {
    /// What is wrong with it.
    pub weakness: &'static str,
    /// Its IANA name.
    pub suite: String,
}

/// The answer to a handshake with another name than the right one.
#[derive(Clone, Debug, Serialize)]
pub struct SniView {
    /// "same" certificate as with the right name, "other" certificate, "refused" by an alert, or
    /// "failed" in another way.
    pub answer: &'static str,
    /// Names of the other certificate.
    pub names: Vec<String>,
    /// Why there was none.
    pub error: Option<String>,
}

/// A certificate.
#[derive(Clone, Debug, Serialize)]
pub struct CertificateView {
    /// Subject.
    pub subject: String,
    /// Issuer.
    pub issuer: String,
    /// Names covered.
    pub names: Vec<String>,
    /// Start of validity.
    pub not_before: String,
    /// End of validity.
    pub not_after: String,
    /// SHA-256 fingerprint, hex.
    pub sha256: String,
    /// Kind of the key.
    pub key: String,
    /// Algorithm of the issuer's signature.
    pub signature: String,
}

impl TlsView {
    /// What was seen at `connection`. `None` where no certificate was.
    pub(super) fn of(connection: &Connection) -> Option<Self> {
        let chain = connection.chain()?;
        let more = connection.more.as_ref();
        let habits = more.map(|more| &more.habits);
        let outdated = more.and_then(|more| more.outdated.as_ref());
        let (version, cipher) = match (connection.handshake(), outdated) {
            (Some(handshake), _) => (handshake.version.clone(), handshake.cipher.clone()),
            (None, Some(outdated)) => (outdated.version.to_string(), outdated.suite.to_string()),
            (None, None) => (String::new(), String::new()),
        };
        let both = more.and_then(|more| more.only_13.as_ref().or(more.only_12.as_ref()).ok());
        let leaf = chain.leaf();
        let sni = |answer: &Result<Handshake, Trouble>| SniView::of(answer, leaf);
        Some(Self {
            version,
            cipher,
            alpn: both.and_then(|handshake| handshake.alpn.clone()),
            accepts: accepts(connection),
            weak: habits.map(weak).unwrap_or_default(),
            trusted: chain.accepted(Policy::PUBLIC),
            trusted_by: chain.trusted_by.names(),
            covers_name: chain.covers_name,
            scts: leaf.map(|leaf| leaf.scts).unwrap_or_default(),
            stapled: connection.handshakes().any(|handshake| handshake.stapled),
            must_staple: leaf.is_some_and(|leaf| leaf.must_staple),
            without_sni: habits.and_then(|habits| habits.no_sni.as_ref()).map(sni),
            wrong_sni: habits.map(|habits| sni(&habits.wrong_sni)),
            certificates: CertificateView::all(chain),
        })
    }
}

fn accepts(connection: &Connection) -> Vec<&'static str> {
    let Some(more) = &connection.more else { return Vec::new() };
    let old = more.habits.old.versions.iter().rev().map(|version| version.name());
    let outdated = more.outdated.as_ref().map(|outdated| outdated.version.name());
    let new = [("TLSv1.2", &more.only_12), ("TLSv1.3", &more.only_13)];
    let new = new.into_iter().filter(|(_, probe)| probe.is_ok()).map(|(version, _)| version);
    let mut all: Vec<_> = old.chain(outdated).chain(new).collect();
    all.dedup();
    all
}

fn weak(habits: &Habits) -> Vec<WeakView> {
    let weak = habits.old.weak();
    weak.map(|(weakness, suite)| WeakView { weakness: weakness.name(), suite: suite.to_string() }).collect()
}

impl SniView {
    fn of(answer: &Result<Handshake, Trouble>, right: Option<&Certificate>) -> Self {
        let (answer, names, error) = match answer {
            Ok(seen) => match seen.chain.leaf() {
                leaf if leaf.map(|leaf| &leaf.sha256) == right.map(|right| &right.sha256) => ("same", Vec::new(), None),
                leaf => ("other", leaf.map(|leaf| leaf.names.clone()).unwrap_or_default(), None),
            },
            Err(trouble @ Trouble::Refused(_)) => ("refused", Vec::new(), Some(trouble.to_string())),
            Err(trouble) => ("failed", Vec::new(), Some(trouble.to_string())),
        };
        Self { answer, names, error }
    }
}

impl CertificateView {
    /// The certificates of `chain`, in the order presented.
    pub(super) fn all(chain: &Chain) -> Vec<Self> {
        chain.certificates.iter().map(Self::of).collect()
    }

    fn of(certificate: &Certificate) -> Self {
        Self {
            subject: certificate.subject.clone(),
            issuer: certificate.issuer.clone(),
            names: certificate.names.clone(),
            not_before: certificate.not_before.to_string(),
            not_after: certificate.not_after.to_string(),
            sha256: certificate.sha256.clone(),
            key: certificate.key.to_string(),
            signature: certificate.signature.name.clone(),
        }
    }
}
