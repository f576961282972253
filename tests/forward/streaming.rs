//! Bodies stream: nothing waits for a whole, and nobody reads faster than the other side takes.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use super::{noise, sha256};
use crate::support::eventually::settled;
use crate::support::frames::{self, END_HEADERS, END_STREAM, Frames, HEADERS, SETTINGS, WINDOW_UPDATE};
use crate::support::front::{Front, NAME, SOON, get, head, url};
use crate::support::http2::{self, Http2};
use crate::support::origin::Origin;
use bytes::Bytes;
use http::Request;

const BIG: usize = 64 * 1024 * 1024;

/// What may be under way while one side reads nothing: the kernel's buffers of four loopback sockets, which grow to
/// some megabytes each, and the program's own, which are small.
const UNDER_WAY: usize = 36 * 1024 * 1024;

/// The program's own share of that. A debug build's noise included, it must not depend on the body's size.
const MEMORY_KIB: u64 = 16 * 1024;

/// How long nothing may move before it counts as stopped.
const QUIET: Duration = Duration::from_millis(500);

const MINUTE: Duration = Duration::from_secs(60);

/// An origin that sends [`BIG`] bytes to whoever asks, and counts what the other side has taken.
fn flood() -> (Origin, Arc<AtomicUsize>) {
    let taken = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&taken);
    let body = noise(BIG);
    let origin = Origin::start(move |talk| {
        loop {
            talk.request()?;
            talk.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n"))?;
            for piece in body.chunks(64 * 1024) {
                talk.send(piece)?;
                counter.fetch_add(piece.len(), Ordering::Relaxed);
            }
        }
    });
    (origin, taken)
}

#[test]
fn a_download_waits_for_a_paused_reader_over_http1() {
    let (origin, taken) = flood();
    let mut front = Front::before(&origin);
    let before = front.vestibule().process().memory_kib();
    let mut client = front.raw();
    client.send(get("/_matrix/a"));
    assert_eq!(client.head().status, 200);
    let stuck_at = settled("the origin is stopped", QUIET, MINUTE, || taken.load(Ordering::Relaxed));
    assert!(stuck_at < UNDER_WAY, "{stuck_at} bytes were taken for a reader that has paused");
    let grown = front.vestibule().process().memory_kib().saturating_sub(before);
    assert!(grown < MEMORY_KIB, "{grown} KiB more memory");
    assert_eq!(sha256(&client.exactly(BIG)), sha256(&noise(BIG)), "the rest follows");
}

#[test]
fn a_download_waits_for_a_paused_reader_over_http2() {
    let (origin, taken) = flood();
    let mut front = Front::before(&origin);
    let before = front.vestibule().process().memory_kib();
    http2::run(MINUTE * 2, async {
        let mut client = Http2::connect(front.https(), NAME, &front.root()).await;
        let request = || Request::get(url("/_matrix/a")).body(http2::empty()).expect("a request");
        let answer = client.send(request()).await.expect("an answer");
        // The client's own connection must go on being driven while the test looks at the counter.
        let counter = Arc::clone(&taken);
        let stuck = tokio::task::spawn_blocking(move || {
            settled("the origin is stopped", QUIET, MINUTE, || counter.load(Ordering::Relaxed))
        });
        let stuck_at = stuck.await.expect("it settles");
        assert!(stuck_at < UNDER_WAY, "{stuck_at} bytes were taken for a reader that has paused");
        let grown = front.vestibule().process().memory_kib().saturating_sub(before);
        assert!(grown < MEMORY_KIB, "{grown} KiB more memory");
        let mut body = answer.into_body();
        let mut received = Vec::with_capacity(BIG);
        while let Some(piece) = http2::next(&mut body).await {
            received.extend_from_slice(&piece.expect("the whole body"));
        }
        assert_eq!(sha256(&received), sha256(&noise(BIG)), "the rest follows");
    });
}

