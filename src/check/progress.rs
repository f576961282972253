//! What a check is waiting for, for whoever watches it.
//!
//! Everything that takes time says so when it begins and when it ends. The watcher looks whenever it
//! likes; the check never waits for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Characters of a step's name that are kept: addresses and paths may come from the server checked.
const LONGEST: usize = 160;

/// The steps under way. Without a watcher it keeps nothing.
#[derive(Clone, Debug, Default)]
pub struct Progress(Option<Arc<Mutex<Steps>>>);

#[derive(Debug, Default)]
struct Steps {
    /// Steps begun so far: the number of the next one.
    begun: u64,
    open: BTreeMap<u64, String>,
}

/// What is going on at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The step that has been waited for longest, if any.
    pub step: Option<String>,
    /// How many more are under way.
    pub others: usize,
}

impl Progress {
    /// A progress that somebody looks at.
    pub fn watched() -> Self {
        Self(Some(Arc::default()))
    }

    /// Notes that something begins; it ends when the value returned is dropped.
    pub(super) fn begin(&self, what: impl FnOnce() -> String) -> Step {
        let number = self.steps().map(|mut steps| {
            let number = steps.begun;
            steps.begun += 1;
            steps.open.insert(number, what().chars().take(LONGEST).collect());
            number
        });
        Step { progress: self.clone(), number }
    }

    /// What is going on now.
    pub fn now(&self) -> Waiting {
        let Some(steps) = self.steps() else {
            return Waiting { step: None, others: 0 };
        };
        let step = steps.open.first_key_value().map(|(_, what)| what.clone());
        Waiting { step, others: steps.open.len().saturating_sub(1) }
    }

    fn steps(&self) -> Option<MutexGuard<'_, Steps>> {
        // Whoever panicked left a list that is as good as before.
        self.0.as_ref().map(|steps| steps.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A step under way.
#[derive(Debug)]
pub(super) struct Step {
    progress: Progress,
    number: Option<u64>,
}

impl Drop for Step {
    fn drop(&mut self) {
        if let (Some(mut steps), Some(number)) = (self.progress.steps(), self.number) {
            steps.open.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_step_is_shown_and_gone_when_it_ends() {
        let progress = Progress::watched();
        let first = progress.begin(|| "SRV _matrix._tcp.example.com".to_owned());
        let second = progress.begin(|| "x".repeat(1000));
        assert_eq!(progress.now(), Waiting { step: Some("SRV _matrix._tcp.example.com".to_owned()), others: 1 });
        drop(first);
        assert_eq!(progress.now(), Waiting { step: Some("x".repeat(LONGEST)), others: 0 });
        drop(second);
        assert_eq!(progress.now(), Waiting { step: None, others: 0 });
    }

    #[test]
    fn without_a_watcher_nothing_is_kept() {
        let progress = Progress::default();
        let _step = progress.begin(|| unreachable!("nobody asked"));
        assert_eq!(progress.now(), Waiting { step: None, others: 0 });
    }
}
