//! A table of moments that cannot grow without end.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Parts with a lock of their own: more than workers, so that they seldom meet.
const SHARDS: usize = 16;

/// Keys in each: 65,536 in all, about three million bytes.
const MAX_KEYS: usize = 4096;

/// Moments by key. A key is kept as its hash, under a secret of this process: two that fall together
/// share a moment, and nobody can make them.
#[derive(Debug)]
pub(super) struct Table {
    secret: RandomState,
    shards: [Mutex<HashMap<u64, Instant>>; SHARDS],
}

impl Table {
    pub(super) fn new() -> Self {
        Self { secret: RandomState::new(), shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// Whether the moment of `key` is still to come.
    pub(super) fn is_ahead(&self, key: &impl Hash, now: Instant) -> bool {
        let hash = self.secret.hash_one(key);
        self.shard(hash).is_some_and(|shard| shard.get(&hash).is_some_and(|moment| *moment > now))
    }

    /// Changes the moment of `key`; `decide` gets the present one and may leave it.
    ///
    /// A full shard first loses the moments that have passed, and if these are few, the earlier half.
    pub(super) fn update<T>(
        &self,
        key: &impl Hash,
        now: Instant,
        decide: impl FnOnce(Option<Instant>) -> (T, Option<Instant>),
    ) -> T {
        let hash = self.secret.hash_one(key);
        let Some(mut shard) = self.shard(hash) else {
            return decide(None).0;
        };
        let (outcome, moment) = decide(shard.get(&hash).copied());
        if let Some(moment) = moment {
            if shard.len() >= MAX_KEYS && !shard.contains_key(&hash) {
                make_room(&mut shard, now);
            }
            shard.insert(hash, moment);
        }
        outcome
    }

    fn shard(&self, hash: u64) -> Option<MutexGuard<'_, HashMap<u64, Instant>>> {
        let index = usize::try_from(hash % SHARDS as u64).unwrap_or_default();
        // Whoever panicked has not left a moment half written.
        self.shards.get(index).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }
}

fn make_room(shard: &mut HashMap<u64, Instant>, now: Instant) {
    shard.retain(|_, moment| *moment > now);
    // Rarely enough that each new key pays for a few old ones only.
    if shard.len() > MAX_KEYS / 2 {
        let mut moments: Vec<_> = shard.values().copied().collect();
        let half = moments.len() / 2;
        let (_, middle, _) = moments.select_nth_unstable(half);
        let middle = *middle;
        shard.retain(|_, moment| *moment > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn it_stays_bounded_and_keeps_the_latest() {
        let (table, now) = (Table::new(), Instant::now());
        let at = |key: u32| now + Duration::from_millis(u64::from(key));
        for key in 1..150_000_u32 {
            table.update(&key, now, |_| ((), Some(at(key))));
        }
        assert!(table.len() <= SHARDS * MAX_KEYS);
        for key in 149_000..150_000_u32 {
            assert_eq!(table.update(&key, now, |moment| (moment, None)), Some(at(key)));
        }
        assert!(!table.is_ahead(&1_u32, now));
    }

    #[test]
    fn what_has_passed_goes_first() {
        let (table, now) = (Table::new(), Instant::now());
        let later = now + Duration::from_secs(60);
        table.update(&"kept", now, |_| ((), Some(later + Duration::from_secs(1))));
        for key in 0..100_000_u32 {
            table.update(&key, later, |_| ((), Some(now)));
        }
        assert!(table.is_ahead(&"kept", later));
    }

    #[test]
    fn equal_moments_do_not_fill_it() {
        let (table, now) = (Table::new(), Instant::now());
        for key in 0..100_000_u32 {
            table.update(&key, now, |_| ((), Some(now + Duration::from_secs(1))));
        }
        assert!(table.len() <= SHARDS * MAX_KEYS);
    }
}
