//! One line when an endpoint goes down and one when it is back, though every worker finds out by
//! itself.

use super::budget::Budget;
use crate::config::UpstreamAddress;
use crate::telemetry::metrics::HoldCounts;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// What the gates of all workers share.
#[derive(Debug)]
pub struct Commons {
    pub(super) budget: Arc<Budget>,
    /// One entry at most for each upstream of the configuration.
    outages: Mutex<HashMap<UpstreamAddress, Outage>>,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    /// Workers for which it lasts.
    workers: usize,
    counts: HoldCounts,
}

impl Commons {
    /// Nothing is held and nothing is down.
    #[expect(clippy::new_without_default, reason = "there is one per process; a default would invite a second")]
    pub fn new() -> Self {
        Self { budget: Budget::new(), outages: Mutex::default() }
    }

    /// A worker has found the endpoint down. It says so once, until [`ended`](Self::ended).
    pub(super) fn began(&self, address: &UpstreamAddress, why: &str) {
        let mut outages = self.outages();
        if let Some(outage) = outages.get_mut(address) {
            outage.workers += 1;
            return;
        }
        let outage = Outage { since: Instant::now(), workers: 1, counts: HoldCounts::default() };
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
        let HoldCounts { held, saved, lost, left, refused } = counts;
        let down = std::time::Duration::from_millis(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX));
        tracing::info!(upstream = %address, ?down, held, saved, lost, left, refused, "the upstream is back");
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
        commons.ended(&address, one);
        assert_eq!(commons.outage(&address), None);
        commons.ended(&address, one);
        assert_eq!(commons.outage(&address), None);
    }
}
