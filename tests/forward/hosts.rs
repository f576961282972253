//! Which host a request is for: matched without port and case, forwarded as it was written.

use crate::support::front::{Front, NAME, PUBLIC, SOON, url};
use crate::support::http2::{self, Http2};
use crate::support::origin::Origin;
use crate::support::raw_client::RawClient;
use http::Request;

const SITE: &str = "chat.invalid";

/// The three shapes in which a delegated server's name arrives (matrix specification, "Resolving server names"), and
/// what careless clients make of them.
const SPELLINGS: [&str; 6] = [
    "hs.invalid",
    "hs.invalid:443",
    "HS.Invalid:8448",
    "matrix.hs.invalid",
    "matrix.hs.invalid:8443",
    "MATRIX.hs.invalid",
];

fn front(origin: &Origin) -> Front {
    Front::with(origin, &format!("[[site]]\nhost = \"{SITE}\"\nupstream = \"{}\"\n", origin.url()))
}

#[test]
fn every_spelling_is_forwarded_verbatim() {
    let origin = Origin::answering("ok");
    let front = front(&origin);
    for host in SPELLINGS {
        for address in [front.https(), front.federation()] {
            let mut client = RawClient::tls(address, NAME, &front.root());
            client.send(format!("GET /_matrix/a HTTP/1.1\r\nhOsT: {host}\r\n\r\n"));
            assert_eq!(client.answer().status, 200, "{host} over HTTP/1.1");
            let request = origin.last_request();
            assert_eq!(request.header("host"), Some(host));
            assert_eq!(request.header("x-forwarded-host"), Some(host));
        }
    }
}

#[test]
fn the_authority_of_http2_becomes_the_host() {
    let origin = Origin::answering("ok");
    let front = front(&origin);
    for host in SPELLINGS {
        // Given a Host line, curl sends it as :authority.
        front.curl().http2().header("Host", host).send(&url("/_matrix/a")).expect_status(200);
        assert_eq!(origin.last_request().header("host"), Some(host));
    }
}

#[test]
fn a_name_outside_the_certificate_shown_is_misdirected() {
    let origin = Origin::answering("ok");
    let front = front(&origin);
    for (sni, host, status) in [
        (NAME, PUBLIC, 200),
        (PUBLIC, NAME, 200),
        (SITE, SITE, 200),
        (NAME, SITE, 421),
        (SITE, NAME, 421),
        (NAME, "nobody.invalid", 421),
        (NAME, "127.0.0.1", 421),
        (NAME, "[::1]:443", 421),
        (NAME, "hs.invalid.evil.invalid", 421),
    ] {
        let before = origin.requests().len();
        let mut client = RawClient::tls(front.https(), sni, &front.root());
        client.send(format!("GET /_matrix/a HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let answer = client.answer();
        assert_eq!(answer.status, status, "{host} after a handshake for {sni}");
        let forwarded = origin.requests().len() - before;
        assert_eq!(forwarded, usize::from(status == 200), "{host} after a handshake for {sni}");
        if status == 421 {
            assert_eq!(answer.json()["errcode"], "M_UNKNOWN");
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        }

        let request = front.curl().http2().header("Host", host);
        assert_eq!(request.send(&format!("https://{sni}/_matrix/a")).status, status, "{host}, {sni} over HTTP/2");
    }
}

#[test]
fn one_host_and_a_good_one_is_demanded() {
    let origin = Origin::answering("ok");
    let front = front(&origin);
    for lines in [
        "",
        "Host:\r\n",
        "Host: hs.invalid\r\nHost: hs.invalid\r\n",
        "Host: hs.invalid\r\nHost: nobody.invalid\r\n",
        "Host: hs.invalid, hs.invalid\r\n",
        "Host: user@hs.invalid\r\n",
        "Host: hs.invalid/x\r\n",
        "Host: hs.invalid:99999\r\n",
        "Host: hs.invalid:\r\n",
        "Host: hs.invalid:x\r\n",
        "Host: hs invalid\r\n",
        "Host: hs_.invalid\r\n",
        "Host: https://hs.invalid\r\n",
    ] {
        let mut client = front.raw();
        client.send(format!("GET /_matrix/a HTTP/1.1\r\n{lines}\r\n"));
        let answer = client.answer();
        assert_eq!(answer.status, 400, "{lines:?}");
        assert_eq!(answer.json()["errcode"], "M_UNKNOWN", "{lines:?}");
    }
    assert!(origin.requests().is_empty());
}

#[test]
fn http2_host_and_authority_must_agree() {
    let origin = Origin::answering("ok");
    let front = front(&origin);
    http2::run(SOON, async {
        let mut client = Http2::connect(front.https(), NAME, &front.root()).await;
        for (host, status) in [("hs.invalid", 200), ("evil.invalid", 400)] {
            let request = Request::get(url("/_matrix/a")).header("host", host).body(http2::empty()).expect("a request");
            assert_eq!(client.send(request).await.expect("an answer").status(), status, "Host: {host}");
        }
    });
    assert_eq!(origin.only_request().headers("host"), [NAME]);
}
