//! How long to wait before the next try: a ladder of delays, the last of which repeats.

use std::time::Duration;

/// Delays for the first, second, … failure in a row.
#[derive(Clone, Copy, Debug)]
pub struct Ladder(&'static [Duration]);

impl Ladder {
    /// A ladder; an empty one means no delay at all.
    pub const fn new(steps: &'static [Duration]) -> Self {
        Self(steps)
    }

    /// The delay after `failures` failures in a row (none after zero).
    pub fn after(&self, failures: u32) -> Duration {
        let Some(index) = failures.checked_sub(1) else {
            return Duration::ZERO;
        };
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.0.get(index).or_else(|| self.0.last()).copied().unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_step_repeats() {
        const LADDER: Ladder = Ladder::new(&[Duration::from_secs(1), Duration::from_secs(5)]);
        let seconds = |failures| LADDER.after(failures).as_secs();
        assert_eq!((seconds(0), seconds(1), seconds(2), seconds(3), seconds(u32::MAX)), (0, 1, 5, 5, 5));
    }
}
