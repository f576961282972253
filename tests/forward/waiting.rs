//! Every wait has a bound: for a head, between requests, for an answer. None of them is short, so tests scale them down.

use std::time::{Duration, Instant};

use crate::support::front::{Front, NAME, SOON, get, head, url};
use crate::support::http2::{self, Http2};
use crate::support::origin::Origin;
use crate::support::raw_client::{Arrival, RawClient};
use http::Request;

const LIMIT: Duration = Duration::from_secs(1);

/// A limit of one second, and nothing else changed.
fn limited(origin: &Origin, limit: &str) -> Front {
    Front::with(origin, &format!("[limits]\n{limit} = \"1s\"\n"))
}

/// Sends a piece now and then until the connection ends, and says how long that took.
#[track_caller]
fn drip(client: &mut RawClient, pieces: impl Iterator<Item = String>) -> Duration {
    let started = Instant::now();
    for piece in pieces {
        if client.try_send(piece).is_err() || client.arrival(LIMIT / 5) == Arrival::Closed {
            return started.elapsed();
        }
        assert!(started.elapsed() < SOON, "it may drip for ever");
    }
    panic!("the pieces are over and the connection is open");
}

#[test]
fn a_head_has_to_arrive_within_the_limit_however_it_drips() {
    let origin = Origin::answering("ok");
    let front = limited(&origin, "header_timeout");
    let lines = || std::iter::once(head("GET", "/_matrix/a")).chain((0..).map(|n| format!("X-{n}: y\r\n")));

    let first = drip(&mut front.raw(), lines());
    assert!(first >= LIMIT / 2 && first < LIMIT * 3, "the first head: {first:?}");

    let mut client = front.raw();
    client.send(get("/_matrix/a"));
    assert_eq!(client.answer().status, 200);
    let second = drip(&mut client, lines());
    assert!(second >= LIMIT / 2 && second < LIMIT * 3, "a later head: {second:?}");
    assert_eq!(origin.requests().len(), 1, "an unfinished head is not forwarded");

    let plain = drip(&mut RawClient::plain(front.http()), lines());
    assert!(plain < LIMIT * 3, "port 80: {plain:?}");
}

#[test]
fn a_connection_without_a_handshake_or_a_request_ends() {
    let origin = Origin::answering("ok");
    let front = limited(&origin, "header_timeout");
    for mut silent in [RawClient::plain(front.https()), RawClient::plain(front.http()), front.raw()] {
        assert_eq!(silent.arrival(SOON), Arrival::Closed);
    }
    http2::run(SOON, async {
        let client = Http2::connect(front.https(), NAME, &front.root()).await;
        client.task.await.expect("the connection is closed");
    });
}

/// Between two requests a connection may rest: opening another costs more than keeping this one.
#[test]
fn a_rest_between_requests_is_no_slow_head() {
    let origin = Origin::answering("ok");
    let front = limited(&origin, "header_timeout");
    let mut client = front.raw();
    for _ in 0..2 {
        client.send(get("/_matrix/a"));
        assert_eq!(client.answer().status, 200);
        assert_eq!(client.arrival(LIMIT * 2), Arrival::Nothing, "it was cut while it rested");
    }
    http2::run(SOON, async {
        let mut client = Http2::connect(front.https(), NAME, &front.root()).await;
        for _ in 0..2 {
            let request = Request::get(url("/_matrix/a")).body(http2::empty()).expect("a request");
            assert_eq!(client.send(request).await.expect("an answer").status(), 200);
            let ended = tokio::time::timeout(LIMIT * 2, &mut client.task).await;
            assert!(ended.is_err(), "it was cut while it rested");
        }
    });
}

#[test]
fn an_answer_that_does_not_begin_is_a_504() {
    let origin = Origin::start(|talk| {
        talk.request()?;
        talk.until_closed();
        Ok(())
    });
    let front = limited(&origin, "first_byte_timeout");
    for http in ["--http1.1", "--http2"] {
        for method in ["GET", "POST"] {
            let started = Instant::now();
            let answer = front.curl().arguments([http]).method(method).send(&url("/_matrix/a")).expect_status(504);
            let took = started.elapsed();
            assert!(took >= LIMIT && took < LIMIT * 3, "{method} {http}: {took:?}");
            assert_eq!(answer.json()["errcode"], "M_UNKNOWN");
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        }
    }
    assert_eq!(origin.requests().len(), 4, "nothing is asked twice");
    front.curl().method("OPTIONS").send(&url("/_matrix/a")).expect_status(204);
}

/// The limit is for an answer that does not begin, not for an upload that takes its time.
#[test]
fn an_upload_that_moves_is_not_cut() {
    let origin = Origin::start(|talk| {
        let request = talk.request()?;
        talk.answer(&String::from_utf8_lossy(&request.body))
    });
    let front = limited(&origin, "first_byte_timeout");
    let mut client = front.raw();
    client.send(format!("{}Content-Length: 8\r\n\r\n", head("POST", "/_matrix/a")));
    for letter in "abcdefgh".chars() {
        assert_eq!(client.arrival(LIMIT / 3), Arrival::Nothing, "answered too early, before {letter}");
        client.send(letter.to_string());
    }
    assert_eq!(client.answer().text(), "abcdefgh");
}

/// An answer that has begun may take its time as well: initial syncs do.
#[test]
fn an_answer_that_has_begun_is_not_cut() {
    let origin = Origin::start(|talk| {
        talk.request()?;
        talk.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")?;
        // Longer than the limit, and the only way to let time pass here.
        std::thread::sleep(LIMIT * 2);
        talk.send("b")
    });
    let front = Front::with(&origin, "[limits]\nfirst_byte_timeout = \"1s\"\nheader_timeout = \"1s\"\n");
    for http in ["--http1.1", "--http2"] {
        assert_eq!(front.curl().arguments([http]).send(&url("/_matrix/a")).expect_status(200).text(), "ab");
    }
}
