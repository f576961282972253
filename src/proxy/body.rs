//! Bodies: ours, and those that stream through.

use super::activity::InFlight;
use super::linger::Linger;
use crate::upstream::Lease;
use bytes::Bytes;
use http::Version;
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

    /// The length of a body of ours, and the body gone: what HEAD is answered with.
    pub(super) fn withheld(self) -> (Option<u64>, Self) {
        match self.content {
            Content::Ours(bytes) => (u64::try_from(bytes.len()).ok(), Self { content: Content::Empty, ..self }),
            content => (None, Self { content, ..self }),
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
    fn new() -> Rc<Self> {
        Rc::new(Self { moved: Cell::new(Instant::now()), over_limit: Cell::new(false) })
    }
}

/// A request body on its way to the upstream, or to nobody.
#[derive(Default)]
pub(super) struct RequestBody(Option<Streaming>);

struct Streaming {
    /// Taken when this is dropped before its end.
    incoming: Option<Incoming>,
    progress: Rc<Progress>,
    left: Option<u64>,
    /// What becomes of the rest.
    linger: Linger,
    http2: bool,
    /// The client waits to be asked for the body, and reading would be asking.
    waits: bool,
}

impl RequestBody {
    /// `waits` says that the client expects a 100 before it sends.
    pub(super) fn new(incoming: Incoming, version: Version, waits: bool, linger: &Linger) -> Self {
        if incoming.is_end_stream() {
            return Self(None);
        }
        Self(Some(Streaming {
            incoming: Some(incoming),
            progress: Progress::new(),
            left: None,
            linger: linger.clone(),
            http2: version == Version::HTTP_2,
            waits,
        }))
    }

    /// The most bytes that may pass.
    pub(super) fn limit(&mut self, most: Option<u64>) {
        if let Some(streaming) = &mut self.0 {
            streaming.left = most;
        }
    }

    fn incoming(&self) -> Option<&Incoming> {
        self.0.as_ref()?.incoming.as_ref()
    }

    /// How it is doing, while somebody else holds it.
    pub(super) fn progress(&self) -> Rc<Progress> {
        match &self.0 {
            Some(streaming) => Rc::clone(&streaming.progress),
            None => Progress::new(),
        }
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        let unread = self.incoming.take().filter(|incoming| !self.waits && !incoming.is_end_stream());
        if let Some(rest) = unread {
            self.linger.discard(rest);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(streaming) = &mut self.get_mut().0 else {
            return Poll::Ready(None);
        };
        let Some(incoming) = &mut streaming.incoming else {
            return Poll::Ready(None);
        };
        streaming.waits = false;
        let frame = std::task::ready!(Pin::new(&mut *incoming).poll_frame(cx));
        streaming.progress.moved.set(Instant::now());
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            // A reset without an error code ends hyper's HTTP/2 stream as if it were complete. (Over
            // HTTP/1.1 a body that breaks off is an error already.)
            None if streaming.http2 && !incoming.is_end_stream() => {
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
        self.incoming().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}
