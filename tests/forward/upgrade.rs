//! WebSockets pass (LiveKit signalling needs them); every other upgrade is left behind.

use std::time::{Duration, Instant};

use crate::support::front::{Front, SOON, get, head, url};
use crate::support::origin::{Conversation, Origin};
use crate::support::raw_client::{Arrival, RawClient};

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn ask() -> String {
    format!(
        "{}Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        head("GET", "/_matrix/livekit/sfu/rtc?token=a%2Fb")
    )
}

/// Sends back what it gets until it gets `bye`, and then closes.
fn echo(talk: &mut Conversation) -> std::io::Result<()> {
    talk.request()?;
    // With the first bytes in the same packet as the head: they belong to the new protocol.
    talk.send(format!("{SWITCH}early"))?;
    loop {
        let bytes = talk.some()?;
        if bytes.is_empty() || bytes == b"bye" {
            return Ok(());
        }
        talk.send(bytes)?;
    }
}

fn open(front: &Front) -> RawClient {
    let mut client = front.raw();
    client.send(ask());
    let head = client.head();
    assert_eq!(head.status, 101);
    assert_eq!(head.header("upgrade").map(str::to_lowercase).as_deref(), Some("websocket"));
    assert_eq!(head.header("connection").map(str::to_lowercase).as_deref(), Some("upgrade"));
    assert_eq!(head.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(client.exactly(5), b"early");
    client
}

#[test]
fn bytes_pass_both_ways_until_either_side_closes() {
    let origin = Origin::start(echo);
    let front = Front::before(&origin);
    let mut client = open(&front);
    let received = origin.only_request();
    assert_eq!(received.header("upgrade").map(str::to_lowercase).as_deref(), Some("websocket"));
    assert_eq!(received.header("connection").map(str::to_lowercase).as_deref(), Some("upgrade"));
    assert_eq!(received.header("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_eq!(received.target(), "/_matrix/livekit/sfu/rtc?token=a%2Fb");
    for message in ["one", "two", "\u{0}\r\n\r\nthree"] {
        client.send(message);
        assert_eq!(client.exactly(message.len()), message.as_bytes());
    }
    client.send("bye");
    assert_eq!(client.arrival(SOON), Arrival::Closed, "the homeserver's end is passed on");
}

#[test]
fn a_client_that_goes_ends_it_at_the_homeserver() {
    let (tell, closed) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let origin = Origin::start(move |talk| {
        let ended = echo(talk);
        let _told = tell.lock().expect("one connection").send(());
        ended
    });
    let front = Front::before(&origin);
    drop(open(&front));
    closed.recv_timeout(SOON).expect("the client's end is passed on");
}

/// It may rest longer than a request's head may take: nothing is due on it.
#[test]
fn an_idle_one_stays_open() {
    let origin = Origin::start(echo);
    let front = Front::with(&origin, "[limits]\nheader_timeout = \"500ms\"\nfirst_byte_timeout = \"500ms\"\n");
    let mut client = open(&front);
    assert_eq!(client.arrival(Duration::from_millis(1500)), Arrival::Nothing);
    client.send("still here");
    assert_eq!(client.exactly(10), b"still here");
}

#[test]
fn a_refused_one_is_an_ordinary_answer() {
    let origin = Origin::start(|talk| {
        talk.request()?;
        talk.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nnope")
    });
    let front = Front::before(&origin);
    let mut client = front.raw();
    client.send(ask());
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().as_str()), (401, "nope"));
    assert_eq!(answer.header("upgrade"), None);
    client.send(get("/.well-known/matrix/server"));
    assert_eq!(client.answer().status, 200, "and the connection goes on");
}

/// Behind `Upgrade: h2c` anything could be said that no front has looked at.
#[test]
fn other_upgrades_are_not_passed_on() {
    let origin = Origin::answering("ok");
    let front = Front::before(&origin);
    let mut client = front.raw();
    for (connection, upgrade) in [
        ("Upgrade, HTTP2-Settings", "h2c"),
        ("Upgrade", "websocket, h2c"),
        ("Upgrade", "TLS/1.3"),
        ("keep-alive", "websocket"),
    ] {
        client.send(format!(
            "{}Connection: {connection}\r\nUpgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
            head("GET", "/_matrix/a")
        ));
        assert_eq!(client.answer().status, 200, "{upgrade}");
        let received = origin.last_request();
        assert_eq!(received.headers("upgrade"), [""; 0], "{connection}: {upgrade}");
        assert_eq!(received.headers("connection"), [""; 0], "{connection}: {upgrade}");
    }
}

#[test]
fn a_homeserver_that_switches_unasked_has_failed() {
    let origin = Origin::start(|talk| {
        talk.request()?;
        talk.send(format!("{SWITCH}evil"))?;
        talk.until_closed();
        Ok(())
    });
    let front = Front::before(&origin);
    for http in ["--http1.1", "--http2"] {
        let answer = front.curl().arguments([http]).send(&url("/_matrix/a")).expect_status(502);
        assert_eq!(answer.json()["errcode"], "M_UNKNOWN", "{http}");
    }
}

/// Clients connect again, and sooner is better for them than all at once when the drain limit cuts them.
#[test]
fn a_stop_does_not_wait_for_one() {
    let origin = Origin::start(echo);
    let mut front = Front::with(&origin, "limits.drain = \"30s\"\n");
    let mut client = open(&front);
    let stopped = Instant::now();
    assert_eq!(front.vestibule().process().terminate(SOON).code(), Some(0));
    assert!(stopped.elapsed() < SOON / 2, "{:?}", stopped.elapsed());
    assert_eq!(client.arrival(SOON), Arrival::Closed);
}
