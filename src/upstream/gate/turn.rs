//! One request before a gate.

use super::{Gate, Inner};
use crate::net::client::ClientKey;
use crate::telemetry::log::Chain;
use crate::upstream::budget::Room;
use crate::upstream::connect::ConnectError;
use crate::upstream::health::is_outage;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;
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

/// One request and the gate. Dropped at any time, it leaves nothing behind.
pub struct Turn {
    gate: Rc<Gate>,
    waiting: Waiting,
    /// Only of a request that has been held.
    pub(super) hold: Option<Box<Hold>>,
}

pub(super) struct Hold {
    number: u64,
    deadline: Instant,
    room: Option<Room>,
    pub(super) place: Place,
}

pub(super) enum Place {
    /// In the queue, or let go and not aware of it.
    Queued(oneshot::Receiver<()>),
    /// Let go.
    OnTheWay,
    /// It has a connection.
    Sent,
    /// Answered or given up.
    Gone,
}

impl Turn {
    pub(super) fn new(gate: Rc<Gate>, waiting: Waiting) -> Self {
        Self { gate, waiting, hold: None }
    }

    /// Waits until the request may go: not at all while the endpoint is up.
    ///
    /// May be asked again after [`connect_failed`](Self::connect_failed) has said so; the deadline is
    /// that of the first wait. A request that does not wait goes on a mere suspicion, and to an address
    /// where nobody listens: the system then refuses it as quickly as we would. Dropping the future loses nothing, dropping the turn gives up.
    pub async fn come(&mut self) -> Result<(), Refused> {
        if self.hold.is_none() {
            if self.gate.open.get() {
                return Ok(());
            }
            if self.waiting.limit.is_zero() {
                return if self.gate.health().refuses() { Err(Refused::Off) } else { Ok(()) };
            }
            self.enter()?;
        }
        if let Some(Hold { place: place @ Place::Queued(_), deadline, .. }) = self.hold.as_deref_mut()
            && let Place::Queued(woken) = place
            && timeout_at(*deadline, woken).await.is_ok()
        {
            *place = Place::OnTheWay;
        }
        self.give_up()
    }

    /// Ends the wait in vain, unless the request has just been let go.
    pub fn give_up(&mut self) -> Result<(), Refused> {
        let Some(hold) = &mut self.hold else { return Ok(()) };
        match hold.place {
            Place::Queued(_) => {}
            Place::OnTheWay | Place::Sent => return Ok(()),
            Place::Gone => return Err(Refused::Over),
        }
        let mut inner = self.gate.inner.borrow_mut();
        let waited = inner.queue.remove(&hold.number).is_some();
        drop(inner);
        if !waited {
            hold.place = Place::OnTheWay;
            return Ok(());
        }
        self.gate.metrics.lost.count();
        hold.place = Place::Gone;
        hold.room = None;
        self.gate.let_go();
        Err(Refused::Over)
    }

    /// Takes a place at the end of the queue.
    fn enter(&mut self) -> Result<(), Refused> {
        let Some(room) = self.gate.commons.budget.take(self.waiting.client, self.waiting.bytes) else {
            self.gate.metrics.refused.count();
            return Err(Refused::Full);
        };
        let mut inner = self.gate.inner.borrow_mut();
        let number = inner.next_number;
        inner.next_number += 1;
        let (wake, woken) = oneshot::channel();
        inner.queue.insert(number, wake);
        drop(inner);
        self.gate.metrics.held.count();
        // A limit so long that time cannot express it is cut to a day.
        let deadline = Instant::now() + self.waiting.limit.min(Duration::from_secs(86_400));
        self.hold = Some(Box::new(Hold { number, deadline, room: Some(room), place: Place::Queued(woken) }));
        Ok(())
    }

    /// No connection could be opened, and nothing has been sent. True says: [`come`](Self::come)
    /// again; false: it is no outage, or the request does not wait.
    pub fn connect_failed(&mut self, error: &ConnectError) -> bool {
        let gate = Rc::clone(&self.gate);
        gate.metrics.connect_failures.count();
        let outage = is_outage(error);
        let again = outage && !self.waiting.limit.is_zero();
        if let Some(hold) = &mut self.hold {
            match std::mem::replace(&mut hold.place, Place::Gone) {
                Place::OnTheWay => {
                    let mut inner = gate.inner.borrow_mut();
                    inner.on_the_way -= 1;
                    inner.pace.ended();
                    if again {
                        hold.place = inner.queue_again(hold.number);
                    } else {
                        gate.metrics.lost.count();
                    }
                }
                // An idle connection had seemed to do. It was counted as saved: this is a new wait.
                Place::Sent => {
                    gate.inner.borrow_mut().pace.ended();
                    hold.room = None;
                    if again {
                        hold.room = gate.commons.budget.take(self.waiting.client, self.waiting.bytes);
                        match hold.room {
                            Some(_) => {
                                gate.metrics.held.count();
                                hold.place = gate.inner.borrow_mut().queue_again(hold.number);
                            }
                            None => gate.metrics.refused.count(),
                        }
                    }
                }
                Place::Queued(_) | Place::Gone => {}
            }
        }
        if outage {
            gate.learn(gate.health().unreachable(error, Instant::now()), || Chain(error).to_string());
        } else {
            gate.let_go();
        }
        again && self.hold.as_ref().is_none_or(|hold| !matches!(hold.place, Place::Gone))
    }

    /// The request has a connection and is about to be written: it waits no more.
    pub fn connected(&mut self) {
        let Some(hold) = &mut self.hold else { return };
        if matches!(hold.place, Place::OnTheWay) {
            hold.place = Place::Sent;
            hold.room = None;
            self.gate.inner.borrow_mut().on_the_way -= 1;
            self.gate.metrics.saved.count();
        }
    }

    /// A fresh connection ended without a byte of an answer. The request may have been read: it is
    /// lost. The next ones wait until `/health` has been asked.
    pub fn broke_unanswered(&mut self) {
        self.gate.learn(self.gate.health().broke_unanswered(), String::new);
    }

    /// The answer has begun: others may go.
    pub fn answered(mut self) {
        let Some(hold) = &mut self.hold else { return };
        if matches!(hold.place, Place::Sent) {
            hold.place = Place::Gone;
            self.gate.inner.borrow_mut().pace.answered();
            self.gate.let_go();
        }
    }
}

impl Inner {
    /// Back to the old place. Whoever has come since has a higher number.
    fn queue_again(&mut self, number: u64) -> Place {
        let (wake, woken) = oneshot::channel();
        self.queue.insert(number, wake);
        Place::Queued(woken)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(hold) = &self.hold else { return };
        let mut inner = self.gate.inner.borrow_mut();
        match hold.place {
            Place::Queued(_) if inner.queue.remove(&hold.number).is_some() => self.gate.metrics.left.count(),
            // It had been let go in the same moment.
            Place::Queued(_) | Place::OnTheWay => {
                inner.on_the_way -= 1;
                inner.pace.ended();
                self.gate.metrics.left.count();
            }
            Place::Sent => inner.pace.ended(),
            Place::Gone => return,
        }
        drop(inner);
        self.gate.let_go();
    }
}
