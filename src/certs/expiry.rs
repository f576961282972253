//! How near a certificate is to its end, by fraction of its lifetime, and what of that is still to be
//! told: pure.
//!
//! Fractions, because lifetimes run from 6 to 398 days: a month left is nothing for one certificate
//! and half a life for another.

use super::keyring::Slot;
use super::x509::Facts;
use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How much of a certificate's lifetime is left. Later ones are nearer to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// It is not valid yet: issued ahead of time, or the clock of this machine is behind.
    NotYet,
    /// More than a third.
    Fine,
    /// A third or less. It should be renewed by now, or is about to be.
    Third,
    /// A sixth or less. Renewal has failed for as long again.
    Sixth,
    /// A twelfth or less: somebody has to look.
    Twelfth,
    /// Nothing: it is over.
    Expired,
}

/// The rungs at which something runs out, and the part of a lifetime at which each begins.
const LADDER: [(Rung, i64); 3] = [(Rung::Twelfth, 12), (Rung::Sixth, 6), (Rung::Third, 3)];

impl Rung {
    /// The number for `vestibule_tls_certificate_expiry_rung`: 0 is fine, 4 is expired, -1 is not yet
    /// valid.
    pub fn number(self) -> i64 {
        match self {
            Self::NotYet => -1,
            Self::Fine => 0,
            Self::Third => 1,
            Self::Sixth => 2,
            Self::Twelfth => 3,
            Self::Expired => 4,
        }
    }
}

/// Where a certificate stands at `now`. `not_after` is its last good second (RFC 5280 §4.1.2.5).
pub fn rung(now: Timestamp, not_before: Timestamp, not_after: Timestamp) -> Rung {
    if now > not_after {
        return Rung::Expired;
    }
    if now < not_before {
        return Rung::NotYet;
    }
    let reached = LADDER.iter().find(|(_, part)| now >= begin(not_before, not_after, *part));
    reached.map_or(Rung::Fine, |(rung, _)| *rung)
}

/// When the next change after `now` is, unless there is none any more.
pub fn next_change(now: Timestamp, not_before: Timestamp, not_after: Timestamp) -> Option<Timestamp> {
    let rungs = LADDER.iter().map(|(_, part)| begin(not_before, not_after, *part));
    rungs.chain([not_before, not_after.plus(1)]).filter(|change| *change > now).min()
}

/// What part of the lifetime is left at `now`: 1 at its beginning, 0 at its end and after it.
pub fn ratio_left(now: Timestamp, not_before: Timestamp, not_after: Timestamp) -> f64 {
    let lifetime = not_after.since(not_before).max(1);
    let left = not_after.since(now).clamp(0, lifetime);
    #[expect(clippy::cast_precision_loss, reason = "seconds of a lifetime, far below 2^52")]
    let ratio = left as f64 / lifetime as f64;
    ratio
}

/// The first second with no more than `1 / part` of the lifetime left.
fn begin(not_before: Timestamp, not_after: Timestamp, part: i64) -> Timestamp {
    let lifetime = not_after.since(not_before).max(0);
    not_after.plus(-(lifetime / part))
}

/// What tells one certificate from another. The serial number alone would not do for those that an
/// operator makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    serial: String,
    not_before: i64,
    not_after: i64,
}

impl Identity {
    fn of(facts: &Facts) -> Self {
        Self { serial: facts.serial.clone(), not_before: facts.not_before.0, not_after: facts.not_after.0 }
    }
}

/// What has been told of the certificates that are served. It begins empty at every start: then the
/// rung that a certificate stands on is told again, and none of those it has passed.
#[derive(Debug, Default)]
pub struct Ladder {
    told: BTreeMap<Slot, Told>,
}

#[derive(Debug)]
struct Told {
    identity: Identity,
    /// The one nearest to the end.
    rung: Rung,
    /// Whether it was told that the certificate is not valid yet.
    early: bool,
}

