//! Requests that wait for a homeserver that is down: not a byte is sent, and none is lost.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use super::outages::{NO_HOLD, assert_unreachable};
use crate::support::curl::Response;
use crate::support::eventually::eventually;
use crate::support::front::{Front, NAME, SOON, get, head, url};
use crate::support::http2::{self, Http2};
use crate::support::origin::{Conversation, Origin};
use crate::support::ports;
use crate::support::raw_client::{Arrival, RawClient};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use http::Request;

/// Beyond the time until the homeserver is back: a probe, and the pace of the release.
const MARGIN: Duration = Duration::from_secs(3);

const ANSWER: &str = "here again";

fn nowhere() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()))
}

fn before(address: SocketAddr, more: &str) -> Front {
    Front::at(&format!("http://{address}"), more)
}

fn answering(talk: &mut Conversation) -> io::Result<()> {
    talk.answer_all(ANSWER)
}

/// Sends in a thread; the answer comes with the time it took.
fn send(front: &Front, http: &str, method: &str, target: &str) -> thread::JoinHandle<(Response, Duration)> {
    let (request, target) = (front.curl().arguments([http, "--data-binary", "body"]).method(method), url(target));
    thread::spawn(move || {
        let started = Instant::now();
        let answer = request.send(&target);
        (answer, started.elapsed())
    })
}

/// Waits until the log says that requests wait.
fn wait_until_down(front: &mut Front) {
    front.vestibule().process().wait_for_line("the upstream is down", SOON);
}

#[test]
fn requests_wait_and_are_sent_once() {
    let address = nowhere();
    let mut front = before(address, "");
    let mut sent = Vec::new();
    for http in ["--http1.1", "--http2"] {
        for method in ["GET", "PUT", "POST"] {
            for target in ["/_matrix/client/v3/a", "/_matrix/federation/v1/send/1", "/_matrix/key/v2/server"] {
                sent.push(send(&front, http, method, target));
            }
        }
    }
    wait_until_down(&mut front);
    // Answered meanwhile, from memory.
    let started = Instant::now();
    front.curl().send(&url("/.well-known/matrix/server")).expect_status(200);
    let preflight = front.curl().method("OPTIONS").send(&url("/_matrix/client/v3/a")).expect_status(204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    assert!(started.elapsed() < MARGIN);
    assert!(sent.iter().all(|request| !request.is_finished()), "they wait");

    let origin = Origin::start_at(address, answering);
    let count = sent.len();
    for request in sent {
        let (answer, took) = request.join().expect("an answer");
        assert_eq!(answer.expect_status(200).text(), ANSWER);
        assert!(took < SOON, "{took:?}");
    }
    let received = origin.requests();
    assert_eq!(received.len(), count, "each of them once");
    assert!(received.iter().all(|request| request.body == b"body"), "{received:?}");
    let line = front.vestibule().process().wait_for_line("the upstream is back", SOON);
    for part in [format!("held={count}"), format!("saved={count}"), "lost=0".to_owned()] {
        assert!(line.contains(&part), "{line}");
    }
}

#[test]
fn off_is_a_prompt_502() {
    let front = before(nowhere(), NO_HOLD);
    let started = Instant::now();
    for target in ["/_matrix/client/v3/a", "/_matrix/federation/v1/a", "/_matrix/key/v2/server"] {
        assert_unreachable(front.curl().send(&url(target)));
    }
    assert!(started.elapsed() < MARGIN);
}

#[test]
fn each_class_waits_as_long_as_it_may() {
    let limits = "limits.hold = { federation = \"3s\", key = \"1s\", client = \"2s\" }\n";
    let mut front = before(nowhere(), limits);
    let classes = [("/_matrix/federation/v1/a", 3), ("/_matrix/key/v2/server", 1), ("/_matrix/client/v3/a", 2)];
    let sent = classes.map(|(target, limit)| (send(&front, "--http2", "POST", target), Duration::from_secs(limit)));
    for (request, limit) in sent {
        let (answer, took) = request.join().expect("an answer");
        assert_unreachable(answer);
        assert!(took >= limit && took < limit + MARGIN, "{limit:?}: {took:?}");
    }
    let downs = front.vestibule().process().lines();
    let downs = downs.iter().filter(|line| line.contains("the upstream is down"));
    assert_eq!(downs.count(), 1, "one line, whatever the number of requests and workers");
}

#[test]
fn a_unix_socket_that_is_not_there_is_waited_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut front = Front::at(&format!("unix:{}/origin.sock", folder.path().display()), "");
    let request = send(&front, "--http2", "PUT", "/_matrix/client/v3/a");
    wait_until_down(&mut front);
    let _origin = Origin::start_unix(folder.path(), answering);
    assert_eq!(request.join().expect("an answer").0.expect_status(200).text(), ANSWER);
}

