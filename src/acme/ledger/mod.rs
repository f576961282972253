//! What happened at one CA for one set of names, kept across restarts.
//!
//! Without it a crash loop would order again at every start and a lost back-off would burn the
//! CA's five failed validations an hour in seconds. The record says what was spent at the CA and
//! when, and [`Ledger::earliest`] says from it when the next order may be placed. It also keeps
//! what the CA suggested for the renewal, so that both are written together.
//!
//! All times are the CA's where it is known: limits are counted by its clock.
//!
//! A load that fails is never an empty record: whoever cannot read it does not order.

mod choice;
mod failure;
mod file;
mod record;
mod rehearsal;
mod renewal;
mod standing;

pub use failure::{Failure, FailureKind, retry_after_in};
pub use file::{LedgerError, key};
pub use renewal::Renewal;
pub use standing::{Budget, Hold, Standing};

use super::window::Window;
use crate::clock::Timestamp;
use crate::config::Challenge;
use crate::matrix::HostPattern;
use failure::shorten;
use record::{Attempt, Event, Outcome};
use rehearsal::Rehearsal;
use renewal::Answered;
use serde::{Deserialize, Serialize};

/// Names of one failure. More are not in an order: Let's Encrypt's have a hundred at most.
const MAX_IDENTIFIERS: usize = 1_000;

/// The record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
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
    /// Since then this machine's own look at the way has kept orders back.
    #[serde(default)]
    kept_back: Option<Timestamp>,
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

/// An order is recorded so long, in seconds, before it is placed at most. No other ends within a minute before, as the
/// back-off after one that may have led to a certificate is as long.
const RECORDED_BEFORE: i64 = 59;

/// What was issued.
#[derive(Clone, Copy, Debug)]
pub struct Issued<'a> {
    /// For these names.
    pub names: &'a [HostPattern],
    /// Proved in this way; `None` when earlier authorisations did.
    pub challenge: Option<Challenge>,
    /// Seconds from the certificate's first to its last.
    pub lifetime: i64,
    /// Whether the CA does not count it: a renewal with `replaces` inside its window.
    pub renewal_exempt: bool,
    /// The window of the certificate that it replaces.
    pub window: Option<&'a Window>,
    /// When its order was placed, by the CA's clock.
    pub placed: Timestamp,
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

impl Ledger {
    /// An order is about to be placed. To be saved before it is: an attempt that a crash ends then
    /// counts as failed, and a crash loop cannot spend the CA's patience.
    pub fn placed(&mut self, now: Timestamp, names: &[HostPattern]) {
        if let Some(open) = self.open.take() {
            self.push(open.interrupted());
            self.rehearsal = self.rehearsal.after_failure(false, now);
            self.failures = self.failures.saturating_add(1);
            self.totals.failed = self.totals.failed.saturating_add(1);
        }
        self.prune(now);
        let names = names.iter().map(HostPattern::plain).collect();
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
        // While the CA is away, this machine's clock may be all there is, and wrong.
        if !failure.kind.is_outage() {
            self.prune(now);
        }
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
        self.rehearsal = self.rehearsal.after_failure(validation, now);
        self.totals.failed = self.totals.failed.saturating_add(1);
        let challenge = challenge.map(|challenge| challenge.as_str().to_owned());
        let outcome = Outcome::Failed { kind, detail: shorten(&detail), retry_after, challenge, times: 1 };
        self.push(Event { at: now, outcome, failed: identifiers, certificate });
    }

    /// The attempt led to a certificate.
    pub fn issued(&mut self, now: Timestamp, issued: Issued<'_>) {
        self.prune(now);
        let Issued { names, challenge, lifetime, renewal_exempt, window, placed } = issued;
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
        // What an earlier attempt at this order may have left at the CA was this certificate.
        let begun = placed.plus(-RECORDED_BEFORE);
        let set = set_key(names);
        let same = self.events.iter_mut().filter(|event| event.may_be_resumed() && event.at >= begun);
        same.filter(|event| event.certificate.as_ref() == Some(&set)).for_each(|event| event.certificate = None);
        self.push(Event { at: now, outcome, failed: Vec::new(), certificate: Some(set) });
    }

    /// A record that has nothing left to spend, in place of one that was lost: a week's
    /// certificates and an hour's failures count as used up now. Where the certificate that is there runs out within
    /// that week, what counts comes back in the `emergency`: a certificate more than the record's limit is one that
    /// the CA still issues.
    pub fn spent(now: Timestamp, names: &[HostPattern], emergency: Option<Timestamp>) -> Self {
        let hold = emergency.map_or(standing::WEEK, |at| at.since(now).clamp(standing::HOUR, standing::WEEK));
        let at = now.plus(hold - standing::WEEK);
        let mut ledger = Self::default();
        for _ in 0..standing::CERTIFICATES_A_WEEK {
            ledger.placed(at, names);
            ledger.finalising();
        }
        ledger.placed(at, names);
        ledger.forgiven();
        ledger.totals = Totals::default();
        ledger
    }

    /// A look at the way keeps an order back. Returns since when.
    pub fn kept_back(&mut self, now: Timestamp) -> Timestamp {
        let since = self.kept_back.filter(|since| *since <= now).unwrap_or(now);
        self.kept_back = Some(since);
        since
    }

    /// The way is taken, open or not.
    pub fn let_through(&mut self) {
        self.kept_back = None;
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

/// A set of names, whatever their order.
fn set_key(names: &[HostPattern]) -> String {
    join(&names.iter().map(HostPattern::plain).collect::<Vec<_>>())
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

#[cfg(test)]
mod tests;
