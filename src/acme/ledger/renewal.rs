//! What the CA suggested for the renewal, as the record keeps it.

use super::{Ledger, keep_last};
use crate::acme::window::{NoSuggestion, Window, after_failure};
use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};

/// Windows that were answered; one would do for a CA in its senses.
const MAX_ANSWERED: usize = 8;

/// No question is put off for longer: one that is was put off by a wrong clock.
const LONGEST_PAUSE: i64 = 86_400;

/// What is known of the renewal of one certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    pub(super) certificate: String,
    pub(super) window: Option<Window>,
    /// Questions in a row without a usable answer.
    pub(super) failures: u32,
    pub(super) ask_again: Timestamp,
}

/// A window in the past that led to a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answered {
    pub start: Timestamp,
    pub end: Timestamp,
    pub at: Timestamp,
}

impl Renewal {
    /// Whether it is that of `certificate`.
    pub fn is_about(&self, certificate: &str) -> bool {
        self.certificate == certificate
    }
}

impl Ledger {
    /// When the CA is to be asked about the renewal of `certificate` (its ARI identifier); in the
    /// past or `now` means now.
    pub fn ask_at(&self, certificate: &str, now: Timestamp) -> Timestamp {
        match self.renewal(certificate) {
            Some(renewal) if renewal.ask_again.since(now) <= LONGEST_PAUSE => renewal.ask_again,
            _ => now,
        }
    }

    /// What the CA suggested last for `certificate`, for [`crate::acme::window::merge`] and for people.
    pub fn window(&self, certificate: &str) -> Option<&Window> {
        self.renewal(certificate)?.window.as_ref()
    }

    /// The same for [`crate::acme::plan::due`]: a window in the past leads to one certificate and
    /// is then no longer one to go by, even if the CA repeats it for the next certificate.
    pub fn window_to_plan_by(&self, certificate: &str) -> Option<&Window> {
        let answered = |window: &Window| {
            let same = |answered: &Answered| (answered.start, answered.end) == (window.start, window.end);
            window.was_past() && self.answered.iter().any(same)
        };
        self.window(certificate).filter(|window| !answered(window))
    }

    /// The CA answered; `window` is what [`crate::acme::window::merge`] made of it.
    pub fn suggested(&mut self, window: Window) {
        let (certificate, ask_again) = (window.certificate.clone(), window.ask_again);
        self.renewal = Some(Renewal { certificate, window: Some(window), failures: 0, ask_again });
    }

    /// There was no usable answer. The window that was there stays.
    pub fn not_suggested(&mut self, certificate: &str, kind: NoSuggestion, retry_after: Option<i64>, now: Timestamp) {
        let old = self.renewal.take().filter(|renewal| renewal.certificate == certificate);
        let failures = old.as_ref().map_or(0, |old| old.failures).saturating_add(1);
        let ask_again = after_failure(kind, failures, retry_after, now);
        let window = old.and_then(|old| old.window);
        self.renewal = Some(Renewal { certificate: certificate.to_owned(), window, failures, ask_again });
    }

    /// What is known, for whoever could not save it yet.
    pub fn heard(&self) -> Option<Renewal> {
        self.renewal.clone()
    }

    /// Puts back what was known and could not be saved.
    pub fn remember(&mut self, heard: Renewal) {
        self.renewal = Some(heard);
    }

    fn renewal(&self, certificate: &str) -> Option<&Renewal> {
        self.renewal.as_ref().filter(|renewal| renewal.certificate == certificate)
    }

    /// A window led to a certificate.
    pub(super) fn answer(&mut self, window: &Window, now: Timestamp) {
        if window.was_past() {
            self.answered.push(Answered { start: window.start, end: window.end, at: now });
            keep_last(&mut self.answered, MAX_ANSWERED);
        }
    }
}
