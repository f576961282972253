//! The request target arrives byte for byte: X-Matrix signs it, and Synapse routes on it undecoded.

use crate::support::front::{Front, get, head, url};
use crate::support::origin::Origin;

const TARGETS: [&str; 17] = [
    "/_matrix/client/v3/rooms/%21room%3Ahs.invalid/state/m.room.name/",
    "/_matrix/client/v3/rooms/%21room%3ahs.invalid/state/m.room.name",
    "/_matrix/client/v3/profile/@user:hs.invalid",
    "/_matrix/client/v3/profile/%40user%3Ahs.invalid",
    "/_matrix/federation/v1/event/$a%2Fb",
    "/_matrix/federation/v1/event/$a%2fb",
    "/_matrix/federation/v1/event/%24a%2Fb;c=d,e",
    "/_matrix/client/v3/room_keys/keys//session//x",
    "/_matrix/client/v3/a/../b/./c",
    "/_matrix/client/v3/a/%2e%2E/b",
    "/_matrix/client/v3/sync?b=2&a=1&b=3&&empty=&=x",
    "/_matrix/client/v3/sync?",
    "/_matrix/client/v3/sync?filter={%22room%22:{}}",
    "/_matrix/client/v3/a/\"quoted\"/{x}",
    "/_matrix/client/v3/sync?a=%zz&b=100%&c=%",
    "/_matrix/client/v3/search?q=a+b%20c|d^e`f'g(h)[i]\\j",
    "/_matrix/client/v3/a?next=https://x.example/?y=1",
];

#[test]
fn over_http1() {
    let origin = Origin::answering("ok");
    let front = Front::before(&origin);
    let mut client = front.raw();
    for target in TARGETS {
        client.send(get(target));
        assert_eq!(client.answer().status, 200, "{target}");
        assert_eq!(origin.last_request().request_line(), format!("GET {target} HTTP/1.1"));
    }
}

#[test]
fn over_http2() {
    let origin = Origin::answering("ok");
    let front = Front::before(&origin);
    for target in TARGETS {
        let request = front.curl().http2().arguments(["--request-target", target]);
        let answer = request.send(&url("/")).expect_status(200);
        assert_eq!(answer.http_version, "2");
        assert_eq!(origin.last_request().request_line(), format!("GET {target} HTTP/1.1"));
    }
}

/// Every single byte that may stand in a target at all is forwarded as it came, those too that RFC 3986 wants escaped:
/// a changed target would fail its signature at the homeserver, where nobody would look for the reason.
#[test]
fn every_byte_is_forwarded_as_it_is() {
    let origin = Origin::answering("ok");
    let front = Front::before(&origin);
    let mut client = front.raw();
    for place in ["", "?"] {
        for byte in (0x21..=0x7e).filter(|byte| !b"#?".contains(byte)) {
            let target = format!("/_matrix/{place}a{}b", char::from(byte));
            client.send(get(&target));
            assert_eq!(client.answer().status, 200, "{target}");
            assert_eq!(origin.last_request().target(), target);
        }
    }
}

/// UTF-8 that a careless client did not escape.
#[test]
fn bytes_beyond_ascii_are_forwarded_as_they_are() {
    let origin = Origin::answering("ok");
    let front = Front::before(&origin);
    let mut client = front.raw();
    client.send(get("/_matrix/x/\u{e4}\u{1f600}?q=\u{df}"));
    assert_eq!(client.answer().status, 200);
    let latin1: String = "/_matrix/x/\u{e4}\u{1f600}?q=\u{df}".bytes().map(char::from).collect();
    assert_eq!(origin.last_request().target(), latin1);
}

/// A fragment never belongs in a request. What stands before it is forwarded, as curl and browsers would send it.
#[test]
fn a_fragment_is_never_forwarded() {
    let origin = Origin::answering("ok");
    let front = Front::before(&origin);
    let mut client = front.raw();
    client.send(get("/_matrix/a?b#c"));
    if client.answer().status == 200 {
        assert_eq!(origin.last_request().target(), "/_matrix/a?b");
    } else {
        assert!(origin.requests().is_empty());
    }
}

#[test]
fn other_forms_than_a_path() {
    let origin = Origin::answering("ok");
    let front = Front::before(&origin);
    // The absolute form is for proxies, but a server has to take it (RFC 9112 §3.2.2).
    let mut client = front.raw();
    client.send(get("https://hs.invalid/_matrix/a%2Fb?c"));
    assert_eq!(client.answer().status, 200);
    assert_eq!(origin.only_request().target(), "/_matrix/a%2Fb?c");
    client.send(get("https://other.invalid/_matrix/a"));
    assert_eq!(client.answer().status, 400, "the authority is not the Host");

    for line in
        ["OPTIONS *", "CONNECT hs.invalid:443", "CONNECT /_matrix/a", "GET _matrix/a", "GET matrix-federation://x/"]
    {
        let (method, target) = line.split_once(' ').expect("two words");
        let mut client = front.raw();
        client.send(format!("{}\r\n", head(method, target)));
        assert_eq!(client.answer().status, 400, "{line}");
    }
    assert_eq!(origin.requests().len(), 1, "nothing of that was forwarded");
}
