//! The authentication service and the services behind calls.

use super::{ask, origins, said};
use crate::support::eventually::eventually;
use crate::support::front::{Front, PUBLIC, SOON, get, head, url};
use crate::support::origin::{Conversation, Origin};

#[test]
fn logins_go_to_the_authentication_service() {
    let [main, mas] = origins();
    let front = Front::with(&main, &format!("[mas]\nurl = \"{}\"\n", mas.url()));
    for (path, expected) in [
        ("/_matrix/client/v3/login", "1"),
        ("/_matrix/client/r0/login/sso/redirect/idp?redirectUrl=x", "1"),
        ("/_matrix/client/api/v1/login", "1"),
        ("/_matrix/client/unstable/logout/all", "1"),
        ("/_matrix/client/v3/refresh", "1"),
        ("/_matrix/client/v1/login/get_token", "0"),
        ("/_matrix/client/v3/rooms/!a/state/m.x/login", "0"),
        ("/_matrix/client/unstable/org.matrix.msc3882/login/token", "0"),
        ("/_matrix/client/v3/loginx", "0"),
        ("/_matrix/client/v3/log%69n", "0"),
        ("/_matrix/client/v3/login/../account", "0"),
    ] {
        assert_eq!(ask(&front, path), expected, "{path}");
    }
    let posted = front.curl().http2().arguments(["--data-binary", "{}"]).send(&url("/_matrix/client/v3/login"));
    assert_eq!(said(posted), "1");
    let received = mas.last_request();
    assert_eq!(received.request_line(), "POST /_matrix/client/v3/login HTTP/1.1");
    assert_eq!(received.headers("x-forwarded-for"), ["127.0.0.1"]);
}

#[test]
fn call_services_get_paths_without_their_prefix() {
    let [main, jwt, sfu, web] = origins();
    let more = format!(
        "[rtc]\njwt = \"{}\"\nsfu = \"{}\"\n[[site]]\nhost = \"hs.invalid\"\nupstream = \"{}\"\n",
        jwt.url(),
        sfu.url(),
        web.url()
    );
    let front = Front::with(&main, &more);
    assert_eq!(ask(&front, "/livekit/jwt/sfu/get?a=%2F"), "1");
    assert_eq!(jwt.last_request().target(), "/sfu/get?a=%2F");
    assert_eq!(ask(&front, "/livekit/jwt/"), "1");
    assert_eq!(jwt.last_request().target(), "/");
    assert_eq!(ask(&front, "/livekit/sfu/rtc/validate?access_token=x"), "2");
    assert_eq!(sfu.last_request().target(), "/rtc/validate?access_token=x");
    for path in ["/livekit/jwt", "/livekit/", "/livekit/jwtx/", "/livekit/jwt/..%2f..%2fx", "/livekit/%6awt/x"] {
        assert_eq!(ask(&front, path), "3", "{path} is the site's");
    }
    let plain = front.curl_to(front.http()).send("http://hs.invalid/livekit/sfu/rtc?access_token=x");
    assert_eq!(plain.status, 403, "a token in plain text has leaked");
    let document = front.curl().send(&url("/.well-known/matrix/client")).expect_status(200).json();
    let foci = &document["org.matrix.msc4143.rtc_foci"];
    assert_eq!(foci[0]["livekit_service_url"], format!("https://{PUBLIC}/livekit/jwt"), "{document}");
}

#[test]
fn without_the_services_their_paths_are_closed() {
    let [main] = origins();
    let front = Front::before(&main);
    assert_eq!(ask(&front, "/livekit/jwt/sfu/get"), "404");
    assert_eq!(ask(&front, "/livekit/sfu/rtc"), "404");
    assert_eq!(ask(&front, "/_matrix/client/v3/login"), "0");
    let document = front.curl().send(&url("/.well-known/matrix/client")).expect_status(200).json();
    assert!(document["org.matrix.msc4143.rtc_foci"].is_null(), "{document}");
}

#[test]
fn the_sfu_gets_websockets() {
    let sfu = Origin::start(|talk| {
        talk.request()?;
        talk.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")?;
        let bytes = talk.some()?;
        talk.send(bytes)
    });
    let [main] = origins();
    let front = Front::with(&main, &format!("[rtc]\nsfu = \"{}\"\n", sfu.url()));
    let mut client = front.raw();
    let head = head("GET", "/livekit/sfu/rtc?access_token=x");
    client.send(format!(
        "{head}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ));
    assert_eq!(client.head().status, 101);
    client.send("ping");
    assert_eq!(client.exactly(4), b"ping");
    assert_eq!(sfu.only_request().target(), "/rtc?access_token=x");
    let mut other = front.raw();
    other.send(get("/_matrix/client/versions"));
    assert_eq!(other.answer().status, 200);
}

/// A site is no homeserver: what it says to `/health`, or to a host that it does not know, decides nothing.
#[test]
fn a_site_is_not_asked_for_its_health() {
    let script = |talk: &mut Conversation| {
        let text = String::from_utf8_lossy(&talk.some()?).into_owned();
        match text.split(' ').nth(1) {
            Some("/health") => talk.send("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"),
            Some("/abort") | None => Ok(()),
            Some(_) => talk.answer("site"),
        }
    };
    let site = Origin::start(script);
    let address = site.address();
    let [main] = origins();
    let front = Front::with(&main, &format!("[[site]]\nhost = \"hs.invalid\"\nupstream = \"{}\"\n", site.url()));
    let ask = |path: &str| said(front.curl().send(&url(path)));
    for _ in 0..4 {
        assert_eq!(ask("/abort"), "502");
        assert_eq!(ask("/"), "site");
    }
    drop(site);
    for _ in 0..4 {
        assert_eq!(ask("/"), "502");
    }
    let _site = Origin::start_at(address, script);
    eventually("it is back on every worker", SOON, || {
        let answers: Vec<_> = (0..4).map(|_| ask("/")).collect();
        if answers.iter().all(|answer| answer == "site") { Ok(()) } else { Err(format!("{answers:?}")) }
    });
}
