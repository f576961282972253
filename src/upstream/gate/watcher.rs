//! The task that looks after an open gate with others beside it.

use super::Gate;
use crate::upstream::health::Verdict;
use crate::upstream::probe;
use std::rc::Weak;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// How often an endpoint in use is asked.
pub(super) const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// How long after the last request an endpoint is in use: an idle worker asks nobody.
pub(super) const IN_USE: Duration = Duration::from_secs(60);

/// One failure may be a moment's. Two in a row are an endpoint that hangs, or a proxy without its
/// backend.
const FAILURES: u32 = 2;

/// Asks `/health` as long as the endpoint is in use. While the gate is closed, its keeper asks.
pub(super) async fn watch(gate: Weak<Gate>) {
    let mut failures = 0;
    let mut beat = interval(WATCH_INTERVAL);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let Some(asked) = gate.upgrade() else { return };
        if asked.used.get().elapsed() >= IN_USE {
            asked.watched.set(false);
            return;
        }
        if !asked.health().is_up() {
            failures = 0;
            continue;
        }
        let asking = (asked.ask)();
        drop(asked);
        let verdict =
            timeout(probe::WHOLE, asking).await.unwrap_or_else(|_| Verdict::Unhealthy("no answer".to_owned()));
        let Some(gate) = gate.upgrade() else { return };
        failures = match verdict {
            Verdict::Healthy => 0,
            Verdict::Unknown => failures,
            Verdict::Unhealthy(_) | Verdict::Absent(_) => failures + 1,
        };
        if failures >= FAILURES && gate.health().is_up() {
            failures = 0;
            gate.learn(gate.health().probed(&verdict, Instant::now()), || match verdict {
                Verdict::Unhealthy(why) | Verdict::Absent(why) => why,
                Verdict::Healthy | Verdict::Unknown => String::new(),
            });
        }
    }
}
