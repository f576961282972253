//! `limits.per_ip_connections`: one client's share of the connections.

use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use super::{BALANCER, connect, connect_with, front};
use crate::support::eventually::eventually;
use crate::support::front::{Front, NAME, SOON, get, head};
use crate::support::origin::Origin;
use crate::support::raw_client::{Arrival, RawClient};

const THREE: &str = "limits.per_ip_connections = 3";

/// The one line about clients with too many connections.
const COMPLAINT: &str = "as many as limits.per_ip_connections allows";

/// Completes a handshake and a request, so the connection is certainly counted.
#[track_caller]
fn served(socket: TcpStream, front: &Front) -> RawClient {
    let mut client = RawClient::tls_on(socket, NAME, &front.root());
    client.send(get("/_matrix/client/versions"));
    assert_eq!(client.answer().status, 200);
    client
}

#[track_caller]
fn assert_closed_at_once(socket: TcpStream) {
    assert_eq!(RawClient::plain_on(socket).arrival(SOON), Arrival::Closed);
}

/// Waits until one more connection from 127.0.0.1 is left open.
#[track_caller]
fn eventually_has_room(front: &Front) {
    eventually("the share of an ended connection is free", SOON, || {
        let mut client = RawClient::plain_on(connect(Ipv4Addr::LOCALHOST, front.https()));
        match client.arrival(Duration::from_millis(200)) {
            Arrival::Nothing => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

#[test]
fn a_client_over_its_share_is_closed_and_others_are_served() {
    let origin = Origin::answering("ok");
    let mut front = front(&origin, THREE);
    let address = front.https();
    let greedy = || connect(Ipv4Addr::LOCALHOST, address);
    let mut held: Vec<_> = (0..3).map(|_| served(greedy(), &front)).collect();
    for _ in 0..5 {
        assert_closed_at_once(greedy());
        // The share is one over all listeners.
        assert_closed_at_once(connect(Ipv4Addr::LOCALHOST, front.http()));
    }
    drop(served(connect(Ipv4Addr::new(127, 0, 0, 3), address), &front));
    front.vestibule().process().wait_for_line(COMPLAINT, SOON);
    let lines = front.vestibule().process().lines();
    assert_eq!(lines.iter().filter(|line| line.contains(COMPLAINT)).count(), 1, "said once: {lines:?}");

    held.pop();
    eventually_has_room(&front);
    held[0].send(get("/_matrix/client/versions"));
    assert_eq!(held[0].answer().status, 200, "those within the share are none the worse");
}

#[test]
fn behind_a_balancer_each_client_has_a_share() {
    let origin = Origin::answering("ok");
    let front = front(&origin, &format!("{THREE}\nlisten.proxy_protocol_from = [\"{BALANCER}\"]"));
    let from = |family: &str, source: &str| {
        let other = if family == "TCP4" { "10.0.0.1" } else { "2001:db8::1" };
        connect_with(format!("PROXY {family} {source} {other} 4660 443\r\n").as_bytes(), front.https())
    };
    let mut held: Vec<_> = (0..3).map(|_| served(from("TCP4", "192.0.2.7"), &front)).collect();
    assert_closed_at_once(from("TCP4", "192.0.2.7"));
    assert_closed_at_once(from("TCP6", "::ffff:192.0.2.7"));
    held.push(served(from("TCP4", "192.0.2.8"), &front));
    // An IPv6 client may choose any address of its /64.
    for host in 1..=3 {
        held.push(served(from("TCP6", &format!("2001:db8:0:1::{host}")), &front));
    }
    assert_closed_at_once(from("TCP6", "2001:db8:0:1:ffff::4"));
    held.push(served(from("TCP6", "2001:db8:0:2::1"), &front));
    // The balancer itself has no share to use up.
    for _ in 0..4 {
        held.push(served(connect_with(b"PROXY UNKNOWN\r\n", front.https()), &front));
    }
}

/// A WebSocket has left HTTP, and is a connection all the same.
#[test]
fn a_tunnel_counts_until_it_ends() {
    let origin = Origin::start(|talk| {
        talk.request()?;
        talk.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")?;
        talk.until_closed();
        Ok(())
    });
    let front = front(&origin, "limits.per_ip_connections = 1");
    let mut tunnel = front.raw();
    tunnel.send(format!(
        "{}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        head("GET", "/_matrix/livekit/sfu/rtc")
    ));
    assert_eq!(tunnel.head().status, 101);
    for _ in 0..3 {
        assert_closed_at_once(connect(Ipv4Addr::LOCALHOST, front.https()));
    }
    drop(tunnel);
    eventually_has_room(&front);
}

#[test]
fn a_trusted_proxy_is_no_client() {
    let origin = Origin::answering("ok");
    let front = front(&origin, &format!("{THREE}\ntrusted_proxies.from = [\"{BALANCER}\"]"));
    let _held: Vec<_> = (0..5).map(|_| served(connect(BALANCER, front.https()), &front)).collect();
}
