//! Wall-clock time, handed in so that tests can turn it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// A point of wall-clock time in whole seconds since the epoch. Certificates count in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The point `seconds` later.
    pub fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to here; negative when `earlier` is later.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(time) => time.fmt(f),
            Err(_) => write!(f, "{} s after the epoch", self.0),
        }
    }
}

/// Where the time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that a test sets, in seconds since the epoch.
    Fixed(Arc<AtomicI64>),
    /// A clock that runs with tokio's time, which a test may have paused, and that it puts wrong.
    Shifted {
        /// A moment.
        at: Instant,
        /// What a right clock showed then.
        shown: Timestamp,
        /// Seconds by which this one is ahead of a right one.
        ahead: Arc<AtomicI64>,
    },
}

impl Clock {
    /// A clock that stands still at `now`.
    pub fn fixed(now: Timestamp) -> Self {
        Self::Fixed(Arc::new(AtomicI64::new(now.0)))
    }

    /// The current time. A machine clock before 1970 reads as 0 rather than failing.
    pub fn now(&self) -> Timestamp {
        match self {
            #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
            Self::System => {
                let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX))
            }
            Self::Fixed(seconds) => Timestamp(seconds.load(Ordering::Relaxed)),
            Self::Shifted { at, shown, ahead } => {
                let elapsed = i64::try_from(at.elapsed().as_secs()).unwrap_or(i64::MAX);
                shown.plus(elapsed).plus(ahead.load(Ordering::Relaxed))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_rfc_3339() {
        assert_eq!(Timestamp(1_790_000_000).to_string(), "2026-09-21T14:13:20Z");
        assert_eq!(Clock::fixed(Timestamp(7)).now().plus(3).since(Timestamp(4)), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_put_wrong_runs_on() {
        let ahead = Arc::new(AtomicI64::new(0));
        let clock = Clock::Shifted { at: Instant::now(), shown: Timestamp(1_000), ahead: Arc::clone(&ahead) };
        tokio::time::advance(std::time::Duration::from_millis(5_500)).await;
        assert_eq!(clock.now(), Timestamp(1_005));
        ahead.store(-60, Ordering::Relaxed);
        assert_eq!(clock.now(), Timestamp(945));
    }
}
