//! What follows the handshake: the protocol that ALPN agrees on, HSTS, and an end to clients that say nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{DOCUMENT, Front};

/// `no_application_protocol` (RFC 7301 §3.2).
const NO_APPLICATION_PROTOCOL: u8 = 120;

#[test]
fn alpn_chooses_the_protocol() {
    let front = Front::internal();
    let url = format!("https://one.test{DOCUMENT}");
    for (option, version) in [("--http2", "2"), ("--http1.1", "1.1"), ("--no-alpn", "1.1")] {
        let answer = front.curl("one.test").arguments([option]).send(&url).expect_status(200);
        assert_eq!(answer.http_version, version, "{option}");
    }
    for (offer, agreed) in [("h2", "h2"), ("http/1.1", "http/1.1"), ("http/1.1,h2", "h2"), ("foreign,h2", "h2")] {
        let outcome = front.handshake().arguments(["-alpn", offer]).perform();
        assert_eq!(outcome.alpn(), Some(agreed), "{offer}: {}", outcome.text);
    }
}

#[test]
fn a_client_that_speaks_neither_protocol_is_refused() {
    let front = Front::internal();
    for offer in ["foreign", "http/1.0", "h3", "spdy/3"] {
        front.handshake().arguments(["-alpn", offer]).perform().assert_refused(NO_APPLICATION_PROTOCOL);
    }
}

/// The protocol of ACME validation is answered only while a validation is open.
#[test]
fn acme_tls_is_refused_when_no_challenge_is_open() {
    let front = Front::internal();
    front.handshake().arguments(["-alpn", "acme-tls/1"]).perform().assert_refused(super::UNRECOGNIZED_NAME);
}

#[test]
fn hsts_is_there_only_when_configured() {
    let url = format!("https://one.test{DOCUMENT}");
    let hsts = |front: &Front, url: &str| {
        let answer = front.curl("one.test").send(url);
        answer.header("strict-transport-security").map(str::to_owned)
    };
    let front = Front::internal();
    assert_eq!(hsts(&front, &url), None);
    let front = Front::internal_with("hsts = \"365d\"", "");
    // On refusals as well; and never for subdomains, which may be other people's.
    for url in [&url, "https://one.test/not-there"] {
        assert_eq!(hsts(&front, url).as_deref(), Some("max-age=31536000"), "{url}");
    }
}

#[test]
fn a_handshake_that_does_not_go_on_ends_in_time() {
    let front = Front::internal_with("", "[limits]\nheader_timeout = \"1s\"");
    // Nothing, a beginning, and drops that keep coming: the limit is for all of it together.
    let drip = |mut stream: &TcpStream| stream.write(&[1]).map(drop);
    let cases: [(&str, &[u8], bool); 3] =
        [("silence", b"", false), ("a beginning", &[22, 3, 1, 2, 0, 1], false), ("drops", &[22, 3, 1, 2, 0, 1], true)];
    for (case, beginning, drips) in cases {
        let mut stream = TcpStream::connect(front.https()).expect("vestibule accepts");
        let connected = Instant::now();
        stream.write_all(beginning).expect("a fresh connection takes bytes");
        stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        let ended = loop {
            if drips && drip(&stream).is_err() {
                break connected.elapsed();
            }
            match stream.read(&mut [0; 64]) {
                // A reset is an end as well: it finds bytes that nobody read.
                Ok(0) => break connected.elapsed(),
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => break connected.elapsed(),
                _ => assert!(connected.elapsed() < Duration::from_secs(10), "{case}: still open"),
            }
        };
        assert!(ended > Duration::from_millis(900), "{case}: ended after {ended:?}, too early");
    }
}
