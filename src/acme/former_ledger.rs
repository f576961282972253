//! What happened at a CA for one set of names, kept across restarts.
//!
//! Without it a crash loop would order again at every start and a lost back-off would burn the
//! CA's five failed validations an hour in seconds.

use crate::backoff::Ladder;
use crate::certs::Store;
use crate::certs::store::StoreError;
use crate::clock::Timestamp;
use crate::config::Challenge;
use crate::matrix::Host;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// As Let's Encrypt's integration guide asks: a minute, ten, a hundred, then once a day.
const LADDER: Ladder = Ladder::new(&[
    Duration::from_secs(60),
    Duration::from_secs(600),
    Duration::from_secs(6_000),
    Duration::from_secs(86_400),
]);

/// No delay is longer: a record written while the clock was wrong, or an absurd Retry-After, must
/// not end ordering for years.
const LONGEST: i64 = 86_400;

/// The longest delay after a failure that cost the CA nothing (it could not be reached).
const UNREACHABLE: i64 = 600;

/// The least time between an order and a renewal, whatever the certificate or the clock says: five
/// duplicates a week is all that Let's Encrypt gives.
const BEFORE_RENEWAL: i64 = 36 * 3_600;

/// The record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ledger {
    /// Attempts in a row that have not succeeded; one that is under way counts.
    #[serde(default)]
    failures: u32,
    /// Seconds since the epoch.
    #[serde(default)]
    next_attempt: i64,
    /// Seconds since the epoch.
    #[serde(default)]
    renew_not_before: i64,
    /// Challenge types that failed, by name.
    #[serde(default)]
    failed_types: BTreeMap<String, BTreeSet<String>>,
    /// The type that worked last.
    #[serde(default)]
    last_good: Option<String>,
}

/// Why there is no record to go by.
#[derive(Debug, thiserror::Error)]
pub(super) enum LedgerError {
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("{path} is damaged; remove it to start a new record")]
    Damaged {
        path: String,
        #[source]
        source: serde_json::Error,
    },
}

impl Ledger {
    pub(super) async fn load(store: &Store, ca: &str, first: &Host, now: Timestamp) -> Result<Self, LedgerError> {
        let key = key(ca, first);
        let Some(content) = store.load(&key).await? else {
            return Ok(Self::default());
        };
        let ledger: Self = serde_json::from_slice(&content)
            .map_err(|source| LedgerError::Damaged { path: store.describe(&key), source })?;
        Ok(Self {
            next_attempt: ledger.next_attempt.min(now.plus(LONGEST).0),
            renew_not_before: ledger.renew_not_before.min(now.plus(BEFORE_RENEWAL).0),
            ..ledger
        })
    }

    pub(super) async fn save(&self, store: &Store, ca: &str, first: &Host) -> Result<(), StoreError> {
        store.store(&key(ca, first), serde_json::json!(self).to_string().as_bytes()).await
    }

    /// Not before this time.
    pub(super) fn next_attempt(&self) -> Timestamp {
        Timestamp(self.next_attempt)
    }

    /// The same for the renewal of a certificate that is there.
    pub(super) fn next_renewal(&self) -> Timestamp {
        Timestamp(self.next_attempt.max(self.renew_not_before))
    }

    /// An attempt begins: until it succeeds it counts as failed.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        let delay = LADDER.after(self.failures).as_secs();
        self.next_attempt = now.plus(i64::try_from(delay).unwrap_or(i64::MAX)).0;
    }

    /// The CA has asked for some seconds.
    pub(super) fn not_before(&mut self, now: Timestamp, retry_after: Option<i64>) {
        if let Some(seconds) = retry_after {
            self.next_attempt = self.next_attempt.max(now.plus(seconds.min(LONGEST)).0);
        }
    }

    /// The attempt failed without costing the CA anything.
    pub(super) fn soften(&mut self, now: Timestamp) {
        self.next_attempt = self.next_attempt.min(now.plus(UNREACHABLE).0);
    }

    pub(super) fn succeeded(&mut self, challenge: Challenge, now: Timestamp, lifetime: i64) {
        *self = Self {
            last_good: Some(challenge.as_str().to_owned()),
            // A private CA's certificate may live for a day.
            renew_not_before: now.plus(BEFORE_RENEWAL.min(lifetime / 4)).0,
            ..Self::default()
        };
    }

    pub(super) fn failed_type(&mut self, challenge: Challenge, names: &[Host]) {
        for name in names {
            self.failed_types.entry(name.to_string()).or_default().insert(challenge.as_str().to_owned());
        }
    }

    /// All types have failed: the next attempt begins from the first again.
    pub(super) fn forget_failed_types(&mut self) {
        self.failed_types.clear();
    }

    /// The type to try: one that has failed for none of `names`, the one that worked last first.
    /// Addresses have no SNI that a CA could validate over TLS in a common way, so they take
    /// HTTP-01.
    pub(super) fn choose(&self, configured: &[Challenge], names: &[Host]) -> Option<Challenge> {
        let failed = |challenge: &Challenge| {
            names.iter().any(|name| {
                self.failed_types.get(&name.to_string()).is_some_and(|types| types.contains(challenge.as_str()))
            })
        };
        let possible = |challenge: &&Challenge| **challenge == Challenge::Http01 || !names.iter().any(Host::is_ip);
        let mut open: Vec<Challenge> =
            configured.iter().filter(possible).filter(|challenge| !failed(challenge)).copied().collect();
        open.sort_by_key(|challenge| self.last_good.as_deref() != Some(challenge.as_str()));
        open.first().copied()
    }
}

