//! Waiting for a condition instead of for an amount of time.
//!
//! A fixed pause is too long on a fast machine and too short on a busy one. A condition with a generous deadline costs
//! only what is needed, and tells what it saw last when it fails.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

/// Short against anything worth waiting for, long against the cost of asking.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks `probe` until it answers `Ok`, and panics with its last complaint once `within` has passed.
#[track_caller]
pub fn eventually<T, E: Display>(what: &str, within: Duration, mut probe: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + within;
    loop {
        match probe() {
            Ok(value) => return value,
            Err(complaint) if Instant::now() >= deadline => {
                panic!("{what}: not within {within:?}; last seen: {complaint}")
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// Watches a value until it has not changed for `quiet`, and returns it.
#[track_caller]
pub fn settled<T: PartialEq + std::fmt::Debug>(
    what: &str,
    quiet: Duration,
    within: Duration,
    mut look: impl FnMut() -> T,
) -> T {
    let mut last = look();
    let mut since = Instant::now();
    eventually(what, within, || {
        let now = look();
        if now != last {
            (last, since) = (now, Instant::now());
            return Err("it still changes");
        }
        if since.elapsed() >= quiet { Ok(()) } else { Err("it has only just stopped") }
    });
    last
}
