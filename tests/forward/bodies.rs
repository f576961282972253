//! Bodies keep their framing and every byte.

use std::fs;
use std::time::Duration;

use super::{noise, sha256};
use crate::support::front::{Front, NAME, SOON, get, head, url};
use crate::support::http2::{self, Http2};
use crate::support::origin::Origin;
use crate::support::raw_client::Arrival;
use bytes::Bytes;
use http::Request;

/// Above every buffer on the way, and odd, so that no piece ends where another does.
const BIG: usize = 24 * 1024 * 1024 + 4099;

const PROTOCOLS: [&str; 2] = ["--http1.1", "--http2"];

#[test]
fn a_content_length_is_kept_in_both_directions() {
    let origin = Origin::answering("hello");
    let front = Front::before(&origin);
    for http in PROTOCOLS {
        let request = front.curl().arguments([http, "--data-binary", "12345"]);
        let answer = request.send(&url("/_matrix/media/v3/upload")).expect_status(200);
        let received = origin.last_request();
        assert_eq!(received.header("content-length"), Some("5"), "{http}: {}", received.head);
        assert_eq!(received.headers("transfer-encoding"), [""; 0]);
        assert_eq!(received.body, b"12345");
        assert_eq!((answer.header("content-length"), answer.text().as_str()), (Some("5"), "hello"), "{http}");
    }
}

/// An empty body that is said to be one must stay so: Synapse refuses uploads without a length.
#[test]
fn a_length_of_zero_is_a_length() {
    let origin = Origin::answering("");
    let front = Front::before(&origin);
    let mut client = front.raw();
    client.send(format!("{}Content-Length: 0\r\n\r\n", head("POST", "/_matrix/media/v3/upload")));
    assert_eq!(client.answer().header("content-length"), Some("0"));
    assert_eq!(origin.only_request().header("content-length"), Some("0"));
}

#[test]
fn chunks_stay_chunks_in_both_directions() {
    let origin = Origin::start(|talk| {
        loop {
            talk.request()?;
            talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")?;
        }
    });
    let front = Front::before(&origin);
    let mut client = front.raw();
    let chunks = "2\r\nhi\r\n4\r\n you\r\n0\r\n\r\n";
    client.send(format!("{}Transfer-Encoding: chunked\r\n\r\n{chunks}", head("PUT", "/_matrix/a")));
    let answer = client.answer();
    assert_eq!((answer.text().as_str(), answer.header("content-length")), ("abcdefg", None));
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    let received = origin.only_request();
    assert_eq!((received.header("transfer-encoding"), received.headers("content-length")), (Some("chunked"), vec![]));
    assert_eq!(received.body, b"hi you");
    // Over HTTP/2 framing says it all, and a length nobody knows is not made up.
    let answer = front.curl().http2().send(&url("/_matrix/a"));
    assert_eq!((answer.text().as_str(), answer.header("content-length")), ("abcdefg", None));
    assert_eq!(answer.header("transfer-encoding"), None);
}

#[test]
fn an_http2_upload_without_a_length_is_chunked() {
    let origin = Origin::answering("ok");
    let front = Front::before(&origin);
    http2::run(SOON, async {
        let mut client = Http2::connect(front.https(), NAME, &front.root()).await;
        let (pieces, body) = http2::streaming();
        let request = Request::post(url("/_matrix/a")).body(body).expect("a request");
        let sending = async {
            for piece in ["one", " two", " three"] {
                pieces.send(Bytes::from(piece)).await.expect("the body is read");
            }
            drop(pieces);
        };
        let (answer, ()) = tokio::join!(client.send(request), sending);
        assert_eq!(answer.expect("an answer").status(), 200);
    });
    let received = origin.only_request();
    assert_eq!(received.body, b"one two three");
    assert_eq!(received.headers("content-length"), [""; 0]);
}

#[test]
fn an_answer_that_ends_with_its_connection_ends_cleanly() {
    let origin = Origin::start(|talk| {
        talk.request()?;
        talk.send("HTTP/1.1 200 OK\r\n\r\nuntil the end")
    });
    let front = Front::before(&origin);
    for http in PROTOCOLS {
        let answer = front.curl().arguments([http]).send(&url("/_matrix/a")).expect_status(200);
        assert_eq!((answer.text().as_str(), answer.header("content-length")), ("until the end", None), "{http}");
    }
}

/// Answers without a body, some of which still tell a length: that of the answer a GET would have had.
#[test]
fn answers_without_a_body() {
    let origin = Origin::start(|talk| {
        loop {
            let request = talk.request()?;
            talk.send(match (request.request_line().split(' ').next(), request.target()) {
                (_, "/_matrix/204") => "HTTP/1.1 204 No Content\r\nX-Is: 204\r\n\r\n",
                (_, "/_matrix/304") => "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n",
                (Some("HEAD"), "/_matrix/length") => "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n",
                (Some("HEAD"), _) => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            })?;
        }
    });
    let front = Front::before(&origin);
    for http in PROTOCOLS {
        for (method, target, status, length) in [
            ("GET", "/_matrix/204", 204, None),
            ("GET", "/_matrix/304", 304, None),
            ("HEAD", "/_matrix/length", 200, Some("17")),
            ("HEAD", "/_matrix/unknown-length", 200, None),
            ("GET", "/_matrix/empty", 200, Some("0")),
        ] {
            let request = front.curl().arguments([http]);
            let request = if method == "HEAD" { request.arguments(["--head"]) } else { request };
            let answer = request.send(&url(target)).expect_status(status);
            assert_eq!(answer.header("content-length"), length, "{method} {target} with {http}");
            // curl prints the head in place of the body it did not ask for.
            assert!(method == "HEAD" || answer.body.is_empty(), "{target}: {}", answer.text());
        }
    }
    assert_eq!(origin.last_request().request_line(), "GET /_matrix/empty HTTP/1.1");
}

