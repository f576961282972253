//! What a request is answered with, whatever protocol it came by.

use super::body::RequestBody;
use super::flights::Flight;
use super::tunnel::Upgraded;
use super::upstream_body::{BodyCut, UpstreamBody};
use crate::http1::ResponseHead;
use crate::upstream::{Exchange, Lease};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use std::task::{Context, Poll};
use std::time::Duration;

/// An answer.
pub(super) struct Answer {
    pub(super) head: AnswerHead,
    pub(super) body: AnswerBody,
    /// The value of Strict-Transport-Security, added where the answer has none.
    pub(super) hsts: Option<HeaderValue>,
    /// Held until it is sent.
    pub(super) flight: Option<Flight>,
}

/// Status and header lines.
pub(super) enum AnswerHead {
    /// Made here.
    Ours(Box<(StatusCode, HeaderMap)>),
    /// The upstream's, as it came.
    Upstream(ResponseHead),
}

/// The body.
pub(super) enum AnswerBody {
    Empty,
    Ours(Bytes),
    Upstream(Box<UpstreamBody>),
    /// None: the connection goes on as another protocol.
    Upgraded(Box<Upgraded>),
}

impl Answer {
    pub(super) fn ours(response: Response<Bytes>) -> Self {
        let (parts, body) = response.into_parts();
        let body = if body.is_empty() { AnswerBody::Empty } else { AnswerBody::Ours(body) };
        Self { head: AnswerHead::Ours(Box::new((parts.status, parts.headers))), body, hsts: None, flight: None }
    }

    pub(super) fn upstream(head: ResponseHead, body: AnswerBody) -> Self {
        Self { head: AnswerHead::Upstream(head), body, hsts: None, flight: None }
    }

    /// Whether this program made it.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.head, AnswerHead::Ours(_))
    }
}

impl AnswerHead {
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Ours(ours) => ours.0.as_u16(),
            Self::Upstream(head) => head.status(),
        }
    }
}

impl AnswerBody {
    /// The rest of an exchange. `patience` is how long the upstream may stand still.
    pub(super) fn upstream(
        head: &ResponseHead,
        exchange: Exchange<RequestBody>,
        lease: Lease,
        patience: Duration,
    ) -> Self {
        if exchange.is_done() {
            lease.give_back(exchange);
            return Self::Empty;
        }
        Self::Upstream(Box::new(UpstreamBody::new(head, exchange, lease, patience)))
    }

    /// Its length, where that is known before its end.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Empty | Self::Upgraded(_) => Some(0),
            Self::Ours(bytes) => u64::try_from(bytes.len()).ok(),
            Self::Upstream(body) => body.length(),
        }
    }

    /// The next piece. An upstream's is of about `most` bytes if there are so many.
    pub(super) fn poll_data(&mut self, most: u64, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyCut>>> {
        match self {
            Self::Empty | Self::Upgraded(_) => Poll::Ready(None),
            Self::Ours(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(bytes)))
            }
            Self::Upstream(body) => body.poll_data(most, cx),
        }
    }

    /// Sends what there is of the rest of the request, while the client takes no more of the answer.
    pub(super) fn send_on(&mut self, cx: &mut Context<'_>) -> Result<(), BodyCut> {
        match self {
            Self::Empty | Self::Upgraded(_) | Self::Ours(_) => Ok(()),
            Self::Upstream(body) => body.send_on(cx),
        }
    }

    /// Whether nothing more comes.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Empty | Self::Upgraded(_) => true,
            Self::Ours(bytes) => bytes.is_empty(),
            Self::Upstream(body) => body.is_done(),
        }
    }
}