impl Ladder {
    /// Takes note of `served` at `now`, and returns what is to be told: each rung once for each
    /// certificate, however the clock jumps.
    pub fn observe<'a>(
        &mut self,
        now: Timestamp,
        served: impl IntoIterator<Item = (&'a Slot, &'a Facts)>,
    ) -> Vec<(Slot, Rung)> {
        let mut earlier = std::mem::take(&mut self.told);
        let mut due = Vec::new();
        for (slot, facts) in served {
            let identity = Identity::of(facts);
            let known = earlier.remove(slot).filter(|told| told.identity == identity);
            let mut told = known.unwrap_or(Told { identity, rung: Rung::Fine, early: false });
            let reached = rung(now, facts.not_before, facts.not_after);
            if reached == Rung::NotYet && !told.early {
                told.early = true;
                due.push((slot.clone(), reached));
            }
            if reached > told.rung {
                told.rung = reached;
                due.push((slot.clone(), reached));
            }
            self.told.insert(slot.clone(), told);
        }
        due
    }
}

/// What the hook was told last of the certificate in a slot; kept in the store, so that a crash loop
/// does not run the hook at every start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    #[serde(flatten)]
    identity: Identity,
    rung: Rung,
}

impl Record {
    /// That the hook was told of `rung`.
    pub fn new(facts: &Facts, rung: Rung) -> Self {
        Self { identity: Identity::of(facts), rung }
    }

    /// Whether this says that the hook knows of `other` already.
    pub fn covers(&self, other: &Self) -> bool {
        self.identity == other.identity && self.rung >= other.rung
    }

