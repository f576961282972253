//! One request: read its host, route it, answer it.

use super::activity::Activity;
use super::balance_key::Keyed;
use super::body::{RequestBody, ResponseBody};
use super::choice::{Turns, candidates};
use super::destination::Destination;
use super::error::ProxyError;
use super::forward::{Forwarding, forward};
use super::linger::Linger;
use super::respond;
use super::router::{Asked, PlainRoute, Route, route, route_plain};
use super::serving::Serving;
use super::worker::Shared;
use crate::config::UpstreamAddress;
use crate::drain::Watch;
use crate::matrix::{Host, ServerName};
use crate::telemetry::log::Chain;
use crate::tls::ProvenName;
use crate::upstream::Pool;
use crate::upstream::balance::EndpointState;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, EXPECT, HOST};
use http::{HeaderValue, Method, Request, Response, Version};
use hyper::body::Incoming;
use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

/// Path below which HTTP-01 challenges are answered (RFC 8555 §8.3).
const CHALLENGE_PREFIX: &str = "/.well-known/acme-challenge/";

/// The pools of one worker, by upstream.
#[derive(Default)]
pub(super) struct Pools(RefCell<HashMap<UpstreamAddress, Rc<Pool<RequestBody>>>>);

impl Pools {
    fn get(&self, address: &UpstreamAddress) -> Rc<Pool<RequestBody>> {
        if let Some(pool) = self.0.borrow().get(address) {
            return Rc::clone(pool);
        }
        let pool = Rc::new(Pool::new(address.clone()));
        self.0.borrow_mut().insert(address.clone(), Rc::clone(&pool));
        pool
    }
}

/// How the requests of a connection arrive.
#[derive(Debug)]
pub(super) enum Arrival {
    /// Through TLS, with what the handshake proved.
    Tls(ProvenName),
    /// In plain text on port 80.
    Plain,
}

/// What the connections of one worker share.
pub(super) struct Local {
    pub(super) shared: Arc<Shared>,
    pub(super) pools: Pools,
    pub(super) turns: Turns,
    pub(super) linger: Linger,
}

/// Serves the requests of one connection.
pub(super) struct Service {
    pub local: Rc<Local>,
    pub activity: Arc<Activity>,
    pub client: IpAddr,
    pub arrival: Arrival,
    /// Held by what outlives a request: the worker waits for it when it drains.
    pub(super) alive: Watch,
}

impl Service {
    /// Answers one request. It always has an answer; failures become Matrix errors here.
    pub(super) async fn call(self: Rc<Self>, request: Request<Incoming>) -> Result<Response<ResponseBody>, Infallible> {
        let in_flight = self.activity.request();
        let method = request.method().clone();
        let serving = self.local.shared.serving.load_full();
        // The body is a `RequestBody` from the start: whatever becomes of the request, that type sees to
        // what is left of it.
        let version = request.version();
        let waits = version == Version::HTTP_11 && request.headers().contains_key(EXPECT);
        let request = request.map(|incoming| RequestBody::new(incoming, version, waits, &self.local.linger));
        let decided = match &self.arrival {
            Arrival::Tls(name) => self.decide(&serving, name, &request),
            Arrival::Plain => self.decide_plain(&serving, &request),
        };
        let answered = match decided {
            Ok(Decision::Forward(destination, host)) => self.forward(&serving, destination, &host, request).await,
            Ok(Decision::Answer(response)) => Ok(response),
            Err(error) => Err(error),
        };
        let mut response = answered.unwrap_or_else(|error| match error.answers_preflight(&method) {
            true => respond::preflight(),
            false => respond::error(error),
        });
        if method == Method::HEAD {
            // HTTP/1.1 would leave the body out by itself, HTTP/2 would not.
            let (mut parts, body) = response.into_parts();
            let (length, body) = body.withheld();
            if let Some(length) = length {
                parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
            response = Response::from_parts(parts, body);
        }
        if let (Arrival::Tls(_), Some(hsts)) = (&self.arrival, &serving.hsts) {
            response.headers_mut().entry("strict-transport-security").or_insert_with(|| hsts.clone());
        }
        Ok(response.map(|body| body.counted(in_flight)))
    }

    fn decide(
        &self,
        serving: &Serving,
        name: &ProvenName,
        request: &Request<RequestBody>,
    ) -> Result<Decision, ProxyError> {
        let (host, asked_for) = host_of(request)?;
        if !name.admits(&asked_for) {
            return Err(ProxyError::Misdirected);
        }
        let path = path_of(request)?;
        let query = request.uri().query();
        let asked = Asked { method: request.method().as_str(), host: &asked_for, path, query, client: self.client };
        match route(serving, &asked) {
            Route::WellKnown(server, document) => {
                Ok(Decision::Answer(respond::well_known(&server.documents, document, request.method())))
            }
            Route::Refuse(error) => Err(error),
            Route::Forward(destination) => Ok(Decision::Forward(destination, host)),
        }
    }

    async fn forward(
        &self,
        serving: &Serving,
        destination: Destination,
        host: &HeaderValue,
        request: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        let pool = reachable(self.pools(serving, &destination, &request)).await?;
        let forwarding = Forwarding {
            client: self.client,
            host,
            strip: destination.strip,
            max_body: serving.limits.max_body,
            first_byte_timeout: serving.limits.first_byte_timeout,
            alive: &self.alive,
        };
        forward(request, &pool, &forwarding).await
    }

    /// The pools of a destination's endpoints, in the order in which they are tried.
    fn pools(
        &self,
        serving: &Serving,
        destination: &Destination,
        request: &Request<RequestBody>,
    ) -> Vec<Rc<Pool<RequestBody>>> {
        let lines: Vec<_> = request.headers().get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes).collect();
        let (path, query) = (request.uri().path(), request.uri().query());
        let keyed = Keyed { path, query, client: self.client, authorization: &lines };
        let state = |address: &UpstreamAddress| {
            // Every exchange holds its pool; so do the worker's list and this line.
            let in_flight = Rc::strong_count(&self.local.pools.get(address)).saturating_sub(2);
            EndpointState { up: true, in_flight }
        };
        let found = candidates(serving, destination, &keyed, &self.local.turns, state);
        found.into_iter().map(|(_, address)| self.local.pools.get(address)).collect()
    }

