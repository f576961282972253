//! A connection's two directions, shared by its server and the request body that is being read.

use crate::http1::{Decoded, Decoder, Framing, Malformed};
use crate::net::incoming::Incoming;
use crate::net::outgoing::Outgoing;
use crate::proxy::downstream::Downstream;
use bytes::Bytes;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite as _;

/// How much a client may send ahead while nobody reads: the next request, or the start of a body. Read
/// only to learn whether the client is still there; a body of that length counts as read in the
/// hold's budget.
const AHEAD: usize = 64 * 1024;

/// What of a body is read and dropped rather than that the connection is given up: a round trip or two.
const SHORT: u64 = 64 * 1024;

/// What asks a client for the body it holds back (RFC 9110 §15.2.1).
const GO_ON: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The connection and where its current request's body stands.
pub(in crate::proxy) struct Link {
    pub(super) stream: Downstream,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
    decoder: Decoder,
    /// The client holds the body back until it is asked.
    withheld: bool,
    /// It has been asked, and the question may not have left yet.
    asking: bool,
    /// An answer is under way: no interim answer may come between.
    answering: bool,
    /// The body broke its framing: nobody knows where the next request begins.
    broken: bool,
}

/// Why a request's body ended early.
#[derive(Debug)]
pub(in crate::proxy) enum BodyError {
    Malformed(Malformed),
    /// The client is gone.
    Gone,
}

impl Link {
    pub(super) fn new(stream: Downstream) -> Self {
        let (incoming, outgoing) = (Incoming::default(), Outgoing::default());
        Self {
            stream,
            incoming,
            outgoing,
            decoder: Decoder::new(Framing::Length(0)),
            withheld: false,
            asking: false,
            answering: false,
            broken: false,
        }
    }

    /// A request's head has been read; this is how its body ends.
    pub(super) fn begin_body(&mut self, framing: Framing, withheld: bool) {
        self.decoder = Decoder::new(framing);
        self.withheld = withheld;
        self.answering = false;
    }

    /// An answer begins; a body that was not asked for until now is not asked for any more.
    pub(super) fn begin_answer(&mut self) {
        self.answering = true;
    }

    /// Whether the request has been read to its end.
    pub(super) fn is_read(&self) -> bool {
        self.decoder.is_done() && !self.broken
    }

    /// Whether it has, but for less than is worth closing the connection for.
    pub(super) fn is_nearly_read(&self) -> bool {
        self.can_be_read() && self.decoder.left().is_some_and(|left| left <= SHORT)
    }

    /// Whether the rest of the request can be read: it is well-formed so far, and under way.
    pub(super) fn can_be_read(&self) -> bool {
        !self.broken && !self.withheld
    }

    /// The next piece of the request's body. Asking for it asks the client, too.
    pub(in crate::proxy) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if !self.answering && std::mem::take(&mut self.withheld) {
            self.outgoing.text().extend_from_slice(GO_ON);
            self.asking = true;
        }
        if self.asking {
            match self.poll_flush(cx) {
                Poll::Ready(Ok(())) => self.asking = false,
                Poll::Ready(Err(_)) => return self.gone(),
                // A client that does not read may send all the same.
                Poll::Pending => {}
            }
        }
        loop {
            match self.decoder.decode(&mut self.incoming.bytes) {
                Ok(Decoded::Data(data)) => return Poll::Ready(Some(Ok(data))),
                Ok(Decoded::End) => return Poll::Ready(None),
                Ok(Decoded::More) => {}
                Err(malformed) => {
                    self.broken = true;
                    return Poll::Ready(Some(Err(BodyError::Malformed(malformed))));
                }
            }
            let expected = self.decoder.left().unwrap_or(u64::MAX);
            match ready!(self.incoming.poll_fill(&mut self.stream, expected, cx)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return self.gone(),
            }
        }
    }

    fn gone(&mut self) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.broken = true;
        Poll::Ready(Some(Err(BodyError::Gone)))
    }

    /// Ready when the client has gone, or has sent something that whoever reads the body should look at.
    /// A client that closed its side for writing has gone: no Matrix client does that and waits, and
    /// work for the dead is what it would cost. So is one that has sent so much behind its request that
    /// its end could not be seen; behind the start of a long body it is seen once somebody reads.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        if self.incoming.bytes.len() >= AHEAD {
            return if self.decoder.is_done() { Poll::Ready(Err(Gone)) } else { Poll::Pending };
        }
        match ready!(self.incoming.poll_fill(&mut self.stream, 0, cx)) {
            Ok(1..) => Poll::Ready(Ok(())),
            Ok(0) | Err(_) => Poll::Ready(Err(Gone)),
        }
    }

    /// Writes what waits to be written, out of every buffer.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.outgoing.poll_write(&mut self.stream, cx, |_| {}))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}

/// The client is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client is gone")]
pub(in crate::proxy) struct Gone;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::counted::Counted;
    use crate::proxy::downstream::written;
    use std::future::poll_fn;
    use std::io::Write as _;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn a_body_is_asked_for_before_its_answer_or_never() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let mut link = Link::new(Downstream::Right(Counted::new(near)));
        for answered in [false, true] {
            let before = written(&link.stream);
            link.begin_body(Framing::Length(4), true);
            if answered {
                link.begin_answer();
            }
            let waits = poll_fn(|cx| Poll::Ready(link.poll_body(cx).is_pending())).await;
            assert!(waits && link.outgoing.is_empty());
            let asked = written(&link.stream) - before;
            assert_eq!(asked, if answered { 0 } else { GO_ON.len() as u64 });
            assert_eq!(link.can_be_read(), !answered, "what was not asked for does not come");
            far.write_all(b"body").unwrap();
            let body = poll_fn(|cx| link.poll_body(cx)).await;
            assert_eq!(body.unwrap().unwrap(), "body", "but it may");
        }
    }
}
