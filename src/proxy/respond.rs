//! Answers that this program makes itself.
//!
//! Every one of them but a challenge's carries CORS headers, errors too: without them a web client
//! cannot read why a request failed.

use super::documents::{Document, Documents};
use super::error::ProxyError;
use crate::matrix::well_known::CORS;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

/// What a peer or client should wait before it tries a homeserver again that is down.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("5");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An error as Matrix JSON.
pub(super) fn error(error: ProxyError) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(error.body()));
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    match error {
        error if error.is_the_upstreams() => {
            headers.insert(RETRY_AFTER, RETRY_SECONDS);
        }
        ProxyError::Limited { retry_after } => {
            // Rounded up: whoever comes back on time must not come too early.
            let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        ProxyError::MethodNotAllowed => {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
        }
        _ => {}
    }
    add_cors(headers);
    response
}

/// A preflight answered in the homeserver's stead.
pub(super) fn preflight() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    add_cors(response.headers_mut());
    response
}

/// A well-known document, or a clean 404 where it is not set.
pub(super) fn well_known(documents: &Documents, document: Document, method: &Method) -> Response<Bytes> {
    let mut response = match documents.body(document) {
        _ if method == Method::OPTIONS => preflight(),
        _ if !matches!(*method, Method::GET | Method::HEAD) => error(ProxyError::MethodNotAllowed),
        Some(body) => {
            let mut response = Response::new(body);
            response.headers_mut().insert(CONTENT_TYPE, JSON);
            add_cors(response.headers_mut());
            response
        }
        None => error(ProxyError::NotSetUp),
    };
    response.headers_mut().insert(CACHE_CONTROL, documents.cache_control().clone());
    response
}

/// What a request of the loop-back proof gets: nothing of what it was.
pub(super) fn loop_back() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"{}"));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    add_cors(headers);
    response
}

/// The key authorization of an HTTP-01 challenge, bare: a CA reads 128 bytes and no more.
pub(super) fn challenge(key_authorization: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(key_authorization));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}

/// To https. Never 308: Synapse's well-known client does not follow it.
pub(super) fn redirect(location: &str, cache_control: Option<&HeaderValue>) -> Response<Bytes> {
    let Ok(location) = HeaderValue::from_str(location) else {
        return error(ProxyError::BadTarget);
    };
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    response.headers_mut().insert(LOCATION, location);
    if let Some(cache_control) = cache_control {
        response.headers_mut().insert(CACHE_CONTROL, cache_control.clone());
    }
    add_cors(response.headers_mut());
    response
}

fn add_cors(headers: &mut HeaderMap) {
    for (name, value) in CORS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}
