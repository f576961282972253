//! hyper, fed from memory. Its IO is always ready, so that a loop that polls is all the runtime it needs.

use crate::seen::{Message, Seen, grouped};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::http::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::{client, server};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// As many as the codec takes: a difference in this bound is none that matters.
const MAX_FIELDS: usize = 128;

/// More polls than any conversation needs.
const PATIENCE: usize = 1_000_000;

/// What a peer sends, in its pieces; what is written to it is dropped.
struct Io {
    pieces: VecDeque<Vec<u8>>,
    /// Nothing is read before something was written: an answer comes after its request.
    gate: Option<Rc<Cell<bool>>>,
    /// What has been read so far.
    read: Rc<Cell<usize>>,
    /// Keep the connection open at its end?
    stays: bool,
}

impl Read for Io {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, mut buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if self.gate.as_ref().is_some_and(|gate| !gate.get()) {
            return Poll::Pending;
        }
        let Some(mut piece) = self.pieces.pop_front() else {
            return if self.stays { Poll::Pending } else { Poll::Ready(Ok(())) };
        };
        let rest = piece.split_off(piece.len().min(buffer.remaining()));
        buffer.put_slice(&piece);
        self.read.set(self.read.get() + piece.len());
        if !rest.is_empty() {
            self.pieces.push_front(rest);
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(gate) = &self.gate {
            gate.set(true);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// hyper's server.
pub(crate) fn requests(pieces: &[Vec<u8>]) -> Seen {
    let seen = RefCell::new(Seen::default());
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let (head, body) = request.into_parts();
        let start = format!("{} {}", head.method, written(&head.uri));
        seen.borrow_mut().messages.push(Message { start, lines: lines(&head.headers), body: None });
        let seen = &seen;
        async move {
            if let Ok(body) = body.collect().await {
                let mut seen = seen.borrow_mut();
                let last = seen.messages.last_mut().expect("the request whose body it is");
                last.body = Some(body.to_bytes().to_vec());
            }
            // No 2xx, which would end the HTTP on a connection after CONNECT.
            let mut answer = Response::new(Empty::<Bytes>::new());
            *answer.status_mut() = StatusCode::NOT_FOUND;
            Ok::<_, Infallible>(answer)
        }
    });
    let io = Io { pieces: pieces.iter().cloned().collect(), gate: None, read: Rc::default(), stays: false };
    let connection = server::conn::http1::Builder::new()
        .max_headers(MAX_FIELDS)
        .header_read_timeout(None)
        .half_close(true)
        .auto_date_header(false)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let mut context = Context::from_waker(Waker::noop());
    let ended = (0..PATIENCE).find_map(|_| match connection.as_mut().poll(&mut context) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    });
    let end = match ended.expect("hyper comes to an end") {
        Ok(()) => "done".to_owned(),
        Err(error) => format!("{error:?}"),
    };
    let mut seen = seen.take();
    seen.end = end;
    seen
}

/// hyper's client: the answer to one request, and whether it could send another one.
pub(crate) fn answer(pieces: &[Vec<u8>], to_head: bool) -> (Seen, bool) {
    let read = Rc::new(Cell::new(0));
    let sent = pieces.iter().map(Vec::len).sum::<usize>();
    // First with a connection that stays open, as an upstream's does; if hyper then waits for its end, with one.
    for stays in [true, false] {
        read.set(0);
        let gate = Some(Rc::new(Cell::new(false)));
        let io = Io { pieces: pieces.iter().cloned().collect(), gate, read: Rc::clone(&read), stays };
        if let Some((seen, reusable)) = exchange(io, to_head, &read) {
            return (seen, reusable && stays && read.get() == sent);
        }
    }
    unreachable!("hyper waits although the connection has ended")
}

/// Nothing when hyper waits for more.
fn exchange(io: Io, to_head: bool, read: &Cell<usize>) -> Option<(Seen, bool)> {
    let mut context = Context::from_waker(Waker::noop());
    let handshake = client::conn::http1::Builder::new().max_headers(MAX_FIELDS).handshake(io);
    let Poll::Ready(Ok((mut sender, connection))) = pin!(handshake).poll(&mut context) else {
        unreachable!("no bytes are exchanged yet")
    };
    let method = if to_head { "HEAD" } else { "GET" };
    let request = Request::builder().method(method).uri("/").header("host", "a").body(Empty::<Bytes>::new());
    let answer = sender.send_request(request.expect("a request"));
    let exchange = async {
        let mut seen = Seen::default();
        match answer.await {
            Ok(answer) => {
                let (head, body) = answer.into_parts();
                let body = body.collect().await;
                seen.end = body.as_ref().err().map_or_else(|| "done".to_owned(), |error| format!("{error:?}"));
                seen.messages.push(Message {
                    start: head.status.as_u16().to_string(),
                    lines: lines(&head.headers),
                    body: body.ok().map(|body| body.to_bytes().to_vec()),
                });
            }
            Err(error) => seen.end = format!("{error:?}"),
        }
        seen
    };
    let (mut exchange, mut connection) = (pin!(exchange), pin!(connection));
    let mut open = true;
    let mut seen = None;
    // hyper reads a bounded number of times a poll. Rounds in which nothing happens mean that nothing will.
    let (mut idle, mut before) = (0, 0);
    while idle < 4 {
        idle = if read.get() == before { idle + 1 } else { 0 };
        before = read.get();
        if open && connection.as_mut().poll(&mut context).is_ready() {
            open = false;
            idle = 0;
        }
        if seen.is_none()
            && let Poll::Ready(done) = exchange.as_mut().poll(&mut context)
        {
            seen = Some(done);
            idle = 0;
        }
    }
    seen.map(|seen| {
        let reusable = open && sender.is_ready();
        (seen, reusable)
    })
}

/// A target as it was written; of an absolute one, authority and path.
fn written(uri: &Uri) -> String {
    match (uri.scheme(), uri.authority()) {
        (Some(_), Some(authority)) => {
            let path = uri.path_and_query().map_or("", |path| path.as_str());
            format!("//{authority}{path}")
        }
        _ => uri.to_string(),
    }
}

fn lines(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    grouped(headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())))
}
