//! Derived, never asked for: which names are served, by whom, and which need certificates.

use super::reader::Wrong;
use super::server::{Apex, Server, Site};
use crate::matrix::Host;
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
    orders: Vec<CertificateOrder>,
}

/// Names that share a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateOrder {
    /// The names, the first of which names the certificate.
    pub names: Vec<Host>,
}

impl NameMap {
    /// Collects the names; two owners of one name are refused.
    pub fn new(servers: &[Server], sites: &[Site], refuse: impl Fn(Place, Wrong)) -> Self {
        let mut map = Self::default();
        for (index, server) in servers.iter().enumerate() {
            for name in server.names() {
                let owner = map.owners.entry(name.clone()).or_default();
                if let Some(other) = owner.server.and_then(|other| servers.get(other)) {
                    let wrong = format!("{name} leads to both {} and {}", other.server_name, server.server_name);
                    refuse(Place::Server(index), Wrong::new(wrong, "give each server a public_host of its own"));
                }
                owner.server = Some(index);
            }
            map.orders.push(CertificateOrder { names: server.certificate_names() });
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
            if !map.orders.iter().any(|order| order.names.contains(&site.host)) {
                map.orders.push(CertificateOrder { names: vec![site.host.clone()] });
            }
        }
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

    /// Every name that needs a certificate, each once.
    pub fn certificate_names(&self) -> Vec<Host> {
        self.orders.iter().flat_map(|order| order.names.iter().cloned()).collect()
    }

    /// The sets of names that need a certificate, in configuration order.
    pub fn orders(&self) -> &[CertificateOrder] {
        &self.orders
    }
}
