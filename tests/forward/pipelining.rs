//! Requests that follow each other on one connection without waiting, and what may stand between them.

use std::time::Duration;

use crate::support::front::{Front, get, head};
use crate::support::origin::Origin;
use crate::support::raw_client::Arrival;

/// However full the socket is with answers at the moment when a body is asked for.
#[test]
fn a_100_leaves_behind_any_number_of_answers() {
    let origin = Origin::answering("ok");
    let front = Front::with(&origin, "limits.stall_timeout = \"2s\"\n");
    for count in 60..200 {
        let mut client = front.raw();
        // The answers to all that follows are written in one turn.
        client.send(get("/_matrix/a"));
        assert_eq!(client.answer().status, 200);
        let mut requests = get("/.well-known/matrix/server").repeat(count);
        requests.push_str(&head("POST", "/_matrix/a"));
        requests.push_str("Content-Length: 4\r\nExpect: 100-continue\r\n\r\n");
        client.send(requests);
        for number in 0..count {
            let answer = client.answer();
            assert_eq!(answer.status, 200, "{number} of {count}");
            assert!(answer.text().starts_with("{\"m.server\""), "{number} of {count}: {answer:?}");
        }
        assert_eq!(client.head().status, 100, "behind {count} answers");
        client.send("body");
        assert_eq!(client.answer().text(), "ok");
    }
    assert!(origin.requests().iter().filter(|request| !request.body.is_empty()).all(|request| request.body == b"body"));
}

/// A line end behind a request is a habit of old clients, and begins no head (RFC 9112 §2.2).
#[test]
fn line_ends_between_requests_are_no_slow_head() {
    const HEADER_TIMEOUT: Duration = Duration::from_millis(500);
    let origin = Origin::answering("ok");
    let front = Front::with(&origin, "limits.header_timeout = \"500ms\"\n");
    let mut client = front.raw();
    for _ in 0..2 {
        client.send(format!("{}\r\n", get("/_matrix/a")));
        assert_eq!(client.answer().text(), "ok");
        assert_eq!(client.arrival(HEADER_TIMEOUT * 2), Arrival::Nothing, "nobody asked");
    }
    assert_eq!(origin.requests().len(), 2);
}
