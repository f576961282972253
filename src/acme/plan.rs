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

/// A time that the CA demands is followed even for a new certificate. If that had replaced another
/// within this time (or a quarter of its lifetime), so much must pass first: a CA that says the same
/// of every certificate must not make a loop, nor spend the week's certificates in a day.
const BETWEEN_DEMANDS: i64 = 2 * 86_400;

/// The greatest jitter, in parts per mille.
const JITTER_SCALE: u16 = 1_000;

/// Whether so little is left that waiting is no longer an option.
pub fn is_emergency(now: Timestamp, current: Validity) -> bool {
    now >= emergency_at(current)
}

/// From when on that is so.
pub fn emergency_at(current: Validity) -> Timestamp {
    current.left(EMERGENCY)
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
        // A revoked certificate is none to those who look, however long it would have lasted.
        (Reason::Missing | Reason::Revoked { .. }, _) | (_, None) => due_at,
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
    let mut latest_first = issued.into_iter().rev();
    let (newest, before) = (latest_first.next()?, latest_first.next());
    match due.reason {
        Reason::Lifetime | Reason::Emergency => Some((newest.plus(quarter), Hold::JustIssued)),
        Reason::Window | Reason::Revoked { .. } => {
            let pause = BETWEEN_DEMANDS.min(quarter);
            before.filter(|before| newest.since(*before) <= pause).map(|_| (newest.plus(pause), Hold::JustReplaced))
        }
        Reason::Missing | Reason::Asked => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: i64 = 3_600;
    const DAY: i64 = 86_400;

    fn validity(from: i64, life: i64) -> Validity {
        Validity { not_before: Timestamp(from), not_after: Timestamp(from + life) }
    }

    fn window(start: i64, end: i64, chosen: i64, named: i64) -> Window {
        Window {
            certificate: "a.b".to_owned(),
            start: Timestamp(start),
            end: Timestamp(end),
            chosen: Timestamp(chosen),
            explanation: Some("https://ca.example/why".to_owned()),
            named: Timestamp(named),
            ask_again: Timestamp(named + 6 * HOUR),
        }
    }

    fn free(now: i64) -> Standing {
        Standing {
            at: Timestamp(now),
            because: None,
            limits_until: Timestamp(now),
            limit: None,
            ca_side: false,
            issued: None,
            issued_before: None,
        }
    }

    fn held(until: i64, ca_side: bool) -> Standing {
        Standing { at: Timestamp(until), because: Some(Hold::BackOff { failures: 2 }), ca_side, ..free(0) }
    }

    #[test]
    fn fractions_of_any_lifetime() {
        let at = |life| due(Timestamp(0), Some(validity(0, life)), None, 0).at.0;
        assert_eq!((at(90 * DAY), at(45 * DAY), at(398 * DAY)), (60 * DAY, 30 * DAY, 398 * DAY * 2 / 3));
        assert_eq!((at(6 * DAY), at(160 * HOUR), at(2 * HOUR)), (3 * DAY, 80 * HOUR, HOUR));
        let missing = Due { at: Timestamp(7), reason: Reason::Missing };
        assert_eq!(due(Timestamp(7), None, Some(&window(0, 9, 5, 0)), 999), missing);
        let jittered = due(Timestamp(0), Some(validity(0, 90 * DAY)), None, 1_000);
        assert_eq!(jittered.at.0, 60 * DAY - 90 * DAY / 20, "earlier by a twentieth of the lifetime");
        assert_eq!(jittered, due(Timestamp(0), Some(validity(0, 90 * DAY)), None, u16::MAX), "and never by more");
    }

    #[test]
    fn the_window_of_the_ca() {
        let now = Timestamp(50 * DAY);
        let of = |window: Window| due(now, Some(validity(0, 90 * DAY)), Some(&window), 500);
        let at = |days: i64, reason| Due { at: Timestamp(days * DAY), reason };
        assert_eq!(of(window(59 * DAY, 61 * DAY, 60 * DAY, 0)), at(60, Reason::Window), "no jitter inside");
        assert_eq!(of(window(2 * DAY, 3 * DAY, 2 * DAY, 0)), at(2, Reason::Window), "early, and missed");
        let explanation = Some("https://ca.example/why".to_owned());
        let revoked = Reason::Revoked { explanation };
        assert_eq!(of(window(2 * DAY, 3 * DAY, 2 * DAY, 3 * DAY)), at(50, revoked), "past when it was named");
        assert_eq!(of(window(80 * DAY, 89 * DAY, 88 * DAY, 0)), at(81, Reason::Window), "a tenth is left");
        let ignored = of(window(82 * DAY, 89 * DAY, 88 * DAY, 0));
        assert_eq!(ignored.reason, Reason::Lifetime, "later than the lifetime allows");
        let late = Timestamp(86 * DAY);
        let due = due(late, Some(validity(0, 90 * DAY)), Some(&window(80 * DAY, 89 * DAY, 88 * DAY, 0)), 0);
        assert_eq!((due.reason, due.at <= late), (Reason::Emergency, true));
    }

    #[test]
    fn reasons_for_the_log() {
        let revoked = |explanation| Reason::Revoked { explanation };
        assert_eq!(revoked(None).to_string(), "the CA wants it replaced now");
        let explained = revoked(Some("https://ca.example/why".to_owned()));
        assert_eq!(explained.to_string(), "the CA wants it replaced now, see https://ca.example/why");
        assert_eq!(Reason::Lifetime.to_string(), "renewal");
    }

    #[test]
    fn a_missing_certificate_goes_to_the_next_ca_at_once() {
        let now = Timestamp(1_000);
        let missing = due(now, None, None, 0);
        let of = |standings: &[Standing]| {
            let step = step(now, &missing, None, standings);
            (step.ca, step.at.0, step.held_by.is_some())
        };
        assert_eq!(of(&[free(1_000), free(1_000)]), (0, 1_000, false));
        assert_eq!(of(&[held(1_060, true), free(1_000)]), (1, 1_000, false));
        assert_eq!(of(&[held(1_060, false), free(1_000)]), (0, 1_060, true), "a failed validation fails everywhere");
        assert_eq!(of(&[held(1_060, true), held(1_030, true), free(1_000)]), (2, 1_000, false));
        assert_eq!(of(&[held(1_060, true), held(1_030, false), free(1_000)]), (1, 1_030, true));
        assert_eq!(of(&[held(1_060, true), held(1_090, true)]), (0, 1_060, true), "all held: the soonest");
        assert_eq!(of(&[]), (0, 1_000, false));
    }

    #[test]
    fn a_revoked_certificate_goes_to_the_next_ca_at_once() {
        let (now, current) = (Timestamp(10 * DAY), Some(validity(0, 90 * DAY)));
        let revoked = Due { at: now, reason: Reason::Revoked { explanation: None } };
        let aged = Due { at: now, reason: Reason::Lifetime };
        let standings = [held(11 * DAY, true), free(10 * DAY)];
        assert_eq!(step(now, &revoked, current, &standings).ca, 1);
        assert_eq!(step(now, &aged, current, &standings).ca, 0);
    }

    #[test]
    fn a_renewal_changes_the_ca_late_and_returns() {
        let current = Some(validity(0, 90 * DAY));
        let at = |day: i64, first: Standing| {
            let now = Timestamp(day * DAY);
            let step = step(now, &due(now, current, None, 0), current, &[first, free(now.0)]);
            (step.ca, step.at.0)
        };
        assert_eq!(at(70, held(71 * DAY, true)), (0, 71 * DAY), "not for a hiccup");
        assert_eq!(at(70, held(80 * DAY, true)), (1, 75 * DAY), "with a sixth of the lifetime left");
        assert_eq!(at(76, held(77 * DAY, true)), (1, 76 * DAY));
        assert_eq!(at(76, held(77 * DAY, false)), (0, 77 * DAY));
        assert_eq!(at(76, held(75 * DAY, true)), (0, 76 * DAY), "whose delay is over is the first again");
        assert_eq!(at(10, held(11 * DAY, true)), (0, 60 * DAY), "a hold that ends before it is due");
        let early = Timestamp(10 * DAY);
        assert_eq!(step(early, &due(early, current, None, 0), current, &[held(11 * DAY, true)]).held_by, None);
    }

    #[test]
    fn who_asks_waits_for_limits_only() {
        let now = Timestamp(0);
        let asked = Due { at: now, reason: Reason::Asked };
        let limited = Standing { limits_until: Timestamp(50), limit: Some(Hold::RetryAfter), ..held(90, false) };
        let of = |standing| {
            let step = step(now, &asked, Some(validity(0, DAY)), &[standing]);
            (step.at.0, step.held_by)
        };
        assert_eq!(of(held(90, false)), (0, None));
        assert_eq!(of(limited), (50, Some(Hold::RetryAfter)));
    }

    #[test]
    fn no_certificate_is_replaced_in_a_loop() {
        let now = Timestamp(100 * DAY);
        let of = |reason: &Reason, current, issued, issued_before| {
            let standing = Standing { issued: Some(issued), issued_before: Some(issued_before), ..free(now.0) };
            let due = Due { at: now, reason: reason.clone() };
            let step = step(now, &due, current, &[free(now.0), standing]);
            (step.at.since(now), step.held_by)
        };
        // By this clock it has expired, and it was issued a minute ago.
        let expired = Some(validity(0, 90 * DAY));
        let new = now.plus(-60);
        let quarter = 90 * DAY / 4 - 60;
        for reason in [Reason::Lifetime, Reason::Emergency] {
            assert_eq!(of(&reason, expired, new, Timestamp(0)), (quarter, Some(Hold::JustIssued)));
        }
        let revoked = Reason::Revoked { explanation: None };
        for reason in [revoked, Reason::Window] {
            assert_eq!(of(&reason, expired, new, Timestamp(0)), (0, None), "the first demand is met at once");
            let again = of(&reason, expired, new, now.plus(-HOUR));
            assert_eq!(again, (2 * DAY - 60, Some(Hold::JustReplaced)), "the second in a day is not");
        }
        assert_eq!(of(&Reason::Asked, expired, new, new), (0, None));
        assert_eq!(of(&Reason::Missing, None, new, new), (0, None));
    }

    proptest! {
        #[test]
        fn due_lies_inside_the_lifetime(
            start in 0_i64..4_000_000_000,
            life in HOUR..400 * DAY,
            passed in 0_i64..1_000,
            (jitter, from, length, at) in (0_u16..1_000, -500_i64..1_500, 1_i64..1_000, 0_i64..1_000),
            with_window: bool,
        ) {
            let current = validity(start, life);
            let now = Timestamp(start + life * passed / 1_000);
            let begin = start + life * from / 1_000;
            let end = begin + 1 + life * length / 1_000;
            let window = window(begin, end, begin + (end - begin) * at / 1_000, start);
            let window = with_window.then_some(&window);
            let due = due(now, Some(current), window, jitter);
            match due.reason {
                Reason::Revoked { .. } => prop_assert_eq!(due.at, now),
                Reason::Window => {
                    let window = window.unwrap();
                    prop_assert!(window.start <= due.at && due.at < window.end);
                    prop_assert!(due.at < current.not_after);
                }
                _ => prop_assert!(current.not_before < due.at && due.at < current.not_after),
            }
        }

        #[test]
        fn jitter_only_moves_earlier(life in HOUR..400 * DAY, jitter in 0_u16..1_000) {
            let at = |jitter| due(Timestamp(0), Some(validity(0, life)), None, jitter).at.0;
            prop_assert!(at(jitter) <= at(0) && at(jitter) >= at(0) - life / 20);
        }

        #[test]
        fn no_validity_is_too_strange(from: i64, to: i64, now: i64, start: i64, end: i64, jitter: u16) {
            let current = Some(Validity { not_before: Timestamp(from), not_after: Timestamp(to) });
            let window = window(start, end, start, now);
            for window in [None, Some(&window)] {
                let due = due(Timestamp(now), current, window, jitter);
                step(Timestamp(now), &due, current, &[free(now), held(end, true)]);
            }
        }
    }
}
