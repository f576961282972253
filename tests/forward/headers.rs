//! Header lines: those that pass, and those that end here.

use crate::support::front::{Front, NAME, SOON, get, head, url};
use crate::support::http2::{self, Http2};
use crate::support::origin::Origin;
use http::Request;

/// Lines by which a client might pass for another.
const FORGED: [&str; 16] = [
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-For: 7.7.7.7, 8.8.8.8",
    "X-Forwarded-Proto: http",
    "X-Forwarded-Host: evil.invalid",
    "X-Forwarded-Port: 1",
    "X-Forwarded-Server: evil.invalid",
    "X-Forwarded-Prefix: /evil",
    "X-Original-Forwarded-For: 6.6.6.6",
    "Forwarded: for=6.6.6.6;proto=http",
    "X-Real-IP: 6.6.6.6",
    "True-Client-IP: 6.6.6.6",
    "CF-Connecting-IP: 6.6.6.6",
    "Fly-Client-IP: 6.6.6.6",
    "CloudFront-Viewer-Address: 6.6.6.6:1",
    "X-Envoy-External-Address: 6.6.6.6",
    "X-Client-IP: 6.6.6.6",
];

#[test]
fn the_client_has_one_address_and_cannot_forge_it() {
    let origin = Origin::answering("ok");
    let front = Front::before(&origin);
    for http in ["--http1.1", "--http2"] {
        let mut request = front.curl().arguments([http]);
        for line in FORGED {
            request = request.arguments(["--header", line]);
        }
        request.send(&url("/_matrix/a")).expect_status(200);
        let received = origin.last_request();
        assert_eq!(received.headers("x-forwarded-for"), ["127.0.0.1"], "{}", received.head);
        assert_eq!(received.headers("x-forwarded-proto"), ["https"]);
        assert_eq!(received.headers("x-forwarded-host"), [NAME]);
        assert_eq!(received.headers("x-real-ip"), ["127.0.0.1"]);
        for evil in ["6.6.6.6", "7.7.7.7", "8.8.8.8", "evil", "forwarded-port"] {
            assert!(!received.head.to_lowercase().contains(evil), "{evil} in {}", received.head);
        }
    }
}

#[test]
fn what_concerns_one_hop_stays_on_it() {
    let origin = Origin::start(|talk| {
        loop {
            talk.request()?;
            talk.send(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Inner, keep-alive\r\nX-Inner: secret\r\n\
                 Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nX-Kept: yes\r\n\r\nok",
            )?;
        }
    });
    let front = Front::before(&origin);
    let mut client = front.raw();
    client.send(format!(
        "{}Connection: keep-alive, X-Secret, Host, Authorization, Content-Length\r\nConnection: X-Other\r\n\
         X-Secret: 1\r\nX-Other: 2\r\nKeep-Alive: timeout=1\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\n\
         Proxy-Authorization: Basic eDp5\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\
         Authorization: Bearer token\r\nX-Kept: yes\r\nContent-Length: 2\r\n\r\nhi",
        head("POST", "/_matrix/a")
    ));
    let answer = client.answer();
    let received = origin.only_request();
    for gone in
        ["connection", "x-secret", "x-other", "keep-alive", "proxy-connection", "te", "proxy-authorization", "upgrade"]
    {
        assert_eq!(received.headers(gone), [""; 0], "{gone} in {}", received.head);
    }
    // A sender must not be able to strip what requests stand on.
    assert_eq!(received.header("host"), Some(NAME));
    assert_eq!(received.header("authorization"), Some("Bearer token"));
    assert_eq!((received.header("content-length"), received.body.as_slice()), (Some("2"), b"hi".as_slice()));
    assert_eq!(received.header("x-kept"), Some("yes"));

    for gone in ["x-inner", "keep-alive", "proxy-authenticate"] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
    assert_eq!((answer.header("x-kept"), answer.text().as_str()), (Some("yes"), "ok"));
}

