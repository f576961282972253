//! One connection that does next to nothing, in each of the ways there are.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::support::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, SETTINGS, block, frame, request,
};
use crate::support::front::{NAME, get, head};
use crate::support::raw_client::tls_config;

/// `header_timeout`, `idle_timeout` and `stall_timeout`: long enough for three thousand handshakes of a debug build.
pub const LIMIT: Duration = Duration::from_secs(6);

/// How long HTTP/2 takes over its goodbye when the client does not take part in it.
const GOODBYE: Duration = Duration::from_secs(5);

/// How often a byte drips.
const DRIP: Duration = Duration::from_millis(400);

/// An answer that no kernel takes whole for a client that does not read it.
pub const BIG: usize = 12 << 20;

/// The body of all other answers.
pub const MARKER: &str = "an answer, whole";

/// What a kind of them does.
pub struct Idler {
    pub name: &'static str,
    pub count: usize,
    protocol: Protocol,
    /// Sent first, and answered.
    asked: Vec<u8>,
    /// Sent then, at once.
    begun: Vec<u8>,
    /// Sent in pieces of so many bytes, one at a time, and nothing afterwards.
    dripped: (Vec<u8>, usize),
    reads: bool,
    /// When it must be gone.
    limit: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Tcp,
    Http1,
    Http2,
}

/// How one of them ended.
#[derive(Debug)]
pub struct Ended {
    pub name: &'static str,
    pub after: Duration,
    limit: Duration,
}

impl Ended {
    pub fn is_in_time(&self, margin: Duration) -> bool {
        self.after <= self.limit + margin
    }
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// How they come: some at a time, and counted.
pub struct Arrivals {
    pub turns: Semaphore,
    pub opened: AtomicUsize,
}

/// What all of them share of TLS: resumed handshakes are quicker.
#[derive(Clone)]
pub struct Tls {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl Tls {
    pub fn new(root: &Path) -> Self {
        Self { http1: tls_config(root, &[b"http/1.1"]), http2: tls_config(root, &[b"h2"]) }
    }
}

fn idler(name: &'static str, count: usize, protocol: Protocol) -> Idler {
    let nothing = Vec::new;
    Idler {
        name,
        count,
        protocol,
        asked: nothing(),
        begun: nothing(),
        dripped: (nothing(), 1),
        reads: true,
        limit: LIMIT,
    }
}

/// Three thousand. Those that take longest to open come first.
pub fn idlers() -> Vec<Idler> {
    use Protocol::{Http1, Http2, Tcp};
    let ask = [PREFACE, &frame(HEADERS, END_HEADERS | END_STREAM, 1, request("GET", NAME, "/_matrix/a"))].concat();
    let poll = [PREFACE, &frame(HEADERS, END_HEADERS | END_STREAM, 1, request("GET", NAME, "/_matrix/client/v3/sync"))];
    let fields = block(&[("x", &"y".repeat(90))]);
    let open = |stream| frame(HEADERS, 0, stream, request("GET", NAME, "/_matrix/a"));
    let upload = {
        let lines = [request("PUT", NAME, "/_matrix/a"), block(&[("content-length", "1000")])].concat();
        [PREFACE, &frame(HEADERS, END_HEADERS, 1, lines)].concat()
    };
    vec![
        Idler { begun: PREFACE.to_vec(), ..idler("HTTP/2: no request", 200, Http2) },
        Idler {
            asked: ask.clone(),
            dripped: (frame(PING, 0, 0, [7; 8]).repeat(200), 17),
            limit: LIMIT + GOODBYE,
            ..idler("HTTP/2: a request, then PINGs only", 100, Http2)
        },
        Idler {
            asked: ask,
            dripped: (frame(HEADERS, END_HEADERS | END_STREAM, 3, [fields.clone(), fields.clone()].concat()), 1),
            limit: LIMIT + GOODBYE,
            ..idler("HTTP/2: a request, then a second one that drips", 100, Http2)
        },
        Idler {
            begun: poll.concat(),
            dripped: (frame(HEADERS, END_HEADERS | END_STREAM, 3, [fields.clone(), fields.clone()].concat()), 1),
            ..idler("HTTP/2: a long poll, and a request that drips", 60, Http2)
        },
        Idler {
            begun: [poll.concat(), open(3)].concat(),
            dripped: (frame(CONTINUATION, 0, 3, [fields.clone(), fields].concat()), 1),
            ..idler("HTTP/2: a long poll, and a CONTINUATION that drips", 60, Http2)
        },
        Idler {
            begun: [upload, frame(DATA, 0, 1, [b'x'; 500])[..20].to_vec()].concat(),
            dripped: (vec![b'x'; 100], 1),
            // The request ends first, and then the rest that its client has.
            limit: LIMIT * 2 + GOODBYE,
            ..idler("HTTP/2: a body that drips", 40, Http2)
        },
        Idler {
            begun: get("/_matrix/client/v3/big").into_bytes(),
            reads: false,
            // Before they are full, the kernel's buffers grow for some seconds.
            limit: LIMIT * 3,
            ..idler("HTTP/1.1: an answer that is not read", 40, Http1)
        },
        Idler {
            begun: format!("{}Content-Length: 1000\r\n\r\n", head("PUT", "/_matrix/a")).into_bytes(),
            dripped: (vec![b'x'; 100], 1),
            ..idler("HTTP/1.1: a body that drips", 200, Http1)
        },
        Idler { asked: get("/_matrix/a").into_bytes(), ..idler("HTTP/1.1: a request, then nothing", 200, Http1) },
        Idler {
            asked: get("/_matrix/a").into_bytes(),
            dripped: (format!("{}X: {}", head("GET", "/_matrix/a"), "y".repeat(100)).into_bytes(), 1),
            ..idler("HTTP/1.1: a request, then a second one that drips", 100, Http1)
        },
        Idler {
            dripped: (format!("{}X: {}", head("GET", "/_matrix/a"), "y".repeat(100)).into_bytes(), 1),
            ..idler("HTTP/1.1: a request that drips", 400, Http1)
        },
        idler("TLS, and nothing", 500, Http1),
        // A record of 512 bytes, a ClientHello in it, and no more.
        Idler {
            begun: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            ..idler("half a handshake", 200, Tcp)
        },
        Idler {
            begun: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            dripped: (vec![0; 100], 1),
            ..idler("a handshake that drips", 200, Tcp)
        },
        idler("TCP, and nothing", 600, Tcp),
    ]
}

impl Idler {
    /// Connects, does its little, and says how long that was borne.
    pub async fn run(&self, number: usize, address: SocketAddr, tls: &Tls, crowd: &Arrivals) -> Ended {
        // Nobody's first request waits behind two thousand handshakes of this side.
        let turn = crowd.turns.acquire().await.expect("it stays open");
        // A household of 128 addresses.
        let source = Ipv4Addr::new(127, 0, 7, u8::try_from(number % 128).expect("few"));
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((source, 0).into()).expect("a loopback address");
        let socket = socket.connect(address).await.expect("somebody listens");
        let mut stream: Box<dyn Duplex> = match self.protocol {
            Protocol::Tcp => Box::new(socket),
            Protocol::Http1 => Box::new(shake_hands(socket, &tls.http1).await),
            Protocol::Http2 => Box::new(shake_hands(socket, &tls.http2).await),
        };
        if !self.asked.is_empty() {
            send(&mut stream, &self.asked).await;
            if self.protocol == Protocol::Http2 {
                send(&mut stream, &frame(SETTINGS, ACK, 0, [])).await;
            }
            let mut seen = Vec::new();
            while !seen.windows(MARKER.len()).any(|part| part == MARKER.as_bytes()) {
                assert_ne!(stream.read_buf(&mut seen).await.unwrap_or(0), 0, "{}: no answer", self.name);
            }
        }
        send(&mut stream, &self.begun).await;
        crowd.opened.fetch_add(1, Ordering::Relaxed);
        drop(turn);
        let after = if self.reads { self.until_cut_off(&mut stream).await } else { self.look_late(&mut stream).await };
        Ended { name: self.name, after, limit: self.limit }
    }

