//! When one side goes, the other learns of it: no work for the dead, and no half an answer that looks whole.

use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use crate::support::front::{Front, NAME, SOON, get, head, url};
use crate::support::http2::{self, Http2};
use crate::support::origin::{Conversation, Origin};
use crate::support::ports;
use crate::support::raw_client::{Arrival, RawClient};
use bytes::Bytes;
use http::Request;

/// How soon a homeserver may stop working for a client that has gone.
const PROMPT: Duration = Duration::from_secs(1);

/// An origin that runs `begin` for each request and then tells when its connection was closed.
fn telling(
    begin: impl Fn(&mut Conversation) -> io::Result<()> + Send + Sync + 'static,
) -> (Origin, mpsc::Receiver<()>) {
    let (tell, closed) = mpsc::channel();
    let tell = Mutex::new(tell);
    let origin = Origin::start(move |talk| {
        talk.head()?;
        begin(talk)?;
        talk.until_closed();
        let _told = tell.lock().expect("nobody panics here").send(());
        Ok(())
    });
    (origin, closed)
}

fn silent(_: &mut Conversation) -> io::Result<()> {
    Ok(())
}

fn half_an_answer(talk: &mut Conversation) -> io::Result<()> {
    talk.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ")
}

#[track_caller]
fn assert_told(closed: &mpsc::Receiver<()>) {
    closed.recv_timeout(PROMPT).expect("the homeserver is told that the client has gone");
}

#[test]
fn an_http1_client_that_goes_before_its_answer() {
    let (origin, closed) = telling(silent);
    let front = Front::before(&origin);
    let mut client = front.raw();
    client.send(get("/_matrix/client/v3/sync"));
    origin.wait_for_requests(1, SOON);
    drop(client);
    assert_told(&closed);
}

/// Its end stands behind whatever it has sent on: perhaps its next requests.
#[test]
fn an_http1_client_that_goes_after_it_has_sent_more() {
    let (origin, closed) = telling(silent);
    let front = Front::before(&origin);
    for more in [100, 15 << 10, 20 << 10, 63 << 10, 64 << 10, 200 << 10] {
        let asked = origin.requests().len();
        let mut client = front.raw();
        client.send(get("/_matrix/client/v3/sync"));
        origin.wait_for_requests(asked + 1, SOON);
        // From some length on it is taken to be gone before it has sent it all.
        let _sent = client.try_send("x".repeat(more));
        drop(client);
        closed.recv_timeout(PROMPT).unwrap_or_else(|_| panic!("the homeserver works on behind {more} bytes"));
    }
}

/// What waits for a homeserver that is down is not sent for a client that has not waited.
#[test]
fn an_http1_client_that_goes_while_its_upload_is_held() {
    for length in [0, 1000, 60_000] {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let mut front = Front::at(&format!("http://{address}"), "log.level = \"debug\"\n");
        let mut client = front.raw();
        client.send(format!("{}Content-Length: 100000\r\n\r\n", head("POST", "/_matrix/client/v3/dead")));
        client.send(vec![b'x'; length]);
        front.vestibule().process().wait_for_line("the upstream is down", SOON);
        drop(client);
        front.vestibule().process().wait_for_line("the client is gone", SOON);
        let origin = Origin::start_at(address, |talk| talk.answer_all("up"));
        assert_eq!(front.curl().send(&url("/_matrix/client/v3/alive")).expect_status(200).text(), "up");
        let asked = origin.requests();
        let dead = asked.iter().find(|request| request.target().ends_with("dead"));
        assert!(dead.is_none(), "with {length} bytes of it: {asked:?}");
    }
}

/// The homeserver is not left with half an exchange once nobody can complete it.
#[test]
fn an_http1_upload_that_turns_out_malformed_after_its_answer_has_begun() {
    let (origin, closed) = telling(half_an_answer);
    let front = Front::before(&origin);
    let mut client = front.raw();
    client.send(format!("{}Transfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n", head("POST", "/_matrix/a")));
    assert_eq!(client.head().status, 200);
    assert_eq!(client.exactly(5), b"half ");
    client.send("nonsense\r\n");
    assert_told(&closed);
    assert_eq!(client.arrival(SOON), Arrival::Closed, "the client is not left with half an answer either");
}

#[test]
fn an_http1_client_that_goes_in_the_middle_of_its_answer() {
    let (origin, closed) = telling(half_an_answer);
    let front = Front::before(&origin);
    let mut client = front.raw();
    client.send(get("/_matrix/a"));
    assert_eq!(client.head().status, 200);
    client.exactly(5);
    drop(client);
    assert_told(&closed);
}

#[test]
fn an_http1_client_that_goes_in_the_middle_of_its_request() {
    let (origin, closed) = telling(silent);
    let front = Front::before(&origin);
    let mut client = front.raw();
    client.send(format!("{}Content-Length: 10\r\n\r\nhalf ", head("POST", "/_matrix/a")));
    origin.wait_for_requests(1, SOON);
    drop(client);
    assert_told(&closed);
}

#[test]
fn an_http2_stream_that_is_reset_before_its_answer() {
    let (origin, closed) = telling(silent);
    let front = Front::before(&origin);
    http2::run(SOON, async {
        let mut client = Http2::connect(front.https(), NAME, &front.root()).await;
        let pending = client.sender.send_request(request());
        origin_has(&origin).await;
        drop(pending);
        assert_told_while_connected(&mut client, closed).await;
    });
}

