//! Messages (RFC 9113 §8): pseudo-fields, names and values, lengths, trailers, and what must not cross to HTTP/1.1.

use super::{Head, Origin, Probe, Want, get, post};
use crate::probes::rules::{PATH, Request};
use crate::support::h2_frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, INTERNAL_ERROR, PROTOCOL_ERROR,
    STREAM_CLOSED, field,
};

pub fn table() -> Vec<Probe> {
    [plain(), connection_specific(), pseudo(), authorities(), bytes(), lengths(), trailers(), limits(), rewritten()]
        .concat()
}

fn hello(request: &Request) -> Result<(), String> {
    match request.whole && request.body == b"hello" {
        true => Ok(()),
        false => Err(format!("the body {:?}", String::from_utf8_lossy(&request.body))),
    }
}

fn value(request: &Request, name: &str, wanted: Option<&str>) -> Result<(), String> {
    match request.values(name)[..] {
        [] if wanted.is_none() => Ok(()),
        [value] if Some(value) == wanted => Ok(()),
        ref values => Err(format!("{name} {values:?}")),
    }
}

fn plain() -> Vec<Probe> {
    vec![
        get("h2-get").alone().seen(|_| Ok(())),
        post("h2-post").open().frame(DATA, END_STREAM, 1, "hello").seen(hello),
        post("h2-post-length").with("content-length", "5").open().frame(DATA, END_STREAM, 1, "hello").seen(hello),
        post("h2-post-empty").open().frame(DATA, END_STREAM, 1, "").seen(|request| match request.body.len() {
            0 if request.whole => Ok(()),
            length => Err(format!("{length} bytes of body")),
        }),
    ]
}

/// RFC 9113 §8.2.2.
fn connection_specific() -> Vec<Probe> {
    let with = |id, name: &str, value: &str| get(id).with(name, value).alone().malformed();
    vec![
        with("h2-connection", "connection", "close"),
        with("h2-connection-keep-alive", "connection", "keep-alive"),
        with("h2-keep-alive", "keep-alive", "timeout=5"),
        with("h2-proxy-connection", "proxy-connection", "keep-alive"),
        with("h2-upgrade", "upgrade", "h2c"),
        with("h2-upgrade-websocket", "upgrade", "websocket"),
        with("h2-te-gzip", "te", "gzip"),
        post("h2-transfer-encoding")
            .with("transfer-encoding", "chunked")
            .open()
            .frame(DATA, END_STREAM, 1, "0\r\n\r\n")
            .malformed(),
        post("h2-transfer-encoding-length")
            .with("content-length", "5")
            .with("transfer-encoding", "chunked")
            .open()
            .frame(DATA, END_STREAM, 1, "0\r\n\r\n")
            .malformed(),
        get("h2-te-trailers").with("te", "trailers").alone().seen(|request| value(request, "te", None)),
    ]
}

