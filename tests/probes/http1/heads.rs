//! Request lines, versions, field lines and their limits (RFC 9112 §2 to §5).

use super::{Origin, Probe, probe};
use crate::probes::rules::Request;

const BAD: &[u16] = &[400];
const VERSION: &[u16] = &[400, 505];
const OK_OR_BAD: &[u16] = &[200, 400];
const TOO_LARGE: &[u16] = &[431];

pub fn table() -> Vec<Probe> {
    [versions(), request_lines(), methods(), fields(), limits()].concat()
}

/// A request line of one's own, with the right Host after it.
fn line(id: &'static str, line: impl AsRef<[u8]>) -> Probe {
    probe(id, line).then("\r\nHost: {host}\r\n\r\n")
}

/// A field line of one's own.
fn field(id: &'static str, line: impl AsRef<[u8]>) -> Probe {
    probe(id, "{get}").then(line).then("\r\n\r\n")
}

fn versions() -> Vec<Probe> {
    vec![
        probe("http-0.9", "GET {path}\r\n").refused(BAD).or_silence(),
        line("http-0.9-with-fields", "GET {path}").refused(BAD).or_silence(),
        line("http-0.9-spelled", "GET {path} HTTP/0.9").refused(VERSION),
        line("http-1.10", "GET {path} HTTP/1.10").refused(VERSION),
        line("http-1.01", "GET {path} HTTP/1.01").refused(VERSION),
        line("http-2.0", "GET {path} HTTP/2.0").refused(VERSION),
        line("http-3.0", "GET {path} HTTP/3.0").refused(VERSION),
        line("http-no-minor", "GET {path} HTTP/1").refused(VERSION),
        line("http-no-slash", "GET {path} HTTP1.1").refused(VERSION),
        line("http-lower-case", "GET {path} http/1.1").refused(VERSION),
        line("http-other-protocol", "GET {path} HTTX/1.1").refused(VERSION),
        line("http-word-after", "GET {path} HTTP/1.1 x").refused(VERSION),
        // RFC 9110 §6.2: a higher minor version may be served as the highest known.
        line("http-1.2", "GET {path} HTTP/1.2").answer(&[200, 400, 505]),
        probe("http-2-preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").refused(VERSION).or_silence(),
        line("http-1.0", "GET {path} HTTP/1.0").seen(|_| Ok(())),
        probe("http-1.0-no-host", "GET {path} HTTP/1.0\r\n\r\n").rejected(BAD),
        probe("http-1.0-keep-alive", "GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: keep-alive\r\n\r\n")
            .seen(|_| Ok(())),
        probe("tls-again", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n").refused(BAD).or_silence(),
        probe("noise", b"\xff\xfe\xfd\x00\x01\x02\x80\x90\r\n\r\n").refused(BAD).or_silence(),
    ]
}

fn request_lines() -> Vec<Probe> {
    vec![
        line("line-two-spaces", "GET  {path} HTTP/1.1").refused(BAD),
        line("line-two-spaces-after", "GET {path}  HTTP/1.1").refused(BAD),
        line("line-tabs", "GET\t{path}\tHTTP/1.1").refused(BAD),
        line("line-leading-space", " GET {path} HTTP/1.1").refused(BAD),
        line("line-bare-cr", "GET {path}\r HTTP/1.1").refused(BAD),
        line("line-cr-in-target", "GET {path}a\rb HTTP/1.1").refused(BAD),
        line("line-nul-in-target", "GET {path}a\0b HTTP/1.1").refused(BAD),
        line("line-control-in-target", "GET {path}a\x01b HTTP/1.1").refused(BAD),
        line("line-delete-in-target", "GET {path}a\x7fb HTTP/1.1").refused(BAD),
        line("line-space-in-target", "GET {path}a b HTTP/1.1").refused(BAD),
        line("line-high-byte-in-target", b"GET {path}a\xffb HTTP/1.1").answer(OK_OR_BAD),
        // RFC 9112 §2.2: at least one empty line before should be ignored.
        line("line-after-empty-line", "\r\nGET {path} HTTP/1.1").seen(|_| Ok(())),
        // RFC 9112 §2.2: a bare LF may be recognised; what goes on must have CRLF. To whom it ends no line, the head has no
        // end, and the time for one runs out.
        probe("line-ends-lf", "GET {path} HTTP/1.1\nHost: {host}\n\n").answer(&[200, 400, 408]),
        line("line-bytewise", "GET {path} HTTP/1.1").bytewise().seen(|_| Ok(())),
    ]
}

fn methods() -> Vec<Probe> {
    vec![
        line("method-empty", " {path} HTTP/1.1").refused(BAD),
        line("method-bad-byte", "G@T {path} HTTP/1.1").refused(BAD),
        line("method-colon", "GET: {path} HTTP/1.1").refused(BAD),
        line("method-nul", "GE\0T {path} HTTP/1.1").refused(BAD),
        line("method-64k", format!("{} {{path}} HTTP/1.1", "A".repeat(65_536))).refused(&[400, 501]),
        // RFC 9110 §9.1: any token is a method, and case matters.
        line("method-unknown", "FROBNICATE {path} HTTP/1.1")
            .answer(&[200, 400, 405, 501])
            .origin(Origin::IfAny(|request| same(&request.method, "FROBNICATE"))),
        line("method-lower-case", "get {path} HTTP/1.1")
            .answer(&[200, 400, 405, 501])
            .origin(Origin::IfAny(|request| same(&request.method, "get"))),
        line("method-trace", "TRACE {path} HTTP/1.1").answer(&[200, 400, 405, 501]),
        line("method-head", "HEAD {path} HTTP/1.1").heads(&[0]).seen(|request| same(&request.method, "HEAD")),
    ]
}

fn same(seen: &str, wanted: &str) -> Result<(), String> {
    if seen == wanted { Ok(()) } else { Err(format!("{seen:?} for {wanted:?}")) }
}

fn fields() -> Vec<Probe> {
    let arrives = |request: &Request| match request.value("x-test") {
        Some(value) => same(value, "a\u{e9}b"),
        None => Err("the field is gone".to_owned()),
    };
    vec![
        field("field-folded", "X-Test: a\r\n b").refused(BAD),
        field("field-folded-tab", "X-Test: a\r\n\tb").refused(BAD),
        probe("field-first-space", "GET {path} HTTP/1.1\r\n Host: {host}\r\nHost: {host}\r\n\r\n").refused(BAD),
        probe("field-first-tab", "GET {path} HTTP/1.1\r\n\tX: y\r\nHost: {host}\r\n\r\n").refused(BAD),
        field("field-nul", "X-Test: a\0b").refused(BAD),
        field("field-control", "X-Test: a\x01b").refused(BAD),
        field("field-escape", "X-Test: a\x1bb").refused(BAD),
        field("field-delete", "X-Test: a\x7fb").refused(BAD),
        field("field-bare-cr", "X-Test: a\rb").refused(BAD),
        field("field-cr-smuggle", "X-Test: a\rContent-Length: 5").refused(BAD),
        field("field-bare-lf", "X-Test: a\nX-Other: b").answer(OK_OR_BAD),
        field("field-lf-smuggle", "X-Test: a\n\nGET /smuggled HTTP/1.1\r\nHost: {host}").answers(&[OK_OR_BAD]),
        field("field-no-colon", "X-Test").refused(BAD),
        field("field-name-empty", ": a").refused(BAD),
        field("field-name-space", "X Test: a").refused(BAD),
        field("field-name-space-after", "X-Test : a").refused(BAD),
        field("field-name-tab-after", "X-Test\t: a").refused(BAD),
        field("field-name-nul", "X\0Test: a").refused(BAD),
        field("field-name-control", "X\x08Test: a").refused(BAD),
        field("field-name-high-byte", b"X\xe9Test: a").refused(BAD),
        field("field-name-parentheses", "X(Test): a").refused(BAD),
        field("field-name-quotes", "X\"Test: a").refused(BAD),
        field("field-name-slash", "X/Test: a").refused(BAD),
        field("field-name-at", "X@Test: a").refused(BAD),
        field("field-name-bracket", "X[Test]: a").refused(BAD),
        // RFC 9110 §5.5: old text is opaque, and an empty value is one.
        field("field-high-byte", b"X-Test: a\xe9b").seen(arrives),
        field("field-empty", "X-Test:").seen(|request| same(request.value("x-test").unwrap_or("gone"), "")),
        field("field-surrounding-space", "X-Test: \t a \t")
            .seen(|request| same(request.value("x-test").unwrap_or("gone"), "a")),
        field("authorization-twice", "Authorization: X-Matrix a\r\nAuthorization: X-Matrix b")
            .seen(|request| same(&request.values("authorization").join("|"), "X-Matrix a|X-Matrix b")),
    ]
}

fn limits() -> Vec<Probe> {
    let many = |count: usize| (0..count).map(|number| format!("X-{number}: a\r\n")).collect::<String>();
    vec![
        probe("fields-100k", "{get}").then(format!("X-Test: {}\r\n\r\n", "x".repeat(102_400))).refused(TOO_LARGE),
        probe("fields-endless", "{get}")
            .repeat(format!("X-Endless: {}\r\n", "x".repeat(1011)), 4096)
            .refused(TOO_LARGE),
        probe("fields-200", "{get}").then(many(200)).then("\r\n").refused(TOO_LARGE),
        probe("fields-10000", "{get}").then(many(10_000)).then("\r\n").refused(TOO_LARGE),
        probe("fields-90", "{get}").then(many(90)).then("\r\n").seen(|request| match request.value("x-89") {
            Some(_) => Ok(()),
            None => Err("the last field is gone".to_owned()),
        }),
        probe("field-7k", "{get}")
            .then(format!("X-Test: {}\r\n\r\n", "x".repeat(7_000)))
            .seen(|request| same(&request.value("x-test").unwrap_or_default().len().to_string(), "7000")),
        line("target-1-mib", format!("GET {{path}}{} HTTP/1.1", "x".repeat(1 << 20))).refused(&[414]),
        line("target-20k", format!("GET {{path}}{} HTTP/1.1", "x".repeat(20_000))).refused(&[414]),
        line("target-7k", format!("GET {{path}}?{} HTTP/1.1", "x".repeat(7_000)))
            .seen(|request| same(&(request.target.len() > 7_000).to_string(), "true")),
    ]
}
