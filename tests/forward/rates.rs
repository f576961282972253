//! `[[limits.rate]]`: 429 that clients can read, and peers that wait before they are refused.

use std::time::{Duration, Instant};

use crate::support::curl::Response;
use crate::support::front::{Front, head, url};
use crate::support::origin::Origin;
use crate::support::raw_client::RawClient;

const LOGIN: &str = "/_matrix/client/v3/login";
const SEND: &str = "/_matrix/federation/v1/send/1";

fn post(target: &str, more: &str) -> String {
    format!("{}{more}Content-Length: 2\r\n\r\n{{}}", head("POST", target))
}

/// A transaction that claims to come from `origin`.
fn from(origin: &str) -> String {
    post(SEND, &format!("Authorization: X-Matrix origin=\"{origin}\",key=\"ed25519:1\",sig=\"x\"\r\n"))
}

#[track_caller]
fn ask(client: &mut RawClient, request: &str) -> Response {
    client.send(request);
    client.answer()
}

/// The answer says what the specification wants, and where a browser may read it.
#[track_caller]
fn assert_limited(answer: &Response) -> u64 {
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert_eq!(answer.json()["errcode"], "M_LIMIT_EXCEEDED");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let seconds: u64 = answer.header("retry-after").and_then(|text| text.parse().ok()).expect("Retry-After");
    let milliseconds = answer.json()["retry_after_ms"].as_u64().expect("retry_after_ms");
    assert_eq!(seconds, milliseconds.div_ceil(1000).max(1), "{milliseconds} ms");
    seconds
}

#[test]
fn logins_are_limited_and_nothing_else() {
    let origin = Origin::answering("ok");
    let front = Front::with(&origin, "[[limits.rate]]\nclass = \"login\"\nper = \"1h\"\nburst = 3\n");
    let mut client = front.raw();
    for _ in 0..3 {
        assert_eq!(ask(&mut client, &post(LOGIN, "")).status, 200);
    }
    let seconds = assert_limited(&ask(&mut client, &post(LOGIN, "")));
    assert!((1100..=1200).contains(&seconds), "{seconds}");
    // Escaped, it is still a login for the homeserver.
    assert_limited(&ask(&mut client, &post("/_matrix/client/v3/logi%6e", "")));
    // Another connection, and HTTP/2, do not make another client.
    assert_limited(&ask(&mut front.raw(), &post(LOGIN, "")));
    assert_limited(&front.curl().arguments(["--http2", "--request", "POST"]).send(&url(LOGIN)));
    assert_eq!(ask(&mut client, &post("/_matrix/client/v3/logout", "")).status, 200);
    assert_eq!(ask(&mut client, &from("a.example")).status, 200);
    // A browser must be able to ask whether it may.
    assert_eq!(front.curl().arguments(["--request", "OPTIONS"]).send(&url(LOGIN)).status, 200);
    let logins = origin
        .requests()
        .iter()
        .filter(|request| request.request_line().starts_with("POST /_matrix/client/v3/logi"))
        .count();
    assert_eq!(logins, 3);
}

#[test]
fn tokens_come_back() {
    let origin = Origin::answering("ok");
    let front = Front::with(&origin, "[[limits.rate]]\nclass = \"login\"\nper = \"1s\"\nburst = 1\n");
    let mut client = front.raw();
    let began = Instant::now();
    let mut passed = 0;
    while passed < 3 {
        match ask(&mut client, &post(LOGIN, "")) {
            answer if answer.status == 200 => passed += 1,
            answer => assert_eq!(assert_limited(&answer), 1),
        }
    }
    assert!((2..20).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[test]
fn another_address_is_another_client() {
    let origin = Origin::answering("ok");
    let front = Front::with(&origin, "[[limits.rate]]\nclass = \"login\"\nper = \"1h\"\nburst = 1\n");
    for (interface, status) in [("127.0.0.1", 200), ("127.0.0.1", 429), ("127.0.0.2", 200), ("127.0.0.2", 429)] {
        let request = front.curl().arguments(["--interface", interface, "--request", "POST"]);
        assert_eq!(request.send(&url(LOGIN)).status, status, "{interface}");
    }
}

#[test]
fn federation_waits_before_it_is_refused() {
    let origin = Origin::answering("ok");
    // A token every tenth of a second: fifty may wait, for five seconds.
    let front = Front::with(&origin, "[[limits.rate]]\nclass = \"federation\"\nper = \"200ms\"\nburst = 2\n");
    let mut client = front.raw();
    let began = Instant::now();
    for _ in 0..6 {
        assert_eq!(ask(&mut client, &post(SEND, "")).status, 200);
    }
    // Two at once, four when their tokens came.
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(350), "{took:?}");
    let mut waiting: Vec<_> = (0..80).map(|_| front.raw()).collect();
    for client in &mut waiting {
        client.send(post(SEND, ""));
    }
    // Those at the end of the line are refused at once.
    let (served, refused): (Vec<_>, Vec<_>) =
        waiting.iter_mut().map(RawClient::answer).partition(|answer| answer.status == 200);
    assert!(served.len() >= 50 && refused.len() >= 5, "{} and {}", served.len(), refused.len());
    for answer in &refused {
        assert_eq!(assert_limited(answer), 1);
    }
}

/// An origin that the homeserver has answered has a bucket of its own; invented ones share one.
#[test]
fn inventing_origins_buys_nothing() {
    let origin = Origin::start(|talk| {
        loop {
            let request = talk.request()?;
            match request.header("authorization").is_some_and(|line| line.contains("real")) {
                true => talk.answer("ok")?,
                false => talk.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")?,
            }
        }
    });
    let front = Front::with(&origin, "[[limits.rate]]\nclass = \"federation\"\nper = \"1h\"\nburst = 3\n");
    let mut client = front.raw();
    assert_eq!(ask(&mut client, &from("real.example")).status, 200);
    assert_eq!(ask(&mut client, &from("first.example")).status, 401);
    assert_eq!(ask(&mut client, &from("second.example")).status, 401);
    // A token takes twenty minutes: too long to wait for.
    assert_limited(&ask(&mut client, &from("third.example")));
    for _ in 0..3 {
        assert_eq!(ask(&mut client, &from("real.example")).status, 200);
    }
    assert_limited(&ask(&mut client, &from("real.example")));
}
