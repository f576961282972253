//! One request to an upstream and its answer back, both streaming.

use super::answer::{Answer, AnswerBody};
use super::body::RequestBody;
use super::deadline::Deadline;
use super::error::ProxyError;
use super::headers::{self, Onward};
use super::serving::Timeouts;
use super::tunnel::Upgraded;
use crate::drain::Watch;
use crate::http1::{Framing, RequestHead, ResponseHead, Version};
use crate::telemetry::log::Chain;
use crate::upstream::{ConnectError, Exchange, Lease, Outbound, Pool, Refused, SendError, Turn, Waiting, weight};
use futures_util::FutureExt as _;
use std::cell::Cell;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// Endpoints at which one request waits: the first three, and the last, which as a rule stands in for
/// all of them. Whoever is back first gets it. More queues would only be more places that have to be
/// taken and left again.
const MAX_QUEUES: usize = 4;

/// What forwarding needs to know besides the request.
pub(super) struct Forwarding<'a> {
    pub(super) client: IpAddr,
    /// The `Host` to send, exactly as the client wrote it.
    pub(super) host: &'a str,
    /// Bytes at the start of the target that the upstream does not get.
    pub(super) strip: usize,
    /// What the request is called in everybody's logs.
    pub(super) request_id: &'a [u8],
    pub(super) max_body: Option<u64>,
    pub(super) timeouts: Timeouts,
    /// How long it may wait for an upstream that is down.
    pub(super) hold: Duration,
    /// Ends that wait: nobody restarts this program to wait for another one.
    pub(super) drain: &'a Watch,
}

/// Why there is no answer.
#[derive(Debug)]
enum Failed {
    /// No connection, so nothing was sent that could have come to anything.
    Connect(ConnectError),
    Timeout(Duration),
    Exchange(SendError<ProxyError>),
}

impl From<SendError<ProxyError>> for Failed {
    fn from(error: SendError<ProxyError>) -> Self {
        Self::Exchange(error)
    }
}

/// A request that was sent, with the head of its answer.
struct Sent {
    head: ResponseHead,
    exchange: Exchange<RequestBody>,
    lease: Lease,
}

/// A request ready to be sent.
struct Prepared {
    request: Option<Outbound<RequestBody>>,
    to_head: bool,
    /// Of the head, in bytes.
    length: usize,
    /// The head once more, for a request that may be sent a second time.
    again: Option<Vec<u8>>,
    /// When its body last moved.
    moved: Rc<Cell<Instant>>,
}

/// Forwards a request through the first of `pools` that can be reached, and waits at several if none
/// can. They are in the order of trial, those that are up first.
pub(super) async fn forward(
    head: RequestHead,
    body: Option<RequestBody>,
    mut pools: Vec<Rc<Pool>>,
    forwarding: &Forwarding<'_>,
) -> Result<Answer, ProxyError> {
    // RFC 6455 §4.1: a GET, and what followed it would be neither body nor WebSocket.
    let websocket = body.is_none()
        && head.version() == Version::Http11
        && head.method() == "GET"
        && headers::asks_for_websocket(head.fields());
    let mut prepared = prepare(&head, body, websocket, forwarding)?;
    let waiting = waiting(&head, &prepared, forwarding);
    // What waits for minutes holds as little as it can.
    drop(head);
    if pools.len() > 1 {
        if let Some(sent) = at_once(&pools, waiting, &mut prepared, forwarding).await {
            let Sent { head, exchange, lease } = sent?;
            return answer(head, exchange, lease, websocket, forwarding);
        }
        keep_queues(&mut pools);
    }
    let Sent { head, exchange, lease } = through(&pools, waiting, &mut prepared, forwarding).await?;
    answer(head, exchange, lease, websocket, forwarding)
}

