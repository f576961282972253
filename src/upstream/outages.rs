//! One line when an endpoint goes down and one when it is back, though every worker finds out by
//! itself.

use super::budget::Budget;
use crate::config::UpstreamAddress;
use crate::telemetry::metrics::{HoldCounts, HoldMetrics};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// From this on others have given up for a while: Synapse comes back after ten minutes at the soonest,
/// later each time, and at once when it hears from the server itself.
const LONG: Duration = Duration::from_secs(600);

/// What the gates of all workers share.
#[derive(Debug)]
pub struct Commons {
    pub(super) budget: Arc<Budget>,
    /// One entry at most for each upstream of the configuration.
    outages: Mutex<HashMap<UpstreamAddress, Outage>>,
    /// The last one that is over, of each upstream of the configuration at most.
    past: Mutex<HashMap<UpstreamAddress, Past>>,
    /// What the gates count, one entry for each gate. A worker has one before each endpoint, for good.
    metrics: Mutex<BTreeMap<UpstreamAddress, Vec<Arc<HoldMetrics>>>>,
}

/// How one upstream does, over all workers.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Which.
    pub address: UpstreamAddress,
    /// Whether no worker has found it down.
    pub up: bool,
    /// While it is down.
    pub down: Option<Down>,
    /// The last time it was down, which is over.
    pub last_outage: Option<Past>,
    /// Requests that had to wait for it.
    pub counts: HoldCounts,
    /// Connections that could not be opened.
    pub connect_failures: u64,
}

/// An outage that lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    /// When the first worker noticed.
    pub since: Instant,
    /// What that worker saw.
    pub why: String,
}

/// An outage that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// When the last worker saw the upstream again.
    pub ended: Instant,
    /// How long it was down.
    pub lasted: Duration,
    /// Requests that had to wait.
    pub counts: HoldCounts,
}

impl Past {
    /// Whether other servers have given up meanwhile.
    pub fn was_long(&self) -> bool {
        self.lasted >= LONG
    }
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    /// What the first worker saw.
    why: String,
    /// Workers for which it lasts.
    workers: usize,
    counts: HoldCounts,
}

impl Commons {
    /// Nothing is held and nothing is down.
    #[expect(clippy::new_without_default, reason = "there is one per process; a default would invite a second")]
    pub fn new() -> Self {
        Self { budget: Budget::new(), outages: Mutex::default(), past: Mutex::default(), metrics: Mutex::default() }
    }

    /// What a new gate before `address` is to count in.
    pub fn metrics_of(&self, address: &UpstreamAddress) -> Arc<HoldMetrics> {
        let metrics = Arc::<HoldMetrics>::default();
        self.metrics().entry(address.clone()).or_default().push(Arc::clone(&metrics));
        metrics
    }

    /// How every upstream does that has a gate.
    pub fn standings(&self) -> Vec<Standing> {
        let metrics = self.metrics();
        let (outages, past) = (self.outages(), self.past());
        let standing = |(address, gates): (&UpstreamAddress, &Vec<Arc<HoldMetrics>>)| Standing {
            address: address.clone(),
            up: !outages.contains_key(address),
            down: outages.get(address).map(|outage| Down { since: outage.since, why: outage.why.clone() }),
            last_outage: past.get(address).copied(),
            counts: gates.iter().map(|gate| gate.counts()).fold(HoldCounts::default(), HoldCounts::plus),
            connect_failures: gates.iter().map(|gate| gate.connect_failures.get()).sum(),
        };
        metrics.iter().map(standing).collect()
    }

    /// A worker has found the endpoint down. It says so once, until [`ended`](Self::ended).
    pub(super) fn began(&self, address: &UpstreamAddress, why: &str) {
        let mut outages = self.outages();
        if let Some(outage) = outages.get_mut(address) {
            outage.workers += 1;
            return;
        }
        let outage = Outage { since: Instant::now(), why: why.to_owned(), workers: 1, counts: HoldCounts::default() };
        outages.insert(address.clone(), outage);
        drop(outages);
        tracing::warn!(upstream = %address, reason = why, "the upstream is down; requests wait for it");
    }

