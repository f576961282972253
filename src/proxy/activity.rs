//! What a downstream connection is doing, and until when it may go on doing it.
//!
//! hyper's own timer cannot tell a connection that rests between two requests (fine for a minute)
//! from one that drips a head (an attack after ten seconds). Here the stream notes the first byte
//! after a rest and the service notes requests; the deadline follows from both. The state is
//! atomic because hyper wants streams that may upgrade to be `Send`; it never leaves its thread.

use crate::net::admit::Permit;
use hyper::rt::{Read, ReadBufCursor, Write};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// How long a connection may rest between requests: as nginx, and longer than the homeserver
/// software's own pools keep theirs.
const IDLE: Duration = Duration::from_secs(75);

/// Milliseconds since the connection began; negative is "not reading a head".
const NO_HEAD: i64 = -1;

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    began: Instant,
    header_timeout: Duration,
    in_flight: AtomicU32,
    resting_since: AtomicI64,
    head_since: AtomicI64,
    /// HTTP/2 sends frames that are no requests while it rests: only the first head counts.
    multiplexed: bool,
    /// Held here, as the stream holds this until the socket is closed, also where it has become a tunnel.
    _permit: Permit,
}

/// What a connection that is not busy lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    /// No request for too long.
    Resting,
    /// A head that does not arrive.
    Head,
}

impl Activity {
    pub(super) fn new(header_timeout: Duration, multiplexed: bool, permit: Permit) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            header_timeout,
            in_flight: AtomicU32::new(0),
            resting_since: AtomicI64::new(0),
            // The first request is due at once: a handshake without one is not a rest.
            head_since: AtomicI64::new(0),
            multiplexed,
            _permit: permit,
        })
    }

    fn elapsed(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn bytes_arrived(&self) {
        let busy = self.in_flight.load(Ordering::Relaxed) > 0;
        if !busy && !self.multiplexed && self.head_since.load(Ordering::Relaxed) == NO_HEAD {
            self.head_since.store(self.elapsed(), Ordering::Relaxed);
        }
    }

    /// Bytes have left while no request is in flight: the end of an answer that waited in a buffer.
    fn bytes_left(&self) {
        if self.in_flight.load(Ordering::Relaxed) == 0 {
            self.resting_since.store(self.elapsed(), Ordering::Relaxed);
        }
    }

    /// A request has arrived whole; the guard is held until its answer is sent.
    pub(super) fn request(self: &Arc<Self>) -> InFlight {
        self.head_since.store(NO_HEAD, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// What this connection waits for, if it is not busy.
    pub(super) fn waiting(&self) -> Option<Waiting> {
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let at = |milliseconds: i64| self.began + Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0));
        Some(match self.head_since.load(Ordering::Relaxed) {
            NO_HEAD => {
                let since = at(self.resting_since.load(Ordering::Relaxed));
                Waiting { since, until: since + IDLE, what: Expired::Resting }
            }
            since => Waiting { since: at(since), until: at(since) + self.header_timeout, what: Expired::Head },
        })
    }
}

/// A wait for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// When it began.
    pub(super) since: Instant,
    /// When it must be over.
    pub(super) until: Instant,
    /// What is waited for.
    pub(super) what: Expired,
}

/// A request whose answer has not been handed to the protocol whole.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.resting_since.store(self.0.elapsed(), Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that notes arriving and leaving bytes.
#[derive(Debug)]
pub(super) struct Noted<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S> Noted<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl<S: Read + Unpin> Read for Noted<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_read(cx, buf);
        if result.is_ready() {
            this.activity.bytes_arrived();
        }
        result
    }
}

impl<S: Write + Unpin> Write for Noted<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, buf);
        if matches!(result, Poll::Ready(Ok(1..))) {
            this.activity.bytes_left();
        }
        result
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        if matches!(result, Poll::Ready(Ok(1..))) {
            this.activity.bytes_left();
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::connections::Connections;

    #[tokio::test(start_paused = true)]
    async fn deadlines_follow_what_happens() {
        let permit = Permit::new(Arc::new(Connections::new(1)).open(), None);
        let activity = Activity::new(Duration::from_secs(10), false, permit);
        let due_in = || activity.waiting().map(|wait| ((wait.until - Instant::now()).as_secs(), wait.what));
        assert_eq!(due_in(), Some((10, Expired::Head)), "the first head is due at once");
        let request = activity.request();
        assert_eq!(due_in(), None);
        tokio::time::advance(Duration::from_secs(600)).await;
        drop(request);
        assert_eq!(due_in(), Some((75, Expired::Resting)));
        tokio::time::advance(Duration::from_secs(30)).await;
        activity.bytes_arrived();
        tokio::time::advance(Duration::from_secs(4)).await;
        activity.bytes_arrived();
        assert_eq!(due_in(), Some((6, Expired::Head)), "dripping does not help");
    }
}
