//! What the record permits, and when: pure.

use super::failure::FailureKind;
use super::record::{Attempt, Event, Outcome};
use super::rehearsal::Rehearsal;
use super::{Ledger, set_key};
use crate::backoff::Ladder;
use crate::clock::Timestamp;
use crate::matrix::HostPattern;
use std::fmt;
use std::time::Duration;

pub(super) const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
pub(super) const WEEK: i64 = 7 * DAY;

/// As Let's Encrypt's integration guide asks: a minute, ten, a hundred, then once a day.
const LADDER: Ladder = Ladder::new(&[
    Duration::from_secs(60),
    Duration::from_secs(600),
    Duration::from_secs(6_000),
    Duration::from_secs(86_400),
]);

/// A CA that cannot be reached was asked nothing, so it is tried again soon.
const UNREACHABLE: Ladder = Ladder::new(&[Duration::from_secs(60), Duration::from_secs(600)]);

/// A CA that answers with 5xx has work already.
const UNAVAILABLE: Ladder =
    Ladder::new(&[Duration::from_secs(60), Duration::from_secs(600), Duration::from_secs(3_600)]);

/// No back-off is longer while the certificate is about to expire.
const EMERGENCY: i64 = HOUR;

/// No back-off is shorter, nor longer than a sixth of the lifetime where that is below four days: a
/// day's delay would outlive such a certificate.
const SHORTEST: i64 = 60;

/// Until a paused name is tried again. Only a person can end the pause.
const PAUSED: i64 = DAY;

/// The longest Retry-After that is believed: no published limit has a longer span (Let's Encrypt's
/// limit on duplicates gives one back every 34 hours, so a day would not do). A longer one is a
/// mistake and taken for a day.
const LONGEST_RETRY_AFTER: i64 = WEEK;

/// Failed authorisations an hour for a name. Let's Encrypt gives five; the rest is for a person, for
/// another program that shares the account, and for mistakes.
const FAILED_AN_HOUR: usize = 2;

/// Certificates a week for the same names. Let's Encrypt gives five.
pub(super) const CERTIFICATES_A_WEEK: usize = 4;

/// Certificates that live shorter come from a CA without such a limit (a renewal at half their life
/// would exceed it by itself); four in a lifetime are permitted then.
const LIMITED_LIFETIME: i64 = 4 * DAY;

/// How long after its beginning an order that was interrupted may have cost something.
const ORDER_TAKES: i64 = 600;

/// What postpones an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The delay after failures.
    BackOff {
        /// In a row.
        failures: u32,
    },
    /// The CA asked to wait.
    RetryAfter,
    /// The CA paused a name until a person opens its link.
    Paused {
        /// The link.
        link: Option<String>,
    },
    /// Two failed authorisations within an hour.
    FailedAuthorisations {
        /// Of this name.
        identifier: String,
    },
    /// Four certificates for these names within a week.
    Certificates,
    /// The certificate is new.
    JustIssued,
    /// The CA demands one replacement after the other.
    JustReplaced,
}

impl Hold {
    /// Whether the CA asked for it itself. The others are about new orders, and leave alone what was
    /// placed before.
    pub fn is_the_cas_word(&self) -> bool {
        matches!(self, Self::RetryAfter | Self::Paused { .. })
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BackOff { failures: 1 } => f.write_str("back-off after a failure"),
            Self::BackOff { failures } => write!(f, "back-off after {failures} failures in a row"),
            Self::RetryAfter => f.write_str("the CA asked to wait (Retry-After)"),
            Self::Paused { link: Some(link) } => write!(f, "the CA has paused these names; open {link}"),
            Self::Paused { link: None } => f.write_str("the CA has paused these names"),
            Self::FailedAuthorisations { identifier } => {
                write!(f, "{FAILED_AN_HOUR} failed validations of {identifier} within an hour")
            }
            Self::Certificates => write!(f, "{CERTIFICATES_A_WEEK} certificates for these names within a week"),
            Self::JustIssued => f.write_str("the certificate is new"),
            Self::JustReplaced => f.write_str("the certificate has been replaced already within the last two days"),
        }
    }
}

/// What one CA's record permits for one set of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Not before this time; `now` when nothing holds.
    pub at: Timestamp,
    /// What holds, while `at` is later than `now`.
    pub because: Option<Hold>,
    /// The same without back-off and pauses, for an order that a person asks for: limits and
    /// Retry-After hold even then.
    pub limits_until: Timestamp,
    /// Which of them holds.
    pub limit: Option<Hold>,
    /// Whether the last attempt that came to an end failed for a reason of the CA's own.
    pub ca_side: bool,
    /// When this CA last issued a certificate for these names, as far as the record goes back.
    pub issued: Option<Timestamp>,
    /// When it issued the one before that.
    pub issued_before: Option<Timestamp>,
}

