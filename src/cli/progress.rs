//! One line on standard error that says what is being looked at; gone when the check is done.

use super::output::print_error;
use crate::check::progress::{Progress, Waiting};
use crate::check::render::harmless;
use std::fmt::Write as _;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// A check that is done by then shows nothing: a line that flashes up helps nobody.
const QUIET: Duration = Duration::from_millis(400);

/// How often the line is written.
const TICK: Duration = Duration::from_millis(150);

/// Back to the start of the line, and empty it (ECMA-48 EL).
const CLEAR: &str = "\r\u{1b}[K";

/// Waits for `looking`, the check of `name`, and shows on a terminal of `columns` what it waits for.
pub(super) async fn watch<F: Future + Unpin>(
    mut looking: F,
    name: &str,
    progress: &Progress,
    columns: usize,
) -> F::Output {
    let started = Instant::now();
    let mut ticks = interval_at(started + QUIET, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut shown = false;
    loop {
        tokio::select! {
            biased;
            done = &mut looking => {
                if shown {
                    print_error(CLEAR);
                }
                return done;
            }
            _ = ticks.tick() => {
                print_error(&format!("{CLEAR}{}", status(name, &progress.now(), started.elapsed(), columns)));
                shown = true;
            }
        }
    }
}

/// The line, one column short of the terminal's width so that it never wraps.
fn status(name: &str, waiting: &Waiting, elapsed: Duration, columns: usize) -> String {
    let mut line = format!("{}s  checking {name}", elapsed.as_secs());
    if let Some(step) = &waiting.step {
        let _ = write!(line, ": {step}");
    }
    let more = if waiting.others > 0 { format!(" (and {} more)", waiting.others) } else { String::new() };
    let room = columns.saturating_sub(1 + more.chars().count());
    let line = harmless(&line).chars().take(room).collect::<String>();
    line + &more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_fits_and_is_harmless() {
        let waiting = Waiting { step: Some("GET /\u{1b}[2J at 192.0.2.1:443".to_owned()), others: 3 };
        let line = status("example.com", &waiting, Duration::from_secs(4), 80);
        assert_eq!(line, "4s  checking example.com: GET /\u{fffd}[2J at 192.0.2.1:443 (and 3 more)");
        assert_eq!(status("example.com", &waiting, Duration::ZERO, 30).chars().count(), 29);
        let idle = Waiting { step: None, others: 0 };
        assert_eq!(status("a.example", &idle, Duration::ZERO, 80), "0s  checking a.example");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_watched_comes_back() {
        let looking = Box::pin(tokio::time::sleep(Duration::from_millis(100)));
        watch(looking, "example.com", &Progress::watched(), 80).await;
    }
}