    fn decide_plain(&self, serving: &Serving, request: &Request<RequestBody>) -> Result<Decision, ProxyError> {
        let path = path_of(request)?;
        if let Some(token) = path.strip_prefix(CHALLENGE_PREFIX) {
            // Before any look at the host: a CA validates names that have no certificate yet.
            let answer = self.local.shared.challenges.answer_http(token);
            return answer.map(|answer| Decision::Answer(respond::challenge(answer))).ok_or(ProxyError::NotRouted);
        }
        let (_, asked_for) = host_of(request)?;
        let query = request.uri().query();
        let asked = Asked { method: request.method().as_str(), host: &asked_for, path, query, client: self.client };
        match route_plain(serving, &asked) {
            PlainRoute::Refuse(error) => Err(error),
            PlainRoute::Redirect { origin, cache_control } => {
                let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
                Ok(Decision::Answer(respond::redirect(&format!("{origin}{target}"), cache_control)))
            }
        }
    }
}

/// The first that can be connected to. A single one is left to the exchange itself.
async fn reachable(candidates: Vec<Rc<Pool<RequestBody>>>) -> Result<Rc<Pool<RequestBody>>, ProxyError> {
    let alternatives = candidates.len() > 1;
    for pool in candidates {
        if !alternatives {
            return Ok(pool);
        }
        match pool.warm().await {
            Ok(()) => return Ok(pool),
            Err(error) => {
                tracing::warn!(upstream = %pool.address(), error = %Chain(&error), "the upstream is unreachable")
            }
        }
    }
    Err(ProxyError::Unreachable)
}

/// What becomes of a request.
enum Decision {
    Forward(Destination, HeaderValue),
    Answer(Response<ResponseBody>),
}

/// The one host of a request, as written and as a name. HTTP/2 carries it as `:authority`. Port,
/// case and the dot of a fully qualified name make no difference to whose it is.
fn host_of(request: &Request<RequestBody>) -> Result<(HeaderValue, Host), ProxyError> {
    let mut lines = request.headers().get_all(HOST).iter();
    let line = lines.next();
    if lines.next().is_some() {
        return Err(ProxyError::BadHost);
    }
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let written = match (authority, line) {
        (Some(authority), Some(line)) if !line.as_bytes().eq_ignore_ascii_case(authority.as_bytes()) => {
            return Err(ProxyError::BadHost);
        }
        (_, Some(line)) => line.clone(),
        (Some(authority), None) => HeaderValue::from_str(authority).map_err(|_| ProxyError::BadHost)?,
        (None, None) => return Err(ProxyError::BadHost),
    };
    let text = written.to_str().map_err(|_| ProxyError::BadHost)?;
    let parsed = ServerName::parse(text).or_else(|_| {
        let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
        let host = host.strip_suffix('.').unwrap_or(host);
        ServerName::parse(&port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    });
    let host = parsed.map_err(|_| ProxyError::BadHost)?.host().clone();
    Ok((written, host))
}

/// The raw path of an origin-form or absolute-form target.
fn path_of(request: &Request<RequestBody>) -> Result<&str, ProxyError> {
    let path = request.uri().path();
    if request.method() == Method::CONNECT || !path.starts_with('/') {
        return Err(ProxyError::BadTarget);
    }
    Ok(path)
}