    /// Where the record of a slot is kept.
    pub fn key(slot: &Slot) -> String {
        match slot {
            Slot::Files(index) => format!("expiry/files-{index}.json"),
            Slot::Issued(name) => format!("expiry/issued-{name}.json"),
            Slot::LeftOver(name) => format!("expiry/left-{name}.json"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn facts(serial: &str, not_before: i64, not_after: i64) -> Facts {
        Facts {
            names: Vec::new(),
            not_before: Timestamp(not_before),
            not_after: Timestamp(not_after),
            serial: serial.to_owned(),
            issuer: String::new(),
            subject: String::new(),
            subject_der: Vec::new(),
            issuer_der: Vec::new(),
            renewal_id: None,
        }
    }

    #[test]
    fn rungs_are_fractions_of_any_lifetime() {
        for days in [1, 6, 45, 64, 90, 398] {
            let lifetime = days * DAY;
            let at = |left: i64| rung(Timestamp(lifetime - left), Timestamp(0), Timestamp(lifetime));
            for (left, expected) in [
                (lifetime + 1, Rung::NotYet),
                (lifetime, Rung::Fine),
                (lifetime / 3 + 1, Rung::Fine),
                (lifetime / 3, Rung::Third),
                (lifetime / 6 + 1, Rung::Third),
                (lifetime / 6, Rung::Sixth),
                (lifetime / 12 + 1, Rung::Sixth),
                (lifetime / 12, Rung::Twelfth),
                (0, Rung::Twelfth),
                (-1, Rung::Expired),
            ] {
                assert_eq!(at(left), expected, "{left} s left of {days} days");
            }
        }
    }

    #[test]
    fn odd_lifetimes_are_survived() {
        let rung = |now, from, to| rung(Timestamp(now), Timestamp(from), Timestamp(to));
        assert_eq!(rung(5, 5, 5), Rung::Twelfth);
        // Ends before it begins.
        assert_eq!(rung(7, 9, 5), Rung::Expired);
        assert_eq!(rung(4, 9, 5), Rung::NotYet);
        assert_eq!(rung(0, i64::MIN, i64::MAX), Rung::Fine);
        assert_eq!(next_change(Timestamp(i64::MAX), Timestamp(i64::MIN), Timestamp(i64::MAX)), None);
    }

    #[test]
    fn changes_come_where_the_rung_changes() {
        let (from, to) = (Timestamp(1_000), Timestamp(1_000 + 6 * DAY));
        let (mut now, mut seen) = (Timestamp(0), Vec::new());
        while let Some(change) = next_change(now, from, to) {
            assert_ne!(rung(change.plus(-1), from, to), rung(change, from, to), "{change}");
            seen.push(rung(change, from, to));
            now = change;
        }
        assert_eq!(seen, [Rung::Fine, Rung::Third, Rung::Sixth, Rung::Twelfth, Rung::Expired]);
    }

    #[test]
    fn what_is_left_is_between_one_and_zero() {
        let ratio = |now| ratio_left(Timestamp(now), Timestamp(100), Timestamp(300));
        assert_eq!([ratio(0), ratio(100), ratio(250), ratio(300), ratio(999)], [1.0, 1.0, 0.25, 0.0, 0.0]);
        assert_eq!(ratio_left(Timestamp(9), Timestamp(9), Timestamp(9)), 0.0);
    }

    /// What is told of one certificate of twelve days when it is looked at on these days.
    fn told(days: &[i64]) -> Vec<(i64, Rung)> {
        let (mut ladder, slot, facts) = (Ladder::default(), Slot::Files(0), facts("01", 0, 12 * DAY));
        let at = days.iter().flat_map(|day| {
            let due = ladder.observe(Timestamp(day * DAY), [(&slot, &facts)]);
            due.into_iter().map(|(_, rung)| (*day, rung)).collect::<Vec<_>>()
        });
        at.collect()
    }

    #[test]
    fn each_rung_is_told_once() {
        let expected = [(8, Rung::Third), (10, Rung::Sixth), (11, Rung::Twelfth), (13, Rung::Expired)];
        assert_eq!(told(&[0, 7, 8, 8, 9, 10, 11, 12, 13, 14]), expected);
    }

    #[test]
    fn only_the_rung_reached_is_told_at_a_start_or_after_a_jump() {
        assert_eq!(told(&[11, 11]), [(11, Rung::Twelfth)]);
        assert_eq!(told(&[1, 14]), [(14, Rung::Expired)]);
        // Back and forth again: nothing is told twice.
        assert_eq!(told(&[10, 1, 10, 11]), [(10, Rung::Sixth), (11, Rung::Twelfth)]);
    }

    #[test]
    fn a_clock_before_the_beginning_is_told_once_and_hides_nothing() {
        let expected = [(-1, Rung::NotYet), (11, Rung::Twelfth), (13, Rung::Expired)];
        assert_eq!(told(&[-1, -1, 11, -1, 13]), expected);
    }

    #[test]
    fn a_new_certificate_begins_anew_and_slots_are_their_own() {
        let mut ladder = Ladder::default();
        let (one, two) = (Slot::Files(0), Slot::Issued("a.example".to_owned()));
        let (old, new) = (facts("01", 0, 12 * DAY), facts("02", 8 * DAY, 20 * DAY));
        let at = |ladder: &mut Ladder, day, served: &[(&Slot, &Facts)]| {
            ladder.observe(Timestamp(day * DAY), served.iter().copied())
        };
        let both = [(one.clone(), Rung::Third), (two.clone(), Rung::Third)];
        assert_eq!(at(&mut ladder, 9, &[(&one, &old), (&two, &old)]), both);
        assert_eq!(at(&mut ladder, 10, &[(&one, &old), (&two, &new)]), [(one.clone(), Rung::Sixth)]);
        assert_eq!(at(&mut ladder, 17, &[(&two, &new)]), [(two.clone(), Rung::Third)]);
        // The same serial number with another end is another certificate.
        assert_eq!(at(&mut ladder, 19, &[(&two, &facts("02", 8 * DAY, 21 * DAY))]), [(two, Rung::Sixth)]);
        assert_eq!(ladder.told.len(), 1, "what is not served any more is forgotten");
    }

    #[test]
    fn a_record_covers_what_came_before_it() {
        let (one, other) = (facts("01", 0, 12 * DAY), facts("02", 0, 12 * DAY));
        let record = Record::new(&one, Rung::Sixth);
        let kept: Record = serde_json::from_slice(&serde_json::to_vec(&record).unwrap()).unwrap();
        assert_eq!(kept, record);
        assert!(kept.covers(&Record::new(&one, Rung::Third)) && kept.covers(&record));
        assert!(!kept.covers(&Record::new(&one, Rung::Twelfth)));
        assert!(!kept.covers(&Record::new(&other, Rung::Third)));
        assert_eq!(Record::key(&Slot::Issued("a.example".to_owned())), "expiry/issued-a.example.json");
    }
}