/// A server with two signing keys sends a line for each; merged into one they would not parse.
#[test]
fn two_authorization_lines_arrive_as_two() {
    let origin = Origin::answering("ok");
    let front = Front::before(&origin);
    let keys = [
        "X-Matrix origin=\"a.invalid\",destination=\"hs.invalid\",key=\"ed25519:1\",sig=\"abc/+\"",
        "X-Matrix origin=a.invalid,key=\"ed25519:2\",sig=\"def\"",
    ];
    for http in ["--http1.1", "--http2"] {
        let mut request = front.curl().arguments([http]);
        for key in keys {
            request = request.header("Authorization", key);
        }
        request.send(&url("/_matrix/federation/v1/version")).expect_status(200);
        assert_eq!(origin.last_request().headers("authorization"), keys);
    }
}

/// HTTP/2 clients may split the cookie line to compress it better; HTTP/1.1 knows one only (RFC 9113 §8.2.3).
#[test]
fn a_split_cookie_is_put_together_again() {
    let origin = Origin::answering("ok");
    let front = Front::before(&origin);
    http2::run(SOON, async {
        let mut client = Http2::connect(front.https(), NAME, &front.root()).await;
        let request = Request::get(url("/_matrix/a")).header("cookie", "a=1").header("cookie", "b=2; c=3");
        let answer = client.send(request.body(http2::empty()).expect("a request")).await;
        assert_eq!(answer.expect("an answer").status(), 200);
    });
    assert_eq!(origin.only_request().headers("cookie"), ["a=1; b=2; c=3"]);
}

#[test]
fn end_to_end_lines_pass_untouched() {
    let origin = Origin::start(|talk| {
        talk.request()?;
        talk.send(
            "HTTP/1.1 200 Fine\r\nContent-Length: 0\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nETag: \"strong\"\r\n\
             Access-Control-Allow-Origin: https://app.invalid\r\nCache-Control: no-store, no-transform\r\n\
             Server: Synapse/1.157.1\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nX-Latin: caf\u{e9}\r\n\r\n"
                .chars()
                .map(|c| u8::try_from(u32::from(c)).expect("Latin-1"))
                .collect::<Vec<_>>(),
        )
    });
    let front = Front::before(&origin);
    let mut request = front.curl().header("Accept-Encoding", "gzip, br").header("If-None-Match", "\"x\"");
    request = request.header("User-Agent", "Synapse/1.157.1").header("Origin", "null");
    let answer = request.send(&url("/_matrix/a")).expect_status(200);
    let received = origin.only_request();
    assert_eq!(received.header("accept-encoding"), Some("gzip, br"));
    assert_eq!(received.header("if-none-match"), Some("\"x\""));
    assert_eq!(received.header("user-agent"), Some("Synapse/1.157.1"));
    assert_eq!(received.header("origin"), Some("null"));
    let cookies: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "set-cookie").collect();
    assert_eq!(cookies.len(), 2);
    // Two values would break browsers, so ours stay away where the homeserver has its own.
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.invalid"));
    assert_eq!(answer.header("etag"), Some("\"strong\""));
    assert_eq!(answer.header("cache-control"), Some("no-store, no-transform"));
    assert_eq!(answer.header("server"), Some("Synapse/1.157.1"));
    assert_eq!(answer.header("date"), Some("Tue, 15 Nov 1994 08:12:31 GMT"));
    assert_eq!(answer.header("strict-transport-security"), None, "off by default");
}

#[test]
fn strict_transport_security_is_added_where_it_is_wanted() {
    let origin = Origin::start(|talk| {
        talk.request()?;
        talk.answer("ok")?;
        talk.request()?;
        talk.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nStrict-Transport-Security: max-age=1\r\n\r\n")
    });
    // One connection on both sides, so that the origin's two answers come in order.
    let front =
        Front::start(&format!("tls.hsts = \"365d\"\nserver_name = \"{NAME}\"\nhomeserver = \"{}\"\n", origin.url()));
    let mut client = front.raw();
    for (target, expected) in [
        ("/_matrix/a", "max-age=31536000"),
        ("/_matrix/b", "max-age=1"),
        ("/.well-known/matrix/server", "max-age=31536000"),
        ("/nothing", "max-age=31536000"),
    ] {
        client.send(get(target));
        assert_eq!(client.answer().header("strict-transport-security"), Some(expected), "{target}");
    }
    let plain = front.curl_to(front.http()).send(&format!("http://{NAME}/"));
    assert_eq!(plain.header("strict-transport-security"), None, "browsers ignore it there (RFC 6797 §7.2)");
}
