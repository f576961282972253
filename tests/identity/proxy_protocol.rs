//! `listen.proxy_protocol_from`: a balancer in front says whose connection it passes on.

use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::{BALANCER, connect, connect_with, front, told_over, v2};
use crate::support::front::{Front, NAME, SOON};
use crate::support::origin::Origin;
use crate::support::raw_client::{Arrival, RawClient};

const REQUIRED: &str = "listen.proxy_protocol_from = [\"127.0.0.2\"]\nlog.level = \"debug\"";

const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 4660 443\r\n";

fn v4_block() -> Vec<u8> {
    vec![192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x34, 0x01, 0xbb]
}

fn v6_block(source: &str) -> Vec<u8> {
    let source: Ipv6Addr = source.parse().expect("an address");
    [&source.octets()[..], &[0; 16], &[0x12, 0x34, 0x01, 0xbb]].concat()
}

/// Waits for the reason that the program gives at debug level.
#[track_caller]
fn assert_reason(front: &mut Front, reason: &str) {
    front.vestibule().process().wait_for_line(reason, SOON);
}

#[test]
fn the_headers_source_is_the_client() {
    let origin = Origin::answering("ok");
    let front = front(&origin, REQUIRED);
    let with_tlvs = |block: Vec<u8>| [&block[..], &[0x04, 0, 2, 0, 0]].concat();
    let headers = [
        (LINE.to_vec(), "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 4660 443\r\n".to_vec(), "2001:db8::7"),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 4660 443\r\n".to_vec(), "192.0.2.7"),
        (v2(0x21, 0x11, &v4_block()), "192.0.2.7"),
        (v2(0x21, 0x11, &with_tlvs(v4_block())), "192.0.2.7"),
        (v2(0x21, 0x21, &v6_block("2001:db8::7")), "2001:db8::7"),
        (v2(0x21, 0x21, &v6_block("::ffff:192.0.2.7")), "192.0.2.7"),
        // These speak for the balancer, or for nobody with an address.
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.2"),
        (b"PROXY UNKNOWN 192.0.2.7 10.0.0.1 4660 443\r\n".to_vec(), "127.0.0.2"),
        (v2(0x20, 0x00, &[]), "127.0.0.2"),
        (v2(0x20, 0x11, &v4_block()), "127.0.0.2"),
        (v2(0x21, 0x00, &[]), "127.0.0.2"),
    ];
    for (header, client) in &headers {
        for listener in [front.https(), front.federation()] {
            let socket = connect_with(header, listener);
            assert_eq!(told_over(socket, &front, &origin), [*client], "{:?}", String::from_utf8_lossy(header));
        }
    }
    let direct = connect(Ipv4Addr::LOCALHOST, front.https());
    assert_eq!(told_over(direct, &front, &origin), ["127.0.0.1"], "others need none");
}