/// RFC 9113 §8.3.
fn pseudo() -> Vec<Probe> {
    let path = |id: &'static str, more: &str| get(id).set(":path", &format!("{PATH}{id}/{more}"));
    vec![
        get("h2-pseudo-after-field")
            .without(":path")
            .with("x-test", "a")
            .with(":path", "/_matrix/p/h2-pseudo-after-field/")
            .alone()
            .malformed(),
        get("h2-method-twice").with(":method", "GET").alone().malformed(),
        get("h2-path-twice").with(":path", "/_matrix/smuggled").alone().malformed(),
        get("h2-authority-twice").with(":authority", "evil.invalid").alone().malformed(),
        get("h2-scheme-twice").with(":scheme", "http").alone().malformed(),
        get("h2-pseudo-unknown").with(":evil", "a").alone().malformed(),
        get("h2-pseudo-status").with(":status", "200").alone().malformed(),
        get("h2-pseudo-upper-case")
            .without(":path")
            .with(":Path", "/_matrix/p/h2-pseudo-upper-case/")
            .alone()
            .malformed(),
        get("h2-method-missing").without(":method").alone().malformed(),
        get("h2-scheme-missing").without(":scheme").alone().malformed(),
        get("h2-path-missing").without(":path").alone().malformed(),
        get("h2-path-empty").set(":path", "").alone().bad(),
        get("h2-path-no-slash").set(":path", "_matrix/p/h2-path-no-slash/").alone().bad(),
        get("h2-path-star").set(":path", "*").alone().bad(),
        get("h2-path-absolute").set(":path", "https://hs.invalid/_matrix/p/h2-path-absolute/").alone().bad(),
        path("h2-path-space", " HTTP/1.1").alone().bad(),
        path("h2-path-crlf", " HTTP/1.1\r\nHost: evil.invalid\r\n\r\nGET /smuggled").alone().bad(),
        path("h2-path-nul", "a\0b").alone().bad(),
        path("h2-path-delete", "a\x7fb").alone().bad(),
        path("h2-path-fragment", "a#b").alone().want(Want::StatusOrReset(&[200, 400], &[PROTOCOL_ERROR])),
        get("h2-method-empty").set(":method", "").alone().bad(),
        get("h2-method-space").set(":method", "GET /smuggled HTTP/1.1").alone().bad(),
        get("h2-method-crlf").set(":method", "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\nGET").alone().bad(),
        get("h2-scheme-crlf").set(":scheme", "https\r\nX: a").alone().bad(),
        get("h2-scheme-path").set(":scheme", "https://evil.invalid/smuggled?").alone().bad(),
        get("h2-connect")
            .set(":method", "CONNECT")
            .without(":scheme")
            .without(":path")
            .alone()
            .refused(&[400, 405, 501]),
        get("h2-connect-with-path").set(":method", "CONNECT").alone().refused(&[400, 405, 501]),
        get("h2-connect-websocket")
            .set(":method", "CONNECT")
            .first(":protocol", "websocket")
            .alone()
            .refused(&[400, 405, 501]),
        path("h2-path-exact", "%2e%2e%2fb%2Fc//x?a=%22b+c").alone().seen(|request| {
            match request.target.ends_with("/h2-path-exact/%2e%2e%2fb%2Fc//x?a=%22b+c") {
                true => Ok(()),
                false => Err(format!("the target {:?}", request.target)),
            }
        }),
    ]
}

fn authorities() -> Vec<Probe> {
    let authority = |id, value: &str| get(id).set(":authority", value).alone();
    vec![
        // RFC 9113 §8.3.1: they must not disagree; `:authority` is the one that counts.
        get("h2-host-other")
            .with("host", "evil.invalid")
            .alone()
            .want(Want::StatusOrReset(&[200, 400], &[PROTOCOL_ERROR])),
        get("h2-host-same").with("host", "hs.invalid").alone().seen(|_| Ok(())),
        get("h2-host-twice").with("host", "hs.invalid").with("host", "hs.invalid").alone().refused(&[400]),
        get("h2-host-alone").without(":authority").with("host", "hs.invalid").alone().want(Want::Status(&[200, 400])),
        get("h2-host-alone-other").without(":authority").with("host", "evil.invalid").alone().refused(&[400, 421]),
        get("h2-authority-missing").without(":authority").alone().bad(),
        authority("h2-authority-empty", "").bad(),
        authority("h2-authority-user", "user@hs.invalid").bad(),
        authority("h2-authority-path", "hs.invalid/smuggled").bad(),
        authority("h2-authority-space", "hs.invalid x").bad(),
        authority("h2-authority-crlf", "hs.invalid\r\nX: a").bad(),
        authority("h2-authority-list", "hs.invalid, evil.invalid").bad(),
        authority("h2-authority-port", "hs.invalid:99999999").bad(),
        authority("h2-authority-other", "other.invalid").refused(&[421]),
        authority("h2-authority-address", "127.0.0.1").refused(&[421]),
    ]
}

/// RFC 9113 §8.2.1.
fn bytes() -> Vec<Probe> {
    let with = |id, name: &str, value: &str| get(id).with(name, value).alone().malformed();
    vec![
        with("h2-name-upper-case", "X-Test", "a"),
        with("h2-name-empty", "", "a"),
        with("h2-name-space", "x test", "a"),
        with("h2-name-colon", "x:test", "a"),
        with("h2-name-crlf", "x: a\r\nx-smuggled", "a"),
        with("h2-name-nul", "x\0test", "a"),
        with("h2-name-high-byte", "x\u{e9}test", "a"),
        with("h2-value-cr", "x-test", "a\rb"),
        with("h2-value-lf", "x-test", "a\nb"),
        with("h2-value-crlf-smuggle", "x-test", "a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a"),
        with("h2-value-nul", "x-test", "a\0b"),
        // A recipient may be content with what HTTP/1.1 can carry.
        get("h2-value-space-around")
            .with("x-test", " a ")
            .alone()
            .want(Want::StatusOrReset(&[200, 400], &[PROTOCOL_ERROR])),
    ]
}

