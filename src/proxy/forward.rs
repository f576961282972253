//! One request to an upstream and its answer back, both streaming.

use super::answer::{Answer, AnswerBody};
use super::body::RequestBody;
use super::deadline::Deadline;
use super::error::ProxyError;
use super::headers::{self, Onward};
use super::serving::Timeouts;
use super::tunnel::Upgraded;
use crate::http1::{Framing, RequestHead, ResponseHead, Version};
use crate::telemetry::log::Chain;
use crate::upstream::{Exchange, Outbound, Pool, SendError};
use std::cell::Cell;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use tokio::time::Instant;

/// What forwarding needs to know besides the request.
pub(super) struct Forwarding<'a> {
    pub(super) client: IpAddr,
    /// The `Host` to send, exactly as the client wrote it.
    pub(super) host: &'a str,
    pub(super) max_body: Option<u64>,
    pub(super) timeouts: Timeouts,
}

/// A request ready to be sent.
struct Prepared {
    request: Option<Outbound<RequestBody>>,
    to_head: bool,
    /// The head once more, for a request that may be sent a second time.
    again: Option<Vec<u8>>,
    /// When its body last moved.
    moved: Rc<Cell<Instant>>,
}

/// Forwards a request through `pool`.
pub(super) async fn forward(
    head: RequestHead,
    body: Option<RequestBody>,
    pool: &Rc<Pool>,
    forwarding: &Forwarding<'_>,
) -> Result<Answer, ProxyError> {
    let websocket = head.version() == Version::Http11 && headers::asks_for_websocket(head.fields());
    let prepared = prepare(&head, body, websocket, forwarding)?;
    // What waits for minutes holds as little as it can.
    drop(head);
    let limit = forwarding.timeouts.first_byte;
    let moved = Rc::clone(&prepared.moved);
    let mut sending = pin!(send(prepared, pool));
    let mut deadline = Deadline::default();
    // An upload that moves may take as long as it takes.
    let sent = poll_fn(|cx| match sending.as_mut().poll(cx) {
        Poll::Ready(sent) => Poll::Ready(Some(sent)),
        Poll::Pending => deadline.poll(moved.get() + limit, cx).map(|()| None),
    });
    let Some(sent) = sent.await else {
        tracing::warn!(upstream = %pool.address(), "no answer within {limit:?}");
        return Err(ProxyError::Timeout);
    };
    let (head, exchange) = sent.map_err(|error| explain(error, pool))?;
    let body = match (head.status(), websocket) {
        (101, true) => {
            let (stream, early) = exchange.into_upgraded();
            AnswerBody::Upgraded(Box::new(Upgraded { stream, early }))
        }
        (101, false) => {
            tracing::warn!(upstream = %pool.address(), "switched protocols unasked");
            return Err(ProxyError::BadAnswer);
        }
        _ => AnswerBody::upstream(&head, exchange, Rc::clone(pool), forwarding.timeouts.between_bytes),
    };
    Ok(Answer::upstream(head, body))
}

fn prepare(
    head: &RequestHead,
    mut body: Option<RequestBody>,
    websocket: bool,
    forwarding: &Forwarding<'_>,
) -> Result<Prepared, ProxyError> {
    if let (Framing::Length(length), Some(limit)) = (head.framing(), forwarding.max_body)
        && length > limit
    {
        return Err(ProxyError::TooLarge);
    }
    let moved = body.as_ref().map_or_else(|| Rc::new(Cell::new(Instant::now())), RequestBody::moved);
    if let Some(body) = &mut body {
        body.limit(forwarding.max_body);
    }
    let repeatable = body.is_none() && !websocket && matches!(head.method(), "GET" | "HEAD" | "OPTIONS");
    let mut text = Vec::new();
    let onward = Onward { client: forwarding.client, host: forwarding.host, target: head.target(), websocket };
    headers::write_request(head, &onward, &mut text);
    let again = repeatable.then(|| text.clone());
    let request = Outbound::new(text, body, head.framing() == Framing::Chunked);
    Ok(Prepared { request: Some(request), to_head: head.method() == "HEAD", again, moved })
}

/// Sends a request, and again where nothing can have come of the first time.
async fn send(
    mut prepared: Prepared,
    pool: &Rc<Pool>,
) -> Result<(ResponseHead, Exchange<RequestBody>), SendError<ProxyError>> {
    while let Some(reused) = pool.take() {
        match reused.exchange(&mut prepared.request, prepared.to_head).await {
            // It was closed while idle, and took not a byte of the request.
            Err(SendError::Unsent(_)) => {}
            Err(SendError::NoAnswer(error)) => match prepared.again.take() {
                Some(head) => {
                    prepared.request = Some(Outbound::new(head, None, false));
                    // Once is enough: the next try gets a connection of its own.
                    break;
                }
                None => return Err(SendError::NoAnswer(error)),
            },
            other => return other,
        }
    }
    prepared.again = None;
    let fresh = pool.connect().await?;
    fresh.exchange(&mut prepared.request, prepared.to_head).await
}

fn explain(error: SendError<ProxyError>, pool: &Pool) -> ProxyError {
    match error {
        SendError::Connect(error) => {
            tracing::warn!(upstream = %pool.address(), error = %Chain(&error), "the upstream is unreachable");
            ProxyError::Unreachable
        }
        SendError::Body(error) => error,
        error => {
            tracing::warn!(upstream = %pool.address(), error = %Chain(&error), "an exchange with the upstream failed");
            ProxyError::BadAnswer
        }
    }
}
