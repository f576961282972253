//! Connections to the homeserver: HTTP/1.1, one request in flight per connection.
//!
//! A [`Pool`] belongs to one worker thread; a connection never leaves it. Never pipelined: Twisted
//! has mixed up pipelined answers, more than once.

pub mod balance;
mod connect;

pub use connect::ConnectError;

use crate::config::UpstreamAddress;
use connect::connect;
use http::{Method, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// How long an idle connection is kept: Twisted closes at 60 s, and a request sent at that moment
/// would be lost.
const IDLE: Duration = Duration::from_secs(45);

/// Idle connections kept per worker. A burst's surplus is closed as it ends.
const MAX_IDLE: usize = 256;

/// Largest piece read from or written to the homeserver at once.
const BUFFER: usize = 64 * 1024;

/// Most header lines in an answer.
const MAX_HEADERS: usize = 128;

/// Connections of one worker to one upstream.
pub struct Pool<B> {
    address: UpstreamAddress,
    idle: RefCell<VecDeque<Idle<B>>>,
}

struct Idle<B> {
    sender: SendRequest<B>,
    since: Instant,
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection: not a byte has been sent.
    #[error("cannot connect")]
    Connect(#[from] ConnectError),
    /// The connection failed after bytes may have been sent, or the answer is not HTTP.
    #[error("the upstream failed to answer")]
    Exchange(#[source] hyper::Error),
}

/// The connection an answer is being read from. Given back, it serves the next request; dropped,
/// it is closed.
pub struct Lease<B> {
    pool: Rc<Pool<B>>,
    sender: SendRequest<B>,
}

impl<B> Pool<B>
where
    B: Body + Default + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// A pool without connections.
    pub fn new(address: UpstreamAddress) -> Self {
        Self { address, idle: RefCell::default() }
    }

    /// Where it connects to.
    pub fn address(&self) -> &UpstreamAddress {
        &self.address
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// What is tried again: a request of which nothing was written, and, once, on a reused connection
    /// that closed without a byte of an answer, a GET, HEAD or OPTIONS without body (`bodiless`): the
    /// upstream may have closed an idle connection at that very moment. Nothing else.
    pub async fn send(
        self: &Rc<Self>,
        mut request: Request<B>,
        bodiless: bool,
    ) -> Result<(Response<Incoming>, Lease<B>), SendError> {
        let repeatable = bodiless && matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        while let Some(mut sender) = self.take() {
            let copy = repeatable.then(|| copy(&request));
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, Lease { pool: Rc::clone(self), sender })),
                Err(mut error) => {
                    if let Some(unwritten) = error.take_message() {
                        request = unwritten;
                        continue;
                    }
                    let error = error.into_error();
                    // Closed without a byte of an answer, as a connection is that was idle too long.
                    let closed = error.is_incomplete_message() || error.is_canceled();
                    request = copy.filter(|_| closed).ok_or(SendError::Exchange(error))?;
                    // Once is enough: the next try gets a connection of its own.
                    break;
                }
            }
        }
        let mut sender = self.open().await?;
        let response = sender.send_request(request).await.map_err(SendError::Exchange)?;
        Ok((response, Lease { pool: Rc::clone(self), sender }))
    }

    /// Makes sure of a connection for the next request, so that another endpoint can be asked instead
    /// when there is none to be had.
    pub async fn warm(&self) -> Result<(), SendError> {
        let sender = match self.take() {
            Some(sender) => sender,
            None => {
                let mut sender = self.open().await?;
                // Before that it does not count as ready, and would not be taken from the idle ones.
                sender.ready().await.map_err(SendError::Exchange)?;
                sender
            }
        };
        self.idle.borrow_mut().push_back(Idle { sender, since: Instant::now() });
        Ok(())
    }

    async fn open(&self) -> Result<SendRequest<B>, SendError> {
        let stream = connect(&self.address).await?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(BUFFER).max_headers(MAX_HEADERS);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(SendError::Exchange)?;
        // Ends when the sender is dropped and the exchange is over: its owner is the lease or pool.
        #[expect(clippy::disallowed_methods, reason = "owned by the lease or pool that holds its sender")]
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "an upstream connection ended");
            }
        });
        Ok(sender)
    }

    /// The most recently used live connection: the others may age out.
    fn take(&self) -> Option<SendRequest<B>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(candidate) = idle.pop_back() {
            if candidate.since.elapsed() < IDLE && candidate.sender.is_ready() {
                return Some(candidate.sender);
            }
        }
        None
    }
}

fn copy<B: Default>(request: &Request<B>) -> Request<B> {
    let mut copy = Request::new(B::default());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    copy.headers_mut().clone_from(request.headers());
    copy
}

impl<B> Lease<B> {
    /// Gives the connection back once the answer has been read to its end, and lets go of those that
    /// have been idle for too long.
    pub fn give_back(self) {
        let mut idle = self.pool.idle.borrow_mut();
        while idle.front().is_some_and(|oldest| oldest.since.elapsed() >= IDLE || oldest.sender.is_closed()) {
            idle.pop_front();
        }
        if idle.len() < MAX_IDLE && !self.sender.is_closed() {
            idle.push_back(Idle { sender: self.sender, since: Instant::now() });
        }
    }
}