#[test]
fn the_plain_listener_asks_for_it_too() {
    let origin = Origin::answering("never");
    let front = front(&origin, REQUIRED);
    let request = format!("GET /a HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    // In one piece with what follows, of which nothing may be lost.
    let mut client = RawClient::plain_on(connect_with(&[LINE, request.as_bytes()].concat(), front.http()));
    assert_eq!(client.answer().status, 301);
    let mut client = RawClient::plain_on(connect_with(request.as_bytes(), front.http()));
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_header_may_come_byte_by_byte() {
    let origin = Origin::answering("ok");
    let front = front(&origin, REQUIRED);
    for header in [LINE.to_vec(), v2(0x21, 0x11, &v4_block())] {
        let mut socket = connect(BALANCER, front.https());
        for byte in header {
            socket.write_all(&[byte]).expect("somebody reads");
        }
        assert_eq!(told_over(socket, &front, &origin), ["192.0.2.7"]);
    }
}

#[test]
fn without_a_good_header_the_connection_is_closed() {
    let origin = Origin::answering("never");
    let mut front = front(&origin, REQUIRED);
    let too_long = v2(0x21, 0x11, &[&v4_block()[..], &[0; 509]].concat());
    assert_eq!(too_long.len(), 537);
    let table: [(&[u8], &str); 6] = [
        (b"\x16\x03\x01\x02\x00\x01", "no PROXY protocol header: it does not begin with one"),
        (b"GET / HTTP/1.1\r\n\r\n", "no PROXY protocol header: it does not begin with one"),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 4660\r\n", "no PROXY protocol header: its line is malformed"),
        (&too_long, "no PROXY protocol header: it is too long"),
        (&[b'P'; 2000], "no PROXY protocol header: it does not begin with one"),
        (b"PROXY UNKNOWN \0", "no PROXY protocol header: its line is malformed"),
    ];
    for (bytes, reason) in table {
        for listener in [front.https(), front.federation(), front.http()] {
            let mut client = RawClient::plain_on(connect_with(bytes, listener));
            assert_eq!(client.rest(), b"", "not a byte of an answer");
            assert_reason(&mut front, reason);
        }
    }
    // One byte less is the longest that passes.
    let longest = v2(0x21, 0x11, &[&v4_block()[..], &[0; 508]].concat());
    assert_eq!(told_over(connect_with(&longest, front.https()), &front, &origin), ["192.0.2.7"]);
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn from_others_a_header_is_an_error() {
    let origin = Origin::answering("never");
    let front = front(&origin, REQUIRED);
    let request = format!("GET /_matrix/a HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    for header in [LINE.to_vec(), v2(0x21, 0x11, &v4_block())] {
        for listener in [front.https(), front.federation(), front.http()] {
            let mut socket = connect(Ipv4Addr::LOCALHOST, listener);
            socket.write_all(&[&header, request.as_bytes()].concat()).expect("somebody reads");
            let answer = RawClient::plain_on(socket).rest();
            let text = String::from_utf8_lossy(&answer);
            // An alert, a 400, or nothing: certainly not what the request would have got.
            assert!(!text.starts_with("HTTP/1.1") || text.starts_with("HTTP/1.1 400"), "{text}");
        }
    }
    assert!(origin.requests().is_empty());
}

#[test]
fn the_header_and_the_handshake_have_one_deadline() {
    let origin = Origin::answering("never");
    let mut front = front(&origin, &format!("{REQUIRED}\nlimits.header_timeout = \"3s\""));
    let started = Instant::now();
    let mut endless = RawClient::plain_on(connect_with(b"PROXY TCP4 ", front.https()));
    let mut plain = RawClient::plain_on(connect_with(b"PROXY TCP4 ", front.http()));
    let mut late = RawClient::plain_on(connect_with(b"", front.https()));
    assert_eq!(late.arrival(Duration::from_millis(1500)), Arrival::Nothing, "there is time left");
    late.send(LINE);
    // With a deadline of its own, the handshake would last until the middle of the fifth second.
    let left = Duration::from_millis(4200).saturating_sub(started.elapsed());
    assert_eq!(late.arrival(left), Arrival::Closed);
    for client in [&mut endless, &mut plain] {
        assert_eq!(client.rest(), b"");
    }
    assert!(started.elapsed() >= Duration::from_millis(2900), "{:?}", started.elapsed());
    assert_reason(&mut front, "no complete PROXY protocol header within 3s");
}

#[test]
fn a_stop_does_not_wait_for_a_header() {
    let origin = Origin::answering("never");
    let mut front = front(&origin, REQUIRED);
    let mut silent = RawClient::plain_on(connect_with(b"PROXY ", front.https()));
    // A request on another connection of the same worker or not: the accept queue is served in order.
    let socket = connect_with(LINE, front.https());
    assert_eq!(told_over(socket, &front, &origin), ["192.0.2.7"]);
    let status = front.vestibule().process().terminate(Duration::from_secs(8));
    assert!(status.success(), "{status}");
    assert_eq!(silent.rest(), b"");
}
