//! An HTTP/2 client that can be stopped at any point, which curl cannot.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::raw_client::tls_config;

pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What the client takes ahead on one stream, and on all together: enough that one full stream leaves room.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;

/// A connection. Aborting its task closes it without a goodbye.
pub struct Http2 {
    pub sender: SendRequest<Body>,
    pub task: JoinHandle<()>,
}

/// Runs a test's future; it has a deadline, since a lost wake-up would hang it for good.
#[track_caller]
pub fn run<T>(within: Duration, work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let done = runtime.block_on(async { tokio::time::timeout(within, work).await });
    done.unwrap_or_else(|_| panic!("not done within {within:?}"))
}

impl Http2 {
    pub async fn connect(address: SocketAddr, name: &str, roots: &Path) -> Self {
        let socket = TcpStream::connect(address).await.expect("somebody listens");
        let connector = TlsConnector::from(tls_config(roots, &[b"h2"]));
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let stream = connector.connect(name, socket).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.expect("a connection");
        let task = tokio::spawn(async move {
            let _ended = connection.await;
        });
        Self { sender, task }
    }

    /// Sends a request and waits for the head of its answer.
    pub async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, hyper::Error> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }
}

/// No body.
pub fn empty() -> Body {
    Empty::new().boxed_unsync()
}

/// This body, whose length is known.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// A body of pieces that come through a channel.
pub fn streaming() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((Ok(Frame::data(piece)), receiver))
    });
    (sender, StreamBody::new(frames).boxed_unsync())
}

/// What follows in an answer's body, or `None` at its end.
pub async fn next(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    let frame = body.frame().await?;
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
}
