//! Bodies: ours, and those that stream through.

use super::activity::InFlight;
use crate::upstream::Lease;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::time::Instant;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer.
#[derive(Default)]
pub(super) struct ResponseBody {
    content: Content,
    /// Held until the answer is sent.
    in_flight: Option<InFlight>,
}

#[derive(Default)]
enum Content {
    #[default]
    Empty,
    Ours(Bytes),
    /// The connection goes back to its pool at the end of the body, and is closed if the body is
    /// dropped before.
    Upstream(Incoming, Option<Lease<RequestBody>>),
}

impl ResponseBody {
    pub(super) fn ours(bytes: impl Into<Bytes>) -> Self {
        Self { content: Content::Ours(bytes.into()), in_flight: None }
    }

    pub(super) fn upstream(incoming: Incoming, lease: Lease<RequestBody>) -> Self {
        let content = if incoming.is_end_stream() {
            lease.give_back();
            Content::Empty
        } else {
            Content::Upstream(incoming, Some(lease))
        };
        Self { content, in_flight: None }
    }

    /// The length of content of ours.
    pub(super) fn our_length(&self) -> Option<usize> {
        match &self.content {
            Content::Ours(bytes) => Some(bytes.len()),
            Content::Empty | Content::Upstream(..) => None,
        }
    }

    /// The same without content of ours: the answer to HEAD. What comes from an upstream has none.
    pub(super) fn head_only(self) -> Self {
        match self.content {
            Content::Ours(_) => Self { content: Content::Empty, ..self },
            Content::Empty | Content::Upstream(..) => self,
        }
    }

    /// Counts the request as in flight until this body is gone.
    pub(super) fn counted(mut self, in_flight: InFlight) -> Self {
        self.in_flight = Some(in_flight);
        self
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        match &mut this.content {
            Content::Empty => Poll::Ready(None),
            Content::Ours(bytes) => {
                let bytes = std::mem::take(bytes);
                this.content = Content::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Content::Upstream(incoming, lease) => {
                let frame = std::task::ready!(Pin::new(&mut *incoming).poll_frame(cx));
                let ended = frame.is_none() || (matches!(frame, Some(Ok(_))) && incoming.is_end_stream());
                if ended && let Some(lease) = lease.take() {
                    lease.give_back();
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Ours(bytes) => bytes.is_empty(),
            Content::Upstream(incoming, _) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Ours(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Content::Upstream(incoming, _) => incoming.size_hint(),
        }
    }
}

/// What is known of a request body while it streams.
#[derive(Debug)]
pub(super) struct Progress {
    /// When the body last moved.
    pub moved: Cell<Instant>,
    /// Whether it went over the limit.
    pub over_limit: Cell<bool>,
}

impl Progress {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self { moved: Cell::new(Instant::now()), over_limit: Cell::new(false) })
    }
}

/// A request body on its way to the upstream.
#[derive(Default)]
pub(super) struct RequestBody(Option<Streaming>);

struct Streaming {
    incoming: Incoming,
    progress: Rc<Progress>,
    left: Option<u64>,
}

impl RequestBody {
    /// `limit` is the most bytes that may pass.
    pub(super) fn new(incoming: Incoming, progress: Rc<Progress>, limit: Option<u64>) -> Self {
        if incoming.is_end_stream() { Self(None) } else { Self(Some(Streaming { incoming, progress, left: limit })) }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(streaming) = &mut self.get_mut().0 else {
            return Poll::Ready(None);
        };
        let frame = std::task::ready!(Pin::new(&mut streaming.incoming).poll_frame(cx));
        streaming.progress.moved.set(Instant::now());
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            // A reset without an error code ends hyper's stream as if it were complete.
            None if !streaming.incoming.is_end_stream() => {
                return Poll::Ready(Some(Err("the request body broke off".into())));
            }
            None => return Poll::Ready(None),
        };
        let Some(data) = frame.data_ref() else {
            // Trailers come last. No homeserver reads any, and a forged address could hide there.
            return Poll::Ready(None);
        };
        if let Some(left) = &mut streaming.left {
            match left.checked_sub(u64::try_from(data.len()).unwrap_or(u64::MAX)) {
                Some(rest) => *left = rest,
                None => {
                    streaming.progress.over_limit.set(true);
                    return Poll::Ready(Some(Err("the request body is over the limit".into())));
                }
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|streaming| streaming.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Some(streaming) => streaming.incoming.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}
