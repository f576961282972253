//! Whose a connection and a request is: by the socket, a PROXY protocol header, or a trusted proxy's word.

mod caps;
mod proxy_protocol;
mod trusted;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::support::front::{Front, NAME, get};
use crate::support::origin::Origin;
use crate::support::raw_client::RawClient;

/// Where the balancer of these tests connects from. On Linux all of 127.0.0.0/8 is this machine.
const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A front in front of `origin`, with `keys` before any table.
#[track_caller]
fn front(origin: &Origin, keys: &str) -> Front {
    Front::start(&format!("{keys}\nserver_name = \"{NAME}\"\nhomeserver = \"{}\"\n", origin.url()))
}

/// A connection from `source` to `address`.
#[track_caller]
fn connect(source: Ipv4Addr, address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((source, 0)).into()).expect("an address of this machine");
    socket.connect(&address.into()).expect("somebody listens");
    socket.set_tcp_nodelay(true).expect("an option");
    socket.into()
}

/// A connection from the balancer that has sent `header`.
#[track_caller]
fn connect_with(header: &[u8], address: SocketAddr) -> TcpStream {
    let mut socket = connect(BALANCER, address);
    socket.write_all(header).expect("somebody reads");
    socket
}

/// Asks over TLS on `socket`, and returns the addresses that the homeserver was told.
#[track_caller]
fn told_over(socket: TcpStream, front: &Front, origin: &Origin) -> Vec<String> {
    let mut client = RawClient::tls_on(socket, NAME, &front.root());
    client.send(get("/_matrix/client/versions"));
    assert_eq!(client.answer().status, 200);
    let received = origin.last_request();
    let told = ["x-forwarded-for", "x-real-ip"].map(|name| received.header(name).expect("an address").to_owned());
    assert_eq!(told[0], told[1]);
    told[..1].to_vec()
}

/// The header that a balancer sends for a client at `source`, in version 2.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, family]);
    header.extend(u16::try_from(block.len()).expect("a short header").to_be_bytes());
    header.extend(block);
    header
}
