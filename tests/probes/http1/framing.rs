//! Where a message ends (RFC 9112 §6, §7): lengths, transfer codings, chunks, trailers.

use super::{Origin, Probe, probe};
use crate::probes::rules::Request;

const BAD: &[u16] = &[400];
/// RFC 9112 §6.1: 501 for a coding that is not understood, 400 for one that is wrong.
const CODING: &[u16] = &[400, 501];
const OK_OR_BAD: &[u16] = &[200, 400];

pub fn table() -> Vec<Probe> {
    [lengths(), codings(), chunks(), trailers()].concat()
}

fn hello(request: &Request) -> Result<(), String> {
    match request.whole && request.body == b"hello" {
        true => Ok(()),
        false => Err(format!("the body {:?}", String::from_utf8_lossy(&request.body))),
    }
}

/// `lines` frame a body of five bytes.
fn framed(id: &'static str, lines: &str) -> Probe {
    probe(id, "{post}").then(lines).then("\r\n\r\nhello")
}

/// `lines` frame a body of one chunk.
fn coded(id: &'static str, lines: &str) -> Probe {
    probe(id, "{post}").then(lines).then("\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
}

/// What follows a chunked head.
fn chunked(id: &'static str, body: impl AsRef<[u8]>) -> Probe {
    probe(id, "{post}Transfer-Encoding: chunked\r\n\r\n").then(body)
}

/// A chunked body that is wrong: the client's fault, which is told to the client, and of which the homeserver sees no end.
fn bad_chunk(id: &'static str, body: impl AsRef<[u8]>) -> Probe {
    chunked(id, body).refused(BAD).origin(Origin::NothingWhole)
}

fn lengths() -> Vec<Probe> {
    vec![
        framed("cl", "Content-Length: 5").seen(hello),
        framed("cl-2-64", "Content-Length: 18446744073709551621").refused(BAD),
        framed("cl-30-digits", "Content-Length: 100000000000000000000000000005").refused(BAD),
        framed("cl-negative", "Content-Length: -5").refused(BAD),
        framed("cl-plus", "Content-Length: +5").refused(BAD),
        framed("cl-hex", "Content-Length: 0x5").refused(BAD),
        framed("cl-space-within", "Content-Length: 5 5").refused(BAD),
        framed("cl-junk-after", "Content-Length: 5x").refused(BAD),
        framed("cl-decimal", "Content-Length: 5.0").refused(BAD),
        framed("cl-empty", "Content-Length:").refused(BAD),
        framed("cl-comma-only", "Content-Length: ,").refused(BAD),
        framed("cl-vertical-tab", "Content-Length: \x0b5").refused(BAD),
        framed("cl-leading-zeros", "Content-Length: 0005").answer(OK_OR_BAD).origin(Origin::IfAny(hello)),
        // RFC 9110 §8.6: one value said twice may be refused or repaired, never passed on.
        framed("cl-list-equal", "Content-Length: 5, 5").answer(OK_OR_BAD).origin(Origin::IfAny(hello)),
        framed("cl-twice-equal", "Content-Length: 5\r\nContent-Length: 5")
            .answer(OK_OR_BAD)
            .origin(Origin::IfAny(hello)),
        framed("cl-list-different", "Content-Length: 5, 6").refused(BAD),
        framed("cl-twice-different", "Content-Length: 5\r\nContent-Length: 6").refused(BAD),
        framed("cl-space-before-colon", "Content-Length : 5").refused(BAD),
        framed("cl-underscore", "Content-Length: 5\r\nContent_Length: 0")
            .answer(OK_OR_BAD)
            .origin(Origin::IfAny(hello)),
        probe("cl-on-get", "{get}Content-Length: 5\r\n\r\nhello").seen(hello),
        probe("cl-zero-then-junk", "{post}Content-Length: 0\r\n\r\n\x01\x02\x03\r\n\r\n").answers(&[&[200], BAD]),
        // Half a body and the end of the sending: nobody may take it for the whole.
        probe("cl-short-then-closed", "{post}Content-Length: 10\r\n\r\nhello")
            .pause(100)
            .half_close()
            .refused(BAD)
            .or_silence()
            .origin(Origin::NothingWhole),
        probe(
            "body-looks-like-request",
            "{post}Content-Length: 44\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: evil.invalid\r\n\r\n",
        )
        .origin(Origin::Requests(1, |request| match request.body.len() {
            44 => Ok(()),
            length => Err(format!("{length} bytes of body")),
        })),
        probe("expect-continue", "{post}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            .pause(200)
            .then("hello")
            .seen(hello)
            .look(|answers| match answers.first().is_some_and(|answer| answer.status == 100) {
                true => Ok(()),
                false => Err("no 100 Continue".to_owned()),
            }),
        probe("expect-unknown", "{post}Expect: the-moon\r\nContent-Length: 5\r\n\r\nhello").answer(&[200, 400, 417]),
    ]
}

fn codings() -> Vec<Probe> {
    vec![
        coded("te-chunked", "Transfer-Encoding: chunked").seen(hello),
        // RFC 9112 §7: names of codings know no case; §5.1 of RFC 9110: tabs may surround a value.
        coded("te-upper-case", "Transfer-Encoding: CHUNKED").seen(hello),
        coded("te-tab-before", "Transfer-Encoding:\tchunked\t").seen(hello),
        coded("cl-te", "Content-Length: 15\r\nTransfer-Encoding: chunked").refused(BAD),
        coded("te-cl", "Transfer-Encoding: chunked\r\nContent-Length: 15").refused(BAD),
        coded("cl-zero-te", "Content-Length: 0\r\nTransfer-Encoding: chunked").refused(BAD),
        coded("cl-te-smuggle", "Content-Length: 4\r\nTransfer-Encoding: chunked")
            .then("GET /smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n")
            .refused(BAD),
        coded("cl-te-space-before-colon", "Content-Length: 15\r\nTransfer-Encoding : chunked").refused(BAD),
        coded("cl-te-vertical-tab", "Content-Length: 15\r\nTransfer-Encoding: \x0bchunked").refused(BAD),
        coded("cl-te-folded", "Content-Length: 15\r\nTransfer-Encoding:\r\n chunked").refused(BAD),
        coded("cl-te-unknown", "Content-Length: 15\r\nTransfer-Encoding: x").refused(CODING),
        coded("te-gzip-chunked", "Transfer-Encoding: gzip, chunked").refused(CODING),
        coded("te-chunked-chunked", "Transfer-Encoding: chunked, chunked").refused(CODING),
        coded("te-chunked-gzip", "Transfer-Encoding: chunked, gzip").refused(CODING),
        coded("te-twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked").refused(CODING),
        coded("te-twice-identity", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity").refused(CODING),
        coded("te-gzip", "Transfer-Encoding: gzip").refused(CODING),
        coded("te-identity", "Transfer-Encoding: identity").refused(CODING),
        coded("te-xchunked", "Transfer-Encoding: xchunked").refused(CODING),
        coded("te-parameter", "Transfer-Encoding: chunked;q=1").refused(CODING),
        coded("te-quoted", "Transfer-Encoding: \"chunked\"").refused(CODING),
        coded("te-empty", "Transfer-Encoding:").refused(CODING),
        coded("te-no-break-space", "Transfer-Encoding: \u{a0}chunked").refused(CODING),
        coded("te-underscore", "Content-Length: 15\r\nTransfer_Encoding: chunked").answer(OK_OR_BAD),
        // RFC 9112 §6.1: the framing of such a message is faulty.
        probe("te-http-1.0", "POST {path} HTTP/1.0\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
            .refused(BAD),
    ]
}

fn chunks() -> Vec<Probe> {
    let tiny = "1\r\na\r\n".repeat(20_000);
    vec![
        bad_chunk("chunk-size-letter", "G\r\nhello\r\n0\r\n\r\n"),
        bad_chunk("chunk-size-negative", "-1\r\nhello\r\n0\r\n\r\n"),
        bad_chunk("chunk-size-0x", "0x5\r\nhello\r\n0\r\n\r\n"),
        bad_chunk("chunk-size-plus", "+5\r\nhello\r\n0\r\n\r\n"),
        bad_chunk("chunk-size-2-64", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        bad_chunk("chunk-size-empty", "\r\nhello\r\n0\r\n\r\n"),
        bad_chunk("chunk-size-space-before", " 5\r\nhello\r\n0\r\n\r\n"),
        bad_chunk("chunk-size-space-within", "0 5\r\nhello\r\n0\r\n\r\n"),
        bad_chunk("chunk-size-nul", "5\0\r\nhello\r\n0\r\n\r\n"),
        bad_chunk("chunk-no-line-end", "5\r\nhelloXX0\r\n\r\n"),
        bad_chunk("chunk-longer-than-said", "3\r\nhello\r\n0\r\n\r\n"),
        bad_chunk("chunk-bare-lf", "5\nhello\n0\n\n"),
        bad_chunk("chunk-data-bare-lf", "5\r\nhello\n0\r\n\r\n"),
        bad_chunk("chunk-data-bare-cr", "5\r\nhello\r0\r\n\r\n"),
        // A bare CR or LF within an extension ends a line for some, and not for others.
        bad_chunk("chunk-extension-lf", "5;a\nhello\r\n0\r\n\r\n"),
        bad_chunk("chunk-extension-cr", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
        bad_chunk("chunk-extension-nul", "5;a\0\r\nhello\r\n0\r\n\r\n"),
        bad_chunk("chunk-second-bad", "5\r\nhello\r\nzz\r\nhello\r\n0\r\n\r\n"),
        bad_chunk("chunk-last-with-data", "0\r\nhello\r\n\r\n"),
        chunked("chunk-cut-then-closed", "5\r\nhel")
            .pause(100)
            .half_close()
            .refused(BAD)
            .or_silence()
            .origin(Origin::NothingWhole),
        chunked("chunk-last-missing", "5\r\nhello\r\n")
            .pause(100)
            .half_close()
            .refused(BAD)
            .or_silence()
            .origin(Origin::NothingWhole),
        chunked("chunk-zeros-last", "5\r\nhello\r\n0000\r\n\r\n").seen(hello),
        chunked("chunk-size-zeros", "000005\r\nhello\r\n0\r\n\r\n").seen(hello),
        // Not in the grammar, but some strip it.
        chunked("chunk-size-space-after", "5 \r\nhello\r\n0\r\n\r\n").answer(OK_OR_BAD),
        chunked("chunk-extension", "5;a=b;c=\"d\"\r\nhello\r\n0\r\n\r\n").seen(hello),
        chunked("chunk-extension-64k", format!("5;a={}\r\nhello\r\n0\r\n\r\n", "x".repeat(65_536))).answer(OK_OR_BAD),
        chunked("chunks-of-one-byte", format!("{tiny}0\r\n\r\n")).seen(|request| match request.body.len() {
            20_000 if request.whole => Ok(()),
            length => Err(format!("{length} bytes of body")),
        }),
        chunked("chunks-of-one-byte-extended", format!("{}0\r\n\r\n", "1;a=b\r\na\r\n".repeat(20_000)))
            .answer(OK_OR_BAD),
    ]
}

fn trailers() -> Vec<Probe> {
    vec![
        chunked("trailers", "5\r\nhello\r\n0\r\nX-Checksum: 1\r\n\r\n").seen(hello),
        chunked("trailers-framing", "5\r\nhello\r\n0\r\nContent-Length: 9\r\nHost: evil.invalid\r\n\r\n")
            .answer(OK_OR_BAD),
        chunked("trailers-4-mib", "5\r\nhello\r\n0\r\n")
            .repeat(format!("X-Endless: {}\r\n", "x".repeat(1011)), 4096)
            .refused(&[400, 431])
            .origin(Origin::NothingWhole),
        bad_chunk("trailers-bad-name", "5\r\nhello\r\n0\r\nbad name: 1\r\n\r\n"),
        bad_chunk("trailers-no-colon", "5\r\nhello\r\n0\r\nnothing\r\n\r\n"),
        bad_chunk("trailers-nul", "5\r\nhello\r\n0\r\nX: a\0b\r\n\r\n"),
        bad_chunk("trailers-bare-lf", "5\r\nhello\r\n0\r\nX: a\nY: b\r\n\r\n"),
        bad_chunk("trailers-folded", "5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n"),
    ]
}
