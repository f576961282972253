//! The chains that findings speak of, as they were presented.

use super::text::shorten;
use crate::check::catalogue::Code;
use crate::check::finding::Severity;
use crate::check::report::{CertificateView, Report};
use std::fmt::Write as _;

/// Rules about what is in a chain; the others of `tls.` are about the protocol.
const ABOUT: [Code; 16] = [
    Code::TlsName,
    Code::TlsCnOnly,
    Code::TlsSelfSigned,
    Code::TlsUntrusted,
    Code::TlsChain,
    Code::TlsRoots,
    Code::TlsOrder,
    Code::TlsExtra,
    Code::TlsExpired,
    Code::TlsNotYet,
    Code::TlsExpiring,
    Code::TlsKey,
    Code::TlsSig,
    Code::TlsMustStaple,
    Code::TlsSame,
    Code::WkServerTls,
];

/// The presented chains that something above a remark is wrong with, each once, with the addresses
/// that present it.
pub(super) fn presented(report: &Report, width: usize) -> String {
    let mut out = String::new();
    for (addresses, certificates) in chains(report) {
        let _ = writeln!(out, "\nchain presented by {}", addresses.join(", "));
        for (index, certificate) in certificates.iter().enumerate() {
            let name =
                if certificate.subject.is_empty() { certificate.names.join(", ") } else { certificate.subject.clone() };
            line(&mut out, width, &format!("  {index}  {name}"));
            line(&mut out, width, &format!("     issued by {}", certificate.issuer));
            line(
                &mut out,
                width,
                &format!("     valid from {} until {}", day(&certificate.not_before), day(&certificate.not_after)),
            );
        }
    }
    out
}

fn line(out: &mut String, width: usize, text: &str) {
    let _ = writeln!(out, "{}", shorten(text, width));
}

/// The day of a time in RFC 3339.
fn day(time: &str) -> &str {
    time.split('T').next().unwrap_or(time)
}

fn chains(report: &Report) -> Vec<(Vec<&str>, &[CertificateView])> {
    let about: Vec<_> =
        report.findings.iter().filter(|f| f.severity > Severity::Info && ABOUT.contains(&f.id)).collect();
    let federation = report.connections.iter().filter_map(|connection| {
        // What differs between addresses is told about their name, and needs all of them to be seen.
        let told = about.iter().any(|f| f.subject == connection.address || f.id == Code::TlsSame);
        told.then_some((connection.address.as_str(), connection.tls.as_ref()?.certificates.as_slice()))
    });
    let documents = report.discovery.iter().flat_map(|discovery| &discovery.well_known);
    let documents = documents.filter_map(|document| {
        let address = document.presented_by.as_deref()?;
        let told = about.iter().any(|finding| finding.subject == address);
        told.then_some((address, document.certificates.as_slice()))
    });
    let mut chains: Vec<(Vec<&str>, &[CertificateView])> = Vec::new();
    for (address, certificates) in federation.chain(documents).filter(|(_, certificates)| !certificates.is_empty()) {
        match chains.iter_mut().find(|(_, known)| prints(known).eq(prints(certificates))) {
            Some((addresses, _)) if addresses.contains(&address) => {}
            Some((addresses, _)) => addresses.push(address),
            None => chains.push((vec![address], certificates)),
        }
    }
    chains
}

/// The fingerprints of a chain: what makes two of them the same.
fn prints(certificates: &[CertificateView]) -> impl Iterator<Item = &str> {
    certificates.iter().map(|certificate| certificate.sha256.as_str())
}
