//! One request to an upstream and its answer back, both streaming.

use super::body::{Progress, RequestBody, ResponseBody};
use super::error::ProxyError;
use super::headers;
use super::upgrade;
use crate::drain::Watch;
use crate::telemetry::log::Chain;
use crate::upstream::{Pool, Refused, SendError, Waiting, weight};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// What forwarding needs to know besides the request.
pub(super) struct Forwarding<'a> {
    pub client: IpAddr,
    /// The `Host` to send, exactly as the client wrote it.
    pub host: &'a HeaderValue,
    pub max_body: Option<u64>,
    pub first_byte_timeout: Duration,
    /// How long it may wait for an upstream that is down.
    pub hold: Duration,
    /// For what outlives the request.
    pub alive: &'a Watch,
}

/// Forwards `request` through `pool`.
pub(super) async fn forward(
    mut request: Request<RequestBody>,
    pool: &Rc<Pool<RequestBody>>,
    forwarding: &Forwarding<'_>,
) -> Result<Response<ResponseBody>, ProxyError> {
    let length = content_length(request.headers());
    if forwarding.max_body.is_some_and(|limit| length.is_some_and(|length| length > limit)) {
        return Err(ProxyError::TooLarge);
    }
    let websocket = request.version() == Version::HTTP_11 && headers::asks_for_websocket(request.headers());
    let downstream_upgrade = websocket.then(|| hyper::upgrade::on(&mut request));

    let (mut parts, mut body) = request.into_parts();
    let bodiless = body.is_end_stream();
    let progress = body.progress();
    body.limit(forwarding.max_body);
    headers::to_upstream(&mut parts.headers, forwarding.client, forwarding.host);
    if websocket {
        headers::keep_websocket(&mut parts.headers);
    }
    let mut outgoing = Request::new(body);
    *outgoing.method_mut() = parts.method;
    *outgoing.uri_mut() = origin_form(parts.uri)?;
    *outgoing.headers_mut() = parts.headers;

    let body = if bodiless { Some(0) } else { length };
    let waiting =
        Waiting { limit: forwarding.hold, bytes: weight(head_size(&outgoing), body), client: forwarding.client.into() };
    let mut turn = pool.gate().turn(waiting);
    let (mut response, lease) = loop {
        turn.come().await.map_err(|refused| match refused {
            Refused::Off | Refused::Over => ProxyError::Unreachable,
            Refused::Full => ProxyError::Crowded,
        })?;
        // The wait was not the upstream's to answer in.
        progress.moved.set(Instant::now());
        let sending = pool.send(outgoing, bodiless && !websocket, &mut turn);
        let failed = tokio::select! {
            biased;
            sent = sending => match sent {
                Ok(answer) => break answer,
                Err(failed) => failed,
            },
            () = stalled(&progress, forwarding.first_byte_timeout) => {
                tracing::warn!(upstream = %pool.address(), "no answer within {:?}", forwarding.first_byte_timeout);
                return Err(ProxyError::Timeout);
            }
        };
        outgoing = *failed.unsent.ok_or_else(|| explain(&failed.error, &progress, pool))?;
    };
    turn.answered();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(downstream) = downstream_upgrade else {
            tracing::warn!(upstream = %pool.address(), "switched protocols unasked");
            return Err(ProxyError::BadAnswer);
        };
        upgrade::join(downstream, hyper::upgrade::on(&mut response), forwarding.alive.clone());
        headers::to_downstream(response.headers_mut());
        headers::keep_websocket(response.headers_mut());
        return Ok(response.map(|_| ResponseBody::default()));
    }
    headers::to_downstream(response.headers_mut());
    Ok(response.map(|incoming| ResponseBody::upstream(incoming, lease)))
}

/// Returns once neither the request's body has moved nor an answer begun for `limit`. An upload
/// that moves may take as long as it takes.
async fn stalled(progress: &Progress, limit: Duration) {
    loop {
        let deadline = progress.moved.get() + limit;
        if deadline <= Instant::now() {
            return;
        }
        sleep_until(deadline).await;
    }
}

/// Path and query exactly as they came.
fn origin_form(uri: Uri) -> Result<Uri, ProxyError> {
    let path_and_query = uri.into_parts().path_and_query.ok_or(ProxyError::BadTarget)?;
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(path_and_query);
    Uri::from_parts(parts).map_err(|_| ProxyError::BadTarget)
}

/// About what the head takes in memory.
fn head_size<B>(request: &Request<B>) -> usize {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    request.headers().iter().fold(target, |size, (name, value)| size + name.as_str().len() + value.len())
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn explain(error: &SendError, progress: &Progress, pool: &Pool<RequestBody>) -> ProxyError {
    if progress.over_limit.get() {
        return ProxyError::TooLarge;
    }
    match error {
        SendError::Connect(_) => {
            // The gate tells of outages, once.
            tracing::debug!(upstream = %pool.address(), error = %Chain(error), "the upstream is unreachable");
            ProxyError::Unreachable
        }
        SendError::Exchange(cause) => {
            // A body that the client broke off ends the exchange too; then nobody reads the answer.
            tracing::debug!(upstream = %pool.address(), error = %Chain(cause), "an exchange with the upstream failed");
            ProxyError::BadAnswer
        }
    }
}
