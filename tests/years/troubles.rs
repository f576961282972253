//! What is planned to go wrong, and whether there was time enough between to renew.

use super::time::{HOUR, MINUTE};

/// Why nothing could be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The CA of this number was away.
    Outage(usize),
    /// The machine's clock was wrong, and no CA could be reached for that.
    Clock,
    /// The state directory failed.
    Disk,
    /// Challenges could not be met.
    Closed,
}

/// From when to when.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    pub from: i64,
    pub to: i64,
    pub cause: Cause,
}

/// After a failure or crash, the longest delay that the manager may take: a day, and a tenth of jitter.
const ENOUGH: i64 = 27 * HOUR;

/// With a twentieth of the lifetime left, or none, no delay is longer than an hour.
const ENOUGH_IN_EMERGENCY: i64 = 90 * MINUTE;

/// A certificate whose renewal is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub not_before: i64,
    pub not_after: i64,
}

impl Span {
    pub fn lifetime(self) -> i64 {
        self.not_after - self.not_before + 1
    }

    fn left(self, parts: i64) -> i64 {
        self.not_after - self.lifetime() / parts
    }

    /// A third of the lifetime is left, or half below ten days.
    fn ideal(self) -> i64 {
        if self.lifetime() < 240 * HOUR { self.left(2) } else { self.left(3) }
    }

    /// When it is to be renewed at the latest: a hundredth after the ideal time, where the CA's window ends.
    pub fn due(self) -> i64 {
        self.ideal() + self.lifetime() / 100 + HOUR
    }

    /// Before that nobody renews who has no other reason: a twentieth of jitter.
    pub fn earliest(self) -> i64 {
        self.ideal() - self.lifetime() / 20 - self.lifetime() / 100 - HOUR
    }
}

/// All that is planned.
#[derive(Clone, Debug, Default)]
pub struct Troubles {
    pub planned: Vec<Trouble>,
    /// How many CAs there are.
    pub cas: usize,
}

impl Troubles {
    pub fn add(&mut self, from: i64, to: i64, cause: Cause) {
        self.planned.push(Trouble { from, to, cause });
    }

    /// A time in [`from`, `to`) in which the manager could have renewed and had time enough, of which it is to make
    /// use. `setbacks` are the moments of crashes and lost answers.
    pub fn opportunity(&self, of: Span, setbacks: &[i64], from: i64, to: i64) -> Option<(i64, i64)> {
        let mut busy: Vec<(i64, i64)> = setbacks.iter().map(|at| (*at, *at)).collect();
        for trouble in &self.planned {
            match trouble.cause {
                Cause::Outage(0) if self.cas == 1 => busy.push((trouble.from, trouble.to)),
                // The next CA is asked when a sixth of the lifetime is left.
                Cause::Outage(0) => {
                    let alone = trouble.to.min(of.left(6) + HOUR);
                    if alone > trouble.from {
                        busy.push((trouble.from, alone));
                    }
                    let others = self.planned.iter().filter(|other| other.cause == Cause::Outage(1));
                    let both = others.map(|other| (other.from.max(trouble.from), other.to.min(trouble.to)));
                    busy.extend(both.filter(|(from, to)| from < to));
                }
                Cause::Outage(_) => {}
                Cause::Clock | Cause::Disk | Cause::Closed => busy.push((trouble.from, trouble.to)),
            }
        }
        busy.retain(|(begin, end)| *end >= from && *begin < to);
        busy.push((to, to));
        busy.sort_unstable();
        let mut free = from;
        for (begin, end) in busy {
            let hole = (free, begin.min(to));
            let urgent = hole.1 - hole.0.max(of.left(20));
            if hole.1 - hole.0 >= ENOUGH || urgent >= ENOUGH_IN_EMERGENCY {
                return Some(hole);
            }
            free = free.max(end);
        }
        None
    }

    /// What excuses that there is no valid certificate at `at`, if something may.
    pub fn excuse(&self, of: Span, at: i64) -> Option<Cause> {
        let excuses = |trouble: &&Trouble| {
            matches!(trouble.cause, Cause::Outage(_) | Cause::Clock) && trouble.to > of.due() && trouble.from < at
        };
        self.planned.iter().filter(excuses).map(|trouble| trouble.cause).max()
    }
}
