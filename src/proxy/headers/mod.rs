//! Which header lines pass, and what is written in the place of those that do not: pure.
//!
//! `Host`, `Authorization` (which may repeat, one X-Matrix line per key) and everything else that
//! is end-to-end passes as it came, byte for byte. Hop-by-hop lines (RFC 9110 §7.6.1) do not, in
//! either direction. Whatever claims to be the client's address is replaced by the one that is.
//! Framing is never copied: it is written from what was parsed, so that two lines cannot disagree.

use super::answer::AnswerHead;
use super::identity::keeps_trace;
use crate::http1::{Fields, Framing, RequestHead, ResponseHead};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::io::Write as _;
use std::net::IpAddr;

/// Meaningful between two neighbours only; framing and expectations are written anew.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Lines of a request that are written anew or answered here.
const OURS: [&str; 5] = ["host", "content-length", "cookie", "expect", "x-request-id"];

/// What `Connection` cannot nominate: a sender could otherwise strip what requests stand on.
const PROTECTED: [&str; 4] = ["host", "authorization", "content-length", "cookie"];

/// Lines by which some homeserver or framework would learn a client's address or scheme.
const FORWARDING: [&str; 11] = [
    "forwarded",
    "client-ip",
    "x-real-ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "cf-connecting-ip",
    "fly-client-ip",
    "cloudfront-viewer-address",
    "x-envoy-external-address",
    "x-original-forwarded-for",
];

/// What a request is given on its way.
pub(super) struct Onward<'a> {
    pub(super) client: IpAddr,
    /// The `Host` to send, exactly as the client wrote it.
    pub(super) host: &'a str,
    /// The target to send.
    pub(super) target: &'a str,
    /// In the place of whatever the client calls the request.
    pub(super) request_id: &'a [u8],
    /// Whether the connection is to become a WebSocket.
    pub(super) websocket: bool,
}

