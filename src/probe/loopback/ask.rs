//! One request to one address, with a nonce of its own, and what arrived of it here.

use super::arrival::Arrival;
use super::compare::Shown;
use super::desk::{Loopback, OpenNonce};
use super::prover::Place;
use super::question::Question;
use crate::certs::x509;
use crate::matrix::Host;
use crate::net::exchange::{Bounds, ExchangeError, exchange_by};
use crate::net::looker;
use crate::probe::connection::{describe, quote, tls_error, tls_name};
use crate::probe::own::OwnListeners;
use bytes::Bytes;
use http::Response;
use hyper::client::conn::http1;
use std::error::Error as _;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// For the connection, for the handshake, and for the answer once the silence is over.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// Before something that broke is tried once more.
const PAUSE: Duration = Duration::from_millis(500);

/// A stranger's whole page, so that its sender can be told.
const MAX_ANSWER: usize = 64 * 1024;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is no connection.
    Connect(String),
    /// There is one, and no TLS on it.
    Tls(String),
    /// There is, and no answer.
    Answer(String),
    /// Nothing was sent.
    Unasked(&'static str),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(how) => f.write_str(how),
            Self::Tls(how) => write!(f, "no TLS: {how}"),
            Self::Answer(how) => write!(f, "no answer: {how}"),
            Self::Unasked(why) => f.write_str(why),
        }
    }
}

/// What came of a request.
#[derive(Debug)]
pub(super) struct Attempt {
    /// Its path up to the end of the nonce.
    pub(super) path: String,
    /// The address it came from.
    pub(super) source: Option<IpAddr>,
    /// The handshake, if it came to its end.
    pub(super) shown: Option<Shown>,
    /// Whose certificate was shown, where it does not cover the name.
    pub(super) strange: Option<String>,
    /// The answer.
    pub(super) answer: Result<Response<Bytes>, Failure>,
    /// What arrived here.
    pub(super) arrival: Option<Arrival>,
    /// Whether it was tried twice.
    pub(super) again: bool,
}

/// Asks, and once more after a pause if something broke on the way.
pub(super) async fn ask(
    desk: &Loopback,
    own: &OwnListeners,
    place: &Place<'_>,
    address: SocketAddr,
    question: &Question,
) -> Attempt {
    let first = once(desk, own, place, address, question).await;
    let shaky = match &first.answer {
        _ if first.arrival.is_some() => false,
        Ok(answer) => answer.status().is_server_error(),
        Err(Failure::Connect(_) | Failure::Unasked(_)) => false,
        Err(Failure::Tls(_) | Failure::Answer(_)) => true,
    };
    if !shaky {
        return first;
    }
    sleep(PAUSE).await;
    Attempt { again: true, ..once(desk, own, place, address, question).await }
}

async fn once(
    desk: &Loopback,
    own: &OwnListeners,
    place: &Place<'_>,
    address: SocketAddr,
    question: &Question,
) -> Attempt {
    let Some(nonce) = desk.open(Duration::ZERO) else {
        return Attempt::failed(String::new(), Failure::Unasked("too many proofs are under way"));
    };
    let path = nonce.path();
    let (mut attempt, stream) = match open(own, place, address, path.clone()).await {
        Ok(opened) => opened,
        Err(failed) => return *failed,
    };
    attempt.answer = answer(stream, question, &path, place, Duration::ZERO).await;
    attempt.arrival = nonce.arrival();
    attempt
}

/// A connection with its handshake done.
pub(super) async fn open(
    own: &OwnListeners,
    place: &Place<'_>,
    address: SocketAddr,
    path: String,
) -> Result<(Attempt, TlsStream<TcpStream>), Box<Attempt>> {
    let fail = |path: String, failure| Box::new(Attempt::failed(path, failure));
    let slow = format!("does not answer within {} s", LIMIT.as_secs());
    let stream = match timeout(LIMIT, own.connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(fail(path, Failure::Connect(in_words(&error)))),
        Err(_) => return Err(fail(path, Failure::Connect(slow))),
    };
    let source = stream.local_addr().ok().map(|local| local.ip().to_canonical());
    match timeout(LIMIT, Box::pin(shake_hands(place.name, stream))).await {
        Ok(Ok((stream, shown, strange))) => {
            let unasked = Failure::Unasked("not asked");
            let attempt = Attempt { source, shown: Some(shown), strange, ..Attempt::failed(path, unasked) };
            Ok((attempt, stream))
        }
        Ok(Err(error)) => {
            let how = tls_error(&error).map_or_else(|| in_words(&error), |error| quote(&error.to_string()));
            Err(Box::new(Attempt { source, ..Attempt::failed(path, Failure::Tls(how)) }))
        }
        Err(_) => Err(Box::new(Attempt { source, ..Attempt::failed(path, Failure::Tls(slow)) })),
    }
}

