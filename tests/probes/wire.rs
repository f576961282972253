//! One TLS connection to a proxy: exactly these bytes out, every byte that comes back kept.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::front::NAME;
use crate::support::raw_client::tls_config;

/// A proxy under test.
#[derive(Clone)]
pub struct Target {
    pub name: &'static str,
    pub address: SocketAddr,
    /// Whose memory is watched; its children count.
    pub process: u32,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl Target {
    pub fn new(name: &'static str, address: SocketAddr, roots: &Path, process: u32) -> Self {
        Self { name, address, process, http1: tls_config(roots, &[b"http/1.1"]), http2: tls_config(roots, &[b"h2"]) }
    }
}

/// What ALPN offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// A step of what is sent.
#[derive(Clone, Debug)]
pub enum Out {
    Bytes(Vec<u8>),
    /// The same bytes so many times, without holding all of them.
    Repeat(Vec<u8>, usize),
    Pause(Duration),
    /// A close_notify and a FIN; answers may still come.
    HalfClose,
}

/// What came of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    Bytes,
    Closed,
    Nothing,
}

/// A connection. Dropping it closes it.
pub struct Wire {
    reader: ReadHalf<TlsStream<TcpStream>>,
    outgoing: mpsc::UnboundedSender<Out>,
    writer: JoinHandle<()>,
    /// Everything received.
    pub seen: Vec<u8>,
    pub closed: bool,
}

impl Wire {
    /// Connects for the homeserver's name; an error is a fault of the proxy like any other.
    pub async fn connect(target: &Target, protocol: Protocol) -> Result<Self, String> {
        let connecting = async {
            let socket = TcpStream::connect(target.address).await?;
            socket.set_nodelay(true)?;
            let config = match protocol {
                Protocol::Http1 => &target.http1,
                Protocol::Http2 => &target.http2,
            };
            let name = ServerName::try_from(NAME).expect("a name");
            TlsConnector::from(Arc::clone(config)).connect(name, socket).await
        };
        let stream = match timeout(Duration::from_secs(10), connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(format!("no connection: {error}")),
            Err(_) => return Err("no connection in 10 s".to_owned()),
        };
        let (reader, writer) = tokio::io::split(stream);
        let (outgoing, queue) = mpsc::unbounded_channel();
        let writer = tokio::spawn(write(writer, queue));
        Ok(Self { reader, outgoing, writer, seen: Vec::new(), closed: false })
    }

    /// Queues a step. One that cannot be sent any more is dropped: the other side has ended the connection, which
    /// reading will tell.
    pub fn send(&self, out: Out) {
        let _gone = self.outgoing.send(out);
    }

    pub fn bytes(&self, bytes: impl Into<Vec<u8>>) {
        self.send(Out::Bytes(bytes.into()));
    }

    /// Waits for more bytes.
    pub async fn more(&mut self, deadline: Instant) -> Arrival {
        if self.closed {
            return Arrival::Closed;
        }
        let mut buffer = vec![0; 16 * 1024];
        match timeout_at(deadline, self.reader.read(&mut buffer)).await {
            Err(_) => Arrival::Nothing,
            // An end without a goodbye is an end all the same.
            Ok(Ok(0) | Err(_)) => {
                self.closed = true;
                Arrival::Closed
            }
            Ok(Ok(count)) => {
                self.seen.extend_from_slice(&buffer[..count]);
                Arrival::Bytes
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.writer.abort();
    }
}

async fn write(mut writer: WriteHalf<TlsStream<TcpStream>>, mut queue: mpsc::UnboundedReceiver<Out>) {
    while let Some(out) = queue.recv().await {
        let written = match out {
            Out::Bytes(bytes) => write_all(&mut writer, &bytes).await,
            Out::Repeat(bytes, times) => {
                let mut written = Ok(());
                for _ in 0..times {
                    written = write_all(&mut writer, &bytes).await;
                    if written.is_err() {
                        break;
                    }
                }
                written
            }
            Out::Pause(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Out::HalfClose => writer.shutdown().await,
        };
        if written.is_err() {
            return;
        }
    }
}

async fn write_all(writer: &mut WriteHalf<TlsStream<TcpStream>>, bytes: &[u8]) -> std::io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}
