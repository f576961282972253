//! A homeserver that is down, comes back, or closes connections it had promised to keep. Requests do not wait here;
//! `hold` is about those that do.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::support::curl::Response;
use crate::support::eventually::eventually;
use crate::support::front::{Front, SOON, get, head, url};
use crate::support::origin::Origin;
use crate::support::ports;

/// A refused connection is known at once; anything near the connect timeout would be a hang.
const PROMPT: Duration = Duration::from_secs(2);

/// Nobody waits for a homeserver that is down.
pub const NO_HOLD: &str = "limits.hold = { federation = \"0s\", key = \"0s\", client = \"0s\" }\n";

#[track_caller]
pub fn assert_unreachable(answer: Response) {
    assert_eq!(answer.status, 502);
    let body = answer.json();
    assert_eq!(body["errcode"], "M_UNKNOWN");
    assert!(body["error"].is_string(), "{body}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{answer:?}");
}

#[test]
fn down_and_up_again() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
    let front = Front::at(&format!("http://{address}"), NO_HOLD);
    for http in ["--http1.1", "--http2"] {
        for method in ["GET", "POST", "PUT"] {
            let started = Instant::now();
            let request = front.curl().arguments([http, "--data-binary", "x"]).method(method);
            assert_unreachable(request.send(&url("/_matrix/client/versions")));
            assert!(started.elapsed() < PROMPT, "{method} {http} took {:?}", started.elapsed());
        }
        let preflight = front.curl().arguments([http]).method("OPTIONS").send(&url("/_matrix/client/v3/login"));
        assert_eq!((preflight.status, preflight.body.len()), (204, 0));
        assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
        let methods = preflight.header("access-control-allow-methods").expect("methods");
        assert!(["GET", "POST", "PUT", "DELETE", "OPTIONS"].iter().all(|method| methods.contains(method)), "{methods}");
        let headers = preflight.header("access-control-allow-headers").expect("headers");
        assert!(["X-Requested-With", "Content-Type", "Authorization"].iter().all(|name| headers.contains(name)));
    }

    let origin = Origin::start_at(address, |talk| talk.answer_all("back"));
    assert_eq!(front.curl().send(&url("/_matrix/client/versions")).expect_status(200).text(), "back");
    drop(origin);
    assert_unreachable(front.curl().send(&url("/_matrix/client/versions")));
    let _origin = Origin::start_at(address, |talk| talk.answer_all("back again"));
    assert_eq!(front.curl().send(&url("/_matrix/client/versions")).expect_status(200).text(), "back again");
}

/// A preflight is the homeserver's to answer as long as it can: it may allow more than we would.
#[test]
fn preflights_are_forwarded_while_it_is_up() {
    let origin = Origin::start(|talk| {
        talk.request()?;
        talk.send(
            "HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: PATCH\r\n\r\n",
        )
    });
    let front = Front::before(&origin);
    let answer = front.curl().method("OPTIONS").send(&url("/_matrix/client/v3/login")).expect_status(204);
    assert_eq!(answer.header("access-control-allow-methods"), Some("PATCH"));
    assert_eq!(origin.only_request().request_line(), "OPTIONS /_matrix/client/v3/login HTTP/1.1");
}

#[test]
fn a_unix_socket_may_be_gone_and_come_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let front = Front::at(&format!("unix:{}/origin.sock", folder.path().display()), NO_HOLD);
    assert_unreachable(front.curl().send(&url("/_matrix/a")));
    let origin = Origin::start_unix(folder.path(), |talk| talk.answer_all("through the socket"));
    for http in ["--http1.1", "--http2"] {
        let request = front.curl().arguments([http, "--data-binary", "body"]);
        assert_eq!(request.send(&url("/_matrix/a%2Fb")).expect_status(200).text(), "through the socket");
        let received = origin.last_request();
        assert_eq!((received.target(), received.body.as_slice()), ("/_matrix/a%2Fb", b"body".as_slice()));
        // Over a unix socket this is the only client address a homeserver can see.
        assert_eq!(received.header("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(received.header("host"), Some("hs.invalid"));
    }
}

/// Twisted closes idle connections after a minute.
#[test]
fn a_connection_closed_while_idle_costs_nothing() {
    let (close, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let origin = Origin::start(move |talk| {
        talk.request()?;
        talk.answer("ok")?;
        let _told = told.lock().expect("one at a time").recv();
        Ok(())
    });
    let front = Front::before(&origin);
    let mut client = front.raw();
    for round in 0..3 {
        for request in [get("/_matrix/a"), format!("{}Content-Length: 1\r\n\r\nx", head("POST", "/_matrix/b"))] {
            client.send(request);
            assert_eq!(client.answer().status, 200, "round {round}");
            close.send(()).expect("the script waits");
            eventually("the connection is closed", SOON, || {
                let open = established(origin.address());
                if open == 0 { Ok(()) } else { Err(format!("{open} open")) }
            });
        }
    }
    assert_eq!((origin.requests().len(), origin.connections()), (6, 6));
}

/// Connections to `address` that both ends still hold, as the kernel has them.
fn established(address: SocketAddr) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let remote = format!(":{:04X}", address.port());
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|columns| columns[2].ends_with(&remote) && columns[3] == "01").count()
}

