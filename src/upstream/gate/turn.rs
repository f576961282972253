//! One request before a gate, or before several of which any will do.
//!
//! It counts once, whatever the number of gates: it takes room for one, has one deadline, and is
//! counted where it would have gone first.

use super::Gate;
use super::stand::Stand;
use crate::net::client::ClientKey;
use crate::telemetry::log::Chain;
use crate::upstream::budget::Room;
use crate::upstream::connect::ConnectError;
use crate::upstream::health::is_outage;
use crate::upstream::probe::Check;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Why a request may not go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The endpoint is down, and requests of its class do not wait.
    #[error("the upstream is down")]
    Off,
    /// There is no room to wait in, or none for this client.
    #[error("too many requests wait for the upstream")]
    Full,
    /// It has waited as long as it may.
    #[error("the upstream is still down")]
    Over,
}

/// What a request asks of the gate.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// How long it may wait in all; zero is not at all.
    pub limit: Duration,
    /// What it takes of memory meanwhile ([`weight`](crate::upstream::weight)).
    pub bytes: u64,
    /// Whose share it counts against.
    pub client: ClientKey,
}

/// One request and its gates. Dropped at any time, it leaves nothing behind.
pub struct Turn {
    /// Where it goes, or would go first.
    gate: Rc<Gate>,
    /// Those of endpoints that will do as well, in the order of trial.
    others: Vec<Rc<Gate>>,
    waiting: Waiting,
    /// How many answers the gate had seen when the exchange began.
    answers_before: u64,
    /// Only of a request that has been held.
    pub(super) hold: Option<Box<Hold>>,
}

pub(super) struct Hold {
    /// Whose gate counts it.
    home: Rc<Gate>,
    deadline: Instant,
    room: Option<Room>,
    /// In the order of trial. A single one once it has a connection, and none once it is answered or
    /// given up.
    pub(super) stands: Vec<Stand>,
}

impl Turn {
    pub(super) fn new(gate: Rc<Gate>, waiting: Waiting) -> Self {
        Self { gate, others: Vec::new(), waiting, answers_before: 0, hold: None }
    }

    /// The same, but it goes where it may first. `others` are in the order of trial, and none of them
    /// is there twice.
    pub fn or_through(mut self, others: Vec<Rc<Gate>>) -> Self {
        self.others = others;
        self
    }

    /// The gate that let it go.
    pub fn gate(&self) -> &Rc<Gate> {
        &self.gate
    }

    /// Waits until the request may go: not at all while an endpoint is up. [`gate`](Self::gate) tells
    /// which one it is.
    ///
    /// May be asked again after [`connect_failed`](Self::connect_failed) has said so; the deadline is
    /// that of the first wait. A request that does not wait goes on a mere suspicion, and to an address
    /// where nobody listens: the system then refuses it as quickly as we would. Dropping the future
    /// loses nothing, dropping the turn gives up.
    pub async fn come(&mut self) -> Result<(), Refused> {
        if self.hold.is_none() {
            if self.gate.is_open() || self.go_through_another() {
                return Ok(());
            }
            if self.waiting.limit.is_zero() {
                return if self.gate.health().refuses() { Err(Refused::Off) } else { Ok(()) };
            }
            self.enter()?;
        }
        if let Some(hold) = self.hold.as_deref_mut()
            && let Ok(Some(gate)) = timeout_at(hold.deadline, poll_fn(|cx| hold.poll(cx))).await
        {
            self.go_through(&gate);
            return Ok(());
        }
        self.give_up()
    }

    /// Ends the wait in vain, unless the request has just been let go.
    pub fn give_up(&mut self) -> Result<(), Refused> {
        let Some(hold) = self.hold.as_deref_mut() else { return Ok(()) };
        if let Some(stand) = hold.stands.iter_mut().find(|stand| stand.was_let_go()) {
            stand.see();
        }
        if let Some(gone) = hold.stands.iter().find(|stand| stand.is_on_the_way() || stand.is_sent()) {
            let gate = Rc::clone(gone.gate());
            self.go_through(&gate);
            return Ok(());
        }
        if !hold.stands.is_empty() {
            hold.home.metrics.lost.count();
            hold.room = None;
            hold.stands.clear();
        }
        Err(Refused::Over)
    }

    /// If another gate is open, that one is it.
    fn go_through_another(&mut self) -> bool {
        let Some(open) = self.others.iter_mut().find(|gate| gate.is_open()) else { return false };
        std::mem::swap(&mut self.gate, open);
        true
    }

    /// It goes through `gate`, and the others are the others.
    fn go_through(&mut self, gate: &Rc<Gate>) {
        if let Some(other) = self.others.iter_mut().find(|other| Rc::ptr_eq(other, gate)) {
            std::mem::swap(&mut self.gate, other);
        }
    }