#[test]
fn an_http2_stream_that_is_reset_in_the_middle_of_its_answer() {
    let (origin, closed) = telling(half_an_answer);
    let front = Front::before(&origin);
    http2::run(SOON, async {
        let mut client = Http2::connect(front.https(), NAME, &front.root()).await;
        let mut body = client.send(request()).await.expect("an answer").into_body();
        http2::next(&mut body).await.expect("a piece").expect("data");
        drop(body);
        assert_told_while_connected(&mut client, closed).await;
    });
}

fn request() -> Request<http2::Body> {
    Request::get(url("/_matrix/a")).body(http2::empty()).expect("a request")
}

/// The connection outlives its stream, and has to be driven while the reset goes out.
async fn assert_told_while_connected(client: &mut Http2, closed: mpsc::Receiver<()>) {
    let told = tokio::task::spawn_blocking(move || closed.recv_timeout(PROMPT)).await;
    told.expect("it returns").expect("the homeserver is told that the stream has ended");
    let request = Request::get(url("/.well-known/matrix/server")).body(http2::empty()).expect("a request");
    assert_eq!(client.send(request).await.expect("an answer").status(), 200);
}

async fn origin_has(origin: &Origin) {
    while origin.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn an_http2_connection_that_goes() {
    for begin in [silent as fn(&mut Conversation) -> _, half_an_answer] {
        let (origin, closed) = telling(begin);
        let front = Front::before(&origin);
        http2::run(SOON, async {
            let mut client = Http2::connect(front.https(), NAME, &front.root()).await;
            let sending = client.sender.send_request(request());
            origin_has(&origin).await;
            client.task.abort();
            drop(sending);
        });
        assert_told(&closed);
    }
}

#[test]
fn an_http2_upload_that_is_reset() {
    let (origin, closed) = telling(silent);
    let front = Front::before(&origin);
    http2::run(SOON, async {
        let mut client = Http2::connect(front.https(), NAME, &front.root()).await;
        let (pieces, body) = http2::streaming();
        let request = Request::post(url("/_matrix/a")).body(body).expect("a request");
        let pending = client.sender.send_request(request);
        pieces.send(Bytes::from("half ")).await.expect("the body is read");
        origin_has(&origin).await;
        client.task.abort();
        drop(pending);
    });
    assert_told(&closed);
}

/// curl's 18 is "transfer closed with outstanding data", 92 an HTTP/2 stream that was not closed cleanly.
#[test]
fn a_homeserver_that_breaks_off_is_visible_downstream() {
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf \r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf \r\n5\r\nof",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf \r\nnonsense\r\n",
    ];
    for answer in answers {
        let origin = Origin::start(move |talk| {
            talk.request()?;
            talk.send(answer)
        });
        let front = Front::before(&origin);
        for (http, expected) in [("--http1.1", 18), ("--http2", 92)] {
            let cut = front.curl().arguments([http]).try_send(&url("/_matrix/a"));
            match cut {
                Err(error) => assert_eq!(error.code, expected, "{http}, {answer:?}: {error}"),
                Ok(answer) => panic!("{http}: half an answer looked whole: {answer:?}"),
            }
        }
        assert_eq!(origin.requests().len(), 2, "nothing is asked twice once an answer has begun");
    }
}

/// Where the end of the connection is the end of the body, only a reset tells a body that was cut from a whole one.
#[test]
fn an_answer_to_http10_that_is_cut_ends_with_a_reset() {
    let half = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf \r\n";
    let origins = [
        ("breaks off", Origin::start(move |talk| talk.request().and_then(|_| talk.send(half)))),
        ("stalls", {
            Origin::start(move |talk| {
                talk.request()?;
                talk.send(half)?;
                talk.until_closed();
                Ok(())
            })
        }),
        ("is not read", {
            Origin::start(|talk| {
                talk.request()?;
                talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                loop {
                    talk.send(format!("10000\r\n{}\r\n", "x".repeat(0x10000)))?;
                }
            })
        }),
        ("is whole", Origin::start(move |talk| talk.request().and_then(|_| talk.send(format!("{half}0\r\n\r\n"))))),
    ];
    for (what, origin) in origins {
        let limits = "limits.stall_timeout = \"500ms\"\nlimits.between_bytes_timeout = \"500ms\"\n";
        let mut front = Front::with(&origin, &format!("{limits}log.level = \"debug\"\n"));
        let socket = TcpStream::connect(front.https()).expect("somebody listens");
        let mut wire = socket.try_clone().expect("another handle");
        let mut client = RawClient::tls_on(socket, NAME, &front.root());
        client.send(format!("GET /_matrix/a HTTP/1.0\r\nHost: {NAME}\r\n\r\n"));
        if what == "is not read" {
            front.vestibule().process().wait_for_line("the client does not read", SOON);
        }
        let mut buffer = vec![0; 1 << 20];
        let end = loop {
            match wire.read(&mut buffer) {
                Ok(0) => break None,
                Ok(_) => {}
                Err(error) => break Some(error.kind()),
            }
        };
        let expected = (what != "is whole").then_some(io::ErrorKind::ConnectionReset);
        assert_eq!(end, expected, "an answer that {what}");
    }
}
