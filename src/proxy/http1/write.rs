//! An answer on its way to the client.

use super::link::Link;
use super::{Ended, Pace};
use crate::http1::{FINAL_CHUNK, Version, write_chunk_size};
use crate::proxy::answer::{Answer, AnswerBody, AnswerHead};
use crate::proxy::deadline::Deadline;
use crate::proxy::downstream::written;
use crate::proxy::flights::Flight;
use crate::proxy::headers;
use crate::proxy::tunnel::Upgraded;
use http::HeaderValue;
use std::cell::RefCell;
use std::task::{Context, Poll};

/// What the request says about how to answer.
pub(super) struct Asked {
    pub(super) to_head: bool,
    pub(super) version: Version,
    pub(super) persistent: bool,
}

/// An answer that is being written.
pub(super) struct Writing {
    /// Gone once its last piece is in the buffer.
    body: Option<AnswerBody>,
    chunked: bool,
    /// The end of the connection is the end of the body.
    until_close: bool,
    persistent: bool,
    upgraded: Option<Upgraded>,
    _flight: Option<Flight>,
    /// The client has not taken all yet; until it has, nothing is added.
    blocked: bool,
    /// The body broke off. What there is of it is written, and no end.
    cut: bool,
}

impl Writing {
    /// Puts the head into the link's buffer.
    pub(super) fn new(answer: Answer, asked: &Asked, persistent: bool, date: &HeaderValue, link: &mut Link) -> Self {
        let Answer { head, body, hsts, flight } = answer;
        let upgraded = head.status() == 101;
        let bodiless = asked.to_head || matches!(head.status(), 100..200 | 204 | 304);
        let framing = body.length();
        let chunked = framing.is_none() && !bodiless && asked.version == Version::Http11;
        let until_close = framing.is_none() && !bodiless && !chunked;
        let persistent = persistent && !until_close && !upgraded;
        link.begin_answer();
        let text = link.outgoing.text();
        headers::write_answer(&head, hsts.as_ref(), date, text);
        if chunked {
            text.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        } else if let Some(length) = Self::announced(&head, framing, bodiless) {
            text.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
        }
        if upgraded {
            text.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
        } else if !persistent {
            text.extend_from_slice(b"Connection: close\r\n");
        }
        text.extend_from_slice(b"\r\n");
        let (body, upgraded) = match body {
            AnswerBody::Upgraded(upgraded) => (None, Some(*upgraded)),
            body => ((!bodiless).then_some(body), None),
        };
        Self { body, chunked, until_close, persistent, upgraded, _flight: flight, blocked: false, cut: false }
    }

    /// The length that the head is to say.
    fn announced(head: &AnswerHead, framing: Option<u64>, bodiless: bool) -> Option<u64> {
        match head {
            // RFC 9110 §8.6: never in a 1xx or 204.
            head if matches!(head.status(), 100..200 | 204) => None,
            AnswerHead::Upstream(head) if bodiless => head.content_length(),
            AnswerHead::Upstream(_) | AnswerHead::Ours(_) => framing,
        }
    }

    /// Whether another request may follow.
    pub(super) fn is_persistent(&self) -> bool {
        self.persistent
    }

    /// Whether only a reset can tell the client that the answer was cut.
    pub(super) fn needs_reset(&self) -> bool {
        self.until_close
    }

    /// Writes until all is written; then the connection that the client has switched to, if any.
    pub(super) fn poll(
        &mut self,
        link: &RefCell<Link>,
        pace: &mut Pace,
        deadline: &mut Deadline,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Upgraded>, Ended>> {
        loop {
            let waits_for_upstream = !self.blocked && self.gather(link, cx);
            let before = written(&link.borrow().stream);
            let flushed = link.borrow_mut().poll_flush(cx);
            // What TLS keeps in a buffer of its own has not moved.
            let moved = written(&link.borrow().stream).wrapping_sub(before);
            if moved > 0 {
                pace.moved(usize::try_from(moved).unwrap_or(usize::MAX));
            }
            self.blocked = flushed.is_pending();
            match flushed {
                Poll::Ready(Ok(())) if self.cut => return Poll::Ready(Err(Ended::Cut)),
                Poll::Ready(Ok(())) if self.body.is_none() => return Poll::Ready(Ok(self.upgraded.take())),
                Poll::Ready(Ok(())) if !waits_for_upstream => continue,
                Poll::Ready(Ok(())) => {
                    pace.moved(0);
                    link.borrow_mut().outgoing.release();
                    // The client may lose interest while the homeserver has nothing to say.
                    match link.borrow_mut().poll_gone(cx) {
                        Poll::Ready(Ok(())) => continue,
                        Poll::Ready(Err(gone)) => return Poll::Ready(Err(gone.into())),
                        Poll::Pending => return Poll::Pending,
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => {
                    // The client may read only once it has sent everything.
                    if let Some(Err(error)) = self.body.as_mut().map(|body| body.send_on(cx)) {
                        tracing::debug!(%error, "an answer broke off");
                        return Poll::Ready(Err(Ended::Cut));
                    }
                    return deadline.poll(pace.waiting(), cx).map(|()| Err(Ended::Stalled));
                }
            }
        }
    }

    /// Takes pieces of the body while there is room. Whether the upstream has to send more first.
    fn gather(&mut self, link: &RefCell<Link>, cx: &mut Context<'_>) -> bool {
        while link.borrow().outgoing.takes_more() {
            let Some(body) = &mut self.body else { break };
            // Not while the link is borrowed: what the exchange still sends upstream comes through it.
            let Poll::Ready(piece) = body.poll_data(u64::MAX, cx) else {
                return true;
            };
            let link = &mut *link.borrow_mut();
            match piece {
                Some(Ok(piece)) if self.chunked => {
                    write_chunk_size(link.outgoing.text(), piece.len());
                    link.outgoing.push(piece, b"\r\n");
                }
                Some(Ok(piece)) => link.outgoing.push(piece, b""),
                Some(Err(error)) => {
                    tracing::debug!(%error, "an answer broke off");
                    self.body = None;
                    self.cut = true;
                }
                None => {
                    self.body = None;
                    if self.chunked {
                        link.outgoing.text().extend_from_slice(FINAL_CHUNK);
                    }
                }
            }
        }
        false
    }
}
