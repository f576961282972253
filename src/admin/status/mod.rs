//! The status listener: read-only, plain HTTP, on loopback unless configured otherwise.
//!
//! It runs on the control plane and reads what others count, so that a scrape costs the request path
//! nothing. Whoever reaches it sees numbers and configured names; there is no secret and no power
//! here, so any `Host` is served, and no other site's scripts may read it (no CORS).

mod collectors;
mod pages;

pub use collectors::{CertificateMetrics, ConnectionMetrics, ProcessMetrics, UpstreamMetrics};

use crate::net::listen::Listener;
use crate::telemetry::exposition::Exposition;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Connections at a time; others wait to be accepted. A monitor needs one, and these come out of the
/// descriptors that are kept for the control plane.
const MAX_CONNECTIONS: usize = 16;

/// For the whole of a connection, which is one request and its answer.
const LIMIT: Duration = Duration::from_secs(10);

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

/// What the status listener shows.
#[derive(Debug)]
pub struct Status {
    exposition: Exposition,
    lifecycle: Lifecycle,
}

impl Status {
    /// Shows these metrics and this phase.
    pub fn new(exposition: Exposition, lifecycle: Lifecycle) -> Self {
        Self { exposition, lifecycle }
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
    let service = service_fn(move |request| {
        let answer = status.answer(&request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT).max_buf_size(MAX_HEAD).keep_alive(false);
    match timeout(LIMIT, builder.serve_connection(TokioIo::new(stream), service)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection to the status listener ended"),
        Err(_) => tracing::debug!(limit = ?LIMIT, "a connection to the status listener took too long"),
    }
}