/// A container's proxy accepts for a backend that is gone, and closes. One request pays for finding out on each worker;
/// here that is one connection, so one.
#[test]
fn a_proxy_that_accepts_and_closes_is_seen_through() {
    let address = nowhere();
    let closing = Origin::start_at(address, |talk| talk.some().map(drop));
    let front = before(address, "");
    let mut client = front.raw();
    client.send(format!("{}Content-Length: 1\r\n\r\nx", head("POST", "/_matrix/client/v3/a")));
    assert_unreachable(client.answer());
    client.send(format!("{}Content-Length: 1\r\n\r\nx", head("POST", "/_matrix/client/v3/b")));
    assert_eq!(client.arrival(Duration::from_secs(1)), Arrival::Nothing, "the second one waits");
    drop(closing);
    let origin = Origin::start_at(address, answering);
    assert_eq!(client.answer().expect_status(200).text(), ANSWER);
    assert_eq!(origin.only_request().target(), "/_matrix/client/v3/b");
}

/// A homeserver that runs and closes one connection: the next requests are late by a `/health`.
#[test]
fn one_broken_connection_is_no_outage() {
    let origin = Origin::start(|talk| match talk.request()?.target() {
        "/_matrix/client/v3/break" => Ok(()),
        _ => talk.answer(ANSWER),
    });
    let front = Front::before(&origin);
    let mut client = front.raw();
    for _ in 0..3 {
        client.send(format!("{}Content-Length: 1\r\n\r\nx", head("POST", "/_matrix/client/v3/break")));
        assert_unreachable(client.answer());
        client.send(get("/_matrix/client/v3/a"));
        assert_eq!(client.answer().expect_status(200).text(), ANSWER);
    }
    assert_eq!(origin.probes(), 3);
}

/// Not one is lost, and each is sent once.
#[test]
fn hundreds_wait_and_all_are_answered() {
    let address = nowhere();
    let mut front = before(address, "");
    http2::run(SOON * 3, async {
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(Http2::connect(front.https(), NAME, &front.root()).await);
        }
        let mut answers = Vec::new();
        for client in &mut clients {
            for number in 0..100 {
                let request = Request::post(url(&format!("/_matrix/client/v3/{number}"))).body(http2::full("x"));
                answers.push(client.sender.send_request(request.expect("a request")));
            }
        }
        let (address, front) = (address, &mut front);
        let started = tokio::task::spawn_blocking(move || {
            thread::sleep(Duration::from_secs(1));
            Origin::start_at(address, answering)
        });
        let (origin, answers) = tokio::join!(started, join_all(answers));
        assert_eq!(answers.len(), 300);
        for answer in answers {
            assert_eq!(answer.expect("an answer").status(), 200);
        }
        assert_eq!(origin.expect("a port").requests().len(), 300);
        wait_until_down(front);
    });
}

/// One address may have 1,000 requests waiting; what comes then is refused at once, and said so in JSON.
#[test]
fn one_address_has_its_share() {
    let front = before(nowhere(), "limits.hold.client = \"30s\"\n");
    http2::run(SOON * 3, async {
        let mut clients = Vec::new();
        for _ in 0..12 {
            clients.push(Http2::connect(front.https(), NAME, &front.root()).await);
        }
        let get = || Request::get(url("/_matrix/client/v3/a")).body(http2::empty()).expect("a request");
        let mut waiting = FuturesUnordered::new();
        for client in &mut clients {
            waiting.extend((0..100).map(|_| client.sender.send_request(get())));
        }
        for _ in 0..200 {
            let refused = waiting.next().await.expect("more were sent").expect("an answer");
            assert_eq!(refused.status(), 503);
            assert!(refused.headers().contains_key("retry-after"));
            assert_eq!(refused.headers()["access-control-allow-origin"], "*");
            assert_eq!(refused.headers()["content-type"], "application/json");
        }
        let more = tokio::time::timeout(Duration::from_secs(1), waiting.next()).await;
        assert!(more.is_err(), "the thousand wait: {more:?}");

        // Whoever goes away makes room.
        drop(waiting);
        for client in clients {
            client.task.abort();
        }
        let mut one_more = Http2::connect(front.https(), NAME, &front.root()).await;
        let deadline = Instant::now() + SOON;
        loop {
            let asked = tokio::time::timeout(Duration::from_secs(1), one_more.send(get())).await;
            match asked {
                Err(_) => break,
                Ok(_) => assert!(Instant::now() < deadline, "there is no room yet"),
            }
        }
    });
}

