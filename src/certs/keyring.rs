//! Which certificate is shown for which name.

use super::Certificate;
use crate::matrix::{Host, HostPattern};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Where a certificate comes from: later kinds give way to earlier ones for the same name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// The operator's files, by position in the configuration.
    Files(usize),
    /// Issued for a set of names, by its first name.
    Issued(String),
    /// Issued for this name under another configuration: served until one of the present configuration is there.
    LeftOver(Host),
}

/// Every certificate that is served now. Issuers publish, one reader turns it into a [`Keyring`].
#[derive(Debug)]
pub struct Published {
    slots: watch::Sender<BTreeMap<Slot, Arc<Certificate>>>,
}

impl Default for Published {
    fn default() -> Self {
        Self { slots: watch::Sender::new(BTreeMap::new()) }
    }
}

impl Published {
    /// Serves `certificate` from now on, in place of what `slot` held.
    pub fn publish(&self, slot: Slot, certificate: Arc<Certificate>) {
        self.slots.send_modify(|slots| {
            slots.insert(slot, certificate);
        });
    }

    /// Serves the certificate in `slot` no longer.
    pub fn retire(&self, slot: &Slot) {
        self.slots.send_if_modified(|slots| slots.remove(slot).is_some());
    }

    /// What is served, and a way to wait for changes.
    pub fn subscribe(&self) -> watch::Receiver<BTreeMap<Slot, Arc<Certificate>>> {
        self.slots.subscribe()
    }

    /// Whether some certificate covers `host`.
    pub fn covers(&self, host: &Host) -> bool {
        self.slots.borrow().values().any(|certificate| certificate.covers(host))
    }

    /// Whether some certificate covers everything that `pattern` stands for.
    pub fn includes(&self, pattern: &HostPattern) -> bool {
        self.slots.borrow().values().any(|certificate| certificate.includes(pattern))
    }
}

/// An immutable choice of certificates for the served names.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    by_name: BTreeMap<String, Arc<Certificate>>,
    default: Option<Arc<Certificate>>,
}

impl Keyring {
    /// Gives every name in `served` the first certificate that covers it, and `default` to clients
    /// without SNI. A name without a certificate is left out: its handshakes are refused, no
    /// foreign certificate is shown.
    pub fn new(slots: &BTreeMap<Slot, Arc<Certificate>>, served: &[Host], default: Option<&Host>) -> Self {
        let find = |host: &Host| slots.values().find(|certificate| certificate.covers(host)).cloned();
        let by_name = served.iter().filter_map(|host| Some((host.dns()?.to_owned(), find(host)?)));
        Self { by_name: by_name.collect(), default: default.and_then(find) }
    }

    /// The certificate for a lower-case server name indication.
    pub fn for_name(&self, name: &str) -> Option<&Arc<Certificate>> {
        self.by_name.get(name)
    }

    /// The certificate for clients that send none.
    pub fn default_certificate(&self) -> Option<&Arc<Certificate>> {
        self.default.as_ref()
    }

    /// Whether `certificate` is shown to anybody.
    pub fn shows(&self, certificate: &Arc<Certificate>) -> bool {
        self.by_name.values().chain(&self.default).any(|shown| Arc::ptr_eq(shown, certificate))
    }

    /// Every name that has a certificate.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<Certificate>)> {
        self.by_name.iter().map(|(name, certificate)| (name.as_str(), certificate))
    }
}
