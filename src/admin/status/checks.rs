//! The last check of each own server: told by the self-check, shown by the page and the metrics.

use crate::check::report::Report;
use crate::clock::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the self-check has found. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Checks(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    next: Option<Timestamp>,
    /// By server name.
    last: BTreeMap<String, Arc<Checked>>,
}

/// A check that has ended.
#[derive(Debug)]
pub struct Checked {
    /// When.
    pub at: Timestamp,
    /// What it found.
    pub report: Report,
}

impl Checks {
    /// A check has ended at this time. It takes the place of the server's earlier one.
    pub fn ended(&self, at: Timestamp, report: Report) {
        self.known().last.insert(report.server_name.clone(), Arc::new(Checked { at, report }));
    }

    /// All servers are checked again at this time.
    pub fn planned(&self, next: Timestamp) {
        self.known().next = Some(next);
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.known().next
    }

    pub(super) fn last(&self, server: &str) -> Option<Arc<Checked>> {
        self.known().last.get(server).cloned()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
