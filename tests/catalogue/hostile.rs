//! Networks that mean harm, or might as well: the check keeps its time and its memory, and tells what it has seen.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::lab;
use super::site::Site;
use super::{Bad, Case, Good};
use crate::support::origin::{Conversation, Origin};

#[test]
fn hostile_networks() {
    // They all wait, and nobody works.
    lab::run_side_by_side(module_path!(), "hostile_networks", CASES.len(), CASES);
}

const SERVER: &str = "= /.well-known/matrix/server";

/// An address where packets go and nothing comes back: a listener whose queue is full drops what else arrives.
struct Blackhole {
    _listener: Socket,
    _visitors: Vec<TcpStream>,
}

impl Blackhole {
    fn at(address: SocketAddr) -> Self {
        let listener = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
        listener.set_reuse_address(true).expect("a fresh socket");
        listener.bind(&address.into()).expect("a free address");
        listener.listen(0).expect("a bound socket");
        let visit = |_| TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
        Self { _listener: listener, _visitors: (0..3).filter_map(visit).collect() }
    }
}

/// Runs `script` for everybody who connects to the homeserver's host, without TLS.
fn tcp(site: &mut Site<'_>, script: fn(TcpStream)) {
    for address in std::mem::take(&mut site.matrix.on) {
        let listener = TcpListener::bind(address).expect("a free address");
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || script(stream));
            }
        });
    }
}

/// Runs `script` for everybody who connects to the homeserver's host, behind TLS.
fn behind_tls(site: &mut Site<'_>, script: fn(&mut Conversation) -> std::io::Result<()>) {
    let origin = Origin::start(script);
    site.pass_bytes(origin.address());
    site.keep.push(Box::new(origin));
}

/// Sends `text` for ever.
fn endless(talk: &mut Conversation, head: &str, text: &str) -> std::io::Result<()> {
    talk.head()?;
    talk.send(head)?;
    let block = text.repeat(1 + 16_384 / text.len());
    loop {
        talk.send(&block)?;
    }
}

/// A name server that knows ten thousand SRV records, and of the rest what the BIND of the group does.
///
/// BIND itself holds no more in one set than a message takes. Here the message says ten thousand, and ends where messages
/// end, after 65,535 bytes.
fn flood() -> SocketAddr {
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = udp.local_addr().expect("a bound socket has an address");
    let tcp = TcpListener::bind(address).expect("the same port of the other protocol");
    // Type SRV, class IN, at the end of the question's name.
    let is_srv = |query: &[u8]| query.windows(4).any(|window| window == [0, 33, 0, 1]);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, asker)) = udp.recv_from(&mut buffer) {
            let query = &buffer[..length];
            let answer = match is_srv(query) {
                // Truncated: ask again over TCP.
                true => [&query[..2], &[0x86, 0, 0, 1, 0, 0, 0, 0, 0, 0], question(query)].concat(),
                false => ask_bind(query),
            };
            let _gone = udp.send_to(&answer, asker);
        }
    });
    thread::spawn(move || {
        for mut stream in tcp.incoming().map_while(Result::ok) {
            thread::spawn(move || -> std::io::Result<()> {
                loop {
                    let mut length = [0; 2];
                    stream.read_exact(&mut length)?;
                    let mut query = vec![0; u16::from_be_bytes(length).into()];
                    stream.read_exact(&mut query)?;
                    let mut answer = match is_srv(&query) {
                        true => ten_thousand(&query),
                        false => ask_bind(&query),
                    };
                    answer.splice(..0, u16::try_from(answer.len()).expect("a message").to_be_bytes());
                    stream.write_all(&answer)?;
                }
            });
        }
    });
    address
}

/// The question of a query: a name, a type and a class.
fn question(query: &[u8]) -> &[u8] {
    let name = query[12..].iter().position(|byte| *byte == 0).expect("a name ends");
    &query[12..12 + name + 5]
}

