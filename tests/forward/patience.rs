//! What takes long and moves: at a sixtieth of the defaults, a poll of ten minutes, slow uploads and downloads, and
//! WebSockets. What does not move, or too little, is cut, and that is visible.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::front::{Front, NAME, SOON, head, url};
use crate::support::http2::{self, Http2};
use crate::support::origin::{Conversation, Origin};
use crate::support::raw_client::{Arrival, RawClient};
use bytes::Bytes;
use http::Request;

/// A sixtieth of the defaults, rounded up where nothing hangs on it; `min_body_rate` is a rate and stays.
const LIMITS: &str = "[limits]\nheader_timeout = \"1s\"\nidle_timeout = \"1250ms\"\nstall_timeout = \"1s\"\n\
                      first_byte_timeout = \"10s\"\nbetween_bytes_timeout = \"2s\"\nmin_body_rate = \"1KiB/s\"\n";

const STALL: Duration = Duration::from_secs(1);
const BETWEEN_BYTES: Duration = Duration::from_secs(2);

/// Ten minutes, less a second for each of them: the homeserver's own limit is no longer than the front's.
const POLL: Duration = Duration::from_millis(9_500);

fn front(origin: &Origin) -> Front {
    Front::with(origin, LIMITS)
}

/// Longer than every limit but one, over both protocols at once.
#[test]
fn a_long_poll_outlives_all_that_is_no_limit_for_it() {
    let origin = Origin::start(|talk| {
        loop {
            talk.request()?;
            thread::sleep(POLL);
            talk.answer("news")?;
        }
    });
    let front = front(&origin);
    let asked = ["--http1.1", "--http2"].map(|http| {
        let request = front.curl().arguments([http]);
        thread::spawn(move || (Instant::now(), request.send(&url("/_matrix/client/v3/sync?timeout=600000"))))
    });
    for asked in asked {
        let (started, answer) = asked.join().expect("curl ends");
        assert_eq!(answer.expect_status(200).text(), "news");
        assert!(started.elapsed() >= POLL);
    }
    assert_eq!(origin.requests().len(), 2, "asked once each");
}

/// An origin that tells how much of a body it was sent.
fn counting() -> Origin {
    Origin::start(|talk| {
        loop {
            let request = talk.request()?;
            talk.answer(&request.body.len().to_string())?;
        }
    })
}

/// Sends pieces of a body of `length` until it is over or the front answers.
fn upload_over_http1(front: &Front, length: usize, piece: usize, pause: Duration) -> (RawClient, Duration) {
    let started = Instant::now();
    let mut client = front.raw();
    client.send(format!("{}Content-Length: {length}\r\n\r\n", head("POST", "/_matrix/a")));
    let mut left = length;
    while left > 0 && client.try_send(vec![b'x'; piece.min(left)]).is_ok() {
        left -= piece.min(left);
        if left > 0 && client.arrival(pause) != Arrival::Nothing {
            break;
        }
    }
    (client, started.elapsed())
}

/// The same over HTTP/2; the status is `None` where the stream is reset.
fn upload_over_http2(front: &Front, length: usize, piece: usize, pause: Duration) -> (Option<u16>, Duration) {
    let started = Instant::now();
    http2::run(SOON * 2, async {
        let mut client = Http2::connect(front.https(), NAME, &front.root()).await;
        let (pieces, body) = http2::streaming();
        let request = Request::post(url("/_matrix/a")).body(body).expect("a request");
        let answer = client.sender.send_request(request);
        let sending = async move {
            for _ in 0..length.div_ceil(piece) {
                if pieces.send(Bytes::from(vec![b'x'; piece])).await.is_err() {
                    return;
                }
                tokio::time::sleep(pause).await;
            }
        };
        let sending = tokio::spawn(sending);
        let status = answer.await.ok().map(|answer| answer.status().as_u16());
        sending.abort();
        (status, started.elapsed())
    })
}

