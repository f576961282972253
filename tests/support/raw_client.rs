//! A client that sends exactly the bytes it is given, over TLS or in plain text.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::curl::Response;

/// How long an answer may take where the test says nothing else.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection and what was read from it beyond the last answer.
pub struct RawClient {
    stream: Box<dyn Stream>,
    /// The same socket, for its timeouts and its end.
    socket: TcpStream,
    ahead: Vec<u8>,
}

trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// What came of waiting for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    Bytes,
    Closed,
    Nothing,
}

/// A client configuration that trusts the roots in `file` and offers `alpn`.
pub fn tls_config(file: &Path, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let pem = fs::read(file).expect("a file of roots");
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).map(|root| root.expect("PEM")));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

impl RawClient {
    /// Connects in plain text.
    #[track_caller]
    pub fn plain(address: SocketAddr) -> Self {
        Self::plain_on(connect(address))
    }

    /// The same on a connection that the test has opened itself.
    #[track_caller]
    pub fn plain_on(socket: TcpStream) -> Self {
        be_patient(&socket);
        let stream = socket.try_clone().expect("another handle");
        Self { stream: Box::new(stream), socket, ahead: Vec::new() }
    }

    /// Connects and shakes hands for HTTP/1.1; `name` is the SNI and must be in the certificate.
    #[track_caller]
    pub fn tls(address: SocketAddr, name: &str, roots: &Path) -> Self {
        Self::tls_on(connect(address), name, roots)
    }

    /// The same on a connection that the test has opened itself, and may have written to.
    #[track_caller]
    pub fn tls_on(socket: TcpStream, name: &str, roots: &Path) -> Self {
        be_patient(&socket);
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut tls = ClientConnection::new(tls_config(roots, &[b"http/1.1"]), name).expect("a client");
        let mut stream = socket.try_clone().expect("another handle");
        while tls.is_handshaking() {
            tls.complete_io(&mut stream).expect("a handshake");
        }
        Self { stream: Box::new(StreamOwned::new(tls, stream)), socket, ahead: Vec::new() }
    }

    /// Writes these bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the other side reads");
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Writes as many of these bytes as are taken without a pause of `quiet`, and says how many.
    pub fn send_until_stuck(&mut self, bytes: &[u8], quiet: Duration) -> usize {
        self.socket.set_write_timeout(Some(quiet)).expect("a timeout");
        let mut sent = 0;
        for piece in bytes.chunks(16 * 1024) {
            // What TLS has accepted counts, even if it could not pass it on yet.
            let Ok(count) = self.stream.write(piece) else { break };
            sent += count;
            if count < piece.len() || self.stream.flush().is_err() {
                break;
            }
        }
        self.socket.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        sent
    }

    /// Reads an answer whole, or panics when there is none.
    #[track_caller]
    pub fn answer(&mut self) -> Response {
        let head = self.head();
        let length = head.header("content-length").map(|text| text.parse().expect("a length"));
        let body = match (head.status, length) {
            (100..200 | 204 | 304, _) => Vec::new(),
            (_, Some(length)) => self.exactly(length),
            (_, None) if head.header("transfer-encoding").is_some() => self.chunks(),
            (_, None) => self.rest(),
        };
        Response { body, ..head }
    }

    /// Reads the head of an answer; the body stays to be read.
    #[track_caller]
    pub fn head(&mut self) -> Response {
        let mut seen = 0;
        let end = loop {
            if let Some(at) = self.ahead[seen..].windows(4).position(|window| window == b"\r\n\r\n") {
                break seen + at;
            }
            seen = self.ahead.len().saturating_sub(3);
            assert_eq!(
                self.arrival(PATIENCE),
                Arrival::Bytes,
                "no head after {:?}",
                String::from_utf8_lossy(&self.ahead)
            );
        };
        let head: Vec<u8> = self.ahead.drain(..end + 4).collect();
        Response::parse(&String::from_utf8_lossy(&head), "1.1".to_owned(), Vec::new())
    }

    /// Reads so many bytes of a body.
    #[track_caller]
    pub fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.ahead.len() < length {
            assert_eq!(self.arrival(PATIENCE), Arrival::Bytes, "{} of {length} bytes", self.ahead.len());
        }
        self.ahead.drain(..length).collect()
    }

    #[track_caller]
    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            match usize::from_str_radix(&self.line(), 16).expect("a chunk size") {
                0 => {
                    while !self.line().is_empty() {}
                    return body;
                }
                size => {
                    body.extend(self.exactly(size));
                    self.line();
                }
            }
        }
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        while !line.ends_with('\n') {
            line.push(char::from(self.exactly(1)[0]));
        }
        line.trim_end().to_owned()
    }

    /// Everything up to the end of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.arrival(PATIENCE) == Arrival::Bytes {}
        std::mem::take(&mut self.ahead)
    }

    /// Waits for more bytes, which stay to be read.
    pub fn arrival(&mut self, within: Duration) -> Arrival {
        let deadline = Instant::now() + within;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return Arrival::Nothing;
            };
            self.socket.set_read_timeout(Some(left)).expect("a timeout");
            match self.stream.read(&mut buffer) {
                Ok(0) => return Arrival::Closed,
                Ok(count) => {
                    self.ahead.extend_from_slice(&buffer[..count]);
                    return Arrival::Bytes;
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A connection that ends without a goodbye has ended all the same.
                Err(_) => return Arrival::Closed,
            }
        }
    }
}

#[track_caller]
fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).expect("somebody listens")
}

fn be_patient(socket: &TcpStream) {
    socket.set_nodelay(true).expect("an option");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket.set_write_timeout(Some(PATIENCE)).expect("a timeout");
}
