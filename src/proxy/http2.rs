//! The HTTP/2 server: hyper's, with the bounds that it leaves to its user.
//!
//! Each stream is a task of hyper's on the worker's thread, run through [`LocalExecutor`], which
//! watches that a client reads its answer. The deadlines of the connection itself are kept by
//! [`drive`].

use super::activity::{Activity, Expired, InFlight};
use super::answer::{Answer, AnswerBody, AnswerHead, BodyCut};
use super::body::RequestBody;
use super::deadline::Deadline;
use super::downstream::Downstream;
use super::error::ProxyError;
use super::flights::Flight;
use super::frames::Metered;
use super::headers;
use super::http1;
use super::linger::Linger;
use super::pace::{Bounds, Pace};
use super::respond;
use super::service::Service;
use crate::drain::Watch;
use crate::http1::RequestHead;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Largest header list (RFC 9113 §6.5.2), as over HTTP/1.1.
const MAX_HEAD: u32 = 32 * 1024;

/// Requests in flight on one connection: what clients assume before they are told (RFC 9113 §6.5.2
/// wants at least so many), and the most that a connection which finishes none can ask.
const MAX_STREAMS: u32 = 100;

/// How much of a download may wait in memory for a slow client, beside the pieces that are read at once:
/// what the kernel takes is more, and it is there that a fast client is kept busy.
const SEND_BUFFER: usize = 32 * 1024;

/// Answers under way on a connection from which on they come in small pieces: hyper and h2 hold up to
/// two of each, and a client that opens its windows and reads nothing can have [`MAX_STREAMS`] of them.
const MANY: u32 = 8;

/// A small piece: half a frame, and the smallest that a body is read in.
const SMALL_PIECE: u64 = 8 * 1024;

/// How long a connection that was told to end may take over its goodbye: HTTP/2 sends two GOAWAY
/// frames and waits for an answer between them.
const GOODBYE: Duration = Duration::from_secs(5);

/// Serves a connection to its end.
pub(super) async fn serve(stream: Downstream, service: Rc<Service>, drain: Watch) -> Result<(), hyper::Error> {
    let timeouts = service.timeouts();
    let activity = Activity::new(timeouts.header, timeouts.idle, timeouts.pace);
    let stream = TokioIo::new(Metered::new(stream, Rc::clone(&activity)));
    let mut builder = http2::Builder::new(LocalExecutor { bounds: timeouts.pace });
    builder
        .timer(TokioTimer::new())
        // Windows begin at 64 KiB and grow with what the line carries: what a client can leave unread in
        // memory before it has shown that it needs more is bounded by that.
        .adaptive_window(true)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD)
        .max_send_buf_size(SEND_BUFFER);
    let noted = Rc::clone(&activity);
    let connection = builder
        .serve_connection(stream, service_fn(move |request| answer(Rc::clone(&service), noted.request(), request)));
    drive(pin!(connection), &activity, drain, |connection| connection.graceful_shutdown()).await
}

