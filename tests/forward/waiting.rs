//! Every wait has a bound: for a head, between requests, for an answer. None of them is short, so tests scale them down.

use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::support::frames::{self, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, SETTINGS, WINDOW_UPDATE, frame};
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

/// Waiting before the first byte is no way to get more time.
#[test]
fn the_first_head_counts_from_the_handshake() {
    let limit = LIMIT * 2;
    let origin = Origin::answering("ok");
    let front = Front::with(&origin, "limits.header_timeout = \"2s\"\n");
    let mut client = front.raw();
    let started = Instant::now();
    assert_eq!(client.arrival(limit * 9 / 10), Arrival::Nothing);
    drip(&mut client, "GET /_matrix/client/versions HTTP/1.1".chars().cycle().map(String::from));
    let took = started.elapsed();
    assert!(took >= limit * 9 / 10 && took < limit * 3 / 2, "{took:?}");
    assert!(origin.requests().is_empty());
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

/// An origin that sends for as long as somebody takes it, and then tells for how long nobody has.
fn endless() -> (Origin, mpsc::Receiver<Duration>) {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let origin = Origin::start(move |talk| {
        talk.request()?;
        talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let chunk = format!("2000\r\n{}\r\n", "x".repeat(0x2000));
        loop {
            let moved = Instant::now();
            if talk.send(&chunk).is_err() {
                let _told = tell.lock().expect("one connection").send(moved.elapsed());
                return Ok(());
            }
        }
    });
    (origin, told)
}

/// What TLS buffers is nothing that the client has read.
#[test]
fn a_reader_that_stops_is_cut_after_the_limit() {
    for rate in ["1KiB/s", "0B/s"] {
        let (origin, told) = endless();
        let front = Front::with(&origin, &format!("[limits]\nstall_timeout = \"1s\"\nmin_body_rate = \"{rate}\"\n"));
        let mut client = front.raw();
        client.send(get("/_matrix/a"));
        assert_eq!(client.head().status, 200);
        let stood_still = told.recv_timeout(SOON * 3).expect("it is cut");
        assert!(stood_still < LIMIT * 2, "{rate}: cut after {stood_still:?}");
    }
}

/// Whatever else goes on: a client that reads nothing is owed nothing.
#[test]
fn an_http2_client_that_never_reads_its_socket_is_cut_after_the_limit() {
    const LENGTH: usize = 256 << 10;
    let answer: &'static str = Box::leak("x".repeat(LENGTH).into_boxed_str());
    for busy_with in ["GET", "POST"] {
        let (tell, told) = mpsc::channel();
        let tell = Mutex::new(tell);
        let origin = Origin::start(move |talk| {
            loop {
                let request = talk.head()?;
                if request.target().ends_with("busy") {
                    talk.until_closed();
                    let _told = tell.lock().expect("one connection").send(());
                    return Ok(());
                }
                talk.answer(answer)?;
            }
        });
        let mut front = Front::with(&origin, "limits.stall_timeout = \"1s\"\n");
        let before = front.vestibule().process().memory_kib();
        http2::run(SOON * 3, async {
            let mut client = Frames::connect_with_little_room(front.https(), NAME, &front.root()).await;
            let settings = frame(SETTINGS, 0, 0, [0, 4, 0x40, 0, 0, 0]);
            let window = frame(WINDOW_UPDATE, 0, 0, 0x3f00_0000_u32.to_be_bytes());
            let end = if busy_with == "GET" { END_STREAM } else { 0 };
            let busy = frame(HEADERS, END_HEADERS | end, 1, frames::request(busy_with, NAME, "/_matrix/busy"));
            let get = frames::request("GET", NAME, "/_matrix/a");
            let asked = (1..100).flat_map(|number| frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &get));
            assert!(client.send([settings, window, busy, asked.collect()].concat()).await);
            let started = Instant::now();
            while told.try_recv().is_err() {
                assert!(started.elapsed() < SOON, "{busy_with}: it goes on");
                if busy_with == "POST" && !client.send(frame(DATA, 0, 1, vec![0; 1024])).await {
                    break;
                }
                tokio::time::sleep(LIMIT / 10).await;
            }
            let grown = front.vestibule().process().memory_kib().saturating_sub(before);
            assert!(grown < 32 * 1024, "{busy_with}: {grown} KiB more memory");
        });
    }
}
