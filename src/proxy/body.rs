//! A request's body on its way to the upstream, or to nobody.

use super::deadline::Deadline;
use super::error::ProxyError;
use super::http1::{BodyError, Link};
use super::http2;
use super::pace::{Bounds, Pace};
use crate::upstream::Source;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// A body that streams from a client.
pub(super) struct RequestBody {
    from: From,
    /// When it last moved, for whoever waits for the answer.
    moved: Rc<Cell<Instant>>,
    pace: Pace,
    deadline: Deadline,
    /// How many bytes may still pass.
    left: Option<u64>,
}

enum From {
    Http1(Rc<RefCell<Link>>),
    Http2(http2::Upload),
}

impl RequestBody {
    pub(super) fn http1(link: Rc<RefCell<Link>>, bounds: Bounds) -> Self {
        Self::new(From::Http1(link), bounds)
    }

    pub(super) fn http2(upload: http2::Upload, bounds: Bounds) -> Self {
        Self::new(From::Http2(upload), bounds)
    }

    fn new(from: From, bounds: Bounds) -> Self {
        let moved = Rc::new(Cell::new(Instant::now()));
        Self { from, moved, pace: Pace::new(bounds), deadline: Deadline::default(), left: None }
    }

    /// The most bytes that may pass.
    pub(super) fn limit(&mut self, most: Option<u64>) {
        self.left = most;
    }

    /// When it last moved, while somebody else holds it.
    pub(super) fn moved(&self) -> Rc<Cell<Instant>> {
        Rc::clone(&self.moved)
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ProxyError>>> {
        match &mut self.from {
            From::Http1(link) => link.borrow_mut().poll_body(cx).map(|piece| {
                piece.map(|piece| {
                    piece.map_err(|error| match error {
                        BodyError::Malformed(malformed) => ProxyError::BadBody(malformed),
                        BodyError::Gone => ProxyError::ClientGone,
                    })
                })
            }),
            From::Http2(upload) => upload.poll_data(cx),
        }
    }
}

impl Source for RequestBody {
    type Error = ProxyError;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ProxyError>>> {
        let Poll::Ready(piece) = self.poll_piece(cx) else {
            return self.deadline.poll(self.pace.waiting(), cx).map(|()| Some(Err(ProxyError::BodyTooSlow)));
        };
        let length = match &piece {
            Some(Ok(piece)) => piece.len(),
            _ => 0,
        };
        self.pace.moved(length);
        self.moved.set(Instant::now());
        if let Some(left) = &mut self.left {
            match left.checked_sub(u64::try_from(length).unwrap_or(u64::MAX)) {
                Some(rest) => *left = rest,
                None => return Poll::Ready(Some(Err(ProxyError::TooLarge))),
            }
        }
        Poll::Ready(piece)
    }
}
