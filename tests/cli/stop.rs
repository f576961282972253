//! Starting and stopping: where it listens, what it finishes, and how it ends.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use http::Request;

use crate::forward::outages::assert_unreachable;
use crate::support::eventually::eventually;
use crate::support::front::{Front, NAME, SOON, get, head, url};
use crate::support::http2::{self, Http2};
use crate::support::origin::Origin;
use crate::support::ports;
use crate::support::process::Signal;
use crate::support::raw_client::{Arrival, RawClient};
use crate::support::vestibule::Vestibule;

/// An origin that answers when it is told to.
fn patient() -> (Origin, mpsc::Sender<()>) {
    let (answer, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let origin = Origin::start(move |talk| {
        talk.request()?;
        let _told = told.lock().expect("one at a time").recv();
        talk.answer("finished")
    });
    (origin, answer)
}

#[track_caller]
fn wait_until_refused(address: SocketAddr) {
    eventually("the listener is closed", SOON, || match TcpStream::connect(address) {
        Ok(_) => Err("it accepts connections"),
        Err(_) => Ok(()),
    });
}

#[test]
fn every_address_is_listened_on_and_logged() {
    let config = format!(
        "{}server_name = \"{NAME}\"\n",
        Front::LOOPBACK
            .replace("listen.https = [\"127.0.0.1:0\"]", "listen.https = [\"127.0.0.1:0\", \"127.0.0.2:0\"]")
    );
    let several = Vestibule::start(&config);
    let addresses = several.addresses("https");
    assert_eq!(
        addresses.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>(),
        ["127.0.0.1", "127.0.0.2"]
    );
    for address in addresses {
        assert!(address.port() != 0 && TcpStream::connect(address).is_ok(), "{address}");
    }
    for listener in ["federation", "http"] {
        assert_ne!(several.address(listener).port(), 0, "{listener}");
    }
}

#[test]
fn sigterm_lets_requests_finish() {
    let (origin, answer) = patient();
    let mut front = Front::before(&origin);
    let mut client = front.raw();
    client.send(get("/_matrix/a"));
    origin.wait_for_requests(1, SOON);
    front.vestibule().process().signal(Signal::Term);
    for address in [front.https(), front.federation(), front.http()] {
        wait_until_refused(address);
    }
    assert!(front.vestibule().process().try_wait().is_none(), "it ended with a request in flight");
    answer.send(()).expect("the script waits");
    let finished = client.answer();
    assert_eq!((finished.status, finished.text().as_str()), (200, "finished"));
    assert_eq!(finished.header("connection"), Some("close"), "the client learns that this was the last one");
    assert_eq!(front.vestibule().process().wait(SOON).code(), Some(0));
}

#[test]
fn sigterm_lets_http2_streams_finish() {
    let (origin, answer) = patient();
    let mut front = Front::before(&origin);
    http2::run(SOON * 2, async {
        let mut client = Http2::connect(front.https(), NAME, &front.root()).await;
        let request = Request::get(url("/_matrix/a")).body(http2::empty()).expect("a request");
        let pending = client.sender.send_request(request);
        while origin.requests().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        front.vestibule().process().signal(Signal::Term);
        let address = front.https();
        tokio::task::spawn_blocking(move || wait_until_refused(address)).await.expect("it is refused");
        answer.send(()).expect("the script waits");
        let mut body = pending.await.expect("an answer").into_body();
        assert_eq!(http2::next(&mut body).await.expect("a piece").expect("data"), "finished");
        drop(body);
        client.task.await.expect("the connection is closed");
    });
    assert_eq!(front.vestibule().process().wait(SOON).code(), Some(0));
}

/// Connections that rest hold nobody up.
#[test]
fn idle_connections_do_not_delay_the_end() {
    let origin = Origin::answering("ok");
    let mut front = Front::before(&origin);
    let mut resting = front.raw();
    resting.send(get("/_matrix/a"));
    assert_eq!(resting.answer().status, 200);
    http2::run(SOON, async {
        let mut client = Http2::connect(front.https(), NAME, &front.root()).await;
        let request = Request::get(url("/_matrix/a")).body(http2::empty()).expect("a request");
        assert_eq!(client.send(request).await.expect("an answer").status(), 200);
        front.vestibule().process().signal(Signal::Term);
        client.task.await.expect("the connection is closed");
    });
    assert_eq!(resting.arrival(SOON), Arrival::Closed);
    assert_eq!(front.vestibule().process().wait(SOON).code(), Some(0));
}

/// Nobody stops it to wait for a homeserver that is down: what is held is answered, and it ends long before
/// `limits.drain` and the hold.
#[test]
fn requests_that_are_held_do_not_delay_the_end() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
    let mut front = Front::at(&format!("http://{address}"), "");
    let mut first = front.raw();
    first.send(get("/_matrix/federation/v1/version"));
    let mut second = front.raw();
    // Its body is not read before the homeserver is back.
    second.send(format!("{}Content-Length: 100000\r\n\r\nthe beginning", head("PUT", "/_matrix/client/v3/a")));
    http2::run(SOON, async {
        let mut client = Http2::connect(front.https(), NAME, &front.root()).await;
        let request = Request::get(url("/_matrix/client/v3/a")).body(http2::empty()).expect("a request");
        let pending = client.sender.send_request(request);
        front.vestibule().process().wait_for_line("the upstream is down", SOON);
        assert_eq!(first.arrival(Duration::from_millis(500)), Arrival::Nothing, "it is held");
        assert_eq!(second.arrival(Duration::from_millis(100)), Arrival::Nothing, "it is held");
        front.vestibule().process().signal(Signal::Term);
        assert_eq!(pending.await.expect("an answer").status(), 502);
        client.task.await.expect("the connection is closed");
    });
    assert_unreachable(first.answer());
    assert_unreachable(second.answer());
    drop(second);
    let started = Instant::now();
    assert_eq!(front.vestibule().process().wait(SOON).code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn sigint_is_the_same() {
    let origin = Origin::answering("ok");
    let mut front = Front::before(&origin);
    front.vestibule().process().signal(Signal::Int);
    assert_eq!(front.vestibule().process().wait(SOON).code(), Some(0));
}

#[test]
fn a_second_sigterm_ends_at_once() {
    let (origin, _answer) = patient();
    let mut front = Front::before(&origin);
    let mut client = front.raw();
    client.send(get("/_matrix/a"));
    origin.wait_for_requests(1, SOON);
    front.vestibule().process().signal(Signal::Term);
    wait_until_refused(front.https());
    let started = Instant::now();
    front.vestibule().process().signal(Signal::Term);
    assert_eq!(front.vestibule().process().wait(SOON).code(), Some(3));
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn the_drain_limit_ends_it() {
    let (origin, _answer) = patient();
    let mut front = Front::with(&origin, "[limits]\ndrain = \"1s\"\n");
    let mut client = front.raw();
    client.send(get("/_matrix/a"));
    origin.wait_for_requests(1, SOON);
    let started = Instant::now();
    front.vestibule().process().signal(Signal::Term);
    assert_eq!(front.vestibule().process().wait(SOON).code(), Some(3));
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[test]
fn sighup_ends_nothing_and_hides_no_sigterm() {
    let origin = Origin::answering("ok");
    let mut front = Front::before(&origin);
    let mut client = front.raw();
    for _ in 0..3 {
        let mark = front.vestibule().process().mark();
        front.vestibule().process().signal(Signal::Hup);
        front.vestibule().process().wait_for_line_since(mark, "SIGHUP", SOON);
        client.send(get("/_matrix/a"));
        assert_eq!(client.answer().status, 200);
    }
    drop(client);
    // Stopped, it finds both signals at once when it goes on.
    let process = front.vestibule().process();
    process.signal(Signal::Stop);
    process.signal(Signal::Hup);
    process.signal(Signal::Term);
    process.signal(Signal::Cont);
    assert_eq!(process.wait(SOON).code(), Some(0));
}

/// Nothing of the first run is left on the port, not even by a client that has never said a word.
#[test]
fn a_restart_finds_its_ports_and_its_state() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let origin = Origin::answering("ok");
    let config = |https: &str| {
        format!(
            "state_dir = {:?}\nlimits.header_timeout = \"1s\"\nserver_name = \"{NAME}\"\nhomeserver = \"{}\"\n",
            folder.path().join("state"),
            origin.url()
        ) + &Front::LOOPBACK.replace("listen.https = [\"127.0.0.1:0\"]", &format!("listen.https = [\"{https}\"]"))
    };
    let first = Vestibule::start(&config("127.0.0.1:0"));
    let address = first.address("https");
    let kept = std::fs::read_dir(folder.path().join("state")).expect("a state folder").count();
    assert!(kept > 0, "nothing is kept");
    // It says nothing, and is waited for no longer than a handshake may take.
    let idle = TcpStream::connect(address).expect("it listens");
    assert_eq!(first.terminate(SOON).code(), Some(0));
    let second = Vestibule::start(&config(&address.to_string()));
    assert_eq!(second.address("https"), address);
    drop(idle);
    let mut client = RawClient::plain(address);
    assert_eq!(client.arrival(Duration::from_millis(100)), Arrival::Nothing, "a handshake is awaited");
}
