//! The lists of roots that a chain is held against.

use crate::net::roots::{self, BadRoots};
use rustls::RootCertStore;

/// Lists of trust roots. Peers do not all have the same one: Synapse trusts what its operating
/// system trusts, others carry Mozilla's list in the program.
#[derive(Clone, Debug)]
pub struct TrustSets {
    system: RootCertStore,
    mozilla: RootCertStore,
    given: RootCertStore,
    /// All of them together: what the questions other than "which" are asked of.
    every: RootCertStore,
}

/// Which lists a chain leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrustedBy {
    /// The roots of this machine's operating system.
    pub system: bool,
    /// Mozilla's list, as it was when this program was built.
    pub mozilla: bool,
    /// The roots that the caller named; they count for both lists.
    pub given: bool,
}

impl TrustedBy {
    /// Whether every list says yes that is asked here.
    pub fn everywhere(self) -> bool {
        self.given || (self.system && self.mozilla)
    }

    /// The lists, by the words of the report.
    pub fn names(self) -> Vec<&'static str> {
        let lists = [(self.system, "system"), (self.mozilla, "mozilla"), (self.given, "ca-file")];
        lists.into_iter().filter(|(yes, _)| *yes).map(|(_, name)| name).collect()
    }
}

impl TrustSets {
    /// `system` beside Mozilla's list.
    pub fn new(system: RootCertStore) -> Self {
        Self::of(system, roots::mozilla())
    }

    /// These two and no more.
    pub(in crate::check) fn of(system: RootCertStore, mozilla: RootCertStore) -> Self {
        let mut sets = Self { system, mozilla, given: RootCertStore::empty(), every: RootCertStore::empty() };
        sets.every.extend(sets.system.roots.iter().cloned());
        sets.every.extend(sets.mozilla.roots.iter().cloned());
        sets
    }

    /// Trusts the CA certificates in `pem` too, as every peer would that was told so.
    pub fn add_pem(&mut self, pem: &[u8]) -> Result<(), BadRoots> {
        let mut added = RootCertStore::empty();
        roots::add_pem(&mut added, pem)?;
        self.every.extend(added.roots.iter().cloned());
        self.given.extend(added.roots);
        Ok(())
    }

    /// Whether the operating system has roots at all.
    pub fn has_system(&self) -> bool {
        !self.system.is_empty()
    }

    /// Whether the caller named roots: then an unknown issuer is no matter of a forgotten
    /// `--ca-file`.
    pub fn has_given(&self) -> bool {
        !self.given.is_empty()
    }

    pub(super) fn every(&self) -> &RootCertStore {
        &self.every
    }

    /// Which lists satisfy `verifies`.
    pub(super) fn which(&self, verifies: impl Fn(&RootCertStore) -> bool) -> TrustedBy {
        TrustedBy {
            system: verifies(&self.system),
            mozilla: verifies(&self.mozilla),
            given: self.has_given() && verifies(&self.given),
        }
    }
}
