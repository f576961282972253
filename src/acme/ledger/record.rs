//! What the record is made of: the attempt that is under way, and what became of earlier ones.

use super::failure::FailureKind;
use super::{Ledger, join, keep_last};
use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};

/// Longer than any limit looks back.
const KEPT: i64 = 8 * 86_400;

/// More than that happens in eight days only if the CA is away, which counts as one event.
const MAX_EVENTS: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    pub at: Timestamp,
    pub names: Vec<String>,
    /// The CA may have made a certificate.
    pub finalising: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Event {
    pub at: Timestamp,
    pub outcome: Outcome,
    /// Names whose authorisation failed, or may have.
    pub failed: Vec<String>,
    /// The set of names for which the CA made a certificate, or may have.
    pub certificate: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Issued { challenge: Option<String>, exempt: bool, lifetime: i64 },
    Failed { kind: FailureKind, detail: String, retry_after: Option<i64>, challenge: Option<String>, times: u32 },
    RehearsalFailed { detail: String, challenge: Option<String> },
    Interrupted,
}

impl Attempt {
    /// What an attempt is that nobody closed: it counts for all that it may have cost.
    pub(super) fn interrupted(&self) -> Event {
        let certificate = self.finalising.then(|| join(&self.names));
        Event { at: self.at, outcome: Outcome::Interrupted, failed: self.names.clone(), certificate }
    }
}

impl Event {
    /// Whether its order may have been taken up again: one whose certificate was refused is over.
    pub(super) fn may_be_resumed(&self) -> bool {
        match &self.outcome {
            Outcome::Issued { .. } | Outcome::RehearsalFailed { .. } => false,
            Outcome::Failed { kind, .. } => kind.is_outage(),
            Outcome::Interrupted => true,
        }
    }

    pub(super) fn is_issued(&self) -> bool {
        matches!(self.outcome, Outcome::Issued { .. })
    }

    pub(super) fn is_exempt(&self) -> bool {
        matches!(self.outcome, Outcome::Issued { exempt: true, .. })
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.outcome == Outcome::Interrupted
    }

    pub(super) fn is_ca_side(&self) -> bool {
        matches!(&self.outcome, Outcome::Failed { kind, .. } if kind.is_ca_side())
    }

    pub(super) fn lifetime(&self) -> Option<i64> {
        match self.outcome {
            Outcome::Issued { lifetime, .. } => Some(lifetime),
            _ => None,
        }
    }

    pub(super) fn retry_after(&self) -> Option<i64> {
        match self.outcome {
            Outcome::Failed { retry_after, .. } => retry_after,
            _ => None,
        }
    }

    /// Takes up `later` if both say the same and cost nothing: days without a CA are one event.
    fn absorb(&mut self, later: &Self) -> bool {
        let free = |event: &Self| event.failed.is_empty() && event.certificate.is_none();
        let (free, at) = (free(self) && free(later), later.at);
        let (
            Outcome::Failed { kind, detail, retry_after, times, .. },
            Outcome::Failed { kind: kind2, detail: detail2, retry_after: retry_after2, .. },
        ) = (&mut self.outcome, &later.outcome)
        else {
            return false;
        };
        if !free || kind != kind2 || !kind.is_outage() {
            return false;
        }
        detail.clone_from(detail2);
        (*retry_after, *times) = (*retry_after2, times.saturating_add(1));
        self.at = at;
        true
    }
}

impl Ledger {
    /// Adds an event.
    pub(super) fn push(&mut self, event: Event) {
        if self.events.last_mut().is_some_and(|last| last.absorb(&event)) {
            return;
        }
        self.events.push(event);
        keep_last(&mut self.events, MAX_EVENTS);
    }

    /// Forgets what no limit looks back to.
    pub(super) fn prune(&mut self, now: Timestamp) {
        let turned_back = self.turned_back;
        self.events.retain(|event| now.since(happened(event.at, turned_back, now)) < KEPT);
        if self.events.iter().all(Event::is_issued) {
            // Another CA has issued since: what failed here weeks ago is no row of failures.
            (self.failures, self.outages) = (0, 0);
        }
    }

    /// When something happened; what happened in the future happened when that was noticed.
    pub(super) fn happened(&self, at: Timestamp, now: Timestamp) -> Timestamp {
        happened(at, self.turned_back, now)
    }

    /// Compares the clock with the record and says whether the record changed, and so is to be
    /// saved. [`Ledger::load`] does it; who keeps a record in memory does it before asking
    /// [`Ledger::earliest`].
    ///
    /// If the clock is behind, the moment is noted, for what is in the future must count from some
    /// moment on, or it would hold for ever. The times themselves stay: it may be the clock that is
    /// wrong. After eight days they are forgotten like all else.
    pub fn look_at_the_clock(&mut self, now: Timestamp) -> bool {
        let before = self.turned_back;
        let open = self.open.as_ref().map(|open| open.at);
        let times = self.events.iter().map(|event| event.at).chain(self.answered.iter().map(|answered| answered.at));
        let ahead = times.chain(open).any(|at| at > now);
        self.turned_back = ahead.then(|| before.filter(|noticed| *noticed <= now).unwrap_or(now));
        if self.turned_back.is_some_and(|noticed| now.since(noticed) >= KEPT) {
            self.events.retain(|event| event.at <= now);
            self.answered.retain(|answered| answered.at <= now);
            if open.is_some_and(|open| open > now) {
                self.open = None;
            }
            self.turned_back = None;
            return true;
        }
        self.turned_back != before
    }
}

fn happened(at: Timestamp, turned_back: Option<Timestamp>, now: Timestamp) -> Timestamp {
    if at <= now { at } else { turned_back.map_or(now, |noticed| noticed.min(now)) }
}