/// Tries those of several pools that are up, without a wait. None says that not a byte was sent, and
/// that the request may wait.
async fn at_once(
    pools: &[Rc<Pool>],
    waiting: Waiting,
    prepared: &mut Prepared,
    forwarding: &Forwarding<'_>,
) -> Option<Result<Sent, ProxyError>> {
    let holds = !waiting.limit.is_zero();
    let waiting = Waiting { limit: Duration::ZERO, ..waiting };
    for pool in pools {
        // One that does not wait tries where it is not known that nobody is there, too.
        if holds && !pool.gate().is_open() {
            continue;
        }
        let pool = std::slice::from_ref(pool);
        match through(pool, waiting, prepared, forwarding).await {
            // Another one can have it.
            Err(ProxyError::Unreachable) => {}
            other => return Some(other),
        }
    }
    (!holds).then_some(Err(ProxyError::Unreachable))
}

/// Leaves those at which a request waits, each once: two pools may have an endpoint in common.
fn keep_queues(pools: &mut Vec<Rc<Pool>>) {
    let mut kept = Vec::with_capacity(MAX_QUEUES);
    let last = pools.pop();
    for pool in pools.drain(..).take(MAX_QUEUES - 1).chain(last) {
        if !kept.iter().any(|other| Rc::ptr_eq(other, &pool)) {
            kept.push(pool);
        }
    }
    *pools = kept;
}

fn answer(
    head: ResponseHead,
    exchange: Exchange<RequestBody>,
    lease: Lease,
    websocket: bool,
    forwarding: &Forwarding<'_>,
) -> Result<Answer, ProxyError> {
    let body = match (head.status(), websocket) {
        (101, true) => {
            let (stream, early) = exchange.into_upgraded();
            AnswerBody::Upgraded(Box::new(Upgraded { stream, early, lease }))
        }
        (101, false) => {
            tracing::warn!(upstream = %lease.address(), "switched protocols unasked");
            return Err(ProxyError::BadAnswer);
        }
        _ => AnswerBody::upstream(&head, exchange, lease, forwarding.timeouts.between_bytes),
    };
    Ok(Answer::upstream(head, body))
}

/// Sends a request through the first gate of `pools` that lets it go, and waits there again if the
/// gates close before a byte of it was sent. [`ProxyError::Unreachable`] says that none was.
async fn through(
    pools: &[Rc<Pool>],
    waiting: Waiting,
    prepared: &mut Prepared,
    forwarding: &Forwarding<'_>,
) -> Result<Sent, ProxyError> {
    let [first, others @ ..] = pools else { return Err(ProxyError::Unreachable) };
    let others = others.iter().map(|pool| Rc::clone(pool.gate())).collect();
    let mut turn = first.gate().turn(waiting).or_through(others);
    loop {
        come(&mut turn, forwarding.drain).await.map_err(|refused| match refused {
            Refused::Full => ProxyError::Crowded,
            Refused::Off | Refused::Over => ProxyError::Unreachable,
        })?;
        let pool = pools.iter().find(|pool| Rc::ptr_eq(pool.gate(), turn.gate())).unwrap_or(first);
        let lease = pool.lease();
        // The wait was not the upstream's to answer in.
        prepared.moved.set(Instant::now());
        match send(prepared, pool, &mut turn, forwarding.timeouts.first_byte).await {
            Ok((head, exchange)) => {
                turn.answered();
                return Ok(Sent { head, exchange, lease });
            }
            Err(Failed::Connect(error)) if turn.connect_failed(&error) => {}
            Err(failed) => return Err(explain(failed, pool, forwarding.request_id)),
        }
    }
}

/// Waits until the request may go, at most until the program stops.
async fn come(turn: &mut Turn, drain: &Watch) -> Result<(), Refused> {
    // On an ordinary day the watch, which all workers share, is not touched.
    if let Some(came) = turn.come().now_or_never() {
        return came;
    }
    let mut drain = drain.clone();
    tokio::select! {
        biased;
        came = turn.come() => came,
        () = drain.started() => turn.give_up(),
    }
}

