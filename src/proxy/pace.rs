//! Judging a peer by its progress: a minimum rate, never a total.
//!
//! A peer has a budget of time that it spends while we wait for it and earns back by moving bytes, up
//! to where it began. One that stands still is out of it after the budget; one that drips bytes to
//! look busy, soon after; a slow line that keeps the rate never is, and neither is a peer that waits
//! for us.

use std::time::Duration;
use tokio::time::Instant;

/// What is asked of a peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// How long it may stand still.
    pub(super) patience: Duration,
    /// Bytes per second that it must keep on average; 0 asks for nothing but a byte now and then.
    pub(super) rate: u64,
}

/// The account of one body in one direction.
#[derive(Debug)]
pub(super) struct Pace {
    bounds: Bounds,
    budget: Duration,
    waiting_since: Option<Instant>,
}

impl Pace {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, budget: bounds.patience, waiting_since: None }
    }

    /// We wait for the peer; until when it must have moved.
    pub(super) fn waiting(&mut self) -> Instant {
        *self.waiting_since.get_or_insert_with(Instant::now) + self.budget
    }

    /// It has moved so many bytes.
    pub(super) fn moved(&mut self, bytes: usize) {
        let Some(since) = self.waiting_since.take() else { return };
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let earned = match self.bounds.rate {
            0 => self.bounds.patience,
            rate => Duration::from_micros(bytes.saturating_mul(1_000_000) / rate),
        };
        self.budget = self.budget.saturating_sub(since.elapsed()).saturating_add(earned).min(self.bounds.patience);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { patience: Duration::from_secs(60), rate: 1024 };

    /// Seconds until a peer that moves `bytes` every `seconds` is cut off; `None` after an hour.
    async fn cut_after(bytes: usize, seconds: u64) -> Option<u64> {
        let start = Instant::now();
        let mut pace = Pace::new(BOUNDS);
        while start.elapsed() < Duration::from_secs(3600) {
            let (deadline, next) = (pace.waiting(), Instant::now() + Duration::from_secs(seconds));
            if deadline <= next {
                return Some((deadline - start).as_secs());
            }
            tokio::time::advance(next - Instant::now()).await;
            pace.moved(bytes);
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn standing_still_and_dripping_end_and_keeping_the_rate_does_not() {
        assert_eq!(cut_after(1 << 20, 600).await, Some(60));
        assert_eq!(cut_after(1, 5).await, Some(60), "a byte earns nothing to speak of");
        assert_eq!(cut_after(512, 1).await, Some(119), "half the rate lasts twice as long");
        assert_eq!(cut_after(1024, 1).await, None);
        assert_eq!(cut_after(64 * 1024, 50).await, None, "bursts count by their average");
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_the_peer_waits_for_us_is_not_its_own() {
        let mut pace = Pace::new(BOUNDS);
        pace.waiting();
        pace.moved(10);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!(pace.waiting() > Instant::now() + Duration::from_secs(59));
    }
}
