//! What goes wrong, and what becomes of a client.

use std::net::SocketAddr;
use std::time::Duration;

use crate::client::{Client, Life, Seen};
use crate::counts::Counts;
use crate::listener;
use crate::shelf::Shelf;
use crate::support::pebble::Pebble;
use crate::support::ports;
use crate::support::process::Signal;

/// How long a store that fails at start cannot be read.
const STORE_FAILS: Duration = Duration::from_secs(3);

/// When a run is given up. Longer than either client's own bounds, if it has any.
pub const LIMIT: Duration = Duration::from_secs(40);

/// An exchange with a CA takes vestibule 30 s at most.
const TOLD_WITHIN: Duration = Duration::from_secs(33);

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Delay,
    Unreachable,
    Mute,
    Nonces,
    Store,
}

impl Case {
    pub const ALL: [Self; 5] = [Self::Delay, Self::Unreachable, Self::Mute, Self::Nonces, Self::Store];

    pub fn name(self) -> &'static str {
        match self {
            Self::Delay => "each validation is delayed by 0 to 5 s",
            Self::Unreachable => "nothing listens where the CA validates",
            Self::Mute => "the CA accepts and never answers",
            Self::Nonces => "the CA refuses 15 % of good nonces",
            Self::Store => "at a restart nothing can be read for 3 s",
        }
    }
}

/// What became of one client in one run.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub seen: Seen,
    pub counts: Counts,
    /// Whether the account's key in the store was replaced by another one.
    pub account_replaced: bool,
}

/// One run: a Pebble of its own, a listener, a store.
pub fn run(case: Case, client: Client, name_server: SocketAddr) -> Outcome {
    let socket = listener::bind();
    let port = match case {
        Case::Unreachable => ports::free(),
        _ => socket.local_addr().expect("a bound socket").port(),
    };
    // The newer one refuses a challenge that is announced twice, which Let's Encrypt is about to do.
    let settings =
        Pebble::newer().unwrap_or_else(Pebble::settings).challenge_ports(ports::free(), port).name_server(name_server);
    let settings = match case {
        // PEBBLE_VA_SLEEPTIME: Pebble draws whole seconds, from 0 to one less than this.
        Case::Delay => settings.validation_delay(6),
        Case::Nonces => settings.nonce_reject(15),
        Case::Unreachable | Case::Mute | Case::Store => settings,
    };
    let mut pebble = settings.start();
    let shelf = Shelf::default();
    let (directory, root) = (pebble.directory(), pebble.endpoint_root());
    let life = Life { directory, root, socket, shelf: shelf.clone(), limit: LIMIT };
    match case {
        Case::Delay | Case::Unreachable | Case::Nonces => {}
        // The kernel goes on accepting connections for it.
        Case::Mute => pebble.process().signal(Signal::Stop),
        Case::Store => {
            let first = life.live(client);
            assert!(first.served.is_some(), "{}: no certificate to begin with: {:?}", client.name(), first.told);
            shelf.fail_for(STORE_FAILS);
        }
    }
    let mark = pebble.process().mark();
    let account = shelf.entries("account");
    let seen = life.live(client);
    let counts = Counts::of(&pebble.process().lines_since(mark));
    let ordered = seen.served.is_some() && case != Case::Store;
    assert!(!ordered || counts.all_seen(), "Pebble writes its log in other words than are looked for: {counts:?}");
    let account_replaced = !account.is_empty() && shelf.entries("account") != account;
    Outcome { seen, counts, account_replaced }
}

impl Outcome {
    /// What vestibule promises for `case`, and did not keep in this run.
    pub fn broken_promise(&self, case: Case) -> Option<&'static str> {
        let Self { seen, counts, account_replaced } = self;
        let kept = match case {
            Case::Delay | Case::Nonces => seen.served.is_some() && counts.orders == 1 && counts.failed == 0,
            Case::Unreachable => seen.told.is_some() && counts.failed == 1,
            Case::Mute => seen.told.as_ref().is_some_and(|(at, _)| *at < TOLD_WITHIN),
            Case::Store => seen.served.is_some() && counts.orders == 0 && counts.accounts == 0 && !account_replaced,
        };
        let promise = match case {
            Case::Delay | Case::Nonces => "a certificate with one order and no failed authorisation",
            Case::Unreachable => "an error told, and a minute's pause after one failed authorisation",
            Case::Mute => "an error told in bounded time",
            Case::Store => "the old certificate, no order, the old account",
        };
        (!kept).then_some(promise)
    }
}
