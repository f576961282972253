//! An answer's body on its HTTP/2 stream, and how the client reads it.

use crate::proxy::activity::InFlight;
use crate::proxy::answer::AnswerBody;
use crate::proxy::flights::Flight;
use crate::proxy::pace::{Bounds, Pace};
use crate::proxy::upstream_body::BodyCut;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::time::Instant;

/// Answers under way on a connection from which on they come in small pieces: hyper and h2 hold up to
/// two of each, and a client that opens its windows and reads nothing can have
/// [`MAX_STREAMS`](super::MAX_STREAMS) of them.
const MANY: u32 = 8;

/// A small piece: half a frame, and the smallest that a body is read in.
const SMALL_PIECE: u64 = 8 * 1024;

/// An answer's body, which [`Reading`] holds.
pub(super) struct StreamBody {
    reading: Rc<Reading>,
    /// Held until the answer has been handed over.
    in_flight: InFlight,
    _flight: Option<Flight>,
}

impl StreamBody {
    pub(super) fn new(body: AnswerBody, reading: Rc<Reading>, (in_flight, flight): (InFlight, Option<Flight>)) -> Self {
        reading.body.replace(body);
        Self { reading, in_flight, _flight: flight }
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        self.reading.body.replace(AnswerBody::Empty);
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = BodyCut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        let this = self.get_mut();
        this.reading.asks_for_more();
        let most = if this.in_flight.on_this_connection() < MANY { u64::MAX } else { SMALL_PIECE };
        let piece = ready!(this.reading.body.borrow_mut().poll_data(most, cx));
        if let Some(Ok(piece)) = &piece {
            this.reading.has_been_given(piece.len());
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.reading.body.borrow().is_done()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.reading.body.borrow().length().filter(|_| !self.is_end_stream());
        length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// How a client reads the answer on one stream. hyper asks for the next piece once the client's window
/// has taken the last one.
pub(super) struct Reading {
    pace: RefCell<Pace>,
    given: Cell<usize>,
    /// Here and not with hyper, so that the rest of the request is sent while the answer is not read.
    body: RefCell<AnswerBody>,
}

impl Reading {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { pace: RefCell::new(Pace::new(bounds)), given: Cell::new(0), body: RefCell::new(AnswerBody::Empty) }
    }

    fn has_been_given(&self, bytes: usize) {
        self.given.set(bytes);
        self.pace.borrow_mut().waiting();
    }

    fn asks_for_more(&self) {
        self.pace.borrow_mut().moved(self.given.take());
    }

    /// Sends what there is of the rest of the request. Whether it can go on.
    pub(super) fn sends_on(&self, cx: &mut Context<'_>) -> bool {
        let sent = self.body.borrow_mut().send_on(cx);
        sent.inspect_err(|error| tracing::debug!(%error, "an answer broke off")).is_ok()
    }

    /// Until when the client must have read on, while it is its turn.
    pub(super) fn due(&self) -> Option<Instant> {
        (self.given.get() > 0).then(|| self.pace.borrow_mut().waiting())
    }
}
