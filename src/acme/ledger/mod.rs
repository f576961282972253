//! What happened at one CA for one set of names, kept across restarts.
//!
//! Without it a crash loop would order again at every start and a lost back-off would burn the
//! CA's five failed validations an hour in seconds. The record says what was spent at the CA and
//! when, and [`Ledger::earliest`] says from it when the next order may be placed. It also keeps
//! what the CA suggested for the renewal, so that both are written together.
//!
//! A load that fails is never an empty record: whoever cannot read it does not order.

mod choice;
mod failure;
mod record;
mod rehearsal;
mod renewal;
mod standing;

pub use failure::{Failure, FailureKind, retry_after_in};
pub use standing::{Budget, Hold, Standing};

use super::window::Window;
use crate::certs::Store;
use crate::certs::store::StoreError;
use crate::clock::Timestamp;
use crate::config::Challenge;
use crate::matrix::Host;
use failure::shorten;
use record::{Attempt, Event, Outcome};
use rehearsal::Rehearsal;
use renewal::{Answered, Renewal};
use serde::{Deserialize, Serialize};

/// Written into every record. A record with a later version is not touched.
const VERSION: u32 = 1;

/// Names of one order, and so of one event.
const MAX_IDENTIFIERS: usize = 100;

/// The record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    version: u32,
    /// Ordered, and neither failed nor issued yet: under way, or interrupted.
    open: Option<Attempt>,
    /// In a row, since the last certificate; without those of `outages`.
    failures: u32,
    /// Attempts in a row that found the CA away.
    outages: u32,
    /// The oldest first.
    events: Vec<Event>,
    /// Challenge types that failed since the last certificate, the last one last.
    aside: Vec<Aside>,
    /// The type that worked last.
    last_good: Option<String>,
    rehearsal: Rehearsal,
    renewal: Option<Renewal>,
    answered: Vec<Answered>,
    /// The clock is behind the record, and that was noticed then.
    turned_back: Option<Timestamp>,
    totals: Totals,
}

/// Counts since the record began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Orders placed.
    pub placed: u64,
    /// Certificates.
    pub issued: u64,
    /// Failures, and attempts that were interrupted.
    pub failed: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Aside {
    challenge: String,
    identifiers: Vec<String>,
}

/// What was issued.
#[derive(Clone, Copy, Debug)]
pub struct Issued<'a> {
    /// For these names.
    pub names: &'a [Host],
    /// Proved in this way; `None` when earlier authorisations did.
    pub challenge: Option<Challenge>,
    /// Seconds from the certificate's first to its last.
    pub lifetime: i64,
    /// Whether the CA does not count it: a renewal with `replaces` inside its window.
    pub renewal_exempt: bool,
    /// The window of the certificate that it replaces.
    pub window: Option<&'a Window>,
}

/// The last thing that went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastFailure<'a> {
    /// When.
    pub at: Timestamp,
    /// How; `None` for an order that was interrupted or a rehearsal.
    pub kind: Option<&'a FailureKind>,
    /// For people.
    pub detail: &'a str,
    /// How many times in a row, for outages.
    pub times: u32,
}

/// Why there is no record to go by.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It cannot be read, or what was found in it cannot be written back.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// It is no record.
    #[error("{path} is damaged; remove it to start a new record")]
    Damaged {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A later vestibule wrote it.
    #[error("{path} was written by a later version of vestibule ({version}); start that one, or remove the file")]
    Later {
        /// The file.
        path: String,
        /// Its version.
        version: u32,
    },
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            version: VERSION,
            open: None,
            failures: 0,
            outages: 0,
            events: Vec::new(),
            aside: Vec::new(),
            last_good: None,
            rehearsal: Rehearsal::None,
            renewal: None,
            answered: Vec::new(),
            turned_back: None,
            totals: Totals::default(),
        }
    }
}

