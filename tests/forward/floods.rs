//! HTTP/2 connections that send too much: ENHANCE_YOUR_CALM, few requests for the homeserver, little memory. And
//! those that only look like it.

use std::time::Duration;

use super::noise;
use crate::support::eventually::settled;
use crate::support::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, Frames, GOAWAY, HEADERS, PING, PRIORITY, PRIORITY_UPDATE,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, request,
};
use crate::support::front::{Front, NAME, SOON, get, url};
use crate::support::http2::run;
use crate::support::origin::Origin;

/// The error code that asks for calm (RFC 9113 §7).
const ENHANCE_YOUR_CALM: [u8; 4] = [0, 0, 0, 0xb];

/// Most that one connection may make the program grow by.
const MAX_GROWTH_KIB: u64 = 8 * 1024;

/// A flood that is not cut off within this time is not cut off.
const LONG: Duration = Duration::from_secs(30);

async fn connect(front: &Front) -> Frames {
    Frames::connect(front.https(), NAME, &front.root()).await
}

/// `GET` on this stream, answered by the homeserver.
fn get_on(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, request("GET", NAME, "/_matrix/x"))
}

fn post_on(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, request("POST", NAME, "/_matrix/x"))
}

fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|index| index * 2 + 1)
}

#[track_caller]
fn assert_calmed(received: &[Frame], what: &str) {
    let last = received.last().unwrap_or_else(|| panic!("{what}: nothing came"));
    assert_eq!((last.kind, last.payload.get(4..8)), (GOAWAY, Some(&ENHANCE_YOUR_CALM[..])), "{what}: {last:?}");
}

/// An origin that takes requests and answers none.
fn silent() -> Origin {
    Origin::start(|talk| {
        talk.head()?;
        talk.until_closed();
        Ok(())
    })
}

#[test]
fn frames_that_are_no_work_are_cut_off() {
    let origin = Origin::answering("ok");
    let mut front = Front::before(&origin);
    front.curl().send(&url("/_matrix/x")).expect_status(200);
    let before = front.vestibule().process().memory_kib();
    for (what, flood) in [
        ("PING", frame(PING, 0, 0, [0; 8])),
        ("PING acknowledged unasked", frame(PING, ACK, 0, [0; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, [0, 3, 0, 0, 0, 100])),
        ("empty SETTINGS", frame(SETTINGS, 0, 0, [])),
        ("PRIORITY", frame(PRIORITY, 0, 1, [0, 0, 0, 3, 7])),
        ("PRIORITY_UPDATE", frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1")),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1])),
        ("unknown", frame(0xfa, 0, 0, b"greetings")),
        ("GOAWAY", frame(GOAWAY, 0, 0, [0; 8])),
    ] {
        let received = run(LONG, async { connect(&front).await.exchange(&flood.repeat(100_000)).await });
        assert_calmed(&received, what);
        assert!(received.len() <= 1000, "{what}: {} answers", received.len());
    }
    let grown = front.vestibule().process().memory_kib().saturating_sub(before);
    assert!(grown <= MAX_GROWTH_KIB, "{grown} KiB more");
    front.curl().arguments(["--http2"]).send(&url("/_matrix/x")).expect_status(200);
}

/// Nothing is kept for a client that sends without reading.
#[test]
fn unread_answers_are_not_kept() {
    let origin = Origin::answering("ok");
    let mut front = Front::before(&origin);
    front.curl().send(&url("/_matrix/x")).expect_status(200);
    let before = front.vestibule().process().memory_kib();
    for flood in [frame(PING, 0, 0, [0; 8]), frame(SETTINGS, 0, 0, [])] {
        run(LONG, async {
            let mut client = connect(&front).await;
            let sent = client.send(flood.repeat(100_000));
            // Taken, discarded or refused: only what is kept matters.
            let _taken = tokio::time::timeout(Duration::from_secs(2), sent).await;
        });
    }
    let grown = front.vestibule().process().memory_kib().saturating_sub(before);
    assert!(grown <= MAX_GROWTH_KIB, "{grown} KiB more");
}

#[test]
fn pieces_of_bodies_and_heads_are_cut_off() {
    let origin = silent();
    let front = Front::before(&origin);
    let headers = frame(HEADERS, 0, 1, request("GET", NAME, "/_matrix/x"));
    for (what, first, flood) in [
        ("empty DATA", post_on(1), frame(DATA, 0, 1, [])),
        ("padded DATA", post_on(1), frame(DATA, 8, 1, [1, 0])),
        ("empty CONTINUATION", headers.clone(), frame(CONTINUATION, 0, 1, [])),
        ("CONTINUATION", headers, frame(CONTINUATION, 0, 1, block(&[("x", &"y".repeat(100))]))),
    ] {
        let flood = [first, flood.repeat(100_000)].concat();
        let received = run(LONG, async { connect(&front).await.exchange(&flood).await });
        assert_calmed(&received, what);
    }
    assert!(origin.requests().len() <= 2, "{}", origin.requests().len());
}

/// One header of 4 KiB in the table, referred to 15,000 times: 60 MB out of one frame.
#[test]
fn a_small_head_does_not_become_a_large_one() {
    let origin = Origin::answering("ok");
    let mut front = Front::before(&origin);
    front.curl().send(&url("/_matrix/x")).expect_status(200);
    let before = front.vestibule().process().memory_kib();
    // Literal with incremental indexing, a name of one byte, a value of 4,000 (127 + 33 + 30 × 128).
    let entry = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'a'; 4000]].concat();
    let head = [request("GET", NAME, "/_matrix/x"), entry, vec![0xbe; 11_000]].concat();
    let received = run(LONG, async {
        let flood = streams(50).flat_map(|stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &head));
        connect(&front).await.exchange(&flood.collect::<Vec<_>>()).await
    });
    assert_calmed(&received, "HPACK bomb");
    let grown = front.vestibule().process().memory_kib().saturating_sub(before);
    assert!(grown <= MAX_GROWTH_KIB, "{grown} KiB more");
    assert_eq!(origin.requests().len(), 1, "only curl's");
}