/// What is left of a CA's patience.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Certificates for exactly these names that may be ordered now, of four a week.
    pub certificates_left_this_week: usize,
    /// How many of this week's the CA does not count, as far as is known.
    pub exempt_this_week: usize,
    /// Failed authorisations that may happen now, of two an hour; of the name with the fewest.
    pub failures_left_this_hour: usize,
    /// When the first of them comes back, if any is gone.
    pub next_free: Option<Timestamp>,
}

impl Budget {
    /// Of how many certificates a week [`Self::certificates_left_this_week`] is what is left.
    pub const CERTIFICATES_A_WEEK: usize = CERTIFICATES_A_WEEK;
    /// Of how many failures an hour [`Self::failures_left_this_hour`] is what is left.
    pub const FAILURES_AN_HOUR: usize = FAILED_AN_HOUR;
}

/// A time and what holds until then.
type Held = (Timestamp, Hold);

impl Ledger {
    /// When the next order may be placed. `emergency` caps the back-off (see
    /// [`crate::acme::plan::is_emergency`]), `jitter` is below 1000 and lengthens it by up to a
    /// tenth.
    ///
    /// No hold is longer than a day, but for Retry-After and the limit on certificates, which may
    /// take a week; whatever the record says happened in the future holds for a day at most.
    pub fn earliest(&self, now: Timestamp, names: &[HostPattern], emergency: bool, jitter: u16) -> Standing {
        let events = self.all_events();
        let limits = [
            self.retry_after(now, &events),
            self.failed_limit(now, names, &events),
            self.certificate_limit(now, names, &events),
        ];
        let limit = latest(now, limits);
        let back_off = self.back_off(now, &events, emergency, jitter);
        let hold = latest(now, [limit.clone(), back_off]);
        let set = set_key(names);
        let mut issued = events
            .iter()
            .rev()
            .filter(|event| event.is_issued() && event.certificate.as_deref() == Some(&set))
            .map(|event| self.happened(event.at, now));
        Standing {
            at: hold.as_ref().map_or(now, |(at, _)| *at),
            because: hold.map(|(_, hold)| hold),
            limits_until: limit.as_ref().map_or(now, |(at, _)| *at),
            limit: limit.map(|(_, hold)| hold),
            // A crash says nothing about the CA, and changes nothing about what it said before.
            ca_side: events.iter().rev().find(|event| !event.is_interrupted()).is_some_and(|event| event.is_ca_side()),
            issued: issued.next(),
            issued_before: issued.next(),
        }
    }

    /// What is left for `names`.
    pub fn budget(&self, now: Timestamp, names: &[HostPattern]) -> Budget {
        let events = self.all_events();
        let set = set_key(names);
        let span = self.certificate_span();
        let certificates: Vec<_> = events
            .iter()
            .filter(|event| event.certificate.as_deref() == Some(&set))
            .map(|event| (self.until(event, span, now), event.is_exempt()))
            .filter(|(until, _)| *until > now)
            .collect();
        let failures = names.iter().map(|name| {
            let name = name.plain();
            let of_name = events.iter().filter(|event| event.failed.contains(&name));
            of_name.map(|event| self.until(event, HOUR, now)).filter(|until| *until > now).collect::<Vec<_>>()
        });
        let failures = failures.max_by_key(Vec::len).unwrap_or_default();
        let next_free = certificates.iter().map(|(until, _)| until).chain(&failures).min().copied();
        Budget {
            certificates_left_this_week: CERTIFICATES_A_WEEK.saturating_sub(certificates.len()),
            exempt_this_week: certificates.iter().filter(|(_, exempt)| *exempt).count(),
            failures_left_this_hour: FAILED_AN_HOUR.saturating_sub(failures.len()),
            next_free,
        }
    }

    /// The record's events, and the attempt that is under way or was interrupted as one of them.
    fn all_events(&self) -> Vec<Event> {
        let open = self.open.as_ref().map(Attempt::interrupted);
        self.events.iter().cloned().chain(open).collect()
    }