#[test]
fn an_upload_just_above_the_rate_may_take_its_time() {
    let origin = counting();
    let front = front(&origin);
    // 1,280 bytes a second for five times as long as it might stand still.
    let (length, piece, pause) = (6400, 256, Duration::from_millis(200));
    let (mut client, took) = upload_over_http1(&front, length, piece, pause);
    assert_eq!(client.answer().expect_status(200).text(), length.to_string());
    assert!(took > STALL * 4, "{took:?}");
    let (status, took) = upload_over_http2(&front, length, piece, pause);
    assert_eq!(status, Some(200));
    assert!(took > STALL * 4, "{took:?}");
    assert!(origin.requests().iter().all(|request| request.body.len() == length));
}

#[test]
fn an_upload_below_the_rate_is_cut() {
    let origin = counting();
    let front = front(&origin);
    // A tenth of the rate.
    let (length, piece, pause) = (6400, 20, Duration::from_millis(200));
    let (mut client, took) = upload_over_http1(&front, length, piece, pause);
    assert_eq!(client.answer().status, 408);
    assert!(took > STALL / 2 && took < STALL * 4, "{took:?}");
    assert_eq!(client.arrival(SOON), Arrival::Closed);
    let (status, took) = upload_over_http2(&front, length, piece, pause);
    assert!(matches!(status, None | Some(408)), "{status:?}");
    assert!(took > STALL / 2 && took < STALL * 4, "{took:?}");
    assert!(origin.requests().iter().all(|request| request.body.is_empty()), "none of them was whole");
}

#[test]
fn an_upload_may_pause_for_less_than_the_limit() {
    let origin = counting();
    let front = front(&origin);
    let (length, piece, pause) = (16_384, 4096, STALL * 7 / 10);
    let (mut client, _) = upload_over_http1(&front, length, piece, pause);
    assert_eq!(client.answer().expect_status(200).text(), length.to_string());
    assert_eq!(upload_over_http2(&front, length, piece, pause).0, Some(200));
}

/// The homeserver takes a pause of this length within its answer.
fn pausing(pause: Duration) -> Origin {
    Origin::start(move |talk| {
        loop {
            talk.request()?;
            talk.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ")?;
            thread::sleep(pause);
            talk.send("whole")?;
        }
    })
}

/// curl's 18 is "transfer closed with outstanding data", 92 an HTTP/2 stream that was not closed cleanly.
#[test]
fn a_download_may_pause_for_less_than_the_limit_and_is_cut_visibly_after_it() {
    let (short, long) = (pausing(BETWEEN_BYTES * 6 / 10), pausing(BETWEEN_BYTES * 2));
    let (patient, cut) = (front(&short), front(&long));
    for (http, code) in [("--http1.1", 18), ("--http2", 92)] {
        let answer = patient.curl().arguments([http]).send(&url("/_matrix/a"));
        assert_eq!(answer.expect_status(200).text(), "half whole");
        let started = Instant::now();
        let error = cut.curl().arguments([http]).try_send(&url("/_matrix/a")).expect_err("it is cut");
        assert_eq!(error.code, code, "{http}: {error}");
        assert!(started.elapsed() < BETWEEN_BYTES * 2 - STALL / 2, "{:?}", started.elapsed());
    }
}

/// A reader that keeps the rate gets all of it, however long that takes. Kernels take some megabytes ahead, so the rate
/// is seen only in what is larger.
#[test]
fn a_slow_reader_gets_all_of_it() {
    const LENGTH: usize = 12 << 20;
    let origin = Origin::start(|talk| {
        talk.request()?;
        talk.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"))?;
        talk.send(vec![b'x'; LENGTH])
    });
    let front = front(&origin);
    for http in ["--http1.1", "--http2"] {
        let started = Instant::now();
        let request = front.curl().arguments([http, "--limit-rate", "4M"]);
        assert_eq!(request.send(&url("/_matrix/a")).expect_status(200).body.len(), LENGTH);
        assert!(started.elapsed() > STALL * 2, "{:?}", started.elapsed());
    }
}

