//! The gate before an endpoint: open while it is up; while it is down, requests wait here and not a
//! byte is sent.
//!
//! A gate belongs to one worker. A request takes a [`Turn`], which is where it stands: not held, in
//! the queue, let go, or sent. The queue is first in, first out, and a request that was let go too
//! early returns to its old place with its old deadline. While the endpoint is not up, or the queue
//! not empty, one task per gate sees to both ([`keep`]); it ends with the gate.

use crate::config::UpstreamAddress;
use crate::net::client::ClientKey;
use crate::telemetry::log::Chain;
use crate::telemetry::metrics::{HoldCounts, HoldMetrics};
use crate::upstream::budget::Room;
use crate::upstream::connect::ConnectError;
use crate::upstream::health::{Health, Verdict, is_outage};
use crate::upstream::outages::Commons;
use crate::upstream::pace::{Pace, TICK};
use crate::upstream::probe;
use futures_util::future::LocalBoxFuture;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};

/// How often `/health` is asked while the endpoint is not up: a restart costs this much at most
/// beyond its own time, and four small requests a second cost nobody anything.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

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

/// A gate.
pub struct Gate {
    /// Up, and nobody waits: all that a request looks at on an ordinary day.
    open: Cell<bool>,
    inner: RefCell<Inner>,
    address: UpstreamAddress,
    commons: Arc<Commons>,
    metrics: Arc<HoldMetrics>,
    ask: Ask,
    keeper: RefCell<JoinSet<()>>,
}

/// Asks `/health`.
type Ask = Box<dyn Fn() -> LocalBoxFuture<'static, Verdict>>;

struct Inner {
    health: Health,
    /// By number, so that the first is who came first. Bounded by the budget.
    queue: BTreeMap<u64, oneshot::Sender<()>>,
    next_number: u64,
    pace: Pace,
    /// Let go, and neither connected nor back yet.
    on_the_way: usize,
    /// Whether [`keep`] runs.
    kept: bool,
    /// Set during an outage that was told of: where the counts stood before.
    before_outage: Option<HoldCounts>,
}

/// One request and the gate. Dropped at any time, it leaves nothing behind.
pub struct Turn {
    gate: Rc<Gate>,
    waiting: Waiting,
    /// Only of a request that has been held.
    hold: Option<Box<Hold>>,
}

struct Hold {
    number: u64,
    deadline: Instant,
    room: Option<Room>,
    place: Place,
}

enum Place {
    /// In the queue, or let go and not aware of it.
    Queued(oneshot::Receiver<()>),
    /// Let go.
    OnTheWay,
    /// It has a connection.
    Sent,
    /// Answered or given up.
    Gone,
}

impl Gate {
    /// A gate before `address`, open. Its counts go to `metrics`, which must be this worker's own.
    pub fn new(address: UpstreamAddress, commons: Arc<Commons>, metrics: Arc<HoldMetrics>) -> Rc<Self> {
        let asked = address.clone();
        Self::asking(address, commons, metrics, Box::new(move || Box::pin(probe::ask(asked.clone()))))
    }

    fn asking(address: UpstreamAddress, commons: Arc<Commons>, metrics: Arc<HoldMetrics>, ask: Ask) -> Rc<Self> {
        let inner = Inner {
            health: Health::Up,
            queue: BTreeMap::new(),
            next_number: 0,
            pace: Pace::default(),
            on_the_way: 0,
            kept: false,
            before_outage: None,
        };
        let (open, inner, keeper) = (Cell::new(true), RefCell::new(inner), RefCell::default());
        Rc::new(Self { open, inner, address, commons, metrics, ask, keeper })
    }

    /// Whether requests go through without waiting.
    pub fn is_open(&self) -> bool {
        self.open.get()
    }

    /// A turn for one request. Costs nothing until [`Turn::come`] finds the gate closed.
    pub fn turn(self: &Rc<Self>, waiting: Waiting) -> Turn {
        Turn { gate: Rc::clone(self), waiting, hold: None }
    }

    /// Puts what has been learnt into force.
    fn learn(self: &Rc<Self>, health: Health, why: impl FnOnce() -> String) {
        let mut inner = self.inner.borrow_mut();
        let was_up = inner.health.is_up();
        inner.health = health;
        if health.is_down() && inner.before_outage.is_none() {
            inner.before_outage = Some(self.metrics.counts());
            self.commons.began(&self.address, &why());
        }
        if health.is_up() && !was_up {
            inner.pace.start();
        }
        let must_start = !health.is_up() && !inner.kept;
        inner.kept |= must_start;
        drop(inner);
        self.let_go();
        if must_start {
            let mut keeper = self.keeper.borrow_mut();
            // The last one has ended by itself.
            while keeper.try_join_next().is_some() {}
            keeper.spawn_local(keep(Rc::downgrade(self)));
        }
    }

    /// Lets go as many as may go now.
    fn let_go(&self) {
        let mut inner = self.inner.borrow_mut();
        while inner.health.is_up() && !inner.queue.is_empty() && inner.pace.go() {
            let Some((_, wake)) = inner.queue.pop_first() else { break };
            inner.on_the_way += 1;
            // The receiver lives as long as its turn, and a turn leaves the queue when it ends.
            let _ = wake.send(());
        }
        self.open.set(inner.health.is_up() && inner.queue.is_empty());
    }

    /// Whether nobody needs keeping any more, and if so, the end of it.
    fn settle(&self) -> bool {
        let mut inner = self.inner.borrow_mut();
        let settled = inner.health.is_up() && inner.queue.is_empty() && inner.on_the_way == 0;
        if settled {
            inner.kept = false;
            if let Some(before) = inner.before_outage.take() {
                self.commons.ended(&self.address, self.metrics.counts().since(before));
            }
        }
        settled
    }

    fn health(&self) -> Health {
        self.inner.borrow().health
    }
}

/// Asks `/health` until the endpoint is up, then lets the queue go at its pace. Holds the gate only
/// between two waits, so that it ends with it.
async fn keep(gate: Weak<Gate>) {
    loop {
        let mut beat = interval(PROBE_INTERVAL);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            let Some(asking) = gate.upgrade().map(|gate| (gate.ask)()) else { return };
            let verdict = timeout(probe::LIMIT, asking).await;
            let verdict =
                verdict.unwrap_or_else(|_| Verdict::Unhealthy(format!("/health: no answer within {:?}", probe::LIMIT)));
            let Some(gate) = gate.upgrade() else { return };
            gate.learn(gate.health().probed(&verdict, Instant::now()), || match verdict {
                Verdict::Unhealthy(why) | Verdict::Absent(why) => why,
                Verdict::Healthy | Verdict::Unknown => String::new(),
            });
            if gate.health().is_up() {
                break;
            }
        }
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let Some(gate) = gate.upgrade() else { return };
            if !gate.health().is_up() {
                break;
            }
            if gate.settle() {
                return;
            }
            gate.inner.borrow_mut().pace.tick();
            gate.let_go();
        }
    }
}

impl Turn {
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
            Place::Queued(_) if self.gate.inner.borrow_mut().queue.remove(&hold.number).is_some() => {}
            Place::Queued(_) => {
                hold.place = Place::OnTheWay;
                return Ok(());
            }
            Place::OnTheWay | Place::Sent => return Ok(()),
            Place::Gone => return Err(Refused::Over),
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

#[cfg(test)]
mod tests;