/// Writes the head that the upstream gets.
pub(super) fn write_request(head: &RequestHead, onward: &Onward<'_>, out: &mut Vec<u8>) {
    let Onward { client, host, target, request_id, websocket } = onward;
    let traced = keeps_trace(head.fields().all("traceparent"));
    out.reserve(1024);
    line(out, &[head.method().as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1"]);
    line(out, &[b"Host: ", host.as_bytes()]);
    // HTTP/2 lets a client send its cookies as several lines; HTTP/1.1 knows one (RFC 9113 §8.2.3).
    let mut cookies = head.fields().all("cookie").enumerate().peekable();
    while let Some((number, cookie)) = cookies.next() {
        out.extend_from_slice(if number == 0 { b"Cookie: " } else { b"; " });
        out.extend_from_slice(cookie);
        if cookies.peek().is_none() {
            out.extend_from_slice(b"\r\n");
        }
    }
    for (name, value) in end_to_end(head.fields()) {
        let dropped = is_one_of(name, &OURS)
            || is_disguised(name)
            || claims_an_address(name)
            || (!traced && is_one_of(name, &["traceparent", "tracestate"]));
        if !dropped {
            line(out, &[name, b": ", value]);
        }
    }
    // One plain address: Synapse reads the first of a list, others the last.
    let _ = write!(out, "X-Forwarded-For: {client}\r\nX-Real-IP: {client}\r\nX-Forwarded-Proto: https\r\n");
    line(out, &[b"X-Forwarded-Host: ", host.as_bytes()]);
    line(out, &[b"X-Request-Id: ", request_id]);
    match head.framing() {
        // RFC 9110 §8.6: a length for methods that are expected to have a body, even if it is none.
        Framing::Length(0) if !matches!(head.method(), "POST" | "PUT" | "PATCH") => {}
        Framing::Length(length) => {
            let _ = write!(out, "Content-Length: {length}\r\n");
        }
        Framing::Chunked | Framing::Close => line(out, &[b"Transfer-Encoding: chunked"]),
    }
    if *websocket {
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes status line and header lines for an HTTP/1.1 client. Framing, `Connection` and the empty
/// line are the caller's.
pub(super) fn write_answer(head: &AnswerHead, hsts: Option<&HeaderValue>, date: &HeaderValue, out: &mut Vec<u8>) {
    out.reserve(512);
    let status = head.status();
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let _ = write!(out, "HTTP/1.1 {status} {}\r\n", reason.unwrap_or_default());
    let (mut dated, mut secured) = (false, false);
    match head {
        AnswerHead::Ours(ours) => {
            for (name, value) in &ours.1 {
                line(out, &[name.as_str().as_bytes(), b": ", value.as_bytes()]);
            }
        }
        AnswerHead::Upstream(head) => {
            for (name, value) in answer_lines(head) {
                dated |= name.eq_ignore_ascii_case(b"date");
                secured |= name.eq_ignore_ascii_case(b"strict-transport-security");
                line(out, &[name, b": ", value]);
            }
        }
    }
    if !dated {
        line(out, &[b"Date: ", date.as_bytes()]);
    }
    if let Some(hsts) = hsts.filter(|_| !secured) {
        line(out, &[b"Strict-Transport-Security: ", hsts.as_bytes()]);
    }
}

/// The header lines of an upstream's answer for HTTP/2, its length included.
pub(super) fn answer_map(head: &ResponseHead) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(head.fields().len() + 2);
    for (name, value) in answer_lines(head) {
        // The codec has seen that these are a token and a value.
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    if let Some(length) = head.content_length().filter(|_| !matches!(head.status(), 100..200 | 204)) {
        map.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    map
}

/// The lines of an upstream's answer that are for the client.
fn answer_lines(head: &ResponseHead) -> impl Iterator<Item = (&[u8], &[u8])> {
    end_to_end(head.fields()).filter(|(name, _)| !name.eq_ignore_ascii_case(b"content-length"))
}

/// Whether these lines ask for a WebSocket (RFC 6455 §4.1), the only upgrade that passes.
pub(super) fn asks_for_websocket(fields: &Fields) -> bool {
    let mut protocols = fields.members("upgrade");
    let websocket = protocols.next().is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"));
    websocket
        && protocols.next().is_none()
        && fields.members("connection").any(|option| option.eq_ignore_ascii_case(b"upgrade"))
}

/// All lines but the hop-by-hop ones and those that `Connection` nominates.
fn end_to_end(fields: &Fields) -> impl Iterator<Item = (&[u8], &[u8])> {
    let nominates = fields.contains("connection");
    fields.iter().filter(move |(name, _)| {
        let nominated = || fields.members("connection").any(|option| option.eq_ignore_ascii_case(name));
        !is_one_of(name, &HOP_BY_HOP) && (!nominates || is_one_of(name, &PROTECTED) || !nominated())
    })
}

fn is_one_of(name: &[u8], names: &[&str]) -> bool {
    names.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
}

/// Whether a line would be read as one of those that are written here by a program that takes `_` for
/// `-`, as CGI and its heirs do.
fn is_disguised(name: &[u8]) -> bool {
    name.contains(&b'_') && {
        let name = plain(name);
        let name = name.as_bytes();
        is_one_of(name, &HOP_BY_HOP) || is_one_of(name, &OURS) || is_one_of(name, &PROTECTED)
    }
}

/// Whether a line claims to say who the client is.
fn claims_an_address(name: &[u8]) -> bool {
    // Nearly every line is told apart by its first letter.
    if !matches!(name.first().map(u8::to_ascii_lowercase), Some(b'x' | b'f' | b'c' | b't')) {
        return false;
    }
    let name = plain(name);
    name.starts_with("x-forwarded") || FORWARDING.contains(&name.as_str())
}

/// A name in lower case with `-` for `_`.
fn plain(name: &[u8]) -> String {
    name.iter().map(|byte| if *byte == b'_' { '-' } else { char::from(byte.to_ascii_lowercase()) }).collect()
}

fn line(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
