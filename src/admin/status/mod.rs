//! The status listener: the page, the metrics and readiness, in plain HTTP, on loopback unless
//! configured otherwise.
//!
//! It runs on the control plane and reads what others count, so that a scrape costs the request path
//! nothing. Whoever reaches it sees numbers, configured names and findings; there is no secret and no
//! power here, so any `Host` is served, and no other site's scripts may read it (no CORS). The one
//! exception is the form that checks other servers, which is off unless configured ([`CheckForm`]).

mod checks;
mod collectors;
mod form;
mod page;
mod pages;
mod sources;
mod view;

pub use checks::{Checked, Checks};
pub use collectors::{
    CertificateMetrics, CheckMetrics, ConnectionMetrics, OriginMetrics, ProcessMetrics, UpstreamMetrics,
};
pub use form::CheckForm;
pub use sources::Sources;

use crate::net::listen::Listener;
use crate::telemetry::exposition::Exposition;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// Connections at a time; others wait to be accepted. A monitor needs one, and these come out of the
/// descriptors that are kept for the control plane.
const MAX_CONNECTIONS: usize = 16;

/// For the whole of a connection, which is one request and its answer.
const LIMIT: Duration = Duration::from_secs(10);

/// For a check that the form has started, which takes 30 seconds at most, and its answer.
const CHECK_LIMIT: Duration = Duration::from_secs(40);

/// For the head of the request.
const HEAD_LIMIT: Duration = Duration::from_secs(5);

/// The largest head. Browsers send a few kilobytes.
const MAX_HEAD: usize = 16 * 1024;

/// How long to pause when the process is out of descriptors: trying again at once would spin.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// What the program is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It does not serve yet.
    #[default]
    Starting,
    /// It serves.
    Ready,
    /// It finishes what it has.
    Stopping,
}

/// The phase, told by one and read by the status listener of the same thread.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle(Rc<Cell<Phase>>);

impl Lifecycle {
    /// From now on.
    pub fn enter(&self, phase: Phase) {
        self.0.set(phase);
    }

    fn phase(&self) -> Phase {
        self.0.get()
    }
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
        }
    }
}

/// What the status listener shows.
#[derive(Debug)]
pub struct Status {
    exposition: Exposition,
    lifecycle: Lifecycle,
    sources: Sources,
    cache: sources::Cache,
    form: Option<CheckForm>,
    policy: String,
}

/// How a request came.
#[derive(Debug)]
struct Arrival {
    /// The address of this machine that was connected to.
    own: IpAddr,
    began: Instant,
    /// How long the connection may take in all.
    limit: Cell<Duration>,
}

impl Arrival {
    fn new(own: IpAddr) -> Self {
        Self { own, began: Instant::now(), limit: Cell::new(LIMIT) }
    }

    /// From now on it may take so long.
    fn extend(&self, by: Duration) {
        self.limit.set(self.began.elapsed().saturating_add(by));
    }

    /// Returns when it has taken too long.
    async fn overdue(&self) {
        while self.began.elapsed() < self.limit.get() {
            sleep_until(self.began + self.limit.get()).await;
        }
    }
}

impl Status {
    /// Shows these metrics, this phase, and what the sources say, with a form if there is one.
    pub fn new(exposition: Exposition, lifecycle: Lifecycle, sources: Sources, form: Option<CheckForm>) -> Self {
        Self { exposition, lifecycle, sources, cache: sources::Cache::default(), form, policy: page::policy() }
    }

    /// Answers on `listener`. Ends only if the socket cannot be used. Must run inside a `LocalSet`.
    pub async fn serve(self, listener: Listener) -> io::Result<()> {
        let socket = TcpListener::from_std(listener.socket)?;
        let status = Rc::new(self);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = socket.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn_local(converse(stream, Rc::clone(&status)));
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the status listener cannot accept");
                        sleep(EXHAUSTED_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

/// One request: monitors come once in many seconds, and an open connection would be held for nothing.
async fn converse(stream: TcpStream, status: Rc<Status>) {
    // A connection that is gone already has no address, and no use for an answer.
    let Ok(own) = stream.local_addr() else { return };
    let arrival = Rc::new(Arrival::new(own.ip()));
    let overdue = Rc::clone(&arrival);
    let service = service_fn(move |request| {
        let (status, arrival) = (Rc::clone(&status), Rc::clone(&arrival));
        async move { Ok::<_, Infallible>(status.answer(request, &arrival).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT).max_buf_size(MAX_HEAD).keep_alive(false);
    tokio::select! {
        ended = builder.serve_connection(TokioIo::new(stream), service) => if let Err(error) = ended {
            tracing::debug!(%error, "a connection to the status listener ended");
        },
        () = overdue.overdue() => {
            tracing::debug!(limit = ?overdue.limit.get(), "a connection to the status listener took too long");
        }
    }
}

#[cfg(test)]
mod tests;