/// Requests opened and taken back, and requests that make the server take them back, at once and one by one.
#[test]
fn requests_that_come_to_nothing_are_cut_off() {
    let cancel = |stream| [get_on(stream), frame(RST_STREAM, 0, stream, [0, 0, 0, 8])].concat();
    let itself = |stream: u32| {
        let dependency = [&stream.to_be_bytes()[..], &[0]].concat();
        [get_on(stream), frame(PRIORITY, 0, stream, dependency)].concat()
    };
    let overflow = |stream| [get_on(stream), frame(WINDOW_UPDATE, 0, stream, [0x7f, 0xff, 0xff, 0xff])].concat();
    for (what, attack) in [
        ("rapid reset", &cancel as &dyn Fn(u32) -> Vec<u8>),
        ("window overflow", &overflow),
        ("dependency on itself", &itself),
    ] {
        let origin = silent();
        let front = Front::before(&origin);
        let flood: Vec<u8> = streams(10_000).flat_map(attack).collect();
        let received = run(LONG, async { connect(&front).await.exchange(&flood).await });
        assert_calmed(&received, what);
        assert!(origin.requests().len() <= 100, "{what}, at once: {} requests", origin.requests().len());

        let origin = silent();
        let front = Front::before(&origin);
        let received = run(LONG, async {
            let mut client = connect(&front).await;
            for stream in streams(10_000) {
                // The answered PING says that the request was read; then it reaches the homeserver.
                let opening = get_on(stream);
                let ping = frame(PING, 0, 0, [0; 8]);
                if !client.send([opening.as_slice(), &ping].concat()).await {
                    break;
                }
                let pong = client.reader.find(SOON, |frame| frame.kind == PING || frame.kind == GOAWAY).await;
                if let Some(goaway) = pong.filter(|frame| frame.kind == GOAWAY) {
                    return vec![goaway];
                }
                if !client.send(&attack(stream)[opening.len()..]).await {
                    break;
                }
            }
            client.reader.rest().await
        });
        assert_calmed(&received, what);
        assert!(origin.requests().len() <= 100, "{what}, paced: {} requests", origin.requests().len());
    }
}

#[test]
fn idle_uploads_are_refused_past_the_limit() {
    let origin = silent();
    let mut front = Front::before(&origin);
    let before = front.vestibule().process().memory_kib();
    let flood: Vec<u8> = streams(2000).flat_map(post_on).collect();
    let received = run(LONG, async { connect(&front).await.exchange(&flood).await });
    assert_calmed(&received, "2000 uploads");
    assert!(origin.requests().len() <= 100, "{} requests", origin.requests().len());
    let grown = front.vestibule().process().memory_kib().saturating_sub(before);
    assert!(grown <= MAX_GROWTH_KIB, "{grown} KiB more");
}

