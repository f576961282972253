//! The gate before an endpoint: open while it is up; while it is down, requests wait here and not a
//! byte is sent.
//!
//! A gate belongs to one worker. A request takes a [`Turn`], which is where it stands: not held, in
//! the queue, let go, or sent. The queue is first in, first out, and a request that was let go too
//! early returns to its old place with its old deadline. While the endpoint is not up, or the queue
//! not empty, one task per gate sees to both ([`keep`]); it ends with the gate.

mod keeper;
mod stand;
mod turn;
mod watcher;

use crate::config::UpstreamAddress;
use crate::telemetry::metrics::{HoldCounts, HoldMetrics};
use crate::upstream::health::{Health, Verdict};
use crate::upstream::outages::Commons;
use crate::upstream::pace::Pace;
use crate::upstream::probe::{self, Check};
use futures_util::future::LocalBoxFuture;
use keeper::keep;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;
use watcher::watch;

pub use turn::{Refused, Turn, Waiting};

/// A gate.
pub struct Gate {
    /// Up, and nobody waits: all that a request looks at on an ordinary day.
    open: Cell<bool>,
    /// Answers that have begun: whether there was one meanwhile tells a broken connection from a broken
    /// endpoint.
    answers: Cell<u64>,
    /// When a request last came, where that matters.
    used: Cell<Instant>,
    /// Whether [`watch`] runs.
    watched: Cell<bool>,
    inner: RefCell<Inner>,
    address: UpstreamAddress,
    commons: Arc<Commons>,
    metrics: Arc<HoldMetrics>,
    /// Where the name led when it was last asked, for when nobody answers.
    resolved: Rc<Cell<Option<SocketAddr>>>,
    check: Check,
    ask: Ask,
    keeper: RefCell<JoinSet<()>>,
}

/// Asks the endpoint.
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

impl Gate {
    /// A gate before `address`, open. `check` opens it again; without `/health` only a failed connect
    /// closes it. Its counts go to `metrics`, which must be this worker's own.
    pub fn new(address: UpstreamAddress, check: Check, commons: Arc<Commons>, metrics: Arc<HoldMetrics>) -> Rc<Self> {
        let (asked, resolved) = (address.clone(), Rc::<Cell<_>>::default());
        let known = Rc::clone(&resolved);
        let ask: Ask = Box::new(move || Box::pin(probe::ask(asked.clone(), Rc::clone(&known), check)));
        Self::asking((address, resolved), (check, ask), commons, metrics)
    }

    fn asking(
        (address, resolved): (UpstreamAddress, Rc<Cell<Option<SocketAddr>>>),
        (check, ask): (Check, Ask),
        commons: Arc<Commons>,
        metrics: Arc<HoldMetrics>,
    ) -> Rc<Self> {
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
        Rc::new(Self {
            open,
            answers: Cell::new(0),
            used: Cell::new(Instant::now()),
            watched: Cell::new(false),
            inner,
            address,
            commons,
            metrics,
            resolved,
            check,
            ask,
            keeper,
        })
    }

    /// Where the endpoint's name led when it was last asked: for connections as for checks.
    pub(in crate::upstream) fn resolved(&self) -> &Cell<Option<SocketAddr>> {
        &self.resolved
    }

    /// Whether requests go through without waiting.
    pub fn is_open(&self) -> bool {
        self.open.get()
    }

    /// A turn for one request. Costs nothing until [`Turn::come`] finds the gate closed.
    pub fn turn(self: &Rc<Self>, waiting: Waiting) -> Turn {
        if self.check == Check::Watch {
            self.watch();
        }
        Turn::new(Rc::clone(self), waiting)
    }

    /// The endpoint is in use, so it is looked after. Nobody waits for that.
    fn watch(self: &Rc<Self>) {
        self.used.set(Instant::now());
        if !self.watched.replace(true) {
            let mut keeper = self.keeper.borrow_mut();
            while keeper.try_join_next().is_some() {}
            keeper.spawn_local(watch(Rc::downgrade(self)));
        }
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

#[cfg(test)]
mod tests;
