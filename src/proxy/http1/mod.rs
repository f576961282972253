//! The HTTP/1.1 server: one connection, one task, one request at a time.
//!
//! The connection's task reads a head, lets [`Service`] answer it and writes the answer, all in the
//! same poll: a request that waits costs its future and nothing else, no buffer, no channel, no task.
//! The request's body is read by whoever forwards it, through [`Link`].
//!
//! Every wait for the client has a bound. The first head is due `header_timeout` after the handshake,
//! a later one as long after its first byte, however slowly the bytes drip; between requests a
//! connection may rest for `idle_timeout`; a body and an answer are judged by their pace. The wait
//! for the upstream is bounded where it is waited for.

mod link;
mod write;

pub(super) use link::{BodyError, Link};

use super::answer::Answer;
use super::body::RequestBody;
use super::deadline::Deadline;
use super::downstream::{Downstream, abort};
use super::error::ProxyError;
use super::pace::Pace;
use super::respond;
use super::service::Service;
use super::serving::Timeouts;
use super::tunnel;
use crate::drain::Watch;
use crate::http1::{Framing, HeadReader, Limits, RequestHead, Version};
use link::Gone;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

/// Synapse itself takes heads of 16 KiB; twice that leaves the verdict to it.
pub(super) const LIMITS: Limits = Limits { head: 32 * 1024, target: 8 * 1024 };

/// How long the rest of a body is read and dropped after its answer: closing a connection with unread
/// bytes resets it, and the reset may overtake the answer. Whoever sends on is cut off.
const LINGER: Duration = Duration::from_secs(10);

/// Why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Gone(#[from] Gone),
    #[error("no complete request head in time")]
    Head,
    #[error("the client does not read its answer")]
    Stalled,
    #[error("the answer broke off")]
    Cut,
}

/// One connection.
struct Connection {
    link: Rc<RefCell<Link>>,
    service: Rc<Service>,
    deadline: Deadline,
}

/// What follows a request.
enum Next {
    Request,
    Close,
    Tunnel(tunnel::Upgraded),
}

/// Serves a connection to its end.
pub(super) async fn serve(stream: Downstream, service: Rc<Service>, mut drain: Watch) -> Result<(), Ended> {
    let link = Rc::new(RefCell::new(Link::new(stream)));
    let mut connection = Connection { link, service, deadline: Deadline::default() };
    let draining = drain.clone();
    let mut drained = pin!(drain.started());
    let timeouts = connection.service.timeouts();
    // The first request is due at once: a handshake without one is not a rest.
    let mut first = true;
    loop {
        let next = match connection.head(first, drained.as_mut()).await? {
            Some(Ok(head)) => connection.exchange(head, &draining).await?,
            Some(Err(refusal)) => connection.refuse(refusal).await?,
            None => Next::Close,
        };
        match next {
            Next::Request => first = false,
            Next::Close => return connection.close().await,
            Next::Tunnel(upgraded) => {
                let Some(link) = Rc::into_inner(connection.link) else { return Ok(()) };
                let Link { stream, incoming, .. } = link.into_inner();
                tunnel::join(stream, incoming.bytes, upgraded, timeouts.between_bytes, drained).await?;
                return Ok(());
            }
        }
    }
}