#[test]
fn an_upload_waits_for_a_paused_homeserver() {
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::start(move |talk| {
        talk.head()?;
        let _told = wait.lock().expect("one connection").recv();
        let body = talk.exactly(BIG)?;
        talk.answer(&sha256(&body))
    });
    let mut front = Front::before(&origin);
    let body = noise(BIG);
    let mut client = front.raw();
    let before = front.vestibule().process().memory_kib();
    client.send(format!("{}Content-Length: {BIG}\r\n\r\n", head("POST", "/_matrix/a")));
    let sent = client.send_until_stuck(&body, QUIET);
    assert!(sent < UNDER_WAY, "{sent} bytes were taken for a homeserver that has paused");
    let grown = front.vestibule().process().memory_kib().saturating_sub(before);
    assert!(grown < MEMORY_KIB, "{grown} KiB more memory");
    go_on.send(()).expect("the script waits");
    client.send(&body[sent..]);
    assert_eq!(client.answer().text(), sha256(&body));
}

#[test]
fn the_first_byte_of_a_trickle_is_not_kept_back() {
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::start(move |talk| {
        loop {
            talk.request()?;
            talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")?;
            // Nothing follows until the client has seen the first byte.
            let _told = wait.lock().expect("one at a time").recv();
            talk.send("1\r\nb\r\n0\r\n\r\n")?;
        }
    });
    let front = Front::before(&origin);
    let mut client = front.raw();
    client.send(get("/_matrix/client/v3/sync"));
    assert_eq!(client.head().status, 200);
    assert_eq!(client.exactly(6), b"1\r\na\r\n");
    go_on.send(()).expect("the script waits");
    assert_eq!(client.exactly(11), b"1\r\nb\r\n0\r\n\r\n");

    http2::run(SOON, async {
        let mut client = Http2::connect(front.https(), NAME, &front.root()).await;
        let request = Request::get(url("/_matrix/client/v3/sync")).body(http2::empty()).expect("a request");
        let mut body = client.send(request).await.expect("an answer").into_body();
        assert_eq!(http2::next(&mut body).await.expect("a piece").expect("data"), "a");
        go_on.send(()).expect("the script waits");
        assert_eq!(http2::next(&mut body).await.expect("a piece").expect("data"), "b");
    });
}

/// A body streams to the homeserver before it is complete.
#[test]
fn the_first_byte_of_an_upload_is_not_kept_back() {
    let (tell, arrived) = mpsc::channel::<()>();
    let tell = Mutex::new(tell);
    let origin = Origin::start(move |talk| {
        talk.head()?;
        let first = talk.exactly(1)?;
        let _listening = tell.lock().expect("one connection").send(());
        let rest = talk.exactly(1)?;
        talk.answer(&String::from_utf8_lossy(&[first, rest].concat()))
    });
    let front = Front::before(&origin);
    let mut client = front.raw();
    client.send(format!("{}Content-Length: 2\r\n\r\na", head("POST", "/_matrix/a")));
    arrived.recv_timeout(SOON).expect("the first byte arrives while the second is not there yet");
    client.send("b");
    assert_eq!(client.answer().text(), "ab");
}

/// A homeserver may answer while it reads. Whoever sends all of a request before it reads must get to its end, even if
/// the answer has to wait for that.
#[test]
fn an_upload_goes_on_while_nobody_reads_its_answer() {
    /// Over HTTP/2 the windows are what fills up, and they are small.
    const HTTP2: usize = 8 * 1024 * 1024;
    let taken = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&taken);
    let origin = Origin::start(move |talk| {
        let counter = Arc::clone(&counter);
        let length = talk.head()?.header("content-length").and_then(|length| length.parse().ok()).expect("a length");
        let mut writer = talk.writer()?;
        let sending = thread::spawn(move || {
            writer.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes())?;
            noise(length).chunks(64 * 1024).try_for_each(|piece| {
                counter.fetch_add(piece.len(), Ordering::Relaxed);
                writer.write_all(piece)
            })
        });
        talk.exactly(length)?;
        sending.join().expect("no panic")
    });
    let front = Front::with(&origin, "limits.stall_timeout = \"5s\"\n");
    http2::run(MINUTE, async {
        let mut client = Http2::connect(front.https(), NAME, &front.root()).await;
        let (pieces, body) = http2::streaming();
        let request = Request::post(url("/_matrix/a")).header("content-length", HTTP2);
        let answer = client.send(request.body(body).expect("a request"));
        let mut body = answer.await.expect("an answer").into_body();
        let stuck = move || settled("the answer is stuck", QUIET, MINUTE, || taken.load(Ordering::Relaxed));
        tokio::task::spawn_blocking(stuck).await.expect("it settles");
        let sending = tokio::spawn(async move {
            for piece in noise(HTTP2).chunks(64 * 1024) {
                pieces.send(Bytes::copy_from_slice(piece)).await.expect("the body is read");
            }
        });
        sending.await.expect("all is sent");
        let mut received = Vec::with_capacity(HTTP2);
        while let Some(piece) = http2::next(&mut body).await {
            received.extend_from_slice(&piece.expect("the whole body"));
        }
        assert_eq!(sha256(&received), sha256(&noise(HTTP2)), "over HTTP/2");
    });
    let mut client = front.raw();
    client.send(format!("{}Content-Length: {BIG}\r\n\r\n", head("POST", "/_matrix/a")));
    client.send(noise(BIG));
    assert_eq!(client.head().status, 200);
    assert_eq!(sha256(&client.exactly(BIG)), sha256(&noise(BIG)));
}

