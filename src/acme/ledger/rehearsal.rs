//! Orders at the CA's staging directory, which cost nothing, before production is asked again.

use super::failure::shorten;
use super::record::{Event, Outcome};
use super::{Failure, FailureKind, Ledger};
use crate::clock::Timestamp;
use crate::config::Challenge;
use serde::{Deserialize, Serialize};

/// While a rehearsal goes on failing, production is asked once a day all the same: staging may be
/// what is broken, and one failure a day is what the CA's guide permits.
const REHEARSE_AT_MOST: i64 = 86_400;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Rehearsal {
    /// Production has not failed.
    #[default]
    None,
    /// Production failed a validation then: staging is asked first.
    Wanted { since: Timestamp },
    /// Staging worked: production's turn.
    Passed,
    /// Staging worked and production failed again, or staging is of no use.
    Spent,
}

impl Ledger {
    /// Whether the CA's staging directory, if it has one, is asked before production.
    pub fn rehearse_first(&self, now: Timestamp) -> bool {
        match self.rehearsal {
            Rehearsal::Wanted { since } => now.since(self.happened(since, now)) < REHEARSE_AT_MOST,
            Rehearsal::None | Rehearsal::Passed | Rehearsal::Spent => false,
        }
    }

    /// How a rehearsal went: the challenge type that worked, or what failed. It costs nothing at
    /// production, but a failure is followed by the usual delay. Staging that is away or refuses is
    /// no rehearsal, and none is tried again before the next certificate.
    pub fn rehearsed(&mut self, now: Timestamp, outcome: Result<Challenge, Failure>) {
        self.prune(now);
        match outcome {
            Ok(challenge) => {
                self.rehearsal = Rehearsal::Passed;
                self.aside.retain(|aside| aside.challenge != challenge.as_str());
                self.last_good = Some(challenge.as_str().to_owned());
            }
            Err(failure) => {
                if failure.kind == FailureKind::Validation {
                    self.failures = self.failures.saturating_add(1);
                    if let Some(challenge) = failure.challenge {
                        self.set_aside(challenge, &failure.identifiers);
                    }
                } else {
                    self.rehearsal = Rehearsal::Spent;
                }
                let challenge = failure.challenge.map(|challenge| challenge.as_str().to_owned());
                let outcome = Outcome::RehearsalFailed { detail: shorten(&failure.detail), challenge };
                self.push(Event { at: now, outcome, failed: Vec::new(), certificate: None });
            }
        }
    }
}

impl Rehearsal {
    /// What comes after a failure at production.
    pub(super) fn after_failure(self, validation: bool, now: Timestamp) -> Self {
        match self {
            Self::None | Self::Wanted { .. } if validation => Self::Wanted { since: now },
            // It was production's turn, and this was it.
            Self::Passed => Self::Spent,
            other => other,
        }
    }
}
