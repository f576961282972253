//! Counters.
//!
//! A counter has one writer, the worker it belongs to, so adding is a load and a store without
//! contention. It is atomic because whoever sums the workers reads it from another thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more. For the counter's own worker only: two writers would lose counts.
    pub fn count(&self) {
        self.0.store(self.0.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one worker's gate before one upstream counts.
///
/// `held` is `saved`, `lost` and `left` together with those that wait now; that difference is the
/// gauge `vestibule_held_requests`.
#[derive(Debug, Default)]
pub struct HoldMetrics {
    /// Requests that began to wait.
    pub held: Counter,
    /// `vestibule_held_requests_total{outcome="saved"}`: went to the homeserver after the wait.
    pub saved: Counter,
    /// `vestibule_held_requests_total{outcome="lost"}`: waited in vain.
    pub lost: Counter,
    /// `vestibule_held_requests_total{outcome="left"}`: the client went away.
    pub left: Counter,
    /// `vestibule_held_requests_total{outcome="refused"}`: there was no room to wait in.
    pub refused: Counter,
    /// `vestibule_upstream_connect_failures_total`.
    pub connect_failures: Counter,
}

impl HoldMetrics {
    /// Where the counts of requests stand.
    pub fn counts(&self) -> HoldCounts {
        HoldCounts {
            held: self.held.get(),
            saved: self.saved.get(),
            lost: self.lost.get(),
            left: self.left.get(),
            refused: self.refused.get(),
        }
    }
}

/// The counts of requests at one moment, or between two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HoldCounts {
    /// Began to wait.
    pub held: u64,
    /// Went to the homeserver.
    pub saved: u64,
    /// Waited in vain.
    pub lost: u64,
    /// The client went away.
    pub left: u64,
    /// Found no room.
    pub refused: u64,
}

impl HoldCounts {
    /// What was counted since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        self.combine(earlier, u64::wrapping_sub)
    }

    /// Those that wait now. The counts are read one by one while workers go on, so the difference is
    /// kept from going below nothing.
    pub fn waiting(self) -> u64 {
        self.held.saturating_sub(self.saved.saturating_add(self.lost).saturating_add(self.left))
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        self.combine(other, u64::wrapping_add)
    }

    fn combine(self, other: Self, with: fn(u64, u64) -> u64) -> Self {
        Self {
            held: with(self.held, other.held),
            saved: with(self.saved, other.saved),
            lost: with(self.lost, other.lost),
            left: with(self.left, other.left),
            refused: with(self.refused, other.refused),
        }
    }
}
