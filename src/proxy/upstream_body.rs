//! An answer's body that streams from an upstream.

use super::body::RequestBody;
use super::deadline::Deadline;
use crate::http1::{Framing, ResponseHead};
use crate::upstream::{AnswerBodyError, Exchange, Lease};
use bytes::Bytes;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// The body. Its connection goes back as soon as it has been read.
pub(super) struct UpstreamBody {
    /// Gone at the end.
    exchange: Option<Exchange<RequestBody>>,
    lease: Lease,
    length: Option<u64>,
    patience: Duration,
    /// Since when it keeps us waiting.
    waiting_since: Option<Instant>,
    deadline: Deadline,
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyCut {
    #[error(transparent)]
    Upstream(#[from] AnswerBodyError),
    #[error("nothing came from the upstream for {0:?}")]
    Stalled(Duration),
}

impl UpstreamBody {
    /// The body behind `head`. `patience` is how long the upstream may stand still.
    pub(super) fn new(head: &ResponseHead, exchange: Exchange<RequestBody>, lease: Lease, patience: Duration) -> Self {
        let length = match head.framing() {
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::Close => None,
        };
        let (waiting_since, deadline) = (None, Deadline::default());
        Self { exchange: Some(exchange), lease, length, patience, waiting_since, deadline }
    }

    /// Its length, where that is known before its end.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether nothing more comes.
    pub(super) fn is_done(&self) -> bool {
        self.exchange.is_none()
    }

    /// The next piece, of about `most` bytes if there are so many.
    pub(super) fn poll_data(&mut self, most: u64, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyCut>>> {
        let Some(exchange) = &mut self.exchange else {
            return Poll::Ready(None);
        };
        let polled = exchange.poll_data(most, cx);
        if polled.is_ready() {
            self.waiting_since = None;
        }
        match polled {
            Poll::Ready(Some(Ok(data))) => {
                // Known to be the last one, so the connection is free at once, and not when the client has
                // read it all.
                if exchange.is_done() {
                    self.give_back();
                }
                Poll::Ready(Some(Ok(data)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.exchange = None;
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                self.give_back();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let since = *self.waiting_since.get_or_insert_with(Instant::now);
                let stalled = self.deadline.poll(since + self.patience, cx);
                stalled.map(|()| Some(Err(BodyCut::Stalled(self.patience))))
            }
        }
    }

    /// Sends what there is of the rest of the request, while the client takes no more of the answer.
    pub(super) fn send_on(&mut self, cx: &mut Context<'_>) -> Result<(), BodyCut> {
        match &mut self.exchange {
            Some(exchange) => Ok(exchange.send_on(cx)?),
            None => Ok(()),
        }
    }

    fn give_back(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            self.lease.give_back(exchange);
        }
    }
}