/// The homeserver closes at the very moment a request is on its way: it has read it, or it has not, and nobody knows.
#[test]
fn a_reused_connection_that_breaks_is_retried_for_get_and_never_for_post() {
    let origin = Origin::start(|talk| {
        talk.request()?;
        talk.answer("first")?;
        // The second request on a connection is read and gets no answer.
        talk.request()?;
        Ok(())
    });
    let front = Front::before(&origin);
    let mut client = front.raw();
    client.send(get("/_matrix/warm"));
    assert_eq!(client.answer().status, 200);
    client.send(get("/_matrix/again"));
    assert_eq!(client.answer().status, 200, "a GET is sent again over a new connection");
    let again = |target: &str| origin.requests().iter().filter(|request| request.target() == target).count();
    assert_eq!(again("/_matrix/again"), 2);

    for method in ["POST", "PUT"] {
        let target = format!("/_matrix/{method}");
        client.send(format!("{}Content-Length: 1\r\n\r\nx", head(method, &target)));
        assert_unreachable(client.answer());
        assert_eq!(again(&target), 1, "{method} was sent more than once");
        client.send(get("/_matrix/warm"));
        assert_eq!(client.answer().status, 200);
    }
}

/// On a new connection nothing is ever asked twice: it was not idle, so it has not been closed for idling.
#[test]
fn a_new_connection_that_breaks_is_not_retried() {
    let origin = Origin::start(|talk| talk.request().map(drop));
    let front = Front::before(&origin);
    for (asked, method) in [(1, "GET"), (2, "POST"), (3, "PUT")] {
        assert_unreachable(front.curl().http1().method(method).send(&url("/_matrix/a")));
        assert_eq!(origin.requests().len(), asked, "{method}");
    }
}

/// Many connections that were idle when the homeserver restarted are no reason to ask it many times.
#[test]
fn a_get_is_tried_at_most_twice() {
    let origin = Origin::start(|talk| {
        talk.request()?;
        talk.answer("first")?;
        talk.request().map(drop)
    });
    let front = Front::before(&origin);
    // One client connection is one worker with one pool; HTTP/2 fills it with several connections at once.
    crate::support::http2::run(SOON, async {
        use crate::support::http2::{Http2, empty};
        let mut client = Http2::connect(front.https(), "hs.invalid", &front.root()).await;
        let get = |target: &str| http::Request::get(url(target)).body(empty()).expect("a request");
        let burst: Vec<_> = (0..8).map(|_| client.sender.send_request(get("/_matrix/burst"))).collect();
        for answer in futures_util::future::join_all(burst).await {
            assert_eq!(answer.expect("an answer").status(), 200);
        }
        assert!(origin.connections() > 2, "{} connections are not many", origin.connections());
        assert_eq!(client.send(get("/_matrix/once")).await.expect("an answer").status(), 200);
    });
    let asked = origin.requests().iter().filter(|request| request.target() == "/_matrix/once").count();
    assert!(asked <= 2, "asked {asked} times");
}

/// What is no HTTP answer is a 502, and none of it reaches the client.
#[test]
fn nonsense_instead_of_an_answer() {
    for nonsense in [
        "nonsense\r\n\r\n",
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbroken header\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Evil: a\u{0}b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n",
    ] {
        let origin = Origin::start(move |talk| {
            talk.request()?;
            talk.send(nonsense)
        });
        let front = Front::before(&origin);
        assert_unreachable(front.curl().send(&url("/_matrix/a")));
        assert_eq!(origin.requests().len(), 1, "{nonsense:?}");
    }
}
