//! The true time, and the clock of the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::time::Instant;
use vestibule::clock::{Clock, Timestamp};

/// 2026-11-23 12:00 UTC.
pub const BEGIN: i64 = 1_795_435_200;
pub const MINUTE: i64 = 60;
pub const HOUR: i64 = 3_600;
pub const DAY: i64 = 24 * HOUR;

/// Runs with tokio's paused time.
#[derive(Clone)]
pub struct Time {
    start: Instant,
    /// Seconds by which the machine's clock is ahead of the truth.
    error: Arc<AtomicI64>,
}

impl Time {
    pub fn begin() -> Self {
        Self { start: Instant::now(), error: Arc::default() }
    }

    /// The truth.
    pub fn now(&self) -> i64 {
        BEGIN + i64::try_from(self.start.elapsed().as_secs()).expect("a few years")
    }

    /// The machine's.
    pub fn clock(&self) -> Clock {
        Clock::Shifted { at: self.start, shown: Timestamp(BEGIN), ahead: Arc::clone(&self.error) }
    }

    /// Puts the machine's clock wrong by so much, or right.
    pub fn set_error(&self, seconds: i64) {
        self.error.store(seconds, Ordering::Relaxed);
    }

    pub fn error(&self) -> i64 {
        self.error.load(Ordering::Relaxed)
    }

    /// When that instant of tokio's is, for a true time.
    pub fn instant(&self, at: i64) -> Instant {
        self.start + std::time::Duration::from_secs(u64::try_from(at - BEGIN).unwrap_or(0))
    }
}

/// A time for people: days and hours since the beginning.
pub fn shown(at: i64) -> String {
    let passed = at - BEGIN;
    format!(
        "day {} {:02}:{:02}:{:02}",
        passed.div_euclid(DAY),
        passed.rem_euclid(DAY) / HOUR,
        passed.rem_euclid(HOUR) / MINUTE,
        passed.rem_euclid(MINUTE)
    )
}