/// Answers one request. It always has an answer; failures become Matrix errors in [`Service`].
async fn answer(
    service: Rc<Service>,
    in_flight: InFlight,
    request: Request<Incoming>,
) -> Result<Response<StreamBody>, Infallible> {
    let to_head = request.method() == Method::HEAD;
    let (parts, incoming) = request.into_parts();
    let complete = incoming.is_end_stream();
    let bounds = service.timeouts().pace;
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let lines = parts.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let head = RequestHead::build(parts.method.as_str(), authority, target, lines, (complete, http1::LIMITS));
    let upload = Upload { incoming: Some(incoming), linger: service.linger() };
    drop(parts);
    let Answer { head, body, hsts, flight } = match head {
        Ok(head) => service.answer(head, (!complete).then(|| RequestBody::http2(upload, bounds))).await,
        Err(error) => Answer::ours(respond::error(ProxyError::Request(error))),
    };
    let mut response = Response::new(());
    match head {
        AnswerHead::Ours(ours) => {
            *response.status_mut() = ours.0;
            *response.headers_mut() = ours.1;
            if let (true, Some(length)) = (to_head, body.length().filter(|length| *length > 0)) {
                // HTTP/1.1 would leave the body out by itself.
                response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
        }
        AnswerHead::Upstream(head) => {
            *response.status_mut() = StatusCode::from_u16(head.status()).unwrap_or(StatusCode::BAD_GATEWAY);
            *response.headers_mut() = headers::answer_map(&head);
        }
    }
    if let Some(hsts) = hsts {
        response.headers_mut().entry("strict-transport-security").or_insert(hsts);
    }
    let body = if to_head { AnswerBody::Empty } else { body };
    // hyper runs this within a stream's task.
    let reading = READING.try_with(Rc::clone).unwrap_or_else(|_| Rc::new(Reading::new(bounds)));
    Ok(response.map(|()| StreamBody { body, reading, in_flight, _flight: flight }))
}

/// A request's body.
pub(super) struct Upload {
    /// Taken when this is dropped before its end.
    incoming: Option<Incoming>,
    /// What becomes of the rest.
    linger: Linger,
}

impl Upload {
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ProxyError>>> {
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

/// An answer's body.
struct StreamBody {
    body: AnswerBody,
    reading: Rc<Reading>,
    /// Held until the answer has been handed over.
    in_flight: InFlight,
    _flight: Option<Flight>,
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = BodyCut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        let this = self.get_mut();
        this.reading.asks_for_more();
        let most = if this.in_flight.on_this_connection() < MANY { u64::MAX } else { SMALL_PIECE };
        let piece = ready!(this.body.poll_data(most, cx));
        if let Some(Ok(piece)) = &piece {
            this.reading.has_been_given(piece.len());
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_done()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.length().filter(|_| !self.is_end_stream()).map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

tokio::task_local! {
    /// The state of the stream whose task is running: the way from its executor to its body.
    static READING: Rc<Reading>;
}

/// How a client reads the answer on one stream. hyper asks for the next piece once the client's window
/// has taken the last one.
struct Reading {
    pace: RefCell<Pace>,
    given: Cell<usize>,
}

impl Reading {
    fn new(bounds: Bounds) -> Self {
        Self { pace: RefCell::new(Pace::new(bounds)), given: Cell::new(0) }
    }

    fn has_been_given(&self, bytes: usize) {
        self.given.set(bytes);
        self.pace.borrow_mut().waiting();
    }

    fn asks_for_more(&self) {
        self.pace.borrow_mut().moved(self.given.take());
    }

    /// Until when the client must have read on, while it is its turn.
    fn due(&self) -> Option<Instant> {
        (self.given.get() > 0).then(|| self.pace.borrow_mut().waiting())
    }
}

/// Runs streams on the worker's own thread, and ends one whose client does not read.
#[derive(Clone, Copy, Debug)]
struct LocalExecutor {
    bounds: Bounds,
}

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        let reading = Rc::new(Reading::new(self.bounds));
        let watched = {
            let reading = Rc::clone(&reading);
            async move {
                let mut stream = pin!(future);
                let mut deadline = Deadline::default();
                poll_fn(|cx| match stream.as_mut().poll(cx) {
                    Poll::Ready(_) => Poll::Ready(()),
                    // Dropping the stream resets it.
                    Poll::Pending => reading.due().map_or(Poll::Pending, |due| deadline.poll(due, cx)),
                })
                .await;
            }
        };
        #[expect(clippy::disallowed_methods, reason = "hyper owns the stream: it ends with its connection")]
        tokio::task::spawn_local(READING.scope(reading, watched));
    }
}

/// Runs a connection until it ends, rests too long, takes nothing of what is sent, or draining lets
/// it finish.
async fn drive<C>(
    mut connection: Pin<&mut C>,
    activity: &Activity,
    mut drain: Watch,
    shut_down: impl Fn(Pin<&mut C>),
) -> Result<(), hyper::Error>
where
    C: Future<Output = Result<(), hyper::Error>>,
{
    let mut draining = pin!(drain.started());
    // Set once the connection has been told to end.
    let mut goodbye: Option<Instant> = None;
    // Armed late and re-armed only when it fires or must fire earlier, so that a busy connection
    // never touches the timer.
    let mut timer = pin!(sleep_until(Instant::now()));
    let mut stalled = Deadline::default();
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            if goodbye.is_none() && draining.as_mut().poll(cx).is_ready() {
                goodbye = Some(Instant::now() + GOODBYE);
                shut_down(connection.as_mut());
                continue;
            }
            if let Some(until) = activity.stalled()
                && stalled.poll(until, cx).is_ready()
            {
                return Poll::Ready(Ok(()));
            }
            let Some(waiting) = activity.waiting() else {
                return Poll::Pending;
            };
            // The last answer may still be on its way out when the rest begins.
            let deadline = goodbye.map_or(waiting.until, |goodbye| goodbye.max(waiting.since + GOODBYE));
            if deadline <= Instant::now() {
                // A rest ends as the protocol has it; a dripped head has nothing to end.
                if goodbye.is_none() && waiting.what == Expired::Resting {
                    goodbye = Some(Instant::now() + GOODBYE);
                    shut_down(connection.as_mut());
                    continue;
                }
                return Poll::Ready(Ok(()));
            }
            if deadline < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(deadline);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await
}
