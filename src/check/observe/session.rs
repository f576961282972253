//! Several questions to one address over one connection, one after the other.
//!
//! What a server does with the bytes of a request does not depend on the connection, so about twenty
//! questions share one. It is opened again where the server closes it, and a question that breaks is
//! asked a second time, so that a lost packet does not pass for an opinion of the server's.

use super::http::{HttpAnswer, USER_AGENT};
use super::tls::{self, Offer, Stage, Trouble};
use crate::check::chain::Trust;
use crate::check::network::Network;
use crate::matrix::Host;
use bytes::{Bytes, BytesMut};
use http::header::{HeaderName, HeaderValue};
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::pin::Pin;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

/// So much of a body is kept. Error documents are a hundred bytes; metrics are known by their first line.
const MAX_BODY: usize = 16 * 1024;

/// So much of a head is read.
const MAX_HEAD: usize = 64 * 1024;

/// A server that closes after every answer gets a connection for each question; one that breaks
/// every connection does not get many more.
const MAX_CONNECTIONS: usize = 32;

/// Too many requests.
const ENOUGH: u16 = 429;

type Body = Full<Bytes>;

/// One question of several.
#[derive(Clone, Debug)]
pub(super) struct Question<'a> {
    pub(super) method: Method,
    /// Path and query, sent as they stand.
    pub(super) target: &'a str,
    /// Another `Host` than the session's.
    pub(super) host: Option<&'a str>,
    /// Headers beyond those that every request has; one of the same name takes its place.
    pub(super) headers: Vec<(HeaderName, &'a str)>,
    pub(super) body: &'static str,
    /// Only for the server that has proved to be the one: the question is not asked where the
    /// certificate did not verify.
    pub(super) confidential: bool,
}

impl<'a> Question<'a> {
    /// A plain `GET`.
    pub(super) fn get(target: &'a str) -> Self {
        Self { method: Method::GET, target, host: None, headers: Vec::new(), body: "", confidential: false }
    }

    /// With one header more.
    pub(super) fn header(mut self, name: HeaderName, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    fn request(&self, host: &str) -> http::Result<Request<Body>> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(self.target)
            .header(header::HOST, self.host.unwrap_or(host))
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "*/*")
            .body(Full::new(Bytes::from_static(self.body.as_bytes())))?;
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, HeaderValue::from_str(value)?);
        }
        Ok(request)
    }
}

/// What came of a question.
#[derive(Clone, Debug)]
pub struct Replied {
    /// The answer, its body cut off after 16 KiB, or what went wrong (the second time, if there was one).
    pub answer: Result<HttpAnswer, Trouble>,
    /// What went wrong the first time, if a second try followed.
    pub first_try: Option<Trouble>,
}

impl Replied {
    /// The answer, if there is one.
    pub fn ok(&self) -> Option<&HttpAnswer> {
        self.answer.as_ref().ok()
    }
}

/// A connection to one address that is opened when it is needed.
#[derive(Debug)]
pub(super) struct Session<'a> {
    network: &'a Network,
    address: SocketAddr,
    name: &'a Host,
    host_header: &'a str,
    open: Option<Open>,
    opened: usize,
    /// The server asked for fewer requests.
    pub(super) enough: bool,
}

#[derive(Debug)]
struct Open {
    sender: SendRequest<Body>,
    connection: Pin<Box<Connection<TokioIo<TlsStream<TcpStream>>, Body>>>,
    /// The certificate is valid for the name.
    verified: bool,
}

/// Why a question got no answer, and whether it may be the age of the connection.
enum Failed {
    Fresh(Trouble),
    Reused,
    /// Never asked.
    Refused,
}

impl<'a> Session<'a> {
    pub(super) fn new(network: &'a Network, address: SocketAddr, name: &'a Host, host_header: &'a str) -> Self {
        Self { network, address, name, host_header, open: None, opened: 0, enough: false }
    }