/// Shakes hands. With the certificate in words where it does not cover the name.
async fn shake_hands(name: &Host, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Shown, Option<String>)> {
    let config = looker::client_config(rustls::ALL_VERSIONS, &["http/1.1"]).map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(tls_name(name)?, stream).await?;
    let session = stream.get_ref().1;
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    let leaf = leaf.ok_or_else(|| io::Error::other("no certificate was shown"))?;
    let facts = x509::facts(leaf).ok();
    let covers = facts.as_ref().is_some_and(|facts| facts.names.iter().any(|pattern| pattern.covers(name)));
    let shown = Shown {
        serial: facts.map(|facts| facts.serial).unwrap_or_default(),
        sni: match name {
            Host::Dns(name) => Some(name.clone()),
            Host::Ip(_) => None,
        },
        alpn: session.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned()),
    };
    let strange = (!covers).then(|| describe(leaf));
    Ok((stream, shown, strange))
}

/// The answer to `question`, which may take as long as the silence and a little more.
pub(super) async fn answer(
    stream: TlsStream<TcpStream>,
    question: &Question,
    path: &str,
    place: &Place<'_>,
    silence: Duration,
) -> Result<Response<Bytes>, Failure> {
    let request = question.request(path, place.host_header).map_err(|error| Failure::Answer(error.to_string()))?;
    let bounds = Bounds { deadline: silence + LIMIT, max_body: MAX_ANSWER };
    // Boxed: it holds the buffers of a connection, and several of these wait side by side.
    // As people write header names, to see whether something on the way writes them anew.
    let mut client = http1::Builder::new();
    client.title_case_headers(true);
    Box::pin(exchange_by(&client, stream, request, bounds)).await.map_err(|error| {
        Failure::Answer(match &error {
            ExchangeError::Timeout(limit) => format!("nothing within {} s", limit.as_secs()),
            ExchangeError::TooLarge(limit) => format!("more than {limit} bytes"),
            ExchangeError::Http(inner) => inner.source().map_or_else(|| inner.to_string(), ToString::to_string),
        })
    })
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refuses connections".to_owned(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => "the connection was closed".to_owned(),
        _ => error.to_string(),
    }
}

impl Attempt {
    pub(super) fn failed(path: String, failure: Failure) -> Self {
        Self { path, source: None, shown: None, strange: None, answer: Err(failure), arrival: None, again: false }
    }

    /// What came in place of an arrival, in words.
    pub(super) fn instead(&self) -> String {
        match &self.answer {
            Ok(answer) => {
                let text = |name: &str| {
                    let value = answer.headers().get(name)?;
                    Some(quote(&String::from_utf8_lossy(value.as_bytes())))
                };
                let server = text("server").map(|server| format!(", {server}")).unwrap_or_default();
                let to = text("location").map(|to| format!(", to {to}")).unwrap_or_default();
                format!("HTTP status {}{server}{to}", answer.status().as_u16())
            }
            Err(failure) => failure.to_string(),
        }
    }
}

/// Waits at `nonce` for what arrives, while `asking` goes on. The answer, and when the request was
/// here, if it ever was.
pub(super) async fn watch<T>(nonce: &mut OpenNonce, asking: impl Future<Output = T>) -> (T, bool) {
    tokio::pin!(asking);
    tokio::select! {
        biased;
        arrived = nonce.arrives() => (asking.await, arrived.is_some()),
        answer = &mut asking => (answer, false),
    }
}