/// RFC 9113 §8.1.1: a length that the DATA does not have. What streams may have sent a head; never what is too much.
fn lengths() -> Vec<Probe> {
    let malformed = |head: Head, data: &str| {
        head.open().frame(DATA, END_STREAM, 1, data).reset(&[PROTOCOL_ERROR]).origin(Origin::NothingWhole)
    };
    let length = |id, value: &str| post(id).with("content-length", value);
    vec![
        // A length of zero ends the request, which may be answered before its surplus comes.
        length("h2-length-zero", "0")
            .open()
            .frame(DATA, END_STREAM, 1, "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
            .want(Want::Error(&[PROTOCOL_ERROR]))
            .origin(Origin::IfAny(|request| match request.body.len() {
                0 => Ok(()),
                length => Err(format!("{length} bytes of body")),
            })),
        malformed(length("h2-length-short", "3"), "hello"),
        malformed(length("h2-length-long", "9"), "hello"),
        malformed(length("h2-length-twice-different", "5").with("content-length", "3"), "hello"),
        malformed(length("h2-length-letters", "five"), "hello"),
        malformed(length("h2-length-negative", "-5"), "hello"),
        malformed(length("h2-length-plus", "+5"), "hello"),
        malformed(length("h2-length-2-64", "18446744073709551621"), "hello"),
        malformed(length("h2-length-empty", ""), "hello"),
        length("h2-length-twice-equal", "5")
            .with("content-length", "5")
            .open()
            .frame(DATA, END_STREAM, 1, "hello")
            .want(Want::StatusOrReset(&[200, 400], &[PROTOCOL_ERROR]))
            .origin(Origin::IfAny(hello)),
        length("h2-length-without-data", "5").alone().reset(&[PROTOCOL_ERROR]).origin(Origin::NothingWhole),
        length("h2-length-over-frames", "3")
            .open()
            .frame(DATA, 0, 1, "he")
            .frame(DATA, END_STREAM, 1, "llo")
            .reset(&[PROTOCOL_ERROR])
            .origin(Origin::NothingWhole),
    ]
}

fn trailers() -> Vec<Probe> {
    let trailed = |id, name: &str, value: &str| {
        post(id).open().frame(DATA, 0, 1, "hello").frame(HEADERS, END_HEADERS | END_STREAM, 1, field(name, value))
    };
    // What a library drops unseen is no fault, as long as the homeserver gets nothing of it.
    let dropped = Want::StatusOrReset(&[200, 400], &[PROTOCOL_ERROR, INTERNAL_ERROR]);
    let clean: fn(&Request) -> Result<(), String> = |request| match request.trailers.is_empty() {
        true => Ok(()),
        false => Err(format!("trailers {:?}", request.trailers)),
    };
    vec![
        trailed("h2-trailers", "x-checksum", "1").seen(hello),
        trailed("h2-trailers-path", ":path", "/smuggled").want(dropped.clone()).origin(Origin::IfAny(clean)),
        trailed("h2-trailers-status", ":status", "200").want(dropped.clone()).origin(Origin::IfAny(clean)),
        trailed("h2-trailers-length", "content-length", "9").want(dropped.clone()).origin(Origin::IfAny(clean)),
        trailed("h2-trailers-connection", "connection", "close").want(dropped).origin(Origin::IfAny(clean)),
        trailed("h2-trailers-upper-case", "X-Checksum", "1").reset(&[PROTOCOL_ERROR]).origin(Origin::NothingWhole),
        post("h2-trailers-without-end")
            .open()
            .frame(DATA, 0, 1, "hello")
            .frame(HEADERS, END_HEADERS, 1, field("x-checksum", "1"))
            .reset(&[PROTOCOL_ERROR])
            .origin(Origin::NothingWhole),
        post("h2-data-after-trailers")
            .open()
            .frame(DATA, 0, 1, "hello")
            .frame(HEADERS, END_HEADERS | END_STREAM, 1, field("x-checksum", "1"))
            .frame(DATA, END_STREAM, 1, "more")
            .want(Want::StatusOrReset(&[200], &[STREAM_CLOSED, PROTOCOL_ERROR]))
            .origin(Origin::IfAny(hello)),
    ]
}

fn limits() -> Vec<Probe> {
    let many = |id, count: usize| (0..count).fold(get(id), |head, number| head.with(&format!("x-{number}"), "a"));
    /// ENHANCE_YOUR_CALM and INTERNAL_ERROR are both used for a list that is too large.
    const TOO_LARGE: Want = Want::StatusOrReset(&[431], &[PROTOCOL_ERROR, INTERNAL_ERROR, ENHANCE_YOUR_CALM]);
    let in_pieces = |head: Head| {
        let block = head.block();
        let mut pieces = block.chunks(16_384);
        let first = pieces.next().unwrap_or_default().to_vec();
        let rest: Vec<_> = pieces.map(<[u8]>::to_vec).collect();
        let last = rest.len();
        let mut probe =
            super::probe(head.id).frame(HEADERS, END_STREAM | if last == 0 { END_HEADERS } else { 0 }, 1, first);
        for (at, piece) in rest.into_iter().enumerate() {
            probe = probe.frame(CONTINUATION, if at + 1 == last { END_HEADERS } else { 0 }, 1, piece);
        }
        probe
    };
    vec![
        in_pieces(get("h2-field-100k").with("x-test", &"x".repeat(102_400))).want(TOO_LARGE).origin(Origin::Nothing),
        in_pieces(many("h2-fields-200", 200)).want(TOO_LARGE).origin(Origin::Nothing),
        in_pieces(many("h2-fields-10000", 10_000)).want(TOO_LARGE).origin(Origin::Nothing),
        in_pieces(many("h2-fields-90", 90)).seen(|request| value(request, "x-89", Some("a"))),
        in_pieces(get("h2-path-20k").set(":path", &format!("{PATH}h2-path-20k/{}", "x".repeat(20_000))))
            .want(Want::StatusOrReset(&[414, 431], &[PROTOCOL_ERROR]))
            .origin(Origin::Nothing),
        in_pieces(get("h2-method-10k").set(":method", &"A".repeat(10_000))).refused(&[400, 431, 501]),
    ]
}

/// The same rules as for HTTP/1.1; forged values are looked for in everything that arrives.
fn rewritten() -> Vec<Probe> {
    vec![
        get("h2-cookies")
            .with("cookie", "a=1")
            .with("cookie", "b=2")
            .with("cookie", "c=3")
            .alone()
            .seen(|request| value(request, "cookie", Some("a=1; b=2; c=3"))),
        get("h2-x-forwarded-for").with("x-forwarded-for", "6.6.6.6").alone().seen(|request| {
            request.value("x-forwarded-for").map(|_| ()).ok_or_else(|| "no x-forwarded-for".to_owned())
        }),
        get("h2-x-forwarded-proto")
            .with("x-forwarded-proto", "http")
            .alone()
            .seen(|request| value(request, "x-forwarded-proto", Some("https"))),
        get("h2-scheme-http")
            .set(":scheme", "http")
            .alone()
            .want(Want::StatusOrReset(&[200, 400, 421], &[PROTOCOL_ERROR]))
            .origin(Origin::IfAny(|request| value(request, "x-forwarded-proto", Some("https")))),
        get("h2-forwarded").with("forwarded", "for=6.6.6.6").with("x-real-ip", "6.6.6.6").alone().seen(|_| Ok(())),
        get("h2-x-forwarded-host").with("x-forwarded-host", "evil.invalid").alone().seen(|_| Ok(())),
        get("h2-proxy-authorization")
            .with("proxy-authorization", "Basic eDp5")
            .alone()
            .seen(|request| value(request, "proxy-authorization", None)),
        get("h2-authorization-twice")
            .with("authorization", "X-Matrix a")
            .with("authorization", "X-Matrix b")
            .alone()
            .seen(|request| match request.values("authorization")[..] {
                ["X-Matrix a", "X-Matrix b"] => Ok(()),
                ref values => Err(format!("authorization {values:?}")),
            }),
        get("h2-http2-settings")
            .with("http2-settings", "AAMAAABkAAQAAP__")
            .alone()
            .want(Want::StatusOrReset(&[200, 400], &[PROTOCOL_ERROR])),
    ]
}
