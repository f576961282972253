//! A request on its way to the upstream.

use crate::http1::{FINAL_CHUNK, write_chunk_size};
use crate::net::outgoing::Outgoing;
use bytes::Bytes;
use std::io;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// Where a request's body comes from. Framing is not its business.
pub trait Source {
    /// Why it may end early.
    type Error;

    /// The next piece.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>>;
}

/// Why a request was not sent whole.
#[derive(Debug)]
pub(super) enum PumpError<E> {
    Source(E),
    Write(io::Error),
}

/// A head and its body, as far as they are not sent yet.
pub struct Outbound<B> {
    outgoing: Outgoing,
    body: Option<B>,
    chunked: bool,
    sent_nothing: bool,
}

impl<B: Source> Outbound<B> {
    /// A request of this head, to its empty line, and this body, if one follows. `chunked` says that
    /// the head announces no length for it.
    pub fn new(head: Vec<u8>, body: Option<B>, chunked: bool) -> Self {
        let mut outgoing = Outgoing::default();
        *outgoing.text() = head;
        Self { outgoing, body, chunked, sent_nothing: true }
    }

    pub(super) fn has_sent_nothing(&self) -> bool {
        self.sent_nothing
    }

    /// Sends what there is. Ready when all is sent.
    pub(super) fn poll<S>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<Result<(), PumpError<B::Error>>>
    where
        S: AsyncWrite + Unpin,
    {
        loop {
            // Gather what has arrived, so that a head and a small body leave together.
            let waiting = self.gather(cx)?;
            let sent_nothing = &mut self.sent_nothing;
            ready!(self.outgoing.poll_write(stream, cx, |_| *sent_nothing = false)).map_err(PumpError::Write)?;
            if self.body.is_none() {
                return Poll::Ready(Ok(()));
            }
            if waiting {
                self.outgoing.release();
                return Poll::Pending;
            }
        }
    }

    /// Takes pieces of the body while there is room. Whether it now waits for the body.
    fn gather(&mut self, cx: &mut Context<'_>) -> Result<bool, PumpError<B::Error>> {
        while self.outgoing.takes_more() {
            let Some(body) = &mut self.body else { break };
            let Poll::Ready(piece) = body.poll_data(cx) else {
                return Ok(true);
            };
            match piece {
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) if self.chunked => {
                    write_chunk_size(self.outgoing.text(), piece.len());
                    self.outgoing.push(piece, b"\r\n");
                }
                Some(Ok(piece)) => self.outgoing.push(piece, b""),
                Some(Err(error)) => return Err(PumpError::Source(error)),
                None => {
                    self.body = None;
                    if self.chunked {
                        self.outgoing.text().extend_from_slice(FINAL_CHUNK);
                    }
                }
            }
        }
        Ok(false)
    }
}
