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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::stream::Stream;
    use crate::telemetry::metrics::HoldMetrics;
    use crate::upstream::{Check, Commons, Outbound};
    use bytes::Bytes;
    use std::io::Write as _;
    use std::net::{Ipv4Addr, Shutdown, TcpListener};
    use std::sync::Arc;
    use std::task::{Context, Poll};
    use tokio::net::TcpStream;

    struct Nothing;

    impl Source for Nothing {
        type Error = ();

        fn poll_data(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, ()>>> {
            Poll::Ready(None)
        }
    }

    /// A POST must not be sent where something has happened, even if only the kernel knows of it: the runtime is told
    /// once a turn, and there is none here between the event and the question.
    #[tokio::test]
    async fn a_connection_on_which_something_has_just_happened_is_not_used() {
        let surplus = |far: &mut std::net::TcpStream| far.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let end = |far: &mut std::net::TcpStream| far.shutdown(Shutdown::Both);
        for happens in [surplus as fn(&mut _) -> _, end] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let address = UpstreamAddress::Tcp(listener.local_addr().unwrap());
            let gate =
                Gate::new(address.clone(), Check::Health, Arc::new(Commons::new()), Arc::new(HoldMetrics::default()));
            let pool = Pool::new(address, gate);
            let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut far, _) = listener.accept().unwrap();
            let mut connection = Connection::new(Stream::Left(near));
            for _ in 0..2 {
                far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
                let mut request = Some(Outbound::<Nothing>::new(b"GET / HTTP/1.1\r\n\r\n".to_vec(), None, false));
                let exchange = connection.exchange(&mut request, false).await.map_err(|_| ()).unwrap().1;
                pool.give_back(exchange);
                connection = pool.take(false).expect("nothing has happened");
            }
            pool.idle.borrow_mut().push_back(Idle { connection, since: Instant::now() });
            happens(&mut far).unwrap();
            assert!(pool.take(false).is_none());
        }
    }
}