/// What a request asks of the gate.
fn waiting(head: &RequestHead, prepared: &Prepared, forwarding: &Forwarding<'_>) -> Waiting {
    let length = match head.framing() {
        Framing::Length(length) => Some(length),
        Framing::Chunked | Framing::Close => None,
    };
    let bytes = weight(prepared.length, length);
    Waiting { limit: forwarding.hold, bytes, client: forwarding.client.into() }
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
    let onward = Onward {
        client: forwarding.client,
        host: forwarding.host,
        target: head.target().get(forwarding.strip..).ok_or(ProxyError::BadTarget)?,
        request_id: forwarding.request_id,
        websocket,
    };
    headers::write_request(head, &onward, &mut text);
    let again = repeatable.then(|| text.clone());
    let length = text.len();
    let request = Outbound::new(text, body, head.framing() == Framing::Chunked);
    Ok(Prepared { request: Some(request), to_head: head.method() == "HEAD", length, again, moved })
}

/// Sends a request within the upstream's time, and again where nothing can have come of the first
/// time.
async fn send(
    prepared: &mut Prepared,
    pool: &Rc<Pool>,
    turn: &mut Turn,
    limit: Duration,
) -> Result<(ResponseHead, Exchange<RequestBody>), Failed> {
    let moved = Rc::clone(&prepared.moved);
    let mut sending = pin!(send_unbounded(prepared, pool, turn));
    let mut deadline = Deadline::default();
    // An upload that moves may take as long as it takes.
    poll_fn(|cx| match sending.as_mut().poll(cx) {
        Poll::Ready(sent) => Poll::Ready(sent),
        Poll::Pending => deadline.poll(moved.get() + limit, cx).map(|()| Err(Failed::Timeout(limit))),
    })
    .await
}

async fn send_unbounded(
    prepared: &mut Prepared,
    pool: &Rc<Pool>,
    turn: &mut Turn,
) -> Result<(ResponseHead, Exchange<RequestBody>), Failed> {
    while let Some(reused) = pool.take(prepared.again.is_some()) {
        turn.connected();
        match reused.exchange(&mut prepared.request, prepared.to_head).await {
            // It was closed while idle, and took not a byte of the request.
            Err(SendError::Unsent(_)) => {}
            Err(SendError::NoAnswer(error)) => match prepared.again.take() {
                Some(head) => {
                    prepared.request = Some(Outbound::new(head, None, false));
                    // Once is enough: the next try gets a connection of its own.
                    break;
                }
                None => return Err(SendError::NoAnswer(error).into()),
            },
            other => return Ok(other?),
        }
    }
    let fresh = pool.connect().await.map_err(Failed::Connect)?;
    turn.connected();
    let sent = fresh.exchange(&mut prepared.request, prepared.to_head).await;
    if matches!(sent, Err(SendError::Unsent(_) | SendError::NoAnswer(_))) {
        turn.broke_unanswered();
    }
    Ok(sent?)
}

fn explain(failed: Failed, pool: &Pool, request_id: &[u8]) -> ProxyError {
    let (upstream, request_id) = (pool.address(), request_id.escape_ascii());
    match failed {
        Failed::Connect(error) => {
            // The gate tells of outages, once.
            tracing::debug!(%upstream, error = %Chain(&error), "the upstream is unreachable");
            ProxyError::Unreachable
        }
        Failed::Timeout(limit) => {
            match pool.complaint().due(Instant::now()) {
                Some(times) => tracing::warn!(%upstream, %request_id, ?limit, times, "no answer in time"),
                None => tracing::debug!(%upstream, %request_id, ?limit, "no answer in time"),
            }
            ProxyError::Timeout
        }
        Failed::Exchange(SendError::Body(error)) => error,
        Failed::Exchange(error) => {
            let (error, due) = (Chain(&error), pool.complaint().due(Instant::now()));
            match due {
                Some(times) => {
                    tracing::warn!(%upstream, %request_id, %error, times, "an exchange with the upstream failed");
                }
                None => tracing::debug!(%upstream, %request_id, %error, "an exchange with the upstream failed"),
            }
            ProxyError::BadAnswer
        }
    }
}