impl Ledger {
    /// Reads the record, or begins one. A clock that is behind the record is noted in it at once:
    /// what the record says happened in the future counts from this moment.
    pub async fn load(store: &Store, ca: &str, first: &Host, now: Timestamp) -> Result<Self, LedgerError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let key = key(ca, first);
        let Some(content) = store.load(&key).await? else {
            return Ok(Self::default());
        };
        let damaged = |source| LedgerError::Damaged { path: store.describe(&key), source };
        let Version { version } = serde_json::from_slice(&content).map_err(damaged)?;
        if version > VERSION {
            return Err(LedgerError::Later { path: store.describe(&key), version });
        }
        let mut ledger: Self = serde_json::from_slice(&content).map_err(damaged)?;
        if ledger.look_at_the_clock(now) {
            ledger.save(store, ca, first).await?;
        }
        Ok(ledger)
    }

    /// Writes the record.
    pub async fn save(&self, store: &Store, ca: &str, first: &Host) -> Result<(), StoreError> {
        store.store(&key(ca, first), serde_json::json!(self).to_string().as_bytes()).await
    }

    /// An order is about to be placed. To be saved before it is: an attempt that a crash ends then
    /// counts as failed, and a crash loop cannot spend the CA's patience.
    pub fn placed(&mut self, now: Timestamp, names: &[Host]) {
        if let Some(open) = self.open.take() {
            self.push(open.interrupted());
            self.failures = self.failures.saturating_add(1);
            self.totals.failed = self.totals.failed.saturating_add(1);
        }
        self.prune(now);
        let names = names.iter().take(MAX_IDENTIFIERS).map(Host::plain).collect();
        self.open = Some(Attempt { at: now, names, finalising: false });
        self.totals.placed = self.totals.placed.saturating_add(1);
    }

    /// The order is about to be finalised. To be saved before it is: from here on a certificate may
    /// exist that nobody heard of, and it counts.
    pub fn finalising(&mut self) {
        if let Some(open) = &mut self.open {
            open.finalising = true;
        }
    }

    /// When the attempt was begun that is under way or was interrupted.
    pub fn open_since(&self) -> Option<Timestamp> {
        self.open.as_ref().map(|open| open.at)
    }

    /// The attempt failed.
    pub fn failed(&mut self, now: Timestamp, failure: Failure) {
        let open = self.open.take();
        let names = open.as_ref().map(|open| open.names.clone()).unwrap_or_default();
        let Failure { kind, detail, retry_after, challenge, mut identifiers } = failure;
        let validation = kind == FailureKind::Validation;
        if validation && identifiers.is_empty() {
            identifiers.clone_from(&names);
        }
        identifiers.truncate(MAX_IDENTIFIERS);
        if let Some(challenge) = challenge.filter(|_| validation) {
            self.set_aside(challenge, &identifiers);
        }
        let lost = open.is_some_and(|open| open.finalising) && kind.is_outage();
        let certificate = (lost || kind == FailureKind::Unproved).then(|| join(&names));
        if kind.is_outage() {
            self.outages = self.outages.saturating_add(1);
        } else {
            self.failures = self.failures.saturating_add(1);
            self.outages = 0;
        }
        if validation {
            self.rehearsal = self.rehearsal.after_failure(now);
        }
        self.totals.failed = self.totals.failed.saturating_add(1);
        let challenge = challenge.map(|challenge| challenge.as_str().to_owned());
        let outcome = Outcome::Failed { kind, detail: shorten(&detail), retry_after, challenge, times: 1 };
        self.prune(now);
        self.push(Event { at: now, outcome, failed: identifiers, certificate });
    }

    /// The attempt led to a certificate.
    pub fn issued(&mut self, now: Timestamp, issued: Issued<'_>) {
        let Issued { names, challenge, lifetime, renewal_exempt, window } = issued;
        self.open = None;
        (self.failures, self.outages) = (0, 0);
        self.aside.clear();
        self.rehearsal = Rehearsal::None;
        if let Some(challenge) = challenge {
            self.last_good = Some(challenge.as_str().to_owned());
        }
        if let Some(window) = window {
            self.answer(window, now);
        }
        self.totals.issued = self.totals.issued.saturating_add(1);
        let challenge = challenge.map(|challenge| challenge.as_str().to_owned());
        let outcome = Outcome::Issued { challenge, exempt: renewal_exempt, lifetime };
        self.prune(now);
        self.push(Event { at: now, outcome, failed: Vec::new(), certificate: Some(set_key(names)) });
    }

    /// The attempt cost the CA nothing and says nothing about it: it is taken back.
    pub fn forgiven(&mut self) {
        if self.open.take().is_some() {
            self.totals.placed = self.totals.placed.saturating_sub(1);
        }
    }

    /// What went wrong last, unless a certificate came after it.
    pub fn last_failure(&self) -> Option<LastFailure<'_>> {
        if let Some(open) = &self.open {
            return Some(LastFailure { at: open.at, kind: None, detail: "interrupted", times: 1 });
        }
        let event = self.events.last()?;
        let (kind, detail, times) = match &event.outcome {
            Outcome::Issued { .. } => return None,
            Outcome::Failed { kind, detail, times, .. } => (Some(kind), detail.as_str(), *times),
            Outcome::RehearsalFailed { detail, .. } => (None, detail.as_str(), 1),
            Outcome::Interrupted => (None, "interrupted", 1),
        };
        Some(LastFailure { at: event.at, kind, detail, times })
    }

    /// Counts since the record began.
    pub fn totals(&self) -> Totals {
        self.totals
    }
}

/// Where the record is stored.
pub fn key(ca: &str, first: &Host) -> String {
    format!("acme/{ca}/orders/{first}.json")
}

/// A set of names, whatever their order.
fn set_key(names: &[Host]) -> String {
    join(&names.iter().map(Host::plain).collect::<Vec<_>>())
}

fn join(names: &[String]) -> String {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names.join(" ")
}

fn keep_last<T>(list: &mut Vec<T>, count: usize) {
    let surplus = list.len().saturating_sub(count);
    list.drain(..surplus);
}
