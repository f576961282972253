//! Complaints that come up over and over, said once in a while.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a complaint that has been made is kept quiet.
const QUIET: Duration = Duration::from_secs(10 * 60);

/// One complaint: said when it first comes up, and then at most once in ten minutes with how often
/// it came up meanwhile.
#[derive(Debug, Default)]
pub struct Complaint(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    said: Option<Instant>,
    /// Since then.
    times: u64,
}

impl Complaint {
    /// Counts the complaint. If it is due, returns how often it has come up since it was last said,
    /// this time included; then the caller says it.
    pub fn due(&self, now: Instant) -> Option<u64> {
        // A count stays a count even if somebody panicked while holding it.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.times = state.times.saturating_add(1);
        if state.said.is_some_and(|said| now.saturating_duration_since(said) < QUIET) {
            return None;
        }
        state.said = Some(now);
        Some(std::mem::take(&mut state.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn said_at_once_and_then_every_ten_minutes() {
        let complaint = Complaint::default();
        let start = Instant::now();
        assert_eq!(complaint.due(start), Some(1));
        assert_eq!(complaint.due(start), None);
        assert_eq!(complaint.due(start + QUIET - Duration::from_millis(1)), None);
        assert_eq!(complaint.due(start + QUIET), Some(3));
        assert_eq!(complaint.due(start + QUIET), None);
        // The clock of another thread may be a little behind.
        assert_eq!(complaint.due(start), None);
        assert_eq!(complaint.due(start + QUIET * 2), Some(3));
    }
}