/// curl waits for the 100 before it sends a body, and so do others.
#[test]
fn expect_100_continue_is_answered_here() {
    let origin = Origin::answering("done");
    let front = Front::before(&origin);
    let mut client = front.raw();
    client.send(format!("{}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n", head("PUT", "/_matrix/a")));
    assert_eq!(client.head().status, 100);
    client.send("body");
    assert_eq!(client.answer().text(), "done");
    let received = origin.only_request();
    assert_eq!((received.headers("expect"), received.body.as_slice()), (vec![], b"body".as_slice()));

    // A refusal comes instead of the 100, not after it.
    let mut client = front.raw();
    client.send(format!("{}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n", head("PUT", "/nothing")));
    assert_eq!(client.head().status, 404);
}

/// Interim answers are for the hop that asked for them; a homeserver that sends many must not fill anybody's memory.
#[test]
fn interim_answers_do_not_disturb_the_final_one() {
    let origin = Origin::start(|talk| {
        talk.request()?;
        for _ in 0..10_000 {
            talk.send("HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        talk.answer("final")
    });
    let front = Front::before(&origin);
    let mut client = front.raw();
    client.send(get("/_matrix/a"));
    let first = client.head();
    assert!(matches!(first.status, 200 | 502), "{first:?}");
}

#[test]
fn big_bodies_arrive_unchanged() {
    let body = noise(BIG);
    let expected = sha256(&body);
    let download = body.clone();
    let origin = Origin::start(move |talk| {
        loop {
            let request = talk.request()?;
            let sum = sha256(&request.body);
            if request.request_line().starts_with("GET") {
                talk.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", download.len()))?;
                talk.send(&download)?;
            } else {
                talk.answer(&sum)?;
            }
        }
    });
    let front = Front::before(&origin);
    let file = front.folder().join("body");
    fs::write(&file, &body).expect("a writable folder");
    for http in PROTOCOLS {
        let down = front.curl().arguments([http]).send(&url("/_matrix/down")).expect_status(200);
        assert_eq!((down.body.len(), sha256(&down.body)), (BIG, expected.clone()), "{http} down");
        for framing in ["Content-Length:", "Transfer-Encoding: chunked"] {
            let up = front.curl().arguments([http]).body_from(&file);
            // Over HTTP/2 curl knows better than to send the second, and sends no length then.
            let up = if framing.starts_with('T') { up.arguments(["--header", framing]) } else { up };
            let answer = up.send(&url("/_matrix/up")).expect_status(200);
            assert_eq!(answer.text(), expected, "{http} up, {framing}");
        }
    }
}

/// A homeserver that refuses an upload answers before it has read all of it.
#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let origin = Origin::start(|talk| {
        talk.head()?;
        talk.send("HTTP/1.1 413 Too Large\r\nContent-Length: 7\r\nConnection: close\r\n\r\nrefused")?;
        talk.until_closed();
        Ok(())
    });
    let front = Front::before(&origin);
    let file = front.folder().join("body");
    fs::write(&file, noise(BIG)).expect("a writable folder");
    for http in PROTOCOLS {
        let answer = front.curl().arguments([http, "--header", "Expect:"]).body_from(&file).send(&url("/_matrix/up"));
        assert_eq!((answer.status, answer.text().as_str()), (413, "refused"), "{http}");
    }
}

/// The same of one that answers and closes with the rest unread: the kernel resets the connection, and a write fails
/// before the answer has been read.
#[test]
fn an_early_answer_survives_the_reset_behind_it() {
    const LENGTH: usize = 1 << 20;
    let origin = Origin::start(|talk| {
        talk.head()?;
        talk.send("HTTP/1.1 413 Too Large\r\nContent-Length: 7\r\nConnection: close\r\n\r\nrefused")
    });
    let front = Front::before(&origin);
    let body = noise(LENGTH);
    for round in 0..60 {
        let mut client = front.raw();
        client.send(format!("{}Content-Length: {LENGTH}\r\n\r\n", head("POST", "/_matrix/media/v3/upload")));
        // It may be cut off while it sends; what was answered before that must be readable all the same.
        let _cut = client.try_send(&body);
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str()), (413, "refused"), "round {round}");
    }
}

/// What a homeserver says beyond the length it announced belongs to nobody, least of all to the next client.
#[test]
fn surplus_bytes_never_reach_the_next_answer() {
    let origin = Origin::start(|talk| {
        loop {
            talk.request()?;
            talk.send(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            )?;
        }
    });
    let front = Front::before(&origin);
    let mut client = front.raw();
    for _ in 0..5 {
        client.send(get("/_matrix/a"));
        assert_eq!(client.answer().text(), "ok");
    }
    assert_eq!(client.arrival(Duration::from_millis(200)), Arrival::Nothing);
}
