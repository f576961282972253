//! One address.

use super::Message;
use super::keys::{self, KeyChecks};
use crate::check::chain::{Certificate, Chain, Trust};
use crate::check::observe::federation::Connection;
use crate::check::observe::tls::Handshake;
use crate::clock::Timestamp;
use crate::matrix::ServerName;
use crate::matrix::keys::BASE64;
use base64::Engine as _;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What the tester says of an address that gave keys.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ConnectionReport {
    certificates: Vec<CertificateSummary>,
    cipher: Cipher,
    checks: Checks,
    errors: Vec<Message>,
    /// Null unless all checks of the keys are good.
    ed25519_verify_keys: Option<BTreeMap<String, String>>,
    info: Info,
    /// The document as it came.
    keys: Value,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct CertificateSummary {
    subject_common_name: String,
    issuer_common_name: String,
    /// Unpadded base64.
    #[serde(rename = "SHA256Fingerprint")]
    sha256_fingerprint: String,
    /// Null where there are none.
    #[serde(rename = "DNSNames")]
    dns_names: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Cipher {
    version: String,
    cipher_suite: String,
}

#[derive(Debug, Serialize)]
struct Checks {
    #[serde(flatten)]
    keys: KeyChecks,
    #[serde(rename = "ValidCertificates")]
    valid_certificates: bool,
}

/// Always empty.
#[derive(Debug, Serialize)]
struct Info {}

impl ConnectionReport {
    pub(super) fn all_checks_ok(&self) -> bool {
        self.checks.keys.all_checks_ok
    }
}

/// The report about `seen`, an address of the server `name` that goes by `host`; or why the keys
/// could not be fetched there. As the tester, it does not look at the status.
pub(super) fn report(seen: &Connection, name: &str, host: &str, now: Timestamp) -> Result<ConnectionReport, String> {
    let Some(more) = &seen.more else {
        let trouble = seen.version.answer.as_ref().err();
        return Err(trouble.map_or_else(|| "not looked at".to_owned(), ToString::to_string));
    };
    let answer = more.keys.answer.as_ref().map_err(ToString::to_string)?;
    let handshake = more.keys.tls.as_ref().or_else(|| seen.handshake()).ok_or("no TLS handshake")?;
    let mut checked = keys::check(&answer.body, name, now)?;
    let valid = verified(&handshake.chain).map_err(|error| error.replace("{host}", hostname(host)));
    checked.checks.all_checks_ok &= valid.is_ok();
    Ok(ConnectionReport {
        certificates: handshake.chain.certificates.iter().map(summary).collect(),
        cipher: cipher(handshake),
        checks: Checks { keys: checked.checks, valid_certificates: valid.is_ok() },
        errors: valid.err().map(Message::from).into_iter().collect(),
        ed25519_verify_keys: checked.keys,
        info: Info {},
        keys: checked.raw,
    })
}

/// Whether Go's x509 package accepts the chain, or its words for why not: dates of the leaf first,
/// then the name, then the path.
pub(super) fn verified(chain: &Chain) -> Result<(), String> {
    let leaf_out_of_date = chain.expired.contains(&0) || chain.not_yet.contains(&0);
    if leaf_out_of_date || !(chain.expired.is_empty() && chain.not_yet.is_empty()) && chain.covers_name {
        return Err("x509: certificate has expired or is not yet valid".to_owned());
    }
    if !chain.covers_name {
        let names = chain.leaf().map(|leaf| leaf.names.join(", ")).unwrap_or_default();
        return Err(match names.is_empty() {
            true => "x509: certificate is not valid for any names, but wanted to match {host}".to_owned(),
            false => format!("x509: certificate is valid for {names}, not {{host}}"),
        });
    }
    match &chain.trust {
        Trust::Verified => Ok(()),
        Trust::SelfSigned | Trust::UnknownRoot { .. } | Trust::Incomplete { .. } => {
            Err("x509: certificate signed by unknown authority".to_owned())
        }
        Trust::Refused(why) => Err(format!("x509: {why}")),
    }
}

fn hostname(host: &str) -> &str {
    // Parsed before; a name that is none stands as it is.
    ServerName::parse(host).map_or(host, |name| host.get(..name.host_text().len()).unwrap_or(host))
}

fn summary(certificate: &Certificate) -> CertificateSummary {
    let dns: Vec<_> = certificate.names.iter().filter(|name| name.parse::<IpAddr>().is_err()).cloned().collect();
    CertificateSummary {
        subject_common_name: common_name(&certificate.subject),
        issuer_common_name: common_name(&certificate.issuer),
        sha256_fingerprint: BASE64.encode(bytes(&certificate.sha256)),
        dns_names: (!dns.is_empty()).then_some(dns),
    }
}

/// The last common name of a distinguished name in text.
fn common_name(name: &str) -> String {
    name.split(", ").filter_map(|part| part.strip_prefix("CN=")).last().unwrap_or_default().to_owned()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = hex.as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    pairs.filter_map(byte).collect()
}

fn cipher(handshake: &Handshake) -> Cipher {
    Cipher {
        version: handshake.version.replace("TLSv", "TLS "),
        // rustls sets the suites of TLS 1.3 apart by their names.
        cipher_suite: handshake.cipher.replacen("TLS13_", "TLS_", 1),
    }
}
