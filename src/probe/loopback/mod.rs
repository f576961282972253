//! The loop-back proof: what a peer sends arrives at this process as it was sent.
//!
//! A public tester sees answers only, and an answer looks the same whether a proxy on the way has
//! left a request alone or not. So this process sends itself requests over its public addresses, to
//! a path with a one-time nonce ([`Loopback`]), and compares what arrived with what was sent, inside
//! ([`mod@compare`], pure). Nothing that arrived is ever echoed: the answer is an empty object.
//!
//! [`Prover`] asks, [`LoopSeen`] is what came of it at one address, and [`mod@hop`] names whoever
//! stood in between.

mod arrival;
mod ask;
mod compare;
mod desk;
mod hop;
mod prover;
mod question;
mod seen;

pub use arrival::{Arrival, ArrivedTls, MAX_BODY};
pub use desk::{Loopback, Visit};
pub use hop::{Hop, HopKind};
pub use prover::{Place, Prover};
pub use seen::{Change, Ends, How, Idle, IdleEnd, Item, LoopSeen, Outcome};

#[cfg(test)]
mod tests;
