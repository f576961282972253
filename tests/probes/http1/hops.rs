//! What ends at this hop, what only this hop may say, and requests that follow each other.

use super::{Origin, Probe, probe};
use crate::probes::rules::Request;

pub fn table() -> Vec<Probe> {
    [hop_by_hop(), upgrades(), forwarding(), pipelines()].concat()
}

fn field(id: &'static str, lines: &str) -> Probe {
    probe(id, "{get}").then(lines).then("\r\n\r\n")
}

fn gone(request: &Request, name: &str) -> Result<(), String> {
    match request.value(name) {
        Some(value) => Err(format!("{name}: {value}")),
        None => Ok(()),
    }
}

fn there(request: &Request, name: &str) -> Result<(), String> {
    request.value(name).map(|_| ()).ok_or_else(|| format!("no {name}"))
}

fn hop_by_hop() -> Vec<Probe> {
    vec![
        field("connection-nominates", "Connection: close, X-Secret\r\nX-Secret: 1")
            .seen(|request| gone(request, "x-secret")),
        field("connection-nominates-case", "connection: X-SECRET\r\nx-Secret: 1")
            .seen(|request| gone(request, "x-secret")),
        field("connection-two-lines", "Connection: X-A\r\nConnection: X-B\r\nX-A: 1\r\nX-B: 1")
            .seen(|request| gone(request, "x-a").and_then(|()| gone(request, "x-b"))),
        field("connection-host", "Connection: Host").seen(|request| there(request, "host")),
        field("connection-authorization", "Connection: Authorization\r\nAuthorization: Bearer x")
            .seen(|request| there(request, "authorization")),
        field("connection-forwarded-for", "Connection: close, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host")
            .seen(|request| {
                ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"]
                    .into_iter()
                    .try_for_each(|name| there(request, name))
            }),
        probe("connection-content-length", "{post}Connection: Content-Length\r\nContent-Length: 5\r\n\r\nhello").seen(
            |request| match request.body == b"hello" {
                true => Ok(()),
                false => Err(format!("{} bytes of body", request.body.len())),
            },
        ),
        probe(
            "connection-transfer-encoding",
            "{post}Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        )
        .seen(|request| match request.body == b"hello" {
            true => Ok(()),
            false => Err(format!("{} bytes of body", request.body.len())),
        }),
        field("te-trailers", "TE: trailers\r\nConnection: TE").seen(|request| gone(request, "te")),
        field("te-gzip-field", "TE: gzip").seen(|request| gone(request, "te")),
        field("keep-alive", "Keep-Alive: timeout=5, max=100\r\nConnection: keep-alive")
            .seen(|request| gone(request, "keep-alive")),
        field("proxy-connection", "Proxy-Connection: keep-alive").seen(|request| gone(request, "proxy-connection")),
        field("proxy-authorization", "Proxy-Authorization: Basic eDp5")
            .seen(|request| gone(request, "proxy-authorization")),
        field("trailer-field", "Trailer: X-Checksum").seen(|request| gone(request, "trailer")),
        field("connection-close", "Connection: close").seen(|request| gone(request, "connection")),
    ]
}

fn upgrades() -> Vec<Probe> {
    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13";
    vec![
        field("upgrade-h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__")
            .seen(|request| gone(request, "upgrade")),
        field(
            "upgrade-h2c-lines",
            "Connection: Upgrade\r\nConnection: HTTP2-Settings\r\nUpgrade: H2C\r\nHTTP2-Settings: AA",
        )
        .seen(|request| gone(request, "upgrade")),
        field("upgrade-tls", "Connection: Upgrade\r\nUpgrade: TLS/1.0").seen(|request| gone(request, "upgrade")),
        field("upgrade-unknown", "Connection: Upgrade\r\nUpgrade: frobnicate").seen(|request| gone(request, "upgrade")),
        field("upgrade-without-connection", &format!("Upgrade: websocket\r\n{KEY}"))
            .seen(|request| gone(request, "upgrade")),
        field("upgrade-websocket", &format!("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n{KEY}"))
            .answer(&[101])
            .seen(|request| there(request, "upgrade").and_then(|()| there(request, "sec-websocket-key"))),
        field("upgrade-websocket-or-h2c", &format!("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n{KEY}"))
            .answer(&[101, 200, 400]),
        probe("upgrade-with-body", "{post}Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello")
            .seen(|request| gone(request, "upgrade")),
    ]
}

fn forwarding() -> Vec<Probe> {
    vec![
        field("x-forwarded-for", "X-Forwarded-For: 6.6.6.6").seen(|request| there(request, "x-forwarded-for")),
        field("x-forwarded-for-twice", "X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 6.6.6.6, 7.7.7.7").seen(
            |request| match &request.values("x-forwarded-for")[..] {
                [only] if !only.contains(',') => Ok(()),
                several => Err(format!("x-forwarded-for {several:?}")),
            },
        ),
        field("x-forwarded-proto", "X-Forwarded-Proto: http").seen(|request| {
            match request.value("x-forwarded-proto") {
                Some("https") => Ok(()),
                other => Err(format!("x-forwarded-proto {other:?}")),
            }
        }),
        field("x-forwarded-host", "X-Forwarded-Host: evil.invalid").seen(|_| Ok(())),
        field("x-forwarded-port", "X-Forwarded-Port: 6666").seen(|request| match request.value("x-forwarded-port") {
            Some("6666") => Err("x-forwarded-port: 6666".to_owned()),
            _ => Ok(()),
        }),
        field("x-forwarded-server", "X-Forwarded-Server: evil.invalid").seen(|_| Ok(())),
        field("forwarded", "Forwarded: for=6.6.6.6;host=evil.invalid;proto=http").seen(|_| Ok(())),
        field("x-real-ip", "X-Real-IP: 6.6.6.6").seen(|_| Ok(())),
        field("x-forwarded-for-underscores", "X_Forwarded_For: 6.6.6.6").answer(&[200, 400]),
        field("client-ip-of-vendors", "True-Client-IP: 6.6.6.6\r\nCF-Connecting-IP: 6.6.6.6\r\nClient-IP: 6.6.6.6")
            .seen(|_| Ok(())),
    ]
}

fn pipelines() -> Vec<Probe> {
    let gets = |count: usize| {
        (0..count).map(|number| format!("GET {{path}}{number} HTTP/1.1\r\nHost: {{host}}\r\n\r\n")).collect::<String>()
    };
    let in_order = |answers: &[super::Answer]| {
        let number =
            |answer: &super::Answer| String::from_utf8_lossy(&answer.body).rsplit('/').next().map(str::to_owned);
        let numbers: Vec<_> = answers.iter().filter_map(number).collect();
        let wanted: Vec<_> = (0..answers.len()).map(|number| number.to_string()).collect();
        if numbers == wanted { Ok(()) } else { Err(format!("the order {numbers:?}")) }
    };
    vec![
        probe("pipeline-3", gets(3))
            .answers(&[&[200], &[200], &[200]])
            .origin(Origin::Requests(3, |_| Ok(())))
            .look(in_order),
        probe("pipeline-20", gets(20))
            .answers(&[&[200_u16][..]; 20])
            .origin(Origin::Requests(20, |_| Ok(())))
            .look(in_order),
        probe("pipeline-bytewise", gets(2)).bytewise().answers(&[&[200], &[200]]).look(in_order),
        probe("pipeline-post-get", "{post}Content-Length: 5\r\n\r\nhello{get}\r\n")
            .answers(&[&[200], &[200]])
            .origin(Origin::Requests(2, |_| Ok(()))),
        probe("pipeline-chunked-get", "{post}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n{get}\r\n")
            .answers(&[&[200], &[200]])
            .origin(Origin::Requests(2, |_| Ok(()))),
        probe("pipeline-head-get", "HEAD {path} HTTP/1.1\r\nHost: {host}\r\n\r\n{get}\r\n")
            .heads(&[0])
            .answers(&[&[200], &[200]])
            .origin(Origin::Requests(2, |_| Ok(()))),
        probe("pipeline-good-good-bad", gets(2)).then("BAD\0 / HTTP/1.1\r\n\r\n").answers(&[&[200], &[200], &[400]]),
        // RFC 9112 §9.3, §9.6: after `close`, nothing that follows may be acted on.
        probe(
            "pipeline-after-close",
            "{get}Connection: close\r\n\r\nGET {path}second HTTP/1.1\r\nHost: {host}\r\n\r\n",
        )
        .refused(&[200])
        .origin(Origin::Requests(1, |_| Ok(()))),
        probe(
            "pipeline-http-1.0",
            "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\nGET {path}second HTTP/1.1\r\nHost: {host}\r\n\r\n",
        )
        .refused(&[200])
        .origin(Origin::Requests(1, |_| Ok(()))),
    ]
}
