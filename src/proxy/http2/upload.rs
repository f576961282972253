//! A request's body over HTTP/2.

use super::Linger;
use crate::proxy::error::ProxyError;
use bytes::Bytes;
use http_body::Body as _;
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The body. Whatever of it nobody read lingers.
pub(in crate::proxy) struct Upload {
    /// Taken when this is dropped before its end.
    incoming: Option<Incoming>,
    /// What becomes of the rest.
    linger: Linger,
}

impl Upload {
    pub(super) fn new(incoming: Incoming, linger: Linger) -> Self {
        Self { incoming: Some(incoming), linger }
    }

    /// The next piece.
    pub(in crate::proxy) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ProxyError>>> {
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        Poll::Ready(match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
            // Trailers come last. No homeserver reads any, and a forged address could hide there.
            Some(Ok(frame)) => frame.into_data().ok().map(Ok),
            Some(Err(_)) => Some(Err(ProxyError::ClientGone)),
            // A reset without an error code ends hyper's stream as if it were complete.
            None if !incoming.is_end_stream() => Some(Err(ProxyError::ClientGone)),
            None => None,
        })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(rest) = self.incoming.take().filter(|incoming| !incoming.is_end_stream()) {
            self.linger.discard(rest);
        }
    }
}
