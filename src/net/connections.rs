//! How many connections there may be: in all, and from one client.
//!
//! Shared by the workers by design, and touched when a connection begins and when it ends, never by
//! a request.

use super::client::ClientKey;
use crate::telemetry::complaint::Complaint;
use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher as _;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Locks the table is split over, so that workers rarely meet at one.
const SHARDS: usize = 64;

/// A shard that has emptied keeps room for so many clients, and gives the rest back after a flood.
const KEPT: usize = 64;

/// All downstream connections of the process.
#[derive(Debug)]
pub struct Connections {
    live: AtomicUsize,
    most: usize,
    /// Told when there is room again.
    freed: Notify,
    /// Clients with live connections, and how many; bounded by those.
    clients: [Mutex<HashMap<ClientKey, u32>>; SHARDS],
    /// Seeded, so that nobody can choose addresses that all meet in one shard.
    hasher: RandomState,
    /// All are in use.
    full: Complaint,
    /// A client has more than its share.
    greedy: Complaint,
    /// Accepting failed for want of descriptors or memory.
    pub(super) exhausted: Complaint,
}

/// One connection, counted until this is dropped.
#[derive(Debug)]
pub struct Slot(Arc<Connections>);

/// One connection of a client, counted as the client's until this is dropped.
#[derive(Debug)]
pub struct Share {
    connections: Arc<Connections>,
    client: ClientKey,
}

impl Connections {
    /// At most so many at a time.
    pub fn new(most: usize) -> Self {
        Self {
            live: AtomicUsize::new(0),
            most,
            freed: Notify::new(),
            clients: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            full: Complaint::default(),
            greedy: Complaint::default(),
            exhausted: Complaint::default(),
        }
    }

    /// How many there may be.
    pub fn most(&self) -> usize {
        self.most
    }

    /// How many there are.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }

    /// Returns when there is room for one more. It is not reserved: each of those who wait for it may
    /// take one, so that the count can go past the limit by as many as there are acceptors.
    pub async fn room(&self) {
        while !self.has_room() {
            let mut freed = pin!(self.freed.notified());
            // Listening before looking again: otherwise room made in between would be missed.
            freed.as_mut().enable();
            if self.has_room() {
                return;
            }
            if let Some(times) = self.full.due(Instant::now()) {
                tracing::warn!(
                    connections = self.most,
                    times,
                    "as many connections as the limit on open files allows are open, others wait: raise LimitNOFILE \
                     in the unit"
                );
            }
            freed.await;
        }
    }

    fn has_room(&self) -> bool {
        self.live() < self.most
    }

    /// Counts one more.
    pub fn open(self: &Arc<Self>) -> Slot {
        self.live.fetch_add(1, Ordering::SeqCst);
        Slot(Arc::clone(self))
    }

    /// Counts one more of `client`, unless it has `most` already.
    pub fn share(self: &Arc<Self>, client: ClientKey, most: u32) -> Option<Share> {
        let mut clients = self.shard(client);
        let count = clients.entry(client).or_default();
        if *count < most {
            *count += 1;
            return Some(Share { connections: Arc::clone(self), client });
        }
        drop(clients);
        if let Some(times) = self.greedy.due(Instant::now()) {
            tracing::warn!(
                %client,
                times,
                "connections closed: a client has as many as limits.per_ip_connections allows ({most})"
            );
        }
        None
    }

    fn shard(&self, client: ClientKey) -> MutexGuard<'_, HashMap<ClientKey, u32>> {
        let number = usize::try_from(self.hasher.hash_one(client) % SHARDS as u64).unwrap_or_default();
        #[expect(clippy::indexing_slicing, reason = "a remainder is less than its divisor")]
        let shard = &self.clients[number];
        // Counts are whole between two statements, whatever a panicking thread was about.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Exactly one of those who end passes the limit on the way down.
        if self.0.live.fetch_sub(1, Ordering::SeqCst) == self.0.most {
            self.0.freed.notify_waiters();
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut clients = self.connections.shard(self.client);
        if let Entry::Occupied(mut entry) = clients.entry(self.client) {
            let left = entry.get().saturating_sub(1);
            match left {
                0 => drop(entry.remove()),
                _ => *entry.get_mut() = left,
            }
        }
        if clients.is_empty() && clients.capacity() > KEPT {
            clients.shrink_to(KEPT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::net::IpAddr;

    fn client(address: &str) -> ClientKey {
        address.parse::<IpAddr>().unwrap().into()
    }

    fn counted(connections: &Connections) -> usize {
        connections.clients.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }

    #[test]
    fn a_client_has_its_share_and_gets_it_back() {
        let connections = Arc::new(Connections::new(usize::MAX));
        let (one, other) = (client("192.0.2.7"), client("192.0.2.8"));
        let mut held: Vec<_> = (0..3).map(|_| connections.share(one, 3).expect("within its share")).collect();
        assert!(connections.share(one, 3).is_none());
        assert!(connections.share(other, 3).is_some(), "others are others");
        held.pop();
        held.push(connections.share(one, 3).expect("one has ended"));
        assert!(connections.share(one, 3).is_none());
        drop(held);
        assert_eq!(counted(&connections), 0, "nothing is kept of clients that have gone");
    }

    #[test]
    fn addresses_of_one_64_share() {
        let connections = Arc::new(Connections::new(usize::MAX));
        let held = connections.share(client("2001:db8:0:1::1"), 1);
        assert!(held.is_some() && connections.share(client("2001:db8:0:1::2"), 1).is_none());
        assert!(connections.share(client("2001:db8:0:2::1"), 1).is_some());
        let mapped = connections.share(client("::ffff:192.0.2.7"), 1);
        assert!(mapped.is_some() && connections.share(client("192.0.2.7"), 1).is_none());
    }

    #[test]
    fn a_flood_leaves_no_table_behind() {
        let connections = Arc::new(Connections::new(usize::MAX));
        let address = |number: u32| ClientKey::V4(number.into());
        let held: Vec<_> = (0..40_000).map(|number| connections.share(address(number), 1).expect("new")).collect();
        assert_eq!(counted(&connections), held.len());
        drop(held);
        let capacity = connections.clients.iter().map(|shard| shard.lock().unwrap().capacity()).max();
        assert!(capacity < Some(4 * KEPT), "{capacity:?}");
    }

    #[test]
    fn who_finds_no_room_waits_for_it() {
        let connections = Arc::new(Connections::new(2));
        let mut held = vec![connections.open(), connections.open()];
        let mut waiting = Box::pin(connections.room());
        assert!(waiting.as_mut().now_or_never().is_none());
        // One past the limit, as two acceptors may have seen the same room.
        held.push(connections.open());
        held.pop();
        assert!(waiting.as_mut().now_or_never().is_none());
        held.pop();
        assert!(waiting.as_mut().now_or_never().is_some());
        assert!(connections.room().now_or_never().is_some());
    }

    #[test]
    fn counts_hold_between_threads() {
        let connections = Arc::new(Connections::new(8));
        std::thread::scope(|scope| {
            for number in 0..4_u32 {
                let connections = &connections;
                scope.spawn(move || {
                    for turn in 0..2000_u32 {
                        let _slot = connections.open();
                        let _share = connections.share(ClientKey::V4((turn % 7).into()), u32::MAX);
                        let _own = connections.share(ClientKey::V6(number.into()), 1).expect("nobody else's");
                    }
                });
            }
        });
        assert_eq!((counted(&connections), connections.live()), (0, 0));
    }
}
