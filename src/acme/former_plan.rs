//! When to order, and why: pure.

use crate::certs::x509::Facts;
use crate::clock::Timestamp;
use std::fmt;

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Not before this time; in the past means now.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
}

/// Why a certificate is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is none, or none for these names.
    Missing,
    /// A third of its lifetime is left, or half where that is below ten days.
    Lifetime,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Lifetime => "renewal",
        })
    }
}

/// Certificates that live shorter are renewed at half their life (RFC 9773's authors and Let's
/// Encrypt agree on the figure).
const SHORT_LIVED: i64 = 10 * 86_400;

/// Plans the next order for a certificate (or none), not before `next_attempt`, which the record
/// of earlier failures gives.
pub fn plan(now: Timestamp, current: Option<&Facts>, next_attempt: Timestamp) -> Plan {
    let (due, reason) = match current {
        None => (now, Reason::Missing),
        Some(facts) => {
            let lifetime = facts.not_after.since(facts.not_before);
            let left = if lifetime < SHORT_LIVED { lifetime / 2 } else { lifetime / 3 };
            (facts.not_after.plus(-left), Reason::Lifetime)
        }
    };
    Plan { at: due.max(next_attempt), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: i64 = 86_400;

    fn facts(not_before: i64, not_after: i64) -> Facts {
        Facts {
            names: Vec::new(),
            not_before: Timestamp(not_before),
            not_after: Timestamp(not_after),
            serial: String::new(),
            issuer: String::new(),
            subject: String::new(),
            subject_der: Vec::new(),
            issuer_der: Vec::new(),
        }
    }

    #[test]
    fn fractions_of_any_lifetime() {
        let due = |days: i64| plan(Timestamp(0), Some(&facts(0, days * DAY)), Timestamp(0)).at.0;
        assert_eq!((due(90), due(45), due(6)), (60 * DAY, 30 * DAY, 3 * DAY));
        let missing = plan(Timestamp(7), None, Timestamp(0));
        assert_eq!(missing, Plan { at: Timestamp(7), reason: Reason::Missing });
        assert_eq!(plan(Timestamp(7), None, Timestamp(60)).at, Timestamp(60), "the record of failures counts");
    }

    proptest! {
        #[test]
        fn renewal_is_planned_inside_the_lifetime(start in 0_i64..4_000_000_000, life in 3600_i64..400 * DAY) {
            let plan = plan(Timestamp(start), Some(&facts(start, start + life)), Timestamp(0));
            prop_assert!(plan.at.0 > start && plan.at.0 < start + life);
        }
    }
}