    /// Takes a place at the end of each queue.
    fn enter(&mut self) -> Result<(), Refused> {
        let Some(room) = self.gate.commons.budget.take(self.waiting.client, self.waiting.bytes) else {
            self.gate.metrics.refused.count();
            return Err(Refused::Full);
        };
        self.gate.metrics.held.count();
        let stands = std::iter::once(&self.gate).chain(&self.others).map(Stand::enter).collect();
        // A limit so long that time cannot express it is cut to a day.
        let deadline = Instant::now() + self.waiting.limit.min(Duration::from_secs(86_400));
        self.hold = Some(Box::new(Hold { home: Rc::clone(&self.gate), deadline, room: Some(room), stands }));
        Ok(())
    }

    /// No connection could be opened, and nothing has been sent. True says: [`come`](Self::come)
    /// again; false: it is no outage, or the request does not wait.
    ///
    /// Where it is no outage at one of several endpoints, the request goes on without that one.
    pub fn connect_failed(&mut self, error: &ConnectError) -> bool {
        let gate = Rc::clone(&self.gate);
        gate.metrics.connect_failures.count();
        let outage = is_outage(error);
        let again = !self.waiting.limit.is_zero() && self.waits_again(outage);
        if outage {
            gate.learn(gate.health().unreachable(error, Instant::now()), || Chain(error).to_string());
        } else {
            gate.let_go();
        }
        again
    }

    /// Back to the queues; at the gate that it has come from only if there was an `outage`.
    fn waits_again(&mut self, outage: bool) -> bool {
        let Some(hold) = self.hold.as_deref_mut() else {
            // It has not waited yet.
            let without = !outage && !self.others.is_empty();
            if without {
                self.gate = self.others.remove(0);
            }
            return outage || without;
        };
        let Some(index) = hold.stands.iter().position(|stand| stand.is_on_the_way() || stand.is_sent()) else {
            return false;
        };
        let mut stand = hold.stands.remove(index);
        // An idle connection had seemed to do. It was counted as saved: this is a new wait.
        let anew = stand.is_sent();
        if outage {
            stand.back();
            hold.stands.insert(index, stand);
        } else {
            stand.fail();
        }
        if !anew {
            if hold.stands.is_empty() {
                hold.room = None;
                hold.home.metrics.lost.count();
            }
            return !hold.stands.is_empty();
        }
        if self.others.iter().any(|gate| gate.is_open()) {
            hold.stands.clear();
            self.hold = None;
            return self.go_through_another();
        }
        hold.stands.extend(self.others.iter().map(Stand::enter));
        if hold.stands.is_empty() {
            return false;
        }
        hold.room = hold.home.commons.budget.take(self.waiting.client, self.waiting.bytes);
        match hold.room {
            Some(_) => hold.home.metrics.held.count(),
            None => {
                hold.home.metrics.refused.count();
                hold.stands.clear();
            }
        }
        hold.room.is_some()
    }

    /// The request has a connection and is about to be written: it waits no more, nowhere.
    pub fn connected(&mut self) {
        self.answers_before = self.gate.answers.get();
        let Some(hold) = self.hold.as_deref_mut() else { return };
        if let Some(index) = hold.stands.iter().position(Stand::is_on_the_way) {
            let mut stand = hold.stands.swap_remove(index);
            stand.sent();
            hold.stands.clear();
            hold.stands.push(stand);
            hold.room = None;
            hold.home.metrics.saved.count();
        }
    }

    /// A fresh connection ended without a byte of an answer. The request may have been read: it is
    /// lost. The next ones wait until `/health` has been asked, if that would tell anything, and unless
    /// others were answered meanwhile: Twisted closes so on a header line over 16 KiB, which any client
    /// can send.
    pub fn broke_unanswered(&mut self) {
        if self.gate.check == Check::Connect || self.gate.answers.get() != self.answers_before {
            return;
        }
        self.gate.learn(self.gate.health().broke_unanswered(), String::new);
    }

    /// The answer has begun: others may go.
    pub fn answered(mut self) {
        self.gate.answers.set(self.gate.answers.get().wrapping_add(1));
        let Some(hold) = self.hold.as_deref_mut() else { return };
        if let Some(index) = hold.stands.iter().position(Stand::is_sent) {
            hold.stands.swap_remove(index).answered();
        }
    }
}

impl Hold {
    /// Ready with the first gate that lets the request go, or with none if it waits nowhere.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Rc<Gate>>> {
        // Let go before, which somebody has not waited to see.
        let going = self.stands.iter().position(|stand| stand.is_on_the_way() || stand.is_sent());
        let first = going.or_else(|| self.stands.iter_mut().position(|stand| stand.poll(cx).is_ready()));
        match first.and_then(|index| self.stands.get(index)) {
            Some(stand) => Poll::Ready(Some(Rc::clone(stand.gate()))),
            None if self.stands.is_empty() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(hold) = &self.hold
            && !hold.stands.is_empty()
            && !hold.stands.iter().any(Stand::is_sent)
        {
            hold.home.metrics.left.count();
        }
    }
}
