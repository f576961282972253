//! One request to one address over HTTP/1.1, tried a second time if the first try broke.

use super::tls::{self, Handshake, Offer, Stage, Trouble};
use crate::check::network::Network;
use crate::clock::Timestamp;
use crate::matrix::Host;
use crate::net::exchange::{Bounds, ExchangeError, exchange, exchange_all};
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::Full;
use std::error::Error as _;
use std::net::SocketAddr;

/// What this program calls itself towards the servers it looks at.
pub(super) const USER_AGENT: &str = concat!("vestibule/", env!("CARGO_PKG_VERSION"));

/// One question over HTTPS.
#[derive(Clone, Debug)]
pub(super) struct Ask<'a> {
    pub(super) address: SocketAddr,
    /// Name for SNI and certificate.
    pub(super) name: &'a Host,
    pub(super) offer: Offer,
    pub(super) host_header: &'a str,
    pub(super) method: Method,
    /// Path and query, sent as they stand.
    pub(super) target: &'a str,
    /// Headers beyond those that every request has; one of the same name takes its place.
    pub(super) headers: &'a [(HeaderName, &'a str)],
    pub(super) body: Bytes,
    pub(super) max_body: usize,
}

impl<'a> Ask<'a> {
    /// A `GET` without ALPN, and nothing special.
    pub(super) fn get(
        address: SocketAddr,
        name: &'a Host,
        host_header: &'a str,
        target: &'a str,
        max_body: usize,
    ) -> Self {
        let (offer, method, body) = (Offer::PLAIN, Method::GET, Bytes::new());
        Self { address, name, offer, host_header, method, target, headers: &[], body, max_body }
    }

    /// With another offer in the handshake.
    pub(super) fn offering(self, offer: Offer) -> Self {
        Self { offer, ..self }
    }

    /// With these headers too.
    pub(super) fn sending(self, headers: &'a [(HeaderName, &'a str)]) -> Self {
        Self { headers, ..self }
    }

    /// The request; `last` if the connection is not needed afterwards.
    fn request(&self, last: bool) -> http::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(self.target)
            .header(header::HOST, self.host_header)
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "*/*")
            .body(Full::new(self.body.clone()))?;
        if last {
            request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        for (name, value) in self.headers {
            request.headers_mut().insert(name, HeaderValue::from_str(value)?);
        }
        Ok(request)
    }
}

/// What came of one question.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The address asked.
    pub address: SocketAddr,
    /// The handshake, if it came that far.
    pub tls: Option<Handshake>,
    /// The answer, or what went wrong (the second time, if there was one).
    pub answer: Result<HttpAnswer, Trouble>,
    /// What went wrong the first time, if a second try followed.
    pub first_try: Option<Trouble>,
}

/// An HTTP answer.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// When it was received, by this machine's clock.
    pub received: Timestamp,
}

impl HttpAnswer {
    /// A header's first value, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The Matrix error code of a JSON body.
    pub fn errcode(&self) -> Option<String> {
        let value: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        value.get("errcode")?.as_str().map(str::to_owned)
    }

    /// The media type without its parameters, in lower case.
    pub fn media_type(&self) -> Option<String> {
        let value = self.header("content-type")?;
        value.split(';').next().map(|kind| kind.trim().to_ascii_lowercase())
    }
}

/// Asks, and asks again after a pause where that may help.
pub(super) async fn ask(network: &Network, question: &Ask<'_>) -> Fetched {
    let first = once(network, question).await;
    match &first.answer {
        Err(trouble) if trouble.worth_a_retry() => {
            tokio::time::sleep(network.limits.retry).await;
            let mut second = once(network, question).await;
            second.first_try = first.answer.err();
            second.tls = second.tls.or(first.tls);
            second
        }
        _ => first,
    }
}