impl Connection {
    /// The next request's head. `None` is the end of the connection between two requests.
    async fn head(
        &mut self,
        first: bool,
        mut drained: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Option<Result<RequestHead, ProxyError>>, Ended> {
        let mut reader = HeadReader::new(LIMITS);
        let began = Instant::now();
        let mut head_since = None;
        let Timeouts { header, idle, .. } = self.service.timeouts();
        let rest = if first { header } else { idle };
        poll_fn(|cx| {
            let link = &mut *self.link.borrow_mut();
            loop {
                match reader.read(&mut link.incoming.bytes) {
                    Ok(Some(head)) => {
                        link.incoming.release();
                        return Poll::Ready(Ok(Some(Ok(head))));
                    }
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Ok(Some(Err(ProxyError::Request(error))))),
                }
                // Empty lines before a request are gone now: they begin none.
                if head_since.is_none() && !link.incoming.bytes.is_empty() {
                    head_since = Some(Instant::now());
                }
                match link.incoming.poll_fill(&mut link.stream, 0, cx) {
                    Poll::Ready(Ok(1..)) => continue,
                    Poll::Ready(Ok(0)) if head_since.is_none() => return Poll::Ready(Ok(None)),
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(Gone.into())),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Pending => {}
                }
                // Draining ends a rest, and lets a head that has begun arrive.
                if head_since.is_none() && drained.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Ok(None));
                }
                let until = match head_since {
                    Some(since) if !first => since + header,
                    Some(_) | None => began + rest,
                };
                link.outgoing.release();
                ready!(self.deadline.poll(until, cx));
                return Poll::Ready(match head_since {
                    Some(_) => Ok(Some(Err(ProxyError::HeadTooSlow))),
                    None if first => Err(Ended::Head),
                    None => Ok(None),
                });
            }
        })
        .await
    }

    /// Answers one request.
    async fn exchange(&mut self, head: RequestHead, draining: &Watch) -> Result<Next, Ended> {
        let framing = head.framing();
        let withheld = head.expects_continue();
        self.link.borrow_mut().begin_body(framing, withheld);
        let body = (framing != Framing::Length(0))
            .then(|| RequestBody::http1(Rc::clone(&self.link), self.service.timeouts().pace));
        let asked = write::Asked {
            to_head: head.method() == "HEAD",
            version: head.version(),
            persistent: head.is_persistent(),
        };
        let answer = {
            let mut answering = pin!(self.service.answer(head, body));
            poll_fn(|cx| {
                loop {
                    if let Poll::Ready(answer) = answering.as_mut().poll(cx) {
                        return Poll::Ready(Ok(answer));
                    }
                    // What has arrived may be what the body waits for.
                    ready!(self.link.borrow_mut().poll_gone(cx))?;
                }
            })
            .await
            .map_err(|gone: Gone| Ended::from(gone))?
        };
        self.send(answer, asked, draining.has_started()).await
    }

    /// Writes an answer and finds out what may follow it.
    async fn send(&mut self, answer: Answer, asked: write::Asked, draining: bool) -> Result<Next, Ended> {
        // A short rest of a body is soon read and dropped, unless it has been waited for long enough. Of a
        // long one, an answer of our own says that nobody wants it.
        let too_slow = answer.head.status() == 408;
        let wanted = !answer.is_ours() || !too_slow && self.link.borrow().is_nearly_read();
        let persistent = asked.persistent && !draining && wanted;
        let date = self.service.date();
        let mut writing = write::Writing::new(answer, &asked, persistent, &date, &mut self.link.borrow_mut());
        let mut pace = Pace::new(self.service.timeouts().pace);
        match poll_fn(|cx| writing.poll(&self.link, &mut pace, &mut self.deadline, cx)).await {
            Ok(Some(upgraded)) => return Ok(Next::Tunnel(upgraded)),
            Ok(None) => {}
            Err(ended) => {
                // Its end would look like the end of the body.
                if writing.needs_reset() {
                    abort(&self.link.borrow().stream);
                }
                return Err(ended);
            }
        }
        let again = writing.is_persistent();
        drop(writing);
        if again && (self.link.borrow().is_read() || self.drop_rest().await) {
            Ok(Next::Request)
        } else {
            Ok(Next::Close)
        }
    }

    /// Reads and drops the rest of a request's body. Whether it came to its end.
    async fn drop_rest(&mut self) -> bool {
        if !self.link.borrow().can_be_read() {
            return false;
        }
        let until = Instant::now() + LINGER;
        poll_fn(|cx| {
            loop {
                match self.link.borrow_mut().poll_body(cx) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(None) => return Poll::Ready(true),
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                    Poll::Pending => return self.deadline.poll(until, cx).map(|()| false),
                }
            }
        })
        .await
    }

    /// Answers what is no request, and ends the connection.
    async fn refuse(&mut self, error: ProxyError) -> Result<Next, Ended> {
        // Nobody knows what else is under way, so nothing of it is a body.
        self.link.borrow_mut().begin_body(Framing::Close, false);
        let asked = write::Asked { to_head: false, version: Version::Http11, persistent: false };
        self.send(Answer::ours(respond::error(error)), asked, true).await
    }

    /// Ends the connection in order: the answer leaves, our side is closed, and what the client still
    /// sends is dropped for a while, so that no reset overtakes the answer.
    async fn close(self) -> Result<(), Ended> {
        let Some(link) = Rc::into_inner(self.link) else { return Ok(()) };
        let mut link = link.into_inner();
        let mut deadline = self.deadline;
        let until = Instant::now() + LINGER;
        let unread = !link.is_read() || !link.incoming.bytes.is_empty();
        let goodbye = async {
            link.stream.shutdown().await?;
            while unread && poll_fn(|cx| link.incoming.poll_fill(&mut link.stream, u64::MAX, cx)).await? > 0 {
                link.incoming.bytes.clear();
            }
            Ok::<_, io::Error>(())
        };
        let mut goodbye = pin!(goodbye);
        poll_fn(|cx| match goodbye.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(ended.map_err(Ended::from)),
            Poll::Pending => deadline.poll(until, cx).map(Ok),
        })
        .await
    }
}
