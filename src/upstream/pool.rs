//! The idle connections of one worker to one endpoint.

use super::balance::EndpointState;
use super::connect::{ConnectError, connect};
use super::connection::{Connection, Exchange};
use super::gate::Gate;
use super::outbound::Source;
use crate::config::UpstreamAddress;
use crate::telemetry::complaint::Complaint;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// For how long an idle connection is used again: Twisted closes at 60 s, and a request sent at that moment
/// would be lost.
const IDLE: Duration = Duration::from_secs(45);

/// Idle connections kept per worker. A burst's surplus is closed as it ends.
const MAX_IDLE: usize = 256;

/// Connections of one worker to one endpoint. Never pipelined: Twisted has mixed up pipelined
/// answers, more than once.
pub struct Pool {
    address: UpstreamAddress,
    gate: Rc<Gate>,
    complaint: Complaint,
    idle: RefCell<VecDeque<Idle>>,
    busy: Cell<usize>,
}

/// A request under way at an endpoint.
pub struct Lease(Rc<Pool>);

impl Deref for Lease {
    type Target = Rc<Pool>;

    fn deref(&self) -> &Rc<Pool> {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get().saturating_sub(1));
    }
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// A pool without connections.
    pub fn new(address: UpstreamAddress, gate: Rc<Gate>) -> Self {
        Self { address, gate, complaint: Complaint::default(), idle: RefCell::default(), busy: Cell::new(0) }
    }

    /// For exchanges that fail: a client can provoke as many as it likes.
    pub fn complaint(&self) -> &Complaint {
        &self.complaint
    }

    /// Where requests wait while the endpoint is down.
    pub fn gate(&self) -> &Rc<Gate> {
        &self.gate
    }

    /// Where it connects to.
    pub fn address(&self) -> &UpstreamAddress {
        &self.address
    }

    /// Whether requests may go there now, as far as is known, and how many are under way.
    pub fn state(&self) -> EndpointState {
        EndpointState { up: self.gate.is_open(), in_flight: self.busy.get() }
    }

    /// Counts a request as under way until the lease is dropped.
    pub fn lease(self: &Rc<Self>) -> Lease {
        self.busy.set(self.busy.get() + 1);
        Lease(Rc::clone(self))
    }

    /// The most recently used live connection: the others may age out. `repeatable` says that the
    /// request can be sent again, should the upstream close the connection in this very moment.
    pub fn take(&self, repeatable: bool) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { connection, since }) = idle.pop_back() {
            let live = if repeatable { connection.is_quiet() } else { connection.is_surely_quiet() };
            if since.elapsed() < IDLE && live {
                return Some(connection);
            }
        }
        None
    }

    /// Opens a connection.
    pub async fn connect(&self) -> Result<Connection, ConnectError> {
        Ok(Connection::new(connect(&self.address, self.gate.resolved()).await?))
    }

    /// Takes back the connection of an answer that was read to its end, if it can be used again, and
    /// lets go of those that have been idle for too long.
    pub fn give_back<B: Source>(&self, exchange: Exchange<B>) {
        let mut idle = self.idle.borrow_mut();
        while idle.front().is_some_and(|oldest| oldest.since.elapsed() >= IDLE || !oldest.connection.is_quiet()) {
            idle.pop_front();
        }
        if let Some(connection) = exchange.into_connection()
            && idle.len() < MAX_IDLE
        {
            idle.push_back(Idle { connection, since: Instant::now() });
        }
    }
}
