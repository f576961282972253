//! When to order a certificate, at which CA, and why: pure.
//!
//! [`due`] looks at the certificate and at what its CA suggested, [`step`] at what the ledgers of
//! the CAs permit.

use super::ledger::{Hold, Standing};
use super::window::Window;
use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    /// First second.
    pub not_before: Timestamp,
    /// Last second.
    pub not_after: Timestamp,
}

impl Validity {
    /// Seconds; never negative.
    pub fn lifetime(self) -> i64 {
        self.not_after.since(self.not_before).max(0)
    }

    /// The time at which one part in `parts` of the lifetime is left.
    fn left(self, parts: i64) -> Timestamp {
        self.not_after.plus(-(self.lifetime() / parts))
    }
}

/// Why a certificate is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is none, or none for these names.
    Missing,
    /// A third of its lifetime is left, or half where that is below ten days.
    Lifetime,
    /// The CA suggested a time.
    Window,
    /// The CA suggested a time that had passed: it has revoked the certificate or is about to.
    Revoked {
        /// The page on which the CA says why.
        explanation: Option<String>,
    },
    /// Less than a twentieth of its lifetime is left.
    Emergency,
    /// A person asked.
    Asked,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::Lifetime => f.write_str("renewal"),
            Self::Window => f.write_str("renewal at the CA's time"),
            Self::Revoked { explanation: Some(link) } => write!(f, "the CA wants it replaced now, see {link}"),
            Self::Revoked { explanation: None } => f.write_str("the CA wants it replaced now"),
            Self::Emergency => f.write_str("about to expire"),
            Self::Asked => f.write_str("asked for"),
        }
    }
}

/// When a certificate is due, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Not before this time; in the past means now.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
}

/// Certificates that live shorter are renewed at half their life (RFC 9773's authors and Let's
/// Encrypt agree on the figure).
const SHORT_LIVED: i64 = 10 * 86_400;

/// With one part in so many left, nothing that suggests to wait is believed.
const EMERGENCY: i64 = 20;

/// A CA's window is believed as long as one part in so many is left then: failures need time to be
/// mended, and a person needs time to be told.
const LATEST_WINDOW: i64 = 10;

/// A renewal goes to the next CA once less than one part in so many is left. Half of the time
/// between the renewal and the end has passed by then, so the first CA has failed for many days or
/// its back-off has been through all steps. Earlier, a change of CA would be a surprise: other
/// intermediates, CAA records that forbid it, another account, and all that because of a hiccup.
const FALLBACK: i64 = 6;

/// A certificate is not renewed for its age before one part in so many of its lifetime has passed
/// since it was issued: a clock or a CA that says otherwise must not make a loop.
const SPACING: i64 = 4;

/// A time that the CA demands is followed even for a new certificate, but for one that replaced
/// another within this time: a CA that says the same of every certificate must not make a loop.
const BETWEEN_DEMANDS: i64 = 86_400;

/// The greatest jitter, in parts per mille.
const JITTER_SCALE: u16 = 1_000;

/// Whether so little is left that waiting is no longer an option.
pub fn is_emergency(now: Timestamp, current: Validity) -> bool {
    now >= current.left(EMERGENCY)
}

/// When the certificate is due. `window` is what the CA suggested for `current`, and `jitter` is a
/// constant of this machine and name set below 1000: certificates that were issued together, and
/// the machines of a cluster, should not all come back together. It moves the time earlier by up
/// to a twentieth of the lifetime, never later.
pub fn due(now: Timestamp, current: Option<Validity>, window: Option<&Window>, jitter: u16) -> Due {
    let Some(current) = current else {
        return Due { at: now, reason: Reason::Missing };
    };
    if let Some(window) = window.filter(|window| window.was_past()) {
        return Due { at: now, reason: Reason::Revoked { explanation: window.explanation.clone() } };
    }
    let emergency = is_emergency(now, current);
    if emergency {
        return Due { at: current.left(EMERGENCY), reason: Reason::Emergency };
    }
    let latest = current.left(LATEST_WINDOW);
    match window.filter(|window| window.start <= latest) {
        Some(window) => Due { at: window.chosen.min(latest).max(window.start), reason: Reason::Window },
        None => Due { at: by_lifetime(current, jitter), reason: Reason::Lifetime },
    }
}

fn by_lifetime(current: Validity, jitter: u16) -> Timestamp {
    let lifetime = current.lifetime();
    let due = if lifetime < SHORT_LIVED { current.left(2) } else { current.left(3) };
    let earlier = i128::from(lifetime / 20) * i128::from(jitter.min(JITTER_SCALE)) / i128::from(JITTER_SCALE);
    due.plus(-i64::try_from(earlier).unwrap_or(0))
}

/// What to do next for one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Index of the CA in the order of the configuration.
    pub ca: usize,
    /// Not before this time; in the past means now.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
    /// What postpones it beyond the time at which it is due.
    pub held_by: Option<Hold>,
}

/// Which CA is asked, and when. `standings` has each configured CA's, in order.
///
/// The first CA is the one, unless its last failure was its own fault: then the next is asked if
/// it can be asked sooner, for a certificate that is missing at once, for a renewal once less than
/// a sixth of the lifetime is left. The next renewal begins with the first CA again.
pub fn step(now: Timestamp, due: &Due, current: Option<Validity>, standings: &[Standing]) -> Step {
    let due_at = due.at.max(now);
    let fallback_at = match (&due.reason, current) {
        (Reason::Missing, _) | (_, None) => due_at,
        (_, Some(current)) => due_at.max(current.left(FALLBACK)),
    };
    let spaced = spacing(due, current, standings);
    let mut best: Option<Step> = None;
    for (ca, standing) in standings.iter().enumerate() {
        let (at, because) = match due.reason {
            Reason::Asked => (standing.limits_until, standing.limit.as_ref()),
            _ => (standing.at, standing.because.as_ref()),
        };
        let may = if ca == 0 { due_at } else { fallback_at };
        let (mut at, mut held_by) = (at.max(may), if at > may { because.cloned() } else { None });
        if let Some((until, hold)) = &spaced
            && *until > at
        {
            (at, held_by) = (*until, Some(hold.clone()));
        }
        if best.as_ref().is_none_or(|best| at < best.at) {
            best = Some(Step { ca, at, reason: due.reason.clone(), held_by });
        }
        if !standing.ca_side {
            break;
        }
    }
    best.unwrap_or(Step { ca: 0, at: due_at, reason: due.reason.clone(), held_by: None })
}

/// What keeps a new certificate from being replaced at once, whoever issued it.
fn spacing(due: &Due, current: Option<Validity>, standings: &[Standing]) -> Option<(Timestamp, Hold)> {
    let quarter = current?.lifetime() / SPACING;
    let mut issued: Vec<_> =
        standings.iter().flat_map(|standing| [standing.issued, standing.issued_before]).flatten().collect();
    issued.sort_unstable();
    let mut latest_first = issued.iter().rev();
    match due.reason {
        Reason::Lifetime | Reason::Emergency => {
            latest_first.next().map(|issued| (issued.plus(quarter), Hold::JustIssued))
        }
        Reason::Window | Reason::Revoked { .. } => {
            latest_first.nth(1).map(|before| (before.plus(BETWEEN_DEMANDS.min(quarter)), Hold::JustReplaced))
        }
        Reason::Missing | Reason::Asked => None,
    }
}
