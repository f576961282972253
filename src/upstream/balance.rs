//! Which endpoint of a pool is tried first, and which after it: pure.
//!
//! With a key the order is that of rendezvous hashing (highest random weight): each endpoint draws
//! a number from the key and its own address, and the highest wins. An endpoint that goes down
//! takes only its own keys with it, and they come home when it is back. The hash is SipHash-1-3
//! with a fixed key: every worker, and every process after a restart, draws the same.

use crate::config::pool::MAX_ENDPOINTS;
use siphasher::sip::SipHasher13;
use std::borrow::Cow;
use std::hash::Hasher as _;

/// What an endpoint draws its numbers with: a hash of its address, so that the order in which
/// endpoints are written does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat(u64);

impl Seat {
    /// The seat of the endpoint with this address.
    pub fn of(address: &impl ToString) -> Self {
        Self(hash(0, address.to_string().as_bytes()))
    }
}

/// How an endpoint is doing.
#[derive(Clone, Copy, Debug)]
pub struct EndpointState {
    /// Whether it may be tried.
    pub up: bool,
    /// Requests it is working on.
    pub in_flight: usize,
}

/// An endpoint among those to choose from.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Where it sits.
    pub seat: Seat,
    /// How it is doing.
    pub state: EndpointState,
}

/// How to choose. A turn is a counter that its owner moves on with every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick<'k> {
    /// One after the other.
    Turn(usize),
    /// The least busy; among equals, one after the other.
    LeastBusy(usize),
    /// Always the same for the same key.
    Key(Cow<'k, [u8]>),
}

/// Indices of the endpoints that are up, in the order in which they are to be tried.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    indices: [u8; MAX_ENDPOINTS],
    length: usize,
}

impl Order {
    /// The indices.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.indices.into_iter().take(self.length).map(usize::from)
    }
}

/// Orders the candidates. Those beyond [`MAX_ENDPOINTS`] are left out; the configuration admits none.
pub fn order(pick: &Pick<'_>, candidates: impl IntoIterator<Item = Candidate>) -> Order {
    let mut drawn = [(0_u64, 0_u8); MAX_ENDPOINTS];
    let mut length = 0;
    let up = (0_u8..).zip(candidates).filter(|(_, candidate)| candidate.state.up);
    for (place, (index, candidate)) in drawn.iter_mut().zip(up) {
        let rank = match pick {
            Pick::Turn(_) => 0,
            Pick::LeastBusy(_) => u64::try_from(candidate.state.in_flight).unwrap_or(u64::MAX),
            // The highest number is first.
            Pick::Key(key) => !hash(candidate.seat.0, key),
        };
        *place = (rank, index);
        length += 1;
    }
    let drawn = drawn.get_mut(..length).unwrap_or_default();
    if let Pick::Turn(turn) | Pick::LeastBusy(turn) = pick
        && length > 0
    {
        drawn.rotate_left(turn % length);
    }
    if !matches!(pick, Pick::Turn(_)) {
        drawn.sort_by_key(|(rank, _)| *rank);
    }
    let mut order = Order { indices: [0; MAX_ENDPOINTS], length };
    for (index, (_, drawn)) in order.indices.iter_mut().zip(drawn) {
        *index = *drawn;
    }
    order
}

fn hash(seat: u64, bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(seat, 0);
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seats(count: usize) -> Vec<Seat> {
        (0..count).map(|index| Seat::of(&format!("http://127.0.0.1:{}", 8000 + index))).collect()
    }

    fn ordered(pick: &Pick<'_>, candidates: &[(bool, usize)]) -> Vec<usize> {
        let candidates = seats(candidates.len()).into_iter().zip(candidates);
        order(
            pick,
            candidates.map(|(seat, (up, in_flight))| Candidate {
                seat,
                state: EndpointState { up: *up, in_flight: *in_flight },
            }),
        )
        .iter()
        .collect()
    }

    fn key(text: &str) -> Pick<'_> {
        Pick::Key(Cow::Borrowed(text.as_bytes()))
    }

    #[test]
    fn turns() {
        let all = [(true, 0); 3];
        for (turn, expected) in [(0, [0, 1, 2]), (1, [1, 2, 0]), (5, [2, 0, 1]), (usize::MAX, [0, 1, 2])] {
            assert_eq!(ordered(&Pick::Turn(turn), &all), expected, "{turn}");
        }
        // The share of one that is down is spread over all others.
        let first = |turn| ordered(&Pick::Turn(turn), &[(true, 0), (false, 0), (true, 0)])[0];
        assert_eq!([first(0), first(1), first(2), first(3)], [0, 2, 0, 2]);
        assert!(ordered(&Pick::Turn(1), &[(false, 0)]).is_empty());
        assert!(ordered(&Pick::Turn(1), &[]).is_empty());
    }

    #[test]
    fn the_least_busy_is_first_and_equals_take_turns() {
        assert_eq!(ordered(&Pick::LeastBusy(0), &[(true, 5), (true, 0), (true, 3)]), [1, 2, 0]);
        assert_eq!(ordered(&Pick::LeastBusy(0), &[(true, 5), (false, 0), (true, 3)]), [2, 0]);
        let equal = [(true, 1), (true, 1), (true, 9)];
        assert_eq!(ordered(&Pick::LeastBusy(0), &equal), [0, 1, 2]);
        assert_eq!(ordered(&Pick::LeastBusy(1), &equal), [1, 0, 2]);
    }

    /// These orders are what running installations have: with another hash every user would move at an
    /// upgrade.
    #[test]
    fn keys_stay_where_they_are_over_versions() {
        let orders =
            ["alice", "bob", "!room:example.org", "192.0.2.1"].map(|text| ordered(&key(text), &[(true, 0); 4]));
        assert_eq!(orders, [[0, 2, 3, 1], [1, 3, 0, 2], [0, 3, 2, 1], [0, 1, 2, 3]]);
    }

    #[test]
    fn keys_are_spread_evenly() {
        let mut counts = [0; 5];
        for number in 0..5000 {
            counts[ordered(&key(&format!("user{number}")), &[(true, 0); 5])[0]] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }

    proptest! {
        /// Rendezvous: what is down moves its own keys and nobody else's.
        #[test]
        fn only_the_keys_of_a_lost_endpoint_move(text in ".{0,20}", lost in 0_usize..6) {
            let all = [(true, 0); 6];
            let mut some = all;
            some[lost].0 = false;
            let mut expected = ordered(&key(&text), &all);
            expected.retain(|index| *index != lost);
            prop_assert_eq!(ordered(&key(&text), &some), expected);
        }

        #[test]
        fn the_order_of_writing_does_not_matter(text in ".{0,20}", turned in 0_usize..5) {
            let seats = seats(5);
            let candidate = |seat: &Seat| Candidate { seat: *seat, state: EndpointState { up: true, in_flight: 0 } };
            let mut rotated = seats.clone();
            rotated.rotate_left(turned);
            let first: Vec<_> = order(&key(&text), seats.iter().map(candidate)).iter().map(|index| seats[index]).collect();
            let second: Vec<_> = order(&key(&text), rotated.iter().map(candidate)).iter().map(|index| rotated[index]).collect();
            prop_assert_eq!(first, second);
        }
    }
}
