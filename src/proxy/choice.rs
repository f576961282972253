//! The endpoints that a request may be tried at, in their order.

use super::balance_key::{Keyed, pick};
use super::destination::{Destination, UpstreamId};
use super::serving::{ServedEndpoint, Serving};
use crate::upstream::balance::{Candidate, EndpointState, order};
use std::cell::RefCell;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

/// Whose turn it is in each upstream, for one worker. Each worker begins somewhere else, so that
/// those with little to do do not all favour the first endpoint.
pub(super) struct Turns {
    start: usize,
    taken: RefCell<Vec<usize>>,
}

impl Default for Turns {
    fn default() -> Self {
        let start = RandomState::new().hash_one(()) >> 32;
        Self { start: usize::try_from(start).unwrap_or(0), taken: RefCell::default() }
    }
}

impl Turns {
    fn of(&self, upstream: UpstreamId) -> usize {
        self.taken.borrow().get(upstream.0).copied().unwrap_or(self.start)
    }

    fn take(&self, upstream: UpstreamId) {
        let mut taken = self.taken.borrow_mut();
        if taken.len() <= upstream.0 {
            taken.resize(upstream.0 + 1, self.start);
        }
        if let Some(turn) = taken.get_mut(upstream.0) {
            *turn = turn.wrapping_add(1);
        }
    }
}

/// The endpoints of `destination` in the order in which they are tried: those that are up, and behind
/// them those that are down, where the request may have to wait.
pub(super) fn candidates<'s>(
    serving: &'s Serving,
    destination: &Destination,
    request: &Keyed<'_>,
    turns: &Turns,
    state: impl Fn(&ServedEndpoint) -> EndpointState,
) -> Vec<&'s ServedEndpoint> {
    let (mut found, mut down) = (Vec::with_capacity(1), Vec::new());
    for step in destination.steps.iter() {
        let Some(upstream) = serving.upstreams.get(step.upstream.0) else { continue };
        if let [only] = upstream.endpoints.as_slice() {
            let chosen = if state(only).up { &mut found } else { &mut down };
            chosen.push(only);
            continue;
        }
        let picked = pick(step.balance, request, turns.of(step.upstream));
        let chosen = |up: bool| {
            let now = upstream.endpoints.iter().map(|end| {
                let EndpointState { up: is_up, in_flight } = state(end);
                Candidate { seat: end.seat, state: EndpointState { up: is_up == up, in_flight } }
            });
            let chosen = order(&picked, now);
            chosen.iter().filter_map(|index| upstream.endpoints.get(index)).collect::<Vec<_>>()
        };
        let up = chosen(true);
        if up.len() < upstream.endpoints.len() {
            down.extend(chosen(false));
        }
        // Those after the first upstream only stand in, and those that are down do nothing: no turn of
        // theirs is over.
        if found.is_empty() && !up.is_empty() {
            turns.take(step.upstream);
        }
        found.extend(up);
    }
    found.append(&mut down);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, UpstreamAddress};
    use crate::proxy::router::{Asked, Route, route};
    use crate::tls::TlsTable;
    use std::path::Path;

    const POOLS: &str = r#"
        server_name = "a.example"
        homeserver = "http://127.0.0.1:1"
        [[upstream]]
        name = "sync"
        endpoints = ["http://127.0.0.1:2", "http://127.0.0.1:3"]
        balance = "round_robin"
        serves = ["sync"]
        [[upstream]]
        name = "first"
        endpoints = ["http://127.0.0.1:4", "http://127.0.0.1:5"]
        balance = "least_busy"
        serves = ["initial_sync", "media"]
    "#;

    struct World {
        serving: Serving,
        turns: Turns,
    }

    impl World {
        fn new() -> Self {
            let serving = Serving::new(&Config::parse(POOLS, Path::new("t")).unwrap(), TlsTable::default());
            Self { serving, turns: Turns::default() }
        }

        /// The ports in the order of trial; the endpoints with these ports are down, or busy.
        fn ports(&self, path: &str, down: &[u16], busy: &[u16]) -> Vec<u16> {
            let host = crate::matrix::Host::parse("a.example").unwrap();
            let client = [192, 0, 2, 1].into();
            let Route::Forward(destination) =
                route(&self.serving, &Asked { method: "GET", host: &host, path, query: None, client })
            else {
                panic!("{path} is forwarded")
            };
            let port = |endpoint: &ServedEndpoint| match &endpoint.address {
                UpstreamAddress::Tcp(address) => address.port(),
                other => panic!("{other}"),
            };
            let state = |endpoint: &ServedEndpoint| {
                let in_flight = usize::from(busy.contains(&port(endpoint)));
                EndpointState { up: !down.contains(&port(endpoint)), in_flight }
            };
            let keyed = Keyed { path, query: None, client, authorization: &[] };
            let found = candidates(&self.serving, &destination, &keyed, &self.turns, state);
            found.into_iter().map(port).collect()
        }
    }

    const SYNC: &str = "/_matrix/client/v3/sync";
    const MEDIA: &str = "/_matrix/media/v3/config";

    #[test]
    fn a_pool_then_its_stand_ins() {
        let world = World::new();
        assert_eq!(world.ports(SYNC, &[3], &[4]), [5, 4, 2, 1, 3]);
        assert_eq!(world.ports(SYNC, &[2, 3, 4, 5], &[])[0], 1);
        assert_eq!(world.ports(SYNC, &[1, 2, 4], &[]), [5, 3, 4, 2, 1]);
        assert_eq!(world.ports(SYNC, &[1, 2, 3, 4, 5], &[5])[..2], [4, 5]);
        assert_eq!(world.ports(SYNC, &[1, 2, 3, 4, 5], &[])[4], 1);
        assert_eq!(world.ports(MEDIA, &[], &[5]), [4, 5]);
        assert_eq!(world.ports(MEDIA, &[4, 5], &[4]), [5, 4]);
        assert_eq!(world.ports("/_matrix/client/v3/login", &[], &[]), [1]);
    }

    /// Requests that alternate between pools would else always meet the same endpoint.
    #[test]
    fn each_pool_has_turns_of_its_own() {
        let world = World::new();
        let events = "/_matrix/client/v3/events";
        let (mut first, mut second, mut third) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..4 {
            // The first of these names the pool of the third behind its own.
            first.push(world.ports(SYNC, &[], &[])[0]);
            second.push(world.ports("/_matrix/client/v3/login", &[], &[])[0]);
            third.push(world.ports(events, &[4, 5], &[])[0]);
        }
        assert_eq!(second, [1; 4]);
        for met in [first, third] {
            assert!(met[0] != met[1] && met[0] == met[2] && met[1] == met[3], "{met:?}");
        }
    }
}