    async fn until_cut_off(&self, stream: &mut Box<dyn Duplex>) -> Duration {
        let began = Instant::now();
        let (bytes, piece) = &self.dripped;
        let mut pieces = bytes.chunks(*piece);
        let mut buffer = [0; 4096];
        while began.elapsed() < self.limit * 4 {
            let due = Instant::now() + DRIP;
            // What it reads is of no interest before the end.
            while let Ok(read) = timeout(due.saturating_duration_since(Instant::now()), stream.read(&mut buffer)).await
            {
                if matches!(read, Ok(0) | Err(_)) {
                    return began.elapsed();
                }
            }
            if let Some(piece) = pieces.next() {
                send(stream, piece).await;
            }
        }
        Duration::MAX
    }

    /// Reads only when it must be too late for the whole.
    async fn look_late(&self, stream: &mut Box<dyn Duplex>) -> Duration {
        tokio::time::sleep(self.limit).await;
        let mut seen = 0;
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            seen += count;
        }
        if seen < BIG { self.limit } else { Duration::MAX }
    }
}

/// Whether it is taken shows in what can be read.
async fn send(stream: &mut Box<dyn Duplex>, bytes: &[u8]) {
    let _taken = stream.write_all(bytes).await;
    let _sent = stream.flush().await;
}

async fn shake_hands(socket: TcpStream, tls: &Arc<ClientConfig>) -> tokio_rustls::client::TlsStream<TcpStream> {
    let name = ServerName::try_from(NAME).expect("a name");
    TlsConnector::from(Arc::clone(tls)).connect(name, socket).await.expect("a handshake")
}
