use super::*;
use crate::http1::{HeadReader, Limits};
use bytes::BytesMut;
use proptest::prelude::*;

fn request(head: &str) -> RequestHead {
    let text = format!("{head}Host: a.example:443\r\n\r\n");
    let limits = Limits { head: 1 << 16, target: 1 << 13 };
    HeadReader::new(limits).read(&mut BytesMut::from(&*text)).unwrap().unwrap()
}

/// The lines that the upstream gets for a GET with these lines.
fn sent(lines: &[(&str, &str)]) -> Vec<String> {
    let lines: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    written(&request(&format!("GET /x HTTP/1.1\r\n{lines}")), false)
}

fn written(head: &RequestHead, websocket: bool) -> Vec<String> {
    let client = "192.0.2.7".parse().unwrap();
    let onward = Onward { client, host: "a.example:443", target: head.target(), request_id: b"id", websocket };
    let mut out = Vec::new();
    write_request(head, &onward, &mut out);
    let text = String::from_utf8(out).unwrap();
    let lines = text.strip_suffix("\r\n\r\n").unwrap();
    lines.split("\r\n").map(str::to_owned).collect()
}

const OWN: [&str; 7] = [
    "GET /x HTTP/1.1",
    "Host: a.example:443",
    "X-Forwarded-For: 192.0.2.7",
    "X-Real-IP: 192.0.2.7",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: a.example:443",
    "X-Request-Id: id",
];

#[test]
fn forged_addresses_and_disguises_are_replaced() {
    let forged = sent(&[
        ("x-forwarded-for", "6.6.6.6"),
        ("X-FORWARDED-FOR", "7.7.7.7"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-port", "80"),
        ("x-forwarded-anything", "x"),
        ("forwarded", "for=6.6.6.6"),
        ("x-real-ip", "6.6.6.6"),
        ("cf-connecting-ip", "6.6.6.6"),
        ("true-client-ip", "6.6.6.6"),
        ("x_forwarded_for", "6.6.6.6"),
        ("x-forwarded", "for=6.6.6.6"),
        ("client-ip", "6.6.6.6"),
        ("trailer", "X-Forwarded-For"),
        ("content_length", "5"),
        ("transfer_encoding", "chunked"),
        ("Transfer_Encoding", "chunked"),
        ("x-request-id", "forged"),
        ("X_Request_Id", "forged"),
        ("traceparent", "00-nonsense"),
        ("tracestate", "a=b"),
    ]);
    assert_eq!(forged, OWN);
}

#[test]
fn hop_by_hop_and_nominated_lines_stay_here() {
    let lines = sent(&[
        ("connection", "close, X-Secret, Authorization, host, content-length, cookie"),
        ("x-secret", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-authorization", "x"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("expect", "100-continue"),
        ("authorization", "X-Matrix a"),
        ("Authorization", "X-Matrix b"),
        ("cookie", "a=1"),
    ]);
    let mut expected = OWN.map(str::to_owned).to_vec();
    expected.insert(2, "Cookie: a=1".to_owned());
    expected.insert(3, "authorization: X-Matrix a".to_owned());
    expected.insert(4, "Authorization: X-Matrix b".to_owned());
    assert_eq!(lines, expected);
}

#[test]
fn cookie_crumbs_become_one_line() {
    let lines = sent(&[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]);
    assert!(lines.contains(&"Cookie: a=1; b=2; c=3".to_owned()), "{lines:?}");
}

#[test]
fn framing_is_written_once() {
    let framing = |head: &str| {
        let lines = written(&request(head), false);
        let lines =
            lines.into_iter().filter(|line| line.starts_with("Content-Length") || line.starts_with("Transfer-"));
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(framing("PUT /x HTTP/1.1\r\ncontent-LENGTH: 007\r\n"), "Content-Length: 7");
    assert_eq!(framing("PUT /x HTTP/1.1\r\ntransfer-encoding: CHUNKED\r\n"), "Transfer-Encoding: chunked");
    assert_eq!(framing("PUT /x HTTP/1.1\r\n"), "Content-Length: 0");
    assert_eq!(framing("GET /x HTTP/1.1\r\n"), "");
    assert_eq!(framing("DELETE /x HTTP/1.1\r\nContent-Length: 2\r\n"), "Content-Length: 2");
}

#[test]
fn only_a_websocket_is_an_upgrade() {
    let asks = |lines: &str| asks_for_websocket(request(&format!("GET /x HTTP/1.1\r\n{lines}")).fields());
    assert!(asks("Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"));
    assert!(!asks("Connection: Upgrade\r\nUpgrade: h2c\r\n"));
    assert!(!asks("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n"));
    assert!(!asks("Upgrade: websocket\r\n"));
    let head = request("GET /x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n");
    let lines = written(&head, true);
    assert!(lines.ends_with(&["Connection: Upgrade".to_owned(), "Upgrade: websocket".to_owned()]), "{lines:?}");
    assert!(lines.contains(&"Sec-WebSocket-Key: k".to_owned()), "{lines:?}");
}

#[test]
fn answers_lose_what_was_for_us() {
    let text = "HTTP/1.1 299 Whatever\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: x\r\nETag: \"a\"\r\n\
                Set-Cookie: a\r\nSet-Cookie: b\r\nTransfer-Encoding: chunked\r\nUpgrade: h2\r\nTrailer: x\r\n\r\n";
    let head = ResponseHead::read(&mut BytesMut::from(text), &mut 0, false).unwrap().unwrap();
    let mut out = Vec::new();
    let (hsts, date) = (HeaderValue::from_static("max-age=1"), HeaderValue::from_static("now"));
    let map = answer_map(&head);
    write_answer(&AnswerHead::Upstream(head), Some(&hsts), &date, &mut out);
    let lines = "HTTP/1.1 299 \r\nETag: \"a\"\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nDate: now\r\n\
                 Strict-Transport-Security: max-age=1\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), lines);
    assert_eq!(map.len(), 3);
}

proptest! {
    #[test]
    fn nothing_nominated_survives(name in "x-[a-z]{1,8}") {
        prop_assume!(name != "x-real-ip");
        let lines = sent(&[("connection", &name), (&name, "1")]);
        prop_assert_eq!(lines, OWN);
    }
}