/// Where the record is stored.
pub(super) fn key(ca: &str, first: &Host) -> String {
    format!("acme/{ca}/orders/{first}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Challenge; 2] = [Challenge::TlsAlpn01, Challenge::Http01];

    fn names(list: &[&str]) -> Vec<Host> {
        list.iter().map(|name| Host::parse(name).unwrap()).collect()
    }

    #[test]
    fn a_failed_type_gives_way_and_the_last_good_leads() {
        let set = names(&["a.example", "b.example"]);
        let mut ledger = Ledger::default();
        assert_eq!(ledger.choose(&BOTH, &set), Some(Challenge::TlsAlpn01));
        ledger.failed_type(Challenge::TlsAlpn01, &set[1..]);
        assert_eq!(ledger.choose(&BOTH, &set), Some(Challenge::Http01));
        assert_eq!(ledger.choose(&BOTH, &set[..1]), Some(Challenge::TlsAlpn01), "remembered per name");
        ledger.succeeded(Challenge::Http01, Timestamp(0), 90 * 86_400);
        assert_eq!(ledger.choose(&BOTH, &set), Some(Challenge::Http01));
        assert_eq!((ledger.next_attempt().0, ledger.next_renewal().0), (0, 36 * 3_600));
        ledger.failed_type(Challenge::Http01, &set);
        ledger.failed_type(Challenge::TlsAlpn01, &set);
        assert_eq!(ledger.choose(&BOTH, &set), None);
        assert_eq!(Ledger::default().choose(&BOTH, &names(&["127.0.0.1"])), Some(Challenge::Http01));
    }

    #[tokio::test]
    async fn attempts_back_off_and_survive_a_restart() {
        let store = Store::memory();
        let host = Host::parse("a.example").unwrap();
        let mut now = Timestamp(1_000_000);
        for delay in [60, 600, 6_000, 86_400, 86_400] {
            let mut ledger = Ledger::load(&store, "ca", &host, now).await.unwrap();
            ledger.begin(now);
            ledger.save(&store, "ca", &host).await.unwrap();
            let ledger = Ledger::load(&store, "ca", &host, now).await.unwrap();
            assert_eq!(ledger.next_attempt().since(now), delay);
            now = ledger.next_attempt();
        }
        let mut ledger = Ledger::load(&store, "ca", &host, now).await.unwrap();
        ledger.begin(now);
        ledger.soften(now);
        assert_eq!(ledger.next_attempt(), now.plus(600), "an unreachable CA is tried sooner");
        ledger.not_before(now, Some(7_200));
        assert_eq!(ledger.next_attempt(), now.plus(7_200), "Retry-After counts when it is longer");
        ledger.not_before(now, Some(i64::MAX));
        assert_eq!(ledger.next_attempt(), now.plus(86_400), "and never for more than a day");
        ledger.save(&store, "ca", &host).await.unwrap();
        let earlier = now.plus(-400 * 86_400);
        let ledger = Ledger::load(&store, "ca", &host, earlier).await.unwrap();
        assert_eq!(ledger.next_attempt(), earlier.plus(86_400), "a record of a wrong clock ends within a day");
        store.store("acme/ca/orders/a.example.json", b"{").await.unwrap();
        assert!(matches!(Ledger::load(&store, "ca", &host, now).await, Err(LedgerError::Damaged { .. })));
    }
}
