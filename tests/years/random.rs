//! Chance that can be repeated: SplitMix64.

use std::sync::atomic::{AtomicU64, Ordering};

/// Draws the same numbers for the same seed.
pub struct Random(AtomicU64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub fn next(&self) -> u64 {
        let state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// At least `from`, less than `until`.
    pub fn between(&self, from: i64, until: i64) -> i64 {
        let span = u64::try_from(until - from).expect("a span");
        from + i64::try_from(self.next() % span).expect("smaller than the span")
    }

    /// The same, where every order of magnitude is as likely as another: many short ones, few long ones.
    pub fn magnitude(&self, from: i64, until: i64) -> i64 {
        #[expect(clippy::cast_precision_loss, reason = "chance needs no precision")]
        let (low, high, share) = ((from as f64).ln(), (until as f64).ln(), (self.next() % 10_000) as f64 / 10_000.0);
        #[expect(clippy::cast_possible_truncation, reason = "between two integers")]
        let drawn = (low + (high - low) * share).exp() as i64;
        drawn.clamp(from, until - 1)
    }

    pub fn percent(&self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}
