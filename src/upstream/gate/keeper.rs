//! The task that sees to a gate that is closed.

use super::Gate;
use crate::upstream::health::Verdict;
use crate::upstream::pace::TICK;
use crate::upstream::probe;
use std::rc::Weak;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

/// Between the end of one question and the next, while the endpoint is not up: a restart costs this much at most
/// beyond its own time, and four small requests a second cost nobody anything.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// Asks `/health` until the endpoint is up, then lets the queue go at its pace. Holds the gate only
/// between two waits, so that it ends with it.
pub(super) async fn keep(gate: Weak<Gate>) {
    loop {
        loop {
            let Some(asking) = gate.upgrade().map(|gate| (gate.ask)()) else { return };
            let verdict = timeout(probe::WHOLE, asking).await;
            let verdict = verdict
                .unwrap_or_else(|_| Verdict::Unhealthy(format!("no answer to a check within {:?}", probe::WHOLE)));
            let Some(gate) = gate.upgrade() else { return };
            gate.learn(gate.health().probed(&verdict, Instant::now()), || match verdict {
                Verdict::Unhealthy(why) | Verdict::Absent(why) => why,
                Verdict::Healthy | Verdict::Unknown => String::new(),
            });
            if gate.health().is_up() {
                break;
            }
            drop(gate);
            sleep(PROBE_INTERVAL).await;
        }
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let Some(gate) = gate.upgrade() else { return };
            if !gate.health().is_up() {
                break;
            }
            if gate.settle() {
                return;
            }
            gate.inner.borrow_mut().pace.tick();
            gate.let_go();
        }
    }
}