/// A hundred answers of 1 MB for a client whose windows stay closed.
#[test]
fn answers_nobody_takes_stay_small() {
    let large: &'static str = Box::leak("x".repeat(1 << 20).into_boxed_str());
    let origin = Origin::answering(large);
    let mut front = Front::before(&origin);
    front.curl().send(&url("/_matrix/x")).expect_status(200);
    let before = front.vestibule().process().memory_kib();
    run(LONG, async {
        let mut client = connect(&front).await;
        let closed = frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 0]);
        let requests: Vec<u8> = streams(100).flat_map(get_on).collect();
        assert!(client.send([closed, requests].concat()).await);
        origin.wait_for_requests(101, SOON);
        let memory = || front.vestibule().process().memory_kib();
        let grown = settled("the memory", Duration::from_millis(500), SOON, memory).saturating_sub(before);
        assert!(grown <= MAX_GROWTH_KIB, "{grown} KiB more");
    });
    front.curl().send(&url("/_matrix/x")).expect_status(200);
}

/// hyper hides them (RFC 9113 §8.1 wants an error), and so nothing of them may reach the homeserver.
#[test]
fn trailers_reach_no_homeserver() {
    let origin = Origin::answering("ok");
    let front = Front::before(&origin);
    let trailers = block(&[(":path", "/_matrix/evil"), ("x-forwarded-for", "192.0.2.66"), ("x-late", "1")]);
    let received = run(LONG, async {
        let mut client = connect(&front).await;
        let body = frame(DATA, 0, 1, b"body");
        let end = frame(HEADERS, END_HEADERS | END_STREAM, 1, trailers);
        assert!(client.send([post_on(1), body, end].concat()).await);
        client.reader.find(SOON, |frame| frame.stream == 1).await
    });
    assert!(received.is_some());
    let seen = origin.requests();
    assert!(seen.len() <= 1);
    for request in seen {
        let text = format!("{}{}", request.head, String::from_utf8_lossy(&request.body));
        for hidden in ["evil", "192.0.2.66", "x-late"] {
            assert!(!text.contains(hidden), "{text}");
        }
    }
}

/// A client with windows of a KiB reports every frame of a large download twice, and PINGs meanwhile.
#[test]
fn a_download_in_small_steps_is_no_flood() {
    let length = 4 << 20;
    let body: &'static str =
        Box::leak(noise(length).iter().map(|byte| char::from(byte & 0x7f)).collect::<String>().into());
    let origin = Origin::answering(body);
    let front = Front::before(&origin);
    let received = run(Duration::from_secs(60), async {
        let mut client = connect(&front).await;
        let small = frame(SETTINGS, 0, 0, [0, 4, 0, 0, 4, 0]);
        assert!(client.send([small, get_on(1)].concat()).await);
        let mut received = Vec::new();
        loop {
            let frame_in = client.reader.next().await.expect("more of the answer");
            assert_ne!(frame_in.kind, GOAWAY, "{frame_in:?} after {} bytes", received.len());
            if frame_in.kind != DATA {
                continue;
            }
            received.extend_from_slice(&frame_in.payload);
            if frame_in.flags & END_STREAM != 0 {
                return received;
            }
            if !frame_in.payload.is_empty() {
                let taken = u32::try_from(frame_in.payload.len()).expect("a length").to_be_bytes();
                let updates = [frame(WINDOW_UPDATE, 0, 0, taken), frame(WINDOW_UPDATE, 0, 1, taken)].concat();
                assert!(client.send(updates).await);
            }
        }
    });
    assert_eq!(received.len(), length);
}

/// More requests than any budget holds, each with the frames that browsers send along.
#[test]
fn many_requests_are_no_flood() {
    let origin = Origin::answering("ok");
    let front = Front::before(&origin);
    run(LONG, async {
        let mut client = connect(&front).await;
        for stream in streams(2000) {
            let window = frame(WINDOW_UPDATE, 0, stream, [0, 1, 0, 0]);
            let priority = frame(PRIORITY_UPDATE, 0, 0, [&stream.to_be_bytes()[..], b"u=3"].concat());
            assert!(client.send([get_on(stream), window, priority].concat()).await);
            let done = |frame: &Frame| frame.kind == GOAWAY || frame.stream == stream && frame.flags & END_STREAM != 0;
            let last = client.reader.find(SOON, done).await.expect("an answer");
            assert_ne!(last.kind, GOAWAY, "after {stream}");
            // Late, as clients do that have what they wanted.
            assert!(client.send(frame(RST_STREAM, 0, stream, [0, 0, 0, 8])).await);
        }
    });
    assert_eq!(origin.requests().len(), 2000);
    // And HTTP/1.1 has no frames.
    let mut plain = front.raw();
    plain.send(get("/_matrix/x"));
    assert_eq!(plain.answer().status, 200);
}
