//! Which certificate is shown for which name.

use super::Certificate;
use crate::clock::Timestamp;
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
    /// Gives every name in `served` the best certificate that covers it, and `default` to clients
    /// without SNI: one that has not expired by `now` before one that has, the operator's files before what was
    /// issued, and of that the one that lasts longest, as it may be left from another set of names. A name
    /// without a certificate is left out: its handshakes are refused, no foreign certificate is shown.
    pub fn new(
        slots: &BTreeMap<Slot, Arc<Certificate>>,
        served: &[Host],
        default: Option<&Host>,
        now: Timestamp,
    ) -> Self {
        let rank = |slot: &Slot, one: &Certificate| match slot {
            Slot::Files(index) => (one.facts().not_after < now, 0, i64::try_from(*index).unwrap_or(i64::MAX)),
            Slot::Issued(_) => (one.facts().not_after < now, 1, one.facts().not_after.0.saturating_neg()),
            Slot::LeftOver(_) => (one.facts().not_after < now, 2, one.facts().not_after.0.saturating_neg()),
        };
        let find = |host: &Host| {
            let covering = slots.iter().filter(|(_, certificate)| certificate.covers(host));
            covering
                .min_by_key(|(slot, certificate)| rank(slot, certificate))
                .map(|(_, certificate)| Arc::clone(certificate))
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::Store;
    use crate::certs::internal::Authority;
    use crate::clock::Clock;

    const DAY: i64 = 86_400;

    #[tokio::test]
    async fn the_best_certificate_for_each_name() {
        let host = |name: &str| Host::parse(name).unwrap();
        let names = [host("a.test"), host("m.a.test")];
        let ca = Authority::load_or_make(&Store::memory(), &names, &Clock::System).await.unwrap();
        let start = Clock::System.now();
        // Ninety days from that day on.
        let issue = |names: &[&str], day: i64| {
            let names: Vec<_> = names.iter().map(|name| HostPattern::parse(name).unwrap()).collect();
            Arc::new(ca.issue(&names, start.plus(day * DAY)).unwrap())
        };
        let issued = |name: &str| Slot::Issued(name.to_owned());
        let slots = BTreeMap::from([
            (Slot::Files(0), issue(&["a.test"], 0)),
            // What is left from a set that nobody keeps any more.
            (issued("a.test"), issue(&["a.test", "m.a.test"], 10)),
            (issued("m.a.test"), issue(&["m.a.test"], 60)),
            (Slot::LeftOver(host("a.test")), issue(&["a.test"], 300)),
        ]);
        let shown = |name: &str, day: i64| {
            let ring = Keyring::new(&slots, &names, None, start.plus(day * DAY));
            let shown = Arc::clone(ring.for_name(name).unwrap());
            slots.iter().find(|(_, one)| Arc::ptr_eq(one, &shown)).map(|(slot, _)| slot.clone()).unwrap()
        };
        assert_eq!((shown("a.test", 20), shown("m.a.test", 20)), (Slot::Files(0), issued("m.a.test")));
        assert_eq!(shown("a.test", 95), issued("a.test"), "the file has expired");
        assert_eq!(shown("a.test", 105), Slot::LeftOver(host("a.test")));
        assert_eq!(shown("a.test", 1_000), Slot::Files(0), "none is good: the first kind");
    }
}