    /// A worker has found it up again and has let all its requests go, which it counted.
    pub(super) fn ended(&self, address: &UpstreamAddress, counts: HoldCounts) {
        let mut outages = self.outages();
        let Some(outage) = outages.get_mut(address) else { return };
        outage.workers = outage.workers.saturating_sub(1);
        outage.counts = outage.counts.plus(counts);
        if outage.workers > 0 {
            return;
        }
        let Some(Outage { since, counts, .. }) = outages.remove(address) else { return };
        drop(outages);
        let past = Past { ended: Instant::now(), lasted: since.elapsed(), counts };
        self.past().insert(address.clone(), past);
        let HoldCounts { held, saved, lost, left, refused } = counts;
        let down = Duration::from_millis(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX));
        tracing::info!(upstream = %address, ?down, held, saved, lost, left, refused, "the upstream is back");
        if past.was_long() {
            tracing::warn!(
                upstream = %address, fix = "send a message to a large room",
                "other servers have given up on this one meanwhile; they come back when they hear from it"
            );
        }
    }

    fn metrics(&self) -> MutexGuard<'_, BTreeMap<UpstreamAddress, Vec<Arc<HoldMetrics>>>> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn past(&self) -> MutexGuard<'_, HashMap<UpstreamAddress, Past>> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outages(&self) -> MutexGuard<'_, HashMap<UpstreamAddress, Outage>> {
        self.outages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Commons {
    /// The outage that lasts: workers and counts.
    pub(super) fn outage(&self, address: &UpstreamAddress) -> Option<(usize, HoldCounts)> {
        self.outages().get(address).map(|outage| (outage.workers, outage.counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_lasts_until_the_last_worker_is_through() {
        let commons = Commons::new();
        let address = UpstreamAddress::Name("hs".to_owned(), 1);
        let one = HoldCounts { held: 1, saved: 1, ..HoldCounts::default() };
        commons.began(&address, "refused");
        commons.began(&address, "refused");
        commons.ended(&address, one);
        assert_eq!(commons.outage(&address), Some((1, one)));
        let standing = |commons: &Commons| commons.standings().remove(0);
        let _gate = commons.metrics_of(&address);
        assert_eq!(standing(&commons).down.unwrap().why, "refused");
        commons.ended(&address, one);
        assert_eq!(commons.outage(&address), None);
        let past = standing(&commons).last_outage.unwrap();
        assert_eq!((past.counts.saved, standing(&commons).up), (2, true));
        commons.ended(&address, one);
        assert_eq!(commons.outage(&address), None);
    }

    #[tokio::test(start_paused = true)]
    async fn others_give_up_after_ten_minutes() {
        let commons = Commons::new();
        let address = UpstreamAddress::Name("hs".to_owned(), 1);
        let _gate = commons.metrics_of(&address);
        for (minutes, long) in [(9, false), (10, true), (60, true)] {
            commons.began(&address, "refused");
            tokio::time::advance(Duration::from_secs(minutes * 60)).await;
            commons.ended(&address, HoldCounts::default());
            assert_eq!(commons.standings()[0].last_outage.map(|past| past.was_long()), Some(long), "{minutes}");
        }
    }

    #[test]
    fn the_gates_of_all_workers_are_summed() {
        let commons = Commons::new();
        let (one, other) = (UpstreamAddress::Name("a".to_owned(), 1), UpstreamAddress::Name("b".to_owned(), 1));
        let gates = [commons.metrics_of(&one), commons.metrics_of(&one), commons.metrics_of(&other)];
        for gate in &gates {
            gate.held.count();
            gate.connect_failures.count();
        }
        gates[0].saved.count();
        commons.began(&other, "refused");
        let seen: Vec<_> =
            commons.standings().into_iter().map(|s| (s.address, s.up, s.counts, s.connect_failures)).collect();
        let held = |held, saved| HoldCounts { held, saved, ..HoldCounts::default() };
        assert_eq!(seen, [(one, true, held(2, 1), 2), (other, false, held(1, 0), 1)]);
    }
}
