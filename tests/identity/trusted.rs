//! `trusted_proxies.from`: whose X-Forwarded-For and X-Request-Id are believed.

use std::collections::HashSet;

use super::{BALANCER, connect_with, front, told_over};
use crate::support::curl::Curl;
use crate::support::front::{Front, NAME, get, head, url};
use crate::support::origin::{Origin, Received};
use crate::support::raw_client::RawClient;

const TRUSTED: &str = "trusted_proxies.from = [\"127.0.0.2\", \"10.0.0.0/8\"]";

fn from(source: &str, front: &Front) -> Curl {
    front.curl().arguments(["--interface", source])
}

/// What the homeserver is told of a request with these X-Forwarded-For lines.
#[track_caller]
fn told(request: Curl, lines: &[&str], origin: &Origin) -> String {
    let request = lines.iter().fold(request, |request, line| request.header("X-Forwarded-For", line));
    request.send(&url("/_matrix/client/versions")).expect_status(200);
    origin.last_request().header("x-forwarded-for").expect("an address").to_owned()
}

#[test]
fn the_first_untrusted_address_from_the_right_is_the_client() {
    let origin = Origin::answering("ok");
    let front = front(&origin, TRUSTED);
    let chains: [(&[&str], &str); 6] = [
        (&[], "127.0.0.2"),
        (&["192.0.2.7"], "192.0.2.7"),
        (&["6.6.6.6, 192.0.2.7:4660, 10.0.0.3"], "192.0.2.7"),
        (&["6.6.6.6", "[2001:db8::7]:4660, 10.0.0.3", "10.0.0.2"], "2001:db8::7"),
        (&["6.6.6.6, unknown, 10.0.0.2"], "10.0.0.2"),
        (&["10.0.0.9, ::ffff:10.0.0.8"], "10.0.0.9"),
    ];
    for http in ["--http1.1", "--http2"] {
        for (lines, client) in chains {
            assert_eq!(told(from("127.0.0.2", &front).arguments([http]), lines, &origin), client, "{lines:?}");
            assert_eq!(told(front.curl().arguments([http]), lines, &origin), "127.0.0.1", "not trusted: {lines:?}");
        }
    }
}

#[test]
fn rules_by_address_see_the_same_client() {
    let origin = Origin::answering("ok");
    let front = front(&origin, &format!("{TRUSTED}\nlimits.admin_allow = [\"192.0.2.0/24\"]"));
    let ask = |source, client| {
        let request = from(source, &front).header("X-Forwarded-For", client);
        request.send(&url("/_synapse/admin/v1/x")).status
    };
    assert_eq!(ask("127.0.0.2", "192.0.2.7"), 200);
    assert_eq!(ask("127.0.0.2", "198.51.100.7"), 403);
    assert_eq!(ask("127.0.0.1", "192.0.2.7"), 403);
}

/// A balancer in front of a proxy in front of us: the header names the proxy, and the proxy the client.
#[test]
fn a_proxy_may_be_known_by_its_proxy_protocol_address() {
    let origin = Origin::answering("ok");
    let keys = "trusted_proxies.from = [\"10.0.0.0/8\"]\nlisten.proxy_protocol_from = [\"127.0.0.2\"]";
    let front = front(&origin, keys);
    for (source, client) in [("10.0.0.7", "192.0.2.7"), ("198.51.100.7", "198.51.100.7")] {
        let header = format!("PROXY TCP4 {source} 10.0.0.1 4660 443\r\n");
        let socket = connect_with(header.as_bytes(), front.https());
        let mut connection = RawClient::tls_on(socket, NAME, &front.root());
        connection.send(format!("{}X-Forwarded-For: 192.0.2.7\r\n\r\n", head("GET", "/_matrix/a")));
        assert_eq!(connection.answer().status, 200);
        assert_eq!(origin.last_request().header("x-forwarded-for"), Some(client));
    }
    let socket = connect_with(b"PROXY UNKNOWN\r\n", front.https());
    assert_eq!(told_over(socket, &front, &origin), [BALANCER.to_string()]);
}

#[test]
fn each_request_has_an_id() {
    let origin = Origin::answering("ok");
    let front = front(&origin, TRUSTED);
    let id = |received: Received| received.header("x-request-id").expect("an id").to_owned();
    let sent = |source: &str, given: &str| {
        let request = from(source, &front).header("X-Request-Id", given);
        request.send(&url("/_matrix/client/versions")).expect_status(200);
        id(origin.last_request())
    };
    assert_eq!(sent("127.0.0.2", "their-own/1"), "their-own/1");
    let mut fresh = HashSet::from([sent("127.0.0.1", "forged"), sent("127.0.0.2", "not one")]);
    assert!(!fresh.contains("forged") && !fresh.contains("not one"));
    let mut client = front.raw();
    for _ in 0..20 {
        client.send(get("/_matrix/a"));
        client.answer();
        fresh.insert(id(origin.last_request()));
    }
    assert_eq!(fresh.len(), 22);
    assert!(fresh.iter().all(|id| id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_graphic())), "{fresh:?}");
}

#[test]
fn a_trace_context_passes_whole_or_not_at_all() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let origin = Origin::answering("ok");
    let front = front(&origin, TRUSTED);
    let zeros = PARENT.replace("b7ad6b7169203331", "0000000000000000");
    let cases: [(&[&str], bool); 5] =
        [(&[PARENT], true), (&[&zeros], false), (&["x"], false), (&[PARENT, PARENT], false), (&[], false)];
    for (parents, passes) in cases {
        let request = parents.iter().fold(front.curl(), |request, parent| request.header("traceparent", parent));
        request.header("tracestate", "a=1,b=2").send(&url("/_matrix/a")).expect_status(200);
        let received = origin.last_request();
        assert_eq!(received.header("traceparent"), passes.then_some(PARENT), "{parents:?}");
        assert_eq!(received.header("tracestate"), passes.then_some("a=1,b=2"), "{parents:?}");
    }
}