/// One stream that nobody reads does not hold up the others of its connection.
#[test]
fn a_paused_http2_stream_leaves_the_connection_to_others() {
    let (origin, taken) = flood();
    let front = Front::before(&origin);
    http2::run(MINUTE, async {
        let mut client = Http2::connect(front.https(), NAME, &front.root()).await;
        let request = Request::get(url("/_matrix/a")).body(http2::empty()).expect("a request");
        let _paused = client.send(request).await.expect("an answer");
        let counter = Arc::clone(&taken);
        let stuck = move || settled("the origin is stopped", QUIET, MINUTE, || counter.load(Ordering::Relaxed));
        tokio::task::spawn_blocking(stuck).await.expect("it settles");
        let request = Request::get(url("/.well-known/matrix/server")).body(http2::empty()).expect("a request");
        let mut body = client.send(request).await.expect("an answer").into_body();
        let document = http2::next(&mut body).await.expect("a piece").expect("data");
        assert!(document.starts_with(b"{\"m.server\""), "{document:?}");
    });
}

/// A client that opens its windows wide and then reads nothing has what was sent in the kernel's buffers, and next to
/// nothing here.
#[test]
fn an_http2_client_that_does_not_read_is_given_little_memory() {
    const ANSWER: usize = 1024 * 1024;
    let taken = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&taken);
    let origin = Origin::start(move |talk| {
        loop {
            talk.request()?;
            talk.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {ANSWER}\r\n\r\n"))?;
            for piece in vec![b'x'; ANSWER].chunks(16 * 1024) {
                talk.send(piece)?;
                counter.fetch_add(piece.len(), Ordering::Relaxed);
            }
        }
    });
    let mut front = Front::before(&origin);
    // What the first request takes is not this one's.
    front.curl().http2().arguments(["--output", "/dev/null"]).send(&url("/_matrix/a")).expect_status(200);
    let before = front.vestibule().process().memory_kib();
    http2::run(MINUTE, async {
        let mut client = Frames::connect(front.https(), NAME, &front.root()).await;
        let widest = (1_u32 << 31) - 1;
        let window = [&[0, 4][..], &widest.to_be_bytes()].concat();
        let settings = [
            frames::frame(SETTINGS, 0, 0, window),
            frames::frame(WINDOW_UPDATE, 0, 0, (widest - 65_535).to_be_bytes()),
        ]
        .concat();
        let get = frames::request("GET", NAME, "/_matrix/a");
        let asked = (0..100).flat_map(|number| frames::frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &get));
        assert!(client.send([settings, asked.collect()].concat()).await);
        let counter = Arc::clone(&taken);
        let stuck = move || settled("the origin is stopped", QUIET, MINUTE, || counter.load(Ordering::Relaxed));
        let stuck_at = tokio::task::spawn_blocking(stuck).await.expect("it settles");
        let grown = front.vestibule().process().memory_kib().saturating_sub(before);
        println!("{grown} KiB more memory, {stuck_at} bytes taken");
        assert!(grown < 8 * 1024, "{grown} KiB more memory, {stuck_at} bytes taken");
    });
}
