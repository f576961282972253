//! Derived, never asked for: which names are served, by whom, and which need certificates.

use super::reader::Wrong;
use super::server::{Apex, Server, Site};
use crate::matrix::{Host, HostPattern};
use std::collections::BTreeMap;

/// Who answers for a name. At an apex site both are set: the server gets the Matrix paths, the
/// site everything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// Index into [`super::Config::servers`].
    pub server: Option<usize>,
    /// Index into [`super::Config::sites`].
    pub site: Option<usize>,
}

/// Whose configuration is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The server with this index.
    Server(usize),
    /// The site with this index.
    Site(usize),
}

/// Every served name. The same on every TLS listener, whatever `apex` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameMap {
    owners: BTreeMap<Host, Owner>,
    certified: Vec<Host>,
    orders: Vec<CertificateOrder>,
}

/// Names that share a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateOrder {
    /// The names, the first of which names the certificate. One of them may be a wildcard.
    pub names: Vec<HostPattern>,
}

impl NameMap {
    /// Collects the names; two owners of one name are refused. Names that one of `wildcards` covers
    /// share its certificate.
    pub fn new(servers: &[Server], sites: &[Site], wildcards: &[HostPattern], refuse: impl Fn(Place, Wrong)) -> Self {
        let mut map = Self::default();
        let mut sets = Vec::new();
        for (index, server) in servers.iter().enumerate() {
            for name in server.names() {
                let owner = map.owners.entry(name.clone()).or_default();
                if let Some(other) = owner.server.and_then(|other| servers.get(other)) {
                    let wrong = format!("{name} leads to both {} and {}", other.server_name, server.server_name);
                    refuse(Place::Server(index), Wrong::new(wrong, "give each server a public_host of its own"));
                }
                owner.server = Some(index);
            }
            sets.push(server.certificate_names());
        }
        for (index, site) in sites.iter().enumerate() {
            let owner = map.owners.entry(site.host.clone()).or_default();
            let served_by = owner.server.and_then(|server| servers.get(server));
            let is_apex = served_by.is_some_and(|server| *server.server_name.host() == site.host);
            if owner.site.is_some() {
                refuse(
                    Place::Site(index),
                    Wrong::new(format!("{} is the host of two sites", site.host), "remove one of them"),
                );
            } else if served_by.is_some() && !is_apex {
                let wrong = format!("{} is where delegation points to", site.host);
                refuse(
                    Place::Site(index),
                    Wrong::new(wrong, "give the site another host, or a server another public_host"),
                );
            }
            if is_apex && served_by.is_some_and(|server| server.apex == Apex::Elsewhere) {
                let right = "set apex = \"here\", or let the other web server keep the site";
                refuse(
                    Place::Site(index),
                    Wrong::new(format!("apex says that {} is answered elsewhere", site.host), right),
                );
            }
            owner.site = Some(index);
            if !sets.iter().flatten().any(|name| *name == site.host) {
                sets.push(vec![site.host.clone()]);
            }
        }
        map.orders = orders(&sets, wildcards);
        map.certified = sets.into_iter().flatten().collect();
        map
    }

    /// Whose `host` is.
    pub fn owner(&self, host: &Host) -> Option<Owner> {
        self.owners.get(host).copied()
    }

    /// Every served name with its owner, in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&Host, Owner)> {
        self.owners.iter().map(|(host, owner)| (host, *owner))
    }

    /// Every name that needs a certificate, each once, in configuration order.
    pub fn certificate_names(&self) -> &[Host] {
        &self.certified
    }

    /// The sets of names that need a certificate, in configuration order.
    pub fn orders(&self) -> &[CertificateOrder] {
        &self.orders
    }
}

/// The orders for sets of names. A wildcard replaces all names that it covers, stands where the
/// first of them stood, and takes the name that it hangs below along if that one is wanted and
/// nothing else covers it. A wildcard that covers no name is not ordered.
fn orders(sets: &[Vec<Host>], wildcards: &[HostPattern]) -> Vec<CertificateOrder> {
    let covering = |name: &Host| wildcards.iter().find(|wildcard| wildcard.covers(name));
    let with_wildcard = |name: &Host| wildcards.iter().find(|wildcard| wildcard.base() == *name);
    // Only a wildcard that is ordered can take a name along.
    let used = |wildcard: &&HostPattern| sets.iter().flatten().any(|name| covering(name) == Some(*wildcard));
    let mut orders: Vec<CertificateOrder> = Vec::new();
    for set in sets {
        let mut own = Vec::new();
        for name in set {
            let (wildcard, along) = match covering(name) {
                Some(wildcard) => (Some(wildcard), None),
                None => (with_wildcard(name).filter(used), Some(HostPattern::from(name.clone()))),
            };
            let Some(wildcard) = wildcard else {
                own.extend(along);
                continue;
            };
            match orders.iter_mut().find(|order| order.names.first() == Some(wildcard)) {
                Some(order) => order.names.extend(along),
                None => orders.push(CertificateOrder { names: [wildcard.clone()].into_iter().chain(along).collect() }),
            }
        }
        if !own.is_empty() {
            orders.push(CertificateOrder { names: own });
        }
    }
    orders
}
