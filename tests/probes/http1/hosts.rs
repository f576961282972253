//! Whom a request is for, and which bytes name what it wants (RFC 9112 §3.2, RFC 9110 §7.2).

use super::{Origin, Probe, probe};
use crate::probes::rules::{PATH, Request};

const BAD: &[u16] = &[400];
const MISDIRECTED: &[u16] = &[421];
/// Either the field is no host, or it is not the one that the certificate was shown for.
const BAD_OR_MISDIRECTED: &[u16] = &[400, 421];

pub fn table() -> Vec<Probe> {
    [hosts(), forms(), targets()].concat()
}

fn with(id: &'static str, fields: impl AsRef<[u8]>) -> Probe {
    probe(id, "GET {path} HTTP/1.1\r\n").then(fields).then("\r\n")
}

fn hosts() -> Vec<Probe> {
    vec![
        with("host-missing", "").rejected(BAD),
        with("host-empty", "Host:\r\n").rejected(BAD),
        with("host-space-only", "Host: \r\n").rejected(BAD),
        with("host-twice-same", "Host: {host}\r\nHost: {host}\r\n").rejected(BAD),
        with("host-twice-different", "Host: {host}\r\nHost: evil.invalid\r\n").rejected(BAD),
        with("host-twice-evil-first", "Host: evil.invalid\r\nhOST: {host}\r\n").rejected(BAD_OR_MISDIRECTED),
        with("host-list", "Host: {host}, evil.invalid\r\n").rejected(BAD),
        with("host-user", "Host: user@{host}\r\n").rejected(BAD),
        with("host-space-within", "Host: {host} x\r\n").rejected(BAD),
        with("host-path", "Host: {host}/x\r\n").rejected(BAD),
        with("host-query", "Host: {host}?x\r\n").rejected(BAD),
        with("host-fragment", "Host: {host}#x\r\n").rejected(BAD),
        with("host-scheme", "Host: https://{host}\r\n").rejected(BAD),
        with("host-backslash", "Host: {host}\\x\r\n").rejected(BAD),
        with("host-nul", "Host: {host}\0\r\n").rejected(BAD),
        with("host-high-byte", b"Host: {host}\xff\r\n").rejected(BAD),
        with("host-port-99999999", "Host: {host}:99999999\r\n").rejected(BAD),
        with("host-port-65536", "Host: {host}:65536\r\n").rejected(BAD),
        with("host-port-letters", "Host: {host}:https\r\n").rejected(BAD),
        with("host-port-negative", "Host: {host}:-1\r\n").rejected(BAD),
        with("host-port-twice", "Host: {host}:443:443\r\n").rejected(BAD),
        with("host-percent", "Host: hs%2einvalid\r\n").rejected(BAD_OR_MISDIRECTED),
        with("host-other", "Host: other.invalid\r\n").rejected(MISDIRECTED),
        with("host-localhost", "Host: localhost\r\n").rejected(MISDIRECTED),
        with("host-address", "Host: 127.0.0.1\r\n").rejected(MISDIRECTED),
        with("host-subdomain", "Host: x.{host}\r\n").rejected(MISDIRECTED),
        with("host-address-6", "Host: [::1]\r\n").rejected(BAD_OR_MISDIRECTED),
        with("host-bracket-open", "Host: [::1\r\n").rejected(BAD),
        with("host-folded", "Host:\r\n {host}\r\n").refused(BAD),
        with("host-upper-case", "Host: HS.INVALID\r\n").seen(|_| Ok(())),
        with("host-port", "Host: {host}:8448\r\n").seen(|request| match request.value("host") {
            Some("hs.invalid:8448") => Ok(()),
            other => Err(format!("Host {other:?}")),
        }),
        with("host-last", "X-Before: a\r\nHost: {host}\r\n").seen(|_| Ok(())),
    ]
}