/// A client that goes away while its request waits takes the request with it.
#[test]
fn a_request_whose_client_is_gone_is_not_sent() {
    let address = nowhere();
    let mut front = before(address, "");
    let mut client = front.raw();
    client.send(get("/_matrix/client/v3/gone"));
    wait_until_down(&mut front);
    drop(client);
    // Nothing outside tells when the front has seen it go: it gets a second for it.
    let origin = thread::spawn(move || {
        thread::sleep(Duration::from_secs(1));
        Origin::start_at(address, answering)
    });
    for _ in 0..4 {
        send(&front, "--http2", "GET", "/_matrix/client/v3/stays").join().expect("an answer").0.expect_status(200);
    }
    let line = front.vestibule().process().wait_for_line("the upstream is back", SOON);
    assert!(line.contains("left=1"), "{line}");
    let origin = origin.join().expect("a port");
    assert!(origin.requests().iter().all(|request| request.target() == "/_matrix/client/v3/stays"));
}

/// It frees its place at once, whatever of its body nobody has read.
#[test]
fn a_held_upload_whose_client_goes_leaves_its_place() {
    let front = before(nowhere(), "limits.hold.client = \"30s\"\n");
    let held = |body: &[u8]| {
        let mut client = front.raw();
        client.send(format!("{}Content-Length: 1000000\r\n\r\n", head("POST", "/_matrix/client/v3/upload")));
        client.send(body);
        client
    };
    // As many as one address may have by their bytes, 64 KiB each.
    let mut clients: Vec<_> = (0..255).map(|_| held(b"a beginning")).collect();
    let mut over = held(b"");
    let refused = |client: &mut RawClient| client.arrival(Duration::from_millis(300)) == Arrival::Bytes;
    while !refused(&mut over) {
        assert!(clients.len() < 300, "there is room for ever");
        clients.push(std::mem::replace(&mut over, held(b"")));
    }
    assert_eq!(over.answer().status, 503);
    drop(clients.pop());
    eventually("the place of a client that has gone is free", Duration::from_secs(2), || {
        match refused(&mut held(b"")) {
            true => Err("it is still taken"),
            false => Ok(()),
        }
    });
}

/// What one client provokes does not make the others wait: here `/health` is never answered.
#[test]
fn a_connection_broken_for_one_client_closes_nothing_for_others() {
    let origin = Origin::start(|talk| {
        loop {
            let text = String::from_utf8_lossy(&talk.some()?).into_owned();
            match text.split(' ').nth(1) {
                Some("/health") => {
                    talk.until_closed();
                    return Ok(());
                }
                Some("/_matrix/client/v3/long") => {
                    thread::sleep(Duration::from_millis(500));
                    return Ok(());
                }
                None => return Ok(()),
                Some(_) => talk.answer(ANSWER)?,
            }
        }
    });
    let front = Front::before(&origin);
    http2::run(SOON * 2, async {
        let mut client = Http2::connect(front.https(), NAME, &front.root()).await;
        let to = |method: &str, path: &str| {
            let request = Request::builder().method(method).uri(url(path));
            request.body(http2::empty()).expect("a request")
        };
        for _ in 0..2 {
            let broken = client.sender.send_request(to("POST", "/_matrix/client/v3/long"));
            // Asked for while the other one is under way.
            while client.send(to("GET", "/_matrix/client/v3/a")).await.expect("an answer").status() != 200 {}
            assert_eq!(broken.await.expect("an answer").status(), 502);
            let started = Instant::now();
            assert_eq!(client.send(to("GET", "/_matrix/client/v3/b")).await.expect("an answer").status(), 200);
            assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
        }
    });
}