    /// `span` after an event. One of an interrupted order counts as late as it may have happened.
    fn until(&self, event: &Event, span: i64, now: Timestamp) -> Timestamp {
        let at = self.happened(event.at, now);
        let span = if event.at > now { span.min(DAY) } else { span };
        let late = if event.outcome == Outcome::Interrupted && event.at <= now { ORDER_TAKES } else { 0 };
        at.plus(late).min(now.max(at)).plus(span)
    }

    fn failed_limit(&self, now: Timestamp, names: &[HostPattern], events: &[Event]) -> Option<Held> {
        let of = |name: &HostPattern| {
            let identifier = name.plain();
            let mut of_name = events.iter().filter(|event| event.failed.contains(&identifier));
            let until = of_name.nth_back(FAILED_AN_HOUR - 1).map(|event| self.until(event, HOUR, now))?;
            Some((until, Hold::FailedAuthorisations { identifier }))
        };
        latest(now, names.iter().map(of))
    }

    fn certificate_limit(&self, now: Timestamp, names: &[HostPattern], events: &[Event]) -> Option<Held> {
        let set = set_key(names);
        let mut of_set = events.iter().filter(|event| event.certificate.as_deref() == Some(&set));
        let until =
            of_set.nth_back(CERTIFICATES_A_WEEK - 1).map(|event| self.until(event, self.certificate_span(), now))?;
        Some((until, Hold::Certificates))
    }

    /// The time in which four certificates are permitted.
    fn certificate_span(&self) -> i64 {
        self.short_lifetime().map_or(WEEK, |lifetime| lifetime.max(1))
    }

    /// The lifetime of the last certificate if it is one that a public CA would not issue.
    fn short_lifetime(&self) -> Option<i64> {
        let lifetime = self.events.iter().rev().find_map(Event::lifetime);
        lifetime.filter(|lifetime| *lifetime < LIMITED_LIFETIME)
    }

    /// Retry-After of any failure since the last certificate.
    fn retry_after(&self, now: Timestamp, events: &[Event]) -> Option<Held> {
        let since = events.iter().rev().take_while(|event| !event.is_issued());
        let asked = since.filter_map(|event| {
            let seconds = event.retry_after().filter(|seconds| *seconds > 0)?;
            let seconds = if seconds > LONGEST_RETRY_AFTER { DAY } else { seconds };
            Some((self.until(event, seconds, now), Hold::RetryAfter))
        });
        latest(now, asked.map(Some))
    }

    fn back_off(&self, now: Timestamp, events: &[Event], emergency: bool, jitter: u16) -> Option<Held> {
        let event = events.last()?;
        if self.rehearsal == Rehearsal::Passed && self.open.is_none() {
            return None;
        }
        let failures = self.failures.saturating_add(u32::from(self.open.is_some()));
        let (delay, hold) = match &event.outcome {
            Outcome::Issued { .. } => return None,
            Outcome::Failed { kind: FailureKind::Paused { link }, .. } => (PAUSED, Hold::Paused { link: link.clone() }),
            Outcome::Failed { kind: FailureKind::Unreachable | FailureKind::Local, .. } => {
                (seconds(UNREACHABLE, self.outages), Hold::BackOff { failures: self.outages })
            }
            Outcome::Failed { kind: FailureKind::Unavailable, .. } => {
                (seconds(UNAVAILABLE, self.outages), Hold::BackOff { failures: self.outages })
            }
            Outcome::Failed { .. } | Outcome::RehearsalFailed { .. } | Outcome::Interrupted => {
                (seconds(LADDER, failures), Hold::BackOff { failures })
            }
        };
        let paused = matches!(hold, Hold::Paused { .. });
        let longest = self.short_lifetime().map_or(DAY, |lifetime| (lifetime / 6).max(SHORTEST));
        let longest = if emergency { longest.min(EMERGENCY) } else { longest };
        let delay = if paused { delay } else { delay.min(longest) };
        let delay = delay.saturating_add(delay.saturating_mul(i64::from(jitter.min(1_000))) / 10_000);
        let delay = if event.at > now { delay.min(DAY) } else { delay };
        Some((self.happened(event.at, now).plus(delay), hold))
    }
}

fn seconds(ladder: Ladder, failures: u32) -> i64 {
    i64::try_from(ladder.after(failures).as_secs()).unwrap_or(DAY)
}

/// The hold that lasts longest, of those that are not over.
fn latest(now: Timestamp, holds: impl IntoIterator<Item = Option<Held>>) -> Option<Held> {
    holds.into_iter().flatten().filter(|(at, _)| *at > now).max_by_key(|(at, _)| *at)
}
