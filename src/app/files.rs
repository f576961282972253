//! What the operator's files cover, and what they leave to the issuer.

use crate::certs::expiry::{Rung, rung};
use crate::certs::keyring::Slot;
use crate::certs::{Certificate, Published, files};
use crate::clock::Timestamp;
use crate::config::{CertificateOrder, Config, Issuer};
use crate::matrix::HostPattern;
use std::sync::Arc;

/// What became of one pair of the operator's files.
#[derive(Debug)]
pub enum FileReport {
    /// It is served, perhaps repaired.
    Served {
        /// What had to be put right, as sentences.
        repairs: Vec<String>,
    },
    /// It cannot be used, with the remedy.
    Refused(String),
}

/// Loads every pair of the operator's files and hands the usable ones to `publish`.
pub fn check_files(
    config: &Config,
    now: Timestamp,
    mut publish: impl FnMut(Slot, Arc<Certificate>),
) -> Vec<FileReport> {
    let reports = config.tls.certificates.iter().enumerate().map(|(index, pair)| match files::load(pair, now) {
        Ok(loaded) => {
            publish(Slot::Files(index), Arc::new(loaded.certificate));
            FileReport::Served { repairs: loaded.repairs }
        }
        Err(error) => FileReport::Refused(error.to_string()),
    });
    reports.collect()
}

/// Files that cover no served name, as sentences.
pub fn unused_files(config: &Config, published: &Published) -> Vec<String> {
    let served: Vec<_> = config.names.iter().map(|(host, _)| host).collect();
    let slots = published.subscribe().borrow().clone();
    let unused = slots.iter().filter_map(|(slot, certificate)| match slot {
        Slot::Files(index) if !served.iter().any(|host| certificate.covers(host)) => {
            let path = config.tls.certificates.get(*index)?.chain.display();
            Some(format!("tls.certificates: {path} covers no served name, only {}", certificate.names()))
        }
        Slot::Files(_) | Slot::Issued(_) | Slot::LeftOver(_) => None,
    });
    unused.collect()
}

/// What the files leave to the issuer: orders lose the names that a file covers, and the wildcards
/// of which files cover every served name. A pair that nobody renews counts until the issuer is needed.
pub fn uncovered(config: &Config, published: &Published, now: Timestamp) -> Vec<CertificateOrder> {
    let slots = published.subscribe().borrow().clone();
    let counts = |one: &Certificate| {
        let facts = one.facts();
        match config.tls.issuer {
            Issuer::Files => now <= facts.not_after,
            Issuer::Acme | Issuer::Internal => rung(now, facts.not_before, facts.not_after) < Rung::Sixth,
        }
    };
    let files = slots.iter().filter(|(slot, one)| matches!(slot, Slot::Files(_)) && counts(one));
    let files: Vec<_> = files.map(|(_, certificate)| certificate).collect();
    let names = config.names.certificate_names().iter();
    let left: Vec<_> = names.filter(|name| !files.iter().any(|certificate| certificate.covers(name))).collect();
    let is_left = |pattern: &&HostPattern| left.iter().any(|name| pattern.covers(name));
    let orders = config.names.orders().iter();
    let orders = orders.map(|order| CertificateOrder { names: order.names.iter().filter(is_left).cloned().collect() });
    orders.filter(|order| !order.names.is_empty()).collect()
}