fn ten_thousand(query: &[u8]) -> Vec<u8> {
    let mut answer = [&query[..2], &[0x84, 0, 0, 1], &10_000_u16.to_be_bytes(), &[0; 4], question(query)].concat();
    for number in 0..10_000_u16 {
        let target = format!("{number:04x}");
        // The question's name, SRV, IN, five minutes; priority, weight, port 8448; one label below `example`.
        answer.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 1, 44, 0, 20, 0, 10, 0, 0, 0x21, 0, 4]);
        answer.extend(target.bytes().chain(*b"\x07example\0"));
    }
    answer.truncate(65_535);
    answer
}

fn ask_bind(query: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.set_read_timeout(Some(SECOND)).expect("not zero");
    socket.send_to(query, (Ipv4Addr::LOCALHOST, 53)).expect("loopback takes it");
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).unwrap_or(0);
    buffer[..length].to_vec()
}

/// Gives the check so long.
fn timeout(site: &mut Site<'_>, seconds: u32) {
    site.arguments.extend(["--timeout".to_owned(), format!("{seconds}s")]);
}

const SECOND: Duration = Duration::from_secs(1);

const CASES: &[Case] = &[
    Case {
        name: "packets vanish at one of two addresses",
        build: |site| {
            let address = site.matrix.on.pop().expect("two addresses");
            site.keep.push(Box::new(Blackhole::at(address)));
        },
        finds: &[("tcp.connect", "let the server listen on [2a0f:ca7a:1::2]:443")],
        verdict: "fails",
        go: Bad("every address"),
        rust: Good("any address"),
    },
    Case {
        name: "packets vanish everywhere, eight seconds",
        build: |site| {
            for address in [site.apex.on.split_off(0), site.matrix.on.split_off(0)].concat() {
                site.keep.push(Box::new(Blackhole::at(address)));
            }
            timeout(site, 8);
        },
        finds: &[("wk.server.reach", "open port 443 on"), ("tcp.connect", "open the port")],
        verdict: "fails",
        go: Bad("addresses"),
        rust: Bad("addresses"),
    },
    Case {
        name: "accepted, and not a word",
        build: |site| tcp(site, |mut stream| drop(stream.read_to_end(&mut Vec::new()))),
        finds: &[("tls.handshake", "openssl s_client"), ("wk.client.versions", "curl -i")],
        verdict: "fails",
        go: Bad("connection"),
        rust: Bad("connection"),
    },
    Case {
        name: "a handshake of one byte a second",
        build: |site| {
            tcp(site, |mut stream| {
                let hello = [0x16, 3, 3, 0x3f, 0xff, 2, 0, 0x3f, 0xfb, 3, 3];
                for byte in hello.into_iter().chain([0; 64]) {
                    if stream.write_all(&[byte]).is_err() {
                        return;
                    }
                    thread::sleep(SECOND);
                }
            });
        },
        finds: &[("tls.handshake", "openssl s_client"), ("wk.client.versions", "curl -i")],
        verdict: "fails",
        go: Bad("connection"),
        rust: Bad("connection"),
    },
    Case {
        name: "noise in place of TLS",
        build: |site| tcp(site, |mut stream| drop(stream.write_all(&[0xaa; 65_536]))),
        finds: &[("tls.handshake", "openssl s_client"), ("wk.client.versions", "curl -i")],
        verdict: "fails",
        go: Bad("connection"),
        rust: Bad("connection"),
    },
    Case {
        name: "noise in place of HTTP",
        build: |site| {
            behind_tls(site, |talk| {
                talk.head()?;
                talk.send([0xaa; 65_536])
            });
        },
        finds: &[("fed.version", "curl -ik"), ("fed.keys", "curl -ik"), ("wk.client.versions", "curl -i")],
        verdict: "fails",
        go: Bad("keys"),
        rust: Bad("keys"),
    },
    Case {
        name: "an answer of one byte a second",
        build: |site| {
            behind_tls(site, |talk| {
                talk.head()?;
                for byte in b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n".iter().cycle() {
                    talk.send([*byte])?;
                    thread::sleep(SECOND);
                }
                Ok(())
            });
        },
        finds: &[("fed.version", "curl -ik"), ("fed.keys", "curl -ik"), ("wk.client.versions", "curl -i")],
        verdict: "fails",
        go: Bad("keys"),
        rust: Bad("keys"),
    },
    Case {
        name: "bodies without an end",
        build: |site| {
            behind_tls(site, |talk| {
                endless(talk, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"server\":\"", "x")
            });
        },
        finds: &[("fed.version", "curl -ik"), ("fed.keys", "curl -ik"), ("wk.client.versions", "curl -i")],
        verdict: "fails",
        go: Bad("keys"),
        rust: Bad("keys"),
    },
    Case {
        name: "headers without an end",
        build: |site| behind_tls(site, |talk| endless(talk, "HTTP/1.1 200 OK\r\n", "X-Header: x\r\n")),
        finds: &[("fed.version", "curl -ik"), ("fed.keys", "curl -ik"), ("wk.client.versions", "curl -i")],
        verdict: "fails",
        go: Bad("keys"),
        rust: Bad("keys"),
    },
    Case {
        name: "interim answers without an end",
        build: |site| behind_tls(site, |talk| endless(talk, "", "HTTP/1.1 100 Continue\r\n\r\n")),
        finds: &[("fed.version", "curl -ik"), ("fed.keys", "curl -ik"), ("wk.client.versions", "curl -i")],
        verdict: "fails",
        go: Bad("keys"),
        rust: Bad("keys"),
    },
    Case {
        name: "redirects without an end, each to somewhere new",
        build: |site| {
            site.apex.location(SERVER, "return 302 /1;");
            site.apex.location(r"~ ^/(?<at>\d+)$", "return 302 /${at}1;");
            site.fallback();
        },
        finds: &[("wk.server.redirect", "redirect once with 302")],
        verdict: "degraded",
        go: Good("fallback"),
        rust: Good("fallback"),
    },
    Case {
        name: "ten thousand SRV records",
        build: |site| {
            site.undelegated();
            site.resolver = flood();
        },
        finds: &[("dns.timeout", "`dig +trace s12.example`")],
        verdict: "degraded",
        go: Bad("SRV error"),
        rust: Bad("SRV error"),
    },
    Case {
        name: "fifteen hundred SRV records, each of another host",
        build: |site| {
            site.undelegated();
            for number in 0..1_500 {
                site.record("_matrix-fed._tcp", "SRV", format!("10 0 8448 t{number}.s13.example."));
                site.record(&format!("t{number}"), "A", site.v4(9));
            }
            timeout(site, 10);
        },
        finds: &[("tcp.connect", "listen on 46.20.13.9:8448")],
        verdict: "fails",
        go: Bad("every address"),
        rust: Bad("addresses"),
    },
    Case {
        name: "a thousand A records",
        build: |site| {
            for (third, fourth) in (100..104).flat_map(|third| (0..250).map(move |fourth| (third, fourth))) {
                site.record("matrix", "A", Ipv4Addr::new(46, 20, third, fourth));
            }
        },
        finds: &[("tcp.connect", "open the port"), ("wk.client.versions", "curl -i")],
        verdict: "fails",
        go: Bad("every address"),
        rust: Good("any address"),
    },
    Case {
        name: "name servers that never answer",
        build: |site| {
            let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            site.resolver = silent.local_addr().expect("a bound socket has an address");
            site.keep.push(Box::new(silent));
        },
        finds: &[("dns.timeout", "dig +trace")],
        verdict: "unknown",
        go: Bad("addresses"),
        rust: Bad("DNSLookupTimeout"),
    },
    Case {
        name: "one second for a network that takes minutes",
        build: |site| {
            tcp(site, |mut stream| drop(stream.read_to_end(&mut Vec::new())));
            timeout(site, 1);
        },
        finds: &[("check.cut", "--timeout 60s")],
        verdict: "unknown",
        go: Bad("connection"),
        rust: Bad("connection"),
    },
];