fn forms() -> Vec<Probe> {
    let line = |id, line: &str| probe(id, line).then("\r\nHost: {host}\r\n\r\n");
    vec![
        // RFC 9112 §3.2.2: a server must accept it; the next hop gets origin-form.
        line("absolute-same", "GET https://{host}{path} HTTP/1.1").seen(|_| Ok(())),
        line("absolute-other", "GET https://evil.invalid{path} HTTP/1.1").rejected(BAD_OR_MISDIRECTED),
        probe("absolute-host-other", "GET https://{host}{path} HTTP/1.1\r\nHost: evil.invalid\r\n\r\n")
            .answer(&[200, 400, 421]),
        probe("absolute-no-host", "GET https://{host}{path} HTTP/1.1\r\n\r\n").rejected(BAD),
        line("absolute-user", "GET https://user@{host}{path} HTTP/1.1").rejected(BAD),
        line("absolute-http", "GET http://{host}{path} HTTP/1.1").answer(&[200, 400, 421]),
        line("absolute-ftp", "GET ftp://{host}{path} HTTP/1.1").answer(&[200, 400, 421]),
        line("connect-authority", "CONNECT {host}:443 HTTP/1.1").answer(&[400, 405, 501]),
        line("connect-elsewhere", "CONNECT 127.0.0.1:22 HTTP/1.1").answer(&[400, 405, 421, 501]),
        line("connect-path", "CONNECT {path} HTTP/1.1").rejected(&[400, 405, 501]),
        line("get-star", "GET * HTTP/1.1").answer(&[400, 405]),
        line("options-star", "OPTIONS * HTTP/1.1").answer(&[200, 204, 400, 404, 405]).look(|answers| {
            // An answer of our own, or none: the rules see to it that no `*` reached the homeserver.
            match answers.iter().any(|answer| answer.body.starts_with(b"*")) {
                true => Err("answered by the origin".to_owned()),
                false => Ok(()),
            }
        }),
        line("target-no-slash", "GET _matrix{path} HTTP/1.1").rejected(BAD),
        line("target-authority", "GET {host}:443 HTTP/1.1").answer(BAD),
        line("target-empty", "GET  HTTP/1.1").answer(BAD),
        line("target-fragment", "GET {path}#fragment HTTP/1.1").answer(&[200, 400]),
    ]
}

/// What is asked for as `{path}` and `rest` must arrive byte for byte: X-Matrix signs it.
fn exact(id: &'static str, rest: &'static str, look: fn(&Request) -> Result<(), String>) -> Probe {
    probe(id, "GET {path}").then(rest).then(" HTTP/1.1\r\nHost: {host}\r\n\r\n").seen(look)
}

fn arrived(request: &Request, rest: &str) -> Result<(), String> {
    let seen = request.target.strip_prefix(PATH).and_then(|target| target.split_once('/')).map(|(_, rest)| rest);
    if seen == Some(rest) { Ok(()) } else { Err(format!("the target {:?}", request.target)) }
}

macro_rules! exact {
    ($id:literal, $rest:literal) => {
        exact($id, $rest, |request| arrived(request, $rest))
    };
}

fn targets() -> Vec<Probe> {
    vec![
        exact!("path-dots-encoded", "%2e%2e%2fb%2Fc"),
        exact!("path-two-slashes", "/x//y"),
        exact!("path-encoded", "%2F%23%21%40%3A;"),
        exact!("path-percent-encoded", "%25%20%00%0d%0a"),
        exact!("path-sigils", "!room:hs.invalid/$event/@user:hs.invalid/+x=~'()*,"),
        exact!("path-dot-segments", "a/./b/../c"),
        exact!("path-lower-hex", "%c3%bc%C3%BC"),
        exact!("path-trailing-slash", "a/"),
        exact!("query-quotes-and-angles", "?a=\"<>\""),
        exact!("query-brackets", "?a[]={b}|c"),
        exact!("query-caret-backtick-backslash", "?a=^`\\"),
        exact!("query-question-marks", "??a=/?"),
        exact!("query-empty", "?"),
        exact!("query-plus", "?a=b+c%2Bd&e"),
        probe("path-bad-percent", "GET {path}%zz%2 HTTP/1.1\r\nHost: {host}\r\n\r\n")
            .answer(&[200, 400])
            .origin(Origin::IfAny(|request| arrived(request, "%zz%2"))),
    ]
}
