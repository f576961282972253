//! An HTTP/2 client that sends frames as they are given, in any order and number.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::raw_client::tls_config;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const PRIORITY_UPDATE: u8 = 16;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// The client preface and empty SETTINGS.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A frame as it stood on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A connection; its halves may be used at the same time.
pub struct Frames {
    pub reader: Reader,
    pub writer: WriteHalf<TlsStream<TcpStream>>,
}

pub struct Reader(ReadHalf<TlsStream<TcpStream>>);

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).expect("a payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block, every line a literal without indexing (RFC 7541 §6.2.2).
pub fn block(lines: &[(&str, &str)]) -> Vec<u8> {
    let string = |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
    lines.iter().flat_map(|(name, value)| [&[0], string(name).as_slice(), &string(value)].concat()).collect()
}

/// The header block of a request.
pub fn request(method: &str, host: &str, path: &str) -> Vec<u8> {
    block(&[(":method", method), (":scheme", "https"), (":authority", host), (":path", path)])
}

impl Frames {
    /// Connects and sends the preface.
    pub async fn connect(address: SocketAddr, name: &str, roots: &Path) -> Self {
        Self::connect_on(TcpStream::connect(address).await.expect("somebody listens"), name, roots).await
    }

    /// The same with little room for what comes unread; kernels take tens of megabytes by themselves.
    pub async fn connect_with_little_room(address: SocketAddr, name: &str, roots: &Path) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(64 * 1024).expect("an option");
        Self::connect_on(socket.connect(address).await.expect("somebody listens"), name, roots).await
    }

    async fn connect_on(socket: TcpStream, name: &str, roots: &Path) -> Self {
        socket.set_nodelay(true).expect("an option");
        let connector = TlsConnector::from(tls_config(roots, &[b"h2"]));
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let stream = connector.connect(name, socket).await.expect("a handshake");
        let (reader, writer) = tokio::io::split(stream);
        let mut frames = Self { reader: Reader(reader), writer };
        assert!(frames.send(PREFACE).await, "the preface is taken");
        frames
    }

    /// Writes these bytes; says whether the other side took them.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.writer.write_all(bytes.as_ref()).await.is_ok() && self.writer.flush().await.is_ok()
    }

    /// Writes these bytes as far as they are taken, and reads what comes until the end.
    pub async fn exchange(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let Self { reader, writer } = self;
        let write = async {
            // The other side may have had enough.
            let _taken = writer.write_all(bytes).await;
            let _flushed = writer.flush().await;
        };
        let ((), received) = tokio::join!(write, reader.rest());
        received
    }
}

impl Reader {
    /// The next frame, or `None` at the end however it comes.
    pub async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = head;
        let length = usize::try_from(u32::from_be_bytes([0, l0, l1, l2])).expect("a length");
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes([s0, s1, s2, s3]), payload })
    }

    /// Every frame until the end.
    pub async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }

    /// The first frame of this kind, if it comes in time.
    pub async fn find(&mut self, within: Duration, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        let search = async {
            loop {
                let frame = self.next().await?;
                if wanted(&frame) {
                    return Some(frame);
                }
            }
        };
        tokio::time::timeout(within, search).await.ok().flatten()
    }
}
