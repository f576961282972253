//! A worker: one thread, one current-thread runtime, its own upstream connections.

use super::choice::Turns;
use super::connection;
use super::date::DateLine;
use super::flights::Flights;
use super::http2::Linger;
use super::identity::RequestIds;
use super::origins::Callers;
use super::rates::Rates;
use super::service::{Local, Pools};
use super::serving::Serving;
use crate::certs::Challenges;
use crate::clock::Clock;
use crate::drain::{Drain, Watch};
use crate::net::accept::Acceptor;
use crate::net::connections::Connections;
use crate::net::listen::Listener;
use crate::probe::loopback::Loopback;
use crate::telemetry::origins::Origins;
use crate::upstream::Commons;
use arc_swap::ArcSwap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use tokio::task::{JoinSet, LocalSet};

/// What workers share, and nothing else.
#[derive(Debug)]
pub struct Shared {
    /// The snapshot.
    pub serving: ArcSwap<Serving>,
    /// Open ACME challenges.
    pub challenges: Challenges,
    /// Open nonces of the loop-back proof.
    pub loopback: Loopback,
    /// The wall clock, for the `Date` of answers.
    pub clock: Clock,
    /// What bounds held requests, over all workers.
    pub commons: Arc<Commons>,
    /// How many connections there are, and whose.
    pub connections: Arc<Connections>,
    /// How many workers share them.
    pub workers: usize,
    /// How much of what each client has sent.
    pub rates: Rates,
    /// Who has been answered, for the status page.
    pub origins: Arc<Origins>,
}

/// A worker thread's work.
pub struct Worker {
    shared: Arc<Shared>,
    listeners: Arc<Vec<Listener>>,
    drain: Watch,
}

impl Worker {
    /// A worker on duplicates of `listeners`. It holds `drain` until its last connection has ended.
    pub fn new(shared: Arc<Shared>, listeners: Arc<Vec<Listener>>, drain: Watch) -> Self {
        Self { shared, listeners, drain }
    }

    /// Serves until drained. Runs on the calling thread.
    pub fn run(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = LocalSet::new();
        local.block_on(&runtime, self.serve())?;
        Ok(())
    }

    async fn serve(self) -> io::Result<()> {
        let (linger, lingering) = Linger::new();
        // Ends with the worker: whoever still sends what nobody wants is cut off then.
        let mut background = JoinSet::new();
        background.spawn_local(lingering);
        let flights = Flights::new(self.shared.connections.most(), self.shared.workers);
        let local = Rc::new(Local {
            flights,
            callers: Callers::new(Arc::clone(&self.shared.origins)),
            date: DateLine::new(self.shared.clock.clone()),
            shared: self.shared,
            pools: Pools::default(),
            turns: Turns::default(),
            linger,
            request_ids: RequestIds::new(),
            drain: self.drain,
        });
        // Every connection holds `alive`; this worker ends when the last one has dropped it.
        let (connections, alive) = Drain::new();
        let mut accepting = JoinSet::new();
        for listener in self.listeners.iter() {
            let acceptor = Acceptor::new(listener, Arc::clone(&local.shared.connections))?;
            let (local, drain, alive) = (Rc::clone(&local), local.drain.clone(), alive.clone());
            let serve = move |accepted| {
                let alive = alive.clone();
                let connection = connection::serve(accepted, Rc::clone(&local), local.drain.clone());
                #[expect(clippy::disallowed_methods, reason = "the worker waits for `alive` to be dropped")]
                tokio::task::spawn_local(async move {
                    connection.await;
                    drop(alive);
                });
            };
            accepting.spawn_local(acceptor.run(drain, serve));
        }
        drop(alive);
        drop(self.listeners);
        while let Some(ended) = accepting.join_next().await {
            ended.map_err(io::Error::other)?;
        }
        connections.finished().await;
        Ok(())
    }
}
