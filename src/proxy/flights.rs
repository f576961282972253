//! How many requests a worker forwards at a time, and for one client.
//!
//! Each takes a connection of its own to the homeserver, which HTTP/2 lets a client ask for by the
//! hundred over one. Without a bound ten connections could use up the descriptors of this program or
//! of the homeserver, and lock everybody else out.

use crate::net::client::ClientKey;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// Requests that all workers together may have under way: there are some 28,000 local ports for
/// connections to one address, and those that were closed keep theirs for a minute.
const MOST: usize = 20_000;

/// Fewer than this per worker would stand in the way of a small server with few descriptors.
const LEAST: usize = 64;

/// What a worker forwards.
#[derive(Debug)]
pub(super) struct Flights {
    most: usize,
    all: Cell<usize>,
    by_client: RefCell<HashMap<ClientKey, usize>>,
}

/// A request under way, until this is dropped.
#[derive(Debug)]
pub(super) struct Flight {
    flights: Rc<Flights>,
    client: ClientKey,
}

impl Flights {
    /// For one of `workers` in a process that may have `connections` connections of clients, and so as
    /// many to upstreams.
    pub(super) fn new(connections: usize, workers: usize) -> Rc<Self> {
        let most = (connections.min(MOST) / workers.max(1)).max(LEAST);
        Rc::new(Self { most, all: Cell::new(0), by_client: RefCell::default() })
    }

    /// Room for a request of this client, if there is any. One client gets half of it, so that there is
    /// always some for another.
    pub(super) fn take(self: &Rc<Self>, client: ClientKey) -> Option<Flight> {
        let mut by_client = self.by_client.borrow_mut();
        let own = by_client.get(&client).copied().unwrap_or(0);
        if self.all.get() >= self.most || own >= self.most / 2 {
            return None;
        }
        by_client.insert(client, own + 1);
        self.all.set(self.all.get() + 1);
        Some(Flight { flights: Rc::clone(self), client })
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut by_client = self.flights.by_client.borrow_mut();
        match by_client.get_mut(&self.client) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                by_client.remove(&self.client);
            }
        }
        self.flights.all.set(self.flights.all.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn client(number: u8) -> ClientKey {
        IpAddr::from([192, 0, 2, number]).into()
    }

    #[test]
    fn one_client_leaves_room_for_others() {
        let flights = Flights::new(400, 2);
        let mut taken: Vec<_> = std::iter::from_fn(|| flights.take(client(1))).collect();
        assert_eq!(taken.len(), 100);
        taken.extend(std::iter::from_fn(|| flights.take(client(2))));
        assert_eq!(taken.len(), 200);
        assert!(flights.take(client(3)).is_none());
        drop(taken.split_off(150));
        assert!(flights.take(client(3)).is_some());
        drop(taken);
        assert!(flights.by_client.borrow().is_empty());
        assert_eq!(flights.all.get(), 0);
    }

    #[test]
    fn few_descriptors_are_no_reason_to_serve_nobody() {
        assert_eq!(Flights::new(85, 2).most, LEAST);
        assert_eq!(Flights::new(500_000, 4).most, 5_000);
    }
}
