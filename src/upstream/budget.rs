//! How much may wait: bounds that all workers share, touched only while requests are held.

use crate::net::client::ClientKey;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Requests that may wait. A homeserver of ten thousand active users has about as many under way
/// after half a minute; a waiting request costs a few KiB of this program's memory.
const REQUESTS: u64 = 10_000;

/// Bytes they may take: heads, and what has come of their bodies.
const BYTES: u64 = 64 << 20;

/// Requests of one client address: a tenth, so that no address can keep the others out, and as many
/// as one address may have connections by default, so that a whole office can wait.
const CLIENT_REQUESTS: u64 = REQUESTS / 10;

/// Bytes of one client address: a quarter, which is 256 uploads whose windows are full.
const CLIENT_BYTES: u64 = BYTES / 4;

/// Parts of the table of clients, each with a lock of its own. Workers rarely meet in one.
const SHARDS: usize = 16;

/// How much of a body is in memory before anybody reads it: the window that an HTTP/2 stream starts
/// with, and the read buffer of an HTTP/1.1 connection.
const UNREAD: u64 = 64 * 1024;

/// What a request that is not being read costs. `body` is its length, if that is known.
pub fn weight(head: usize, body: Option<u64>) -> u64 {
    u64::try_from(head).unwrap_or(u64::MAX).saturating_add(body.unwrap_or(UNREAD).min(UNREAD))
}

/// What all held requests of the process may take together.
#[derive(Debug)]
pub(super) struct Budget {
    requests: AtomicU64,
    bytes: AtomicU64,
    /// What each client takes. A client that takes nothing has no entry, so there are no more entries
    /// than held requests.
    clients: [Mutex<HashMap<ClientKey, Share>>; SHARDS],
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    requests: u64,
    bytes: u64,
}

/// Room that a held request takes, until this is dropped.
#[derive(Debug)]
pub(super) struct Room {
    budget: Arc<Budget>,
    client: ClientKey,
    bytes: u64,
}

impl Budget {
    /// An empty one.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            clients: Default::default(),
            hasher: RandomState::new(),
        })
    }

    /// Room for a request of so many bytes, if there is any left for this client.
    pub(super) fn take(self: &Arc<Self>, client: ClientKey, bytes: u64) -> Option<Room> {
        if !add(&self.requests, 1, REQUESTS) {
            return None;
        }
        if !add(&self.bytes, bytes, BYTES) {
            self.requests.fetch_sub(1, Relaxed);
            return None;
        }
        let mut clients = self.shard(client);
        let share = clients.get(&client).copied().unwrap_or_default();
        // Both sums are bounded by what the totals have let in.
        let wanted = Share { requests: share.requests + 1, bytes: share.bytes + bytes };
        if wanted.requests > CLIENT_REQUESTS || wanted.bytes > CLIENT_BYTES {
            drop(clients);
            self.bytes.fetch_sub(bytes, Relaxed);
            self.requests.fetch_sub(1, Relaxed);
            return None;
        }
        clients.insert(client, wanted);
        drop(clients);
        Some(Room { budget: Arc::clone(self), client, bytes })
    }

    fn shard(&self, client: ClientKey) -> MutexGuard<'_, HashMap<ClientKey, Share>> {
        let number = usize::try_from(self.hasher.hash_one(client) >> 32).unwrap_or(0) % SHARDS;
        let [first, ..] = &self.clients;
        let shard = self.clients.get(number).unwrap_or(first);
        // Nothing panics while it holds the lock, and the sums would be right if it did.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds unless the sum went over `most`.
fn add(total: &AtomicU64, amount: u64, most: u64) -> bool {
    total.fetch_update(Relaxed, Relaxed, |sum| sum.checked_add(amount).filter(|sum| *sum <= most)).is_ok()
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut clients = self.budget.shard(self.client);
        if let Some(share) = clients.get_mut(&self.client) {
            share.requests = share.requests.saturating_sub(1);
            share.bytes = share.bytes.saturating_sub(self.bytes);
            if share.requests == 0 {
                clients.remove(&self.client);
            }
        }
        drop(clients);
        self.budget.bytes.fetch_sub(self.bytes, Relaxed);
        self.budget.requests.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
impl Budget {
    /// Requests, bytes and clients with an entry.
    pub(super) fn in_use(&self) -> (u64, u64, usize) {
        let clients = self.clients.iter().map(|shard| shard.lock().unwrap().len()).sum();
        (self.requests.load(Relaxed), self.bytes.load(Relaxed), clients)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn client(number: u8) -> ClientKey {
        ClientKey::from(IpAddr::from([192, 0, 2, number]))
    }

    fn fill(budget: &Arc<Budget>, number: u8, bytes: u64) -> Vec<Room> {
        std::iter::from_fn(|| budget.take(client(number), bytes)).collect()
    }

    #[test]
    fn one_client_takes_its_share_and_all_take_no_more_than_there_is() {
        let budget = Budget::new();
        let mut rooms: Vec<_> = (0..12).map(|number| fill(&budget, number, 1)).collect();
        let counts: Vec<_> = rooms.iter().map(Vec::len).collect();
        assert_eq!(counts, [1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 0, 0]);
        assert_eq!(budget.in_use(), (10_000, 10_000, 10));
        rooms[3].pop();
        assert!(budget.take(client(4), 1).is_none());
        assert!(budget.take(client(3), 1).is_some());
        drop(rooms);
        assert_eq!(budget.in_use(), (0, 0, 0));
    }

    #[test]
    fn bytes_are_bounded_too() {
        let budget = Budget::new();
        let rooms: Vec<_> = (0..5).map(|number| fill(&budget, number, UNREAD)).collect();
        assert_eq!(rooms.iter().map(Vec::len).collect::<Vec<_>>(), [256, 256, 256, 256, 0]);
        assert_eq!(budget.in_use(), (1024, BYTES, 4));
        drop(rooms);
        assert!(budget.take(client(1), CLIENT_BYTES + 1).is_none());
        assert!(budget.take(client(1), u64::MAX).is_none());
        assert_eq!(budget.in_use(), (0, 0, 0));
    }

    #[test]
    fn threads_share_it() {
        let budget = Budget::new();
        let held: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| fill(&budget, 1, 10))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(budget.in_use(), (1000, 10_000, 1));
        drop(held);
        assert_eq!(budget.in_use(), (0, 0, 0));
    }

    #[test]
    fn unread_bodies_weigh_what_they_can_take() {
        assert_eq!((weight(10, Some(0)), weight(10, Some(5)), weight(0, Some(1 << 40))), (10, 15, UNREAD));
        assert_eq!(weight(1, None), UNREAD + 1);
    }
}
