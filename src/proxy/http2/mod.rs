//! The HTTP/2 server: hyper's, with the bounds that it leaves to its user.
//!
//! Each stream is a task of hyper's on the worker's thread, run through [`LocalExecutor`], which
//! watches that a client reads its answer. The deadlines of the connection itself are kept by
//! [`drive()`].

mod drive;
mod executor;
mod linger;
mod stream_body;
mod upload;

pub(super) use linger::Linger;
pub(super) use upload::Upload;

use super::activity::{Activity, InFlight};
use super::answer::{Answer, AnswerBody, AnswerHead};
use super::body::RequestBody;
use super::downstream::{Downstream, written};
use super::error::ProxyError;
use super::frames::Metered;
use super::headers;
use super::http1;
use super::respond;
use super::service::Service;
use crate::drain::Watch;
use crate::http1::RequestHead;
use drive::drive;
use executor::LocalExecutor;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use stream_body::StreamBody;

/// Largest header list (RFC 9113 §6.5.2), as over HTTP/1.1.
const MAX_HEAD: u32 = 32 * 1024;

/// Requests in flight on one connection: what clients assume before they are told (RFC 9113 §6.5.2
/// wants at least so many), and the most that a connection which finishes none can ask.
const MAX_STREAMS: u32 = 100;

/// How much of a download may wait in memory for a slow client, beside the pieces that are read at once:
/// what the kernel takes is more, and it is there that a fast client is kept busy.
const SEND_BUFFER: usize = 32 * 1024;

/// Serves a connection to its end.
pub(super) async fn serve(stream: Downstream, service: Rc<Service>, drain: Watch) -> Result<(), hyper::Error> {
    let timeouts = service.timeouts();
    let activity = Activity::new(timeouts.header, timeouts.idle, timeouts.pace);
    let stream = TokioIo::new(Metered::new(stream, Rc::clone(&activity), written));
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
    let upload = Upload::new(incoming, service.linger());
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
    Ok(response.map(|()| StreamBody::new(body, executor::reading(bounds), (in_flight, flight))))
}