async fn once(network: &Network, question: &Ask<'_>) -> Fetched {
    let mut fetched = Fetched {
        address: question.address,
        tls: None,
        answer: Err(Trouble::Exchange(String::new())),
        first_try: None,
    };
    let (stream, handshake) = match tls::open(network, question.address, question.name, question.offer).await {
        Ok(opened) => opened,
        Err(trouble) => return Fetched { answer: Err(trouble), ..fetched },
    };
    fetched.tls = Some(handshake);
    let what = || format!("{} {} at {}", question.method, question.target, question.address);
    let _step = network.progress.begin(what);
    let request = match question.request(true) {
        Ok(request) => request,
        Err(error) => return Fetched { answer: Err(Trouble::Exchange(error.to_string())), ..fetched },
    };
    let bounds = Bounds { deadline: network.limits.exchange, max_body: question.max_body };
    fetched.answer = answer(network, exchange(stream, request, bounds).await);
    fetched
}

fn answer(network: &Network, outcome: Result<Response<Bytes>, ExchangeError>) -> Result<HttpAnswer, Trouble> {
    match outcome {
        Ok(response) => {
            let (parts, body) = response.into_parts();
            let received = network.clock.now();
            Ok(HttpAnswer { status: parts.status.as_u16(), headers: parts.headers, body, received })
        }
        Err(ExchangeError::Timeout(limit)) => Err(Trouble::Timeout(Stage::Exchange, limit)),
        Err(ExchangeError::TooLarge(limit)) => Err(Trouble::TooLarge(limit)),
        Err(error) => {
            // hyper's own sentence is in the source; ours says only which layer it was.
            let text = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            Err(Trouble::Exchange(text))
        }
    }
}

/// Asks several questions, all of the same address and name, over as few connections as the server
/// allows: one, where it keeps it open. Each is asked again after a pause where that may help. What
/// nobody answered in time is not waited for again: the questions behind it share its fate.
pub(super) async fn ask_all(network: &Network, questions: &[Ask<'_>]) -> Vec<Fetched> {
    let mut fetched: Vec<Fetched> = Vec::with_capacity(questions.len());
    let mut first_try = None;
    while let Some((question, _)) = questions.get(fetched.len()..).and_then(<[_]>::split_first) {
        let more = questions.get(fetched.len()..).unwrap_or_default();
        let (tls, mut answers) = over_one(network, question, more).await;
        let failure = match answers.pop() {
            Some(Err(trouble)) => Some(trouble),
            last => {
                answers.extend(last);
                None
            }
        };
        let some = !answers.is_empty();
        for answer in answers {
            let (address, tls, first_try) = (question.address, tls.clone(), first_try.take());
            fetched.push(Fetched { address, tls, answer, first_try });
        }
        let Some(trouble) = failure else { continue };
        // A server may close a connection that has served; the next one decides.
        if some && matches!(trouble, Trouble::Exchange(_)) {
            continue;
        }
        if trouble.worth_a_retry() && first_try.is_none() {
            first_try = Some(trouble);
            tokio::time::sleep(network.limits.retry).await;
            continue;
        }
        let hopeless = trouble.before_tls() || trouble.in_tls() || matches!(trouble, Trouble::Timeout(..));
        let lost = if hopeless { questions.len() - fetched.len() } else { 1 };
        for _ in 0..lost {
            let (address, tls, first_try) = (question.address, tls.clone(), first_try.take());
            fetched.push(Fetched { address, tls, answer: Err(trouble.clone()), first_try });
        }
    }
    fetched
}

/// Asks as many of `questions` as one connection takes, at least one. Only the last outcome is ever
/// a failure.
async fn over_one(
    network: &Network,
    first: &Ask<'_>,
    questions: &[Ask<'_>],
) -> (Option<Handshake>, Vec<Result<HttpAnswer, Trouble>>) {
    let (stream, handshake) = match tls::open(network, first.address, first.name, first.offer).await {
        Ok(opened) => opened,
        Err(trouble) => return (None, vec![Err(trouble)]),
    };
    let last = questions.len().saturating_sub(1);
    let requests = questions.iter().enumerate().map(|(number, question)| question.request(number == last));
    let requests: Vec<_> = match requests.collect() {
        Ok(requests) => requests,
        Err(error) => return (Some(handshake), vec![Err(Trouble::Exchange(error.to_string()))]),
    };
    let max_body = questions.iter().map(|question| question.max_body).max().unwrap_or_default();
    let bounds = Bounds { deadline: network.limits.exchange, max_body };
    let answers = exchange_all(stream, requests, bounds).await;
    (Some(handshake), answers.into_iter().map(|outcome| answer(network, outcome)).collect())
}