    /// Asks. `None` where it was not asked: the server wants no more, or is not proved to be the one.
    pub(super) async fn ask(&mut self, question: &Question<'_>) -> Option<Replied> {
        if self.enough {
            return None;
        }
        let mut first_try = None;
        loop {
            if self.opened >= MAX_CONNECTIONS && self.open.is_none() {
                self.enough = true;
                return None;
            }
            let answer = match self.once(question).await {
                Ok(answer) => Ok(answer),
                Err(Failed::Refused) => return None,
                // The server had closed it meanwhile, which says nothing.
                Err(Failed::Reused) => continue,
                Err(Failed::Fresh(trouble)) if first_try.is_none() && trouble.worth_a_retry() => {
                    first_try = Some(trouble);
                    tokio::time::sleep(self.network.limits.retry).await;
                    continue;
                }
                Err(Failed::Fresh(trouble)) => Err(trouble),
            };
            // No other question would come further than the handshake.
            let shut = answer.as_ref().is_err_and(Trouble::in_tls);
            self.enough = shut || answer.as_ref().is_ok_and(|answer| answer.status == ENOUGH);
            return Some(Replied { answer, first_try });
        }
    }

    async fn once(&mut self, question: &Question<'_>) -> Result<HttpAnswer, Failed> {
        let (mut open, reused) = match self.open.take() {
            Some(open) => (open, true),
            None => (self.connect().await.map_err(Failed::Fresh)?, false),
        };
        if question.confidential && !open.verified {
            return Err(Failed::Refused);
        }
        let request = question.request(self.host_header);
        let request = request.map_err(|error| Failed::Fresh(Trouble::Exchange(error.to_string())))?;
        let limit = self.network.limits.exchange;
        match timeout(limit, open.exchange(request)).await {
            Ok(Ok((parts, body, whole))) => {
                self.open = whole.then_some(open);
                let (status, received) = (parts.status.as_u16(), self.network.clock.now());
                Ok(HttpAnswer { status, headers: parts.headers, body, received })
            }
            Ok(Err(_)) if reused => Err(Failed::Reused),
            Ok(Err(error)) => Err(Failed::Fresh(Trouble::Exchange(error.to_string()))),
            Err(_) => Err(Failed::Fresh(Trouble::Timeout(Stage::Exchange, limit))),
        }
    }

    async fn connect(&mut self) -> Result<Open, Trouble> {
        self.opened += 1;
        let (stream, handshake) = tls::open(self.network, self.address, self.name, Offer::HTTP1).await?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MAX_HEAD);
        let shaken = builder.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| Trouble::Exchange(error.to_string()))?;
        let chain = &handshake.chain;
        // Stricter than the verdict on the certificate: what a closed network forgives, a secret does not.
        // Anybody can replay a public chain; who has its key says the signature of the handshake.
        let verified = chain.trust == Trust::Verified
            && chain.covers_name
            && chain.unproved.is_none()
            && chain.expired.is_empty()
            && chain.not_yet.is_empty();
        Ok(Open { sender, connection: Box::pin(connection), verified })
    }
}

impl Open {
    /// Sends and collects; says as well whether the connection can take another question.
    async fn exchange(&mut self, request: Request<Body>) -> Result<(http::response::Parts, Bytes, bool), hyper::Error> {
        let Self { sender, connection, .. } = self;
        let answer = async {
            sender.ready().await?;
            let (parts, body) = sender.send_request(request).await?.into_parts();
            let (body, whole) = collect(body).await?;
            Ok((parts, body, whole))
        };
        tokio::pin!(answer);
        // The connection is driven here and not in a task of its own, so that dropping the session
        // closes it.
        tokio::select! {
            answer = &mut answer => answer,
            ended = connection => {
                ended?;
                answer.await.map(|(parts, body, _)| (parts, body, false))
            }
        }
    }
}

async fn collect(mut body: hyper::body::Incoming) -> Result<(Bytes, bool), hyper::Error> {
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = MAX_BODY - collected.len();
        collected.extend_from_slice(data.get(..room).unwrap_or(&data));
        if collected.len() == MAX_BODY {
            return Ok((collected.freeze(), false));
        }
    }
    Ok((collected.freeze(), true))
}
