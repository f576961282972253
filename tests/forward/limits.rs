//! `limits.max_body`: refused before it is read where the length is told, and while it streams where it is not.

use std::fs;

use super::noise;
use crate::support::curl::Response;
use crate::support::front::{Front, head, url};
use crate::support::origin::Origin;

/// Four times the limit of these tests.
const TOO_MUCH: usize = 4 << 20;

fn front(origin: &Origin) -> Front {
    Front::with(origin, "[limits]\nmax_body = \"1MiB\"\n")
}

#[track_caller]
fn assert_refused(answer: Response, what: &str) {
    assert_eq!(answer.status, 413, "{what}");
    assert_eq!(answer.json()["errcode"], "M_TOO_LARGE", "{what}");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{what}");
}

#[test]
fn a_length_over_the_limit_is_refused_before_the_body() {
    let origin = Origin::answering("ok");
    let front = front(&origin);
    let mut client = front.raw();
    // Not a byte of the body is sent, so the refusal cannot have waited for one.
    client.send(format!("{}Content-Length: 1048577\r\n\r\n", head("POST", "/_matrix/a")));
    assert_refused(client.answer(), "by length");
    let mut client = front.raw();
    client.send(format!("{}Expect: 100-continue\r\nContent-Length: 1048577\r\n\r\n", head("POST", "/_matrix/a")));
    assert_refused(client.answer(), "instead of 100 Continue");
    assert!(origin.requests().is_empty(), "the homeserver was asked");
}

#[test]
fn a_body_of_exactly_the_limit_passes() {
    let origin = Origin::answering("ok");
    let front = front(&origin);
    let file = front.folder().join("body");
    fs::write(&file, noise(1 << 20)).expect("a writable folder");
    for http in ["--http1.1", "--http2"] {
        for framing in ["X-Framing: length", "Transfer-Encoding: chunked"] {
            let request = front.curl().arguments([http, "--header", framing]).body_from(&file);
            request.send(&url("/_matrix/a")).expect_status(200);
            assert_eq!(origin.last_request().body.len(), 1 << 20, "{http}, {framing}");
        }
    }
}

#[test]
fn a_body_of_unknown_length_is_cut_at_the_limit() {
    let origin = Origin::answering("never");
    let front = front(&origin);
    let file = front.folder().join("body");
    fs::write(&file, noise(TOO_MUCH)).expect("a writable folder");
    for http in ["--http1.1", "--http2"] {
        let request = front.curl().arguments([http, "--header", "Expect:", "--header", "Transfer-Encoding: chunked"]);
        assert_refused(request.body_from(&file).send(&url("/_matrix/a")), http);
    }
    // The origin never saw the end of one, and so has answered none.
    assert!(origin.requests().iter().all(|request| request.body.is_empty()));
}

/// A client that only reads once it has sent everything must see the refusal, not a reset. curl reads meanwhile.
#[test]
fn the_refusal_reaches_a_client_that_is_still_sending() {
    let origin = Origin::answering("ok");
    let front = front(&origin);
    let file = front.folder().join("body");
    fs::write(&file, noise(8 * TOO_MUCH)).expect("a writable folder");
    for http in ["--http1.1", "--http2"] {
        for _ in 0..5 {
            let request = front.curl().arguments([http, "--header", "Expect:"]).body_from(&file);
            assert_refused(request.send(&url("/_matrix/a")), http);
        }
    }
    let mut client = front.raw();
    client.send(format!("{}Content-Length: {TOO_MUCH}\r\n\r\n", head("POST", "/_matrix/a")));
    // It may be cut off while it sends; what was answered before that must be readable all the same.
    let _cut = client.try_send(noise(TOO_MUCH));
    assert_refused(client.answer(), "all sent before reading");
}