/// A WebSocket whose homeserver echoes, and that tells when it is over.
fn websocket() -> (Origin, mpsc::Receiver<()>) {
    let (tell, over) = mpsc::channel();
    let tell = Mutex::new(tell);
    let origin = Origin::start(move |talk: &mut Conversation| -> io::Result<()> {
        talk.request()?;
        talk.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")?;
        loop {
            let bytes = talk.some()?;
            if bytes.is_empty() {
                let _told = tell.lock().expect("nobody panics here").send(());
                return Ok(());
            }
            talk.send(bytes)?;
        }
    });
    (origin, over)
}

#[track_caller]
fn open_websocket(front: &Front) -> RawClient {
    let mut client = front.raw();
    client.send(format!(
        "{}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        head("GET", "/_matrix/livekit/sfu/rtc")
    ));
    assert_eq!(client.head().status, 101);
    client
}

#[test]
fn a_websocket_lives_on_its_pings_and_ends_without_them() {
    let (origin, over) = websocket();
    let front = front(&origin);
    let mut client = open_websocket(&front);
    // A ping with a mask of zeros and no payload.
    let ping = b"\x89\x80\0\0\0\0";
    for _ in 0..4 {
        client.send(ping);
        assert_eq!(client.exactly(ping.len()), ping);
        assert_eq!(client.arrival(BETWEEN_BYTES * 6 / 10), Arrival::Nothing);
    }
    let started = Instant::now();
    assert_eq!(client.arrival(SOON), Arrival::Closed);
    assert!(started.elapsed() < BETWEEN_BYTES + STALL, "{:?}", started.elapsed());
    over.recv_timeout(SOON).expect("the homeserver is told");
}

/// By hand: a poll of ten minutes and an upload of 1 GiB at 4 MiB/s, with the limits as they are by default.
/// `cargo test --locked --test integration -- --ignored --nocapture --exact forward::patience::at_full_length`
#[test]
#[ignore = "takes ten minutes"]
fn at_full_length() {
    const UPLOAD: u64 = 1 << 30;
    const TEN_MINUTES: Duration = Duration::from_secs(598);
    let origin = Origin::start(|talk| {
        let request = talk.head()?;
        if request.target().ends_with("sync") {
            thread::sleep(TEN_MINUTES);
            return talk.answer("news");
        }
        let mut left = UPLOAD;
        while left > 0 {
            left = left.saturating_sub(u64::try_from(talk.some()?.len()).expect("a length"));
        }
        talk.answer("all")
    });
    let mut front = Front::before(&origin);
    let file = front.folder().join("upload");
    std::fs::File::create(&file).and_then(|file| file.set_len(UPLOAD)).expect("a sparse file");
    let limit = TEN_MINUTES * 2;
    let asked: Vec<_> = ["--http1.1", "--http2"]
        .into_iter()
        .flat_map(|http| {
            let poll = front.curl().arguments([http]).limit(limit);
            let upload = front.curl().arguments([http, "--limit-rate", "4M", "--header", "Expect:", "--upload-file"]);
            let upload = upload.arguments([&file]).limit(limit);
            [
                thread::spawn(move || poll.send(&url("/_matrix/client/v3/sync"))),
                thread::spawn(move || upload.method("POST").send(&url("/_matrix/media/v3/upload"))),
            ]
        })
        .collect();
    let over = Arc::new(AtomicBool::new(false));
    let (mut first, mut most) = (None, 0);
    let waiting = {
        let over = Arc::clone(&over);
        thread::spawn(move || {
            let answers: Vec<_> = asked.into_iter().map(|asked| asked.join().expect("curl ends")).collect();
            over.store(true, Ordering::Relaxed);
            answers
        })
    };
    while !over.load(Ordering::Relaxed) {
        let memory = front.vestibule().process().memory_kib();
        first.get_or_insert(memory);
        most = most.max(memory);
        thread::sleep(Duration::from_secs(1));
    }
    for answer in waiting.join().expect("they are joined") {
        answer.expect_status(200);
    }
    println!("memory: {first:?} KiB at first, {most} KiB at most");
    assert!(most < first.unwrap_or(0) + 16 * 1024);
}
