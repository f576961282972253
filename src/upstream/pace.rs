//! How fast held requests are let go: pure.
//!
//! A homeserver that has just come up must not meet at once all that has waited for it. So a few
//! requests go first, and each answer lets two more go, as TCP's slow start does: a homeserver that
//! answers in 10 ms has 64 at work after 40 ms, one that takes a second grows by the second. Some requests are
//! meant to be answered late (`/sync` waits half a minute), so one more goes at each tick, answers or
//! not. A thousand requests on one worker are through in 5 s even if none of them is answered, and
//! long before that if they are.

use std::time::Duration;

/// The first to go: about what a homeserver that is just up can take in one breath.
const START: u32 = 4;

/// Most requests let go, for answers given, that are not answered themselves. A Python homeserver
/// works on one at a time; more would wait there instead of here.
const MOST: u32 = 64;

/// How often one more goes.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// The pace of one gate.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// How many may go now.
    credit: u32,
    /// How many have gone and are not answered.
    unanswered: u32,
}

impl Pace {
    /// The endpoint is back.
    pub(super) fn start(&mut self) {
        self.credit = START;
    }

    /// Some time has passed.
    pub(super) fn tick(&mut self) {
        self.credit = self.credit.saturating_add(1).min(MOST);
    }

    /// Whether one more may go; it is counted as gone then.
    pub(super) fn go(&mut self) -> bool {
        let may = self.credit > 0;
        if may {
            self.credit -= 1;
            self.unanswered = self.unanswered.saturating_add(1);
        }
        may
    }

    /// One that had gone was answered.
    pub(super) fn answered(&mut self) {
        self.ended();
        let room = MOST.saturating_sub(self.unanswered);
        self.credit = self.credit.max(self.credit.saturating_add(2).min(room));
    }

    /// One that had gone has come to nothing.
    pub(super) fn ended(&mut self) {
        self.unanswered = self.unanswered.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pace: &mut Pace) -> u32 {
        std::iter::from_fn(|| pace.go().then_some(1)).sum()
    }

    #[test]
    fn grows_with_the_answers() {
        let mut pace = Pace::default();
        assert_eq!(all(&mut pace), 0);
        pace.start();
        let mut rounds = Vec::new();
        for _ in 0..7 {
            let gone = all(&mut pace);
            rounds.push(gone);
            (0..gone).for_each(|_| pace.answered());
        }
        assert_eq!(rounds, [4, 8, 16, 32, 64, 64, 64]);
    }

    #[test]
    fn goes_on_without_answers() {
        let mut pace = Pace::default();
        pace.start();
        assert_eq!(all(&mut pace), 4);
        for _ in 0..1000 {
            pace.tick();
            assert_eq!(all(&mut pace), 1);
        }
        // So many are at work that answers bring no more.
        pace.answered();
        assert_eq!(all(&mut pace), 0);
        pace.ended();
        assert_eq!(all(&mut pace), 0);
    }
}
