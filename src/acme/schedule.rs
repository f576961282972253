//! The plan for one set of names from what is known of it: the same for the manager, which acts on
//! it, and for whoever only wants to see it.

use super::ledger::{Ledger, Standing};
use super::plan::{self, Due, Step, Validity};
use crate::clock::Timestamp;
use crate::matrix::HostPattern;
use siphasher::sip::SipHasher13;
use std::hash::{Hash as _, Hasher as _};

/// The certificate that is there.
#[derive(Clone, Copy)]
pub(super) struct There<'a> {
    pub validity: Validity,
    /// The CA that issued it, as an index; `None` for one that is not asked any more.
    pub ca: Option<usize>,
    /// What its CA calls it when it speaks of renewals.
    pub renewal_id: &'a str,
}

/// A set of names, what is there for it, and what happened at each CA.
pub(super) struct Schedule<'a> {
    pub names: &'a [HostPattern],
    pub there: Option<There<'a>>,
    pub ledgers: &'a [Ledger],
}

impl Schedule<'_> {
    /// When the certificate is due.
    pub(super) fn due(&self, now: Timestamp) -> Due {
        let window = self.there.and_then(|there| self.ledgers.get(there.ca?)?.window_to_plan_by(there.renewal_id));
        plan::due(now, self.validity(), window, jitter(self.names))
    }

    /// What is done next about that.
    pub(super) fn step(&self, now: Timestamp, due: &Due) -> Step {
        let standings: Vec<_> = self.ledgers.iter().map(|ledger| self.standing(ledger, now)).collect();
        plan::step(now, due, self.validity(), &standings)
    }

    /// What one CA's record permits.
    pub(super) fn standing(&self, ledger: &Ledger, now: Timestamp) -> Standing {
        let emergency = self.validity().is_some_and(|validity| plan::is_emergency(now, validity));
        ledger.earliest(now, self.names, emergency, jitter(self.names))
    }

    fn validity(&self) -> Option<Validity> {
        Some(self.there?.validity)
    }
}

/// Where this set stands among others in the spread of renewals, in per mille: a thousand machines
/// that were set up by one script must not renew in the same minute.
pub(super) fn jitter(names: &[HostPattern]) -> u16 {
    let mut hasher = SipHasher13::new();
    names.hash(&mut hasher);
    u16::try_from(hasher.finish() % 1_000).unwrap_or(0)
}
