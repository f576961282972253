//! One request to an upstream and its answer back, both streaming.

use super::body::{Progress, RequestBody, ResponseBody};
use super::error::ProxyError;
use super::headers;
use super::upgrade;
use crate::drain::Watch;
use crate::telemetry::log::Chain;
use crate::upstream::{Pool, SendError};
use http::header::CONTENT_LENGTH;
use http::uri::PathAndQuery;
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
    /// Bytes at the start of the target that the upstream does not get.
    pub strip: usize,
    pub max_body: Option<u64>,
    pub first_byte_timeout: Duration,
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
    *outgoing.uri_mut() = origin_form(parts.uri, forwarding.strip)?;
    *outgoing.headers_mut() = parts.headers;

    let sending = pool.send(outgoing, bodiless && !websocket);
    let (mut response, lease) = tokio::select! {
        biased;
        sent = sending => sent.map_err(|error| explain(&error, &progress, pool))?,
        () = stalled(&progress, forwarding.first_byte_timeout) => {
            tracing::warn!(upstream = %pool.address(), "no answer within {:?}", forwarding.first_byte_timeout);
            return Err(ProxyError::Timeout);
        }
    };
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

/// Path and query exactly as they came, but for what the upstream does not get.
fn origin_form(uri: Uri, strip: usize) -> Result<Uri, ProxyError> {
    let mut path_and_query = uri.into_parts().path_and_query.ok_or(ProxyError::BadTarget)?;
    if strip > 0 {
        let rest = path_and_query.as_str().get(strip..).and_then(|rest| PathAndQuery::try_from(rest).ok());
        path_and_query = rest.ok_or(ProxyError::BadTarget)?;
    }
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(path_and_query);
    Uri::from_parts(parts).map_err(|_| ProxyError::BadTarget)
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
            tracing::warn!(upstream = %pool.address(), error = %Chain(error), "the upstream is unreachable");
            ProxyError::Unreachable
        }
        SendError::Exchange(cause) => {
            // A body that the client broke off ends the exchange too; then nobody reads the answer.
            tracing::debug!(upstream = %pool.address(), error = %Chain(cause), "an exchange with the upstream failed");
            ProxyError::BadAnswer
        }
    }
}
