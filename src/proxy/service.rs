//! One request: read its host, route it, answer it. The same for every protocol.

use super::answer::Answer;
use super::balance_key::Keyed;
use super::body::RequestBody;
use super::choice::{Turns, candidates};
use super::class::{Class, HoldGroup};
use super::date::DateLine;
use super::destination::Destination;
use super::error::ProxyError;
use super::flights::Flights;
use super::forward::{Forwarding, forward};
use super::http2::Linger;
use super::identity::{RequestIds, client_of, given_request_id};
use super::origins::Callers;
use super::rates::Arriving;
use super::respond;
use super::router::{Asked, PlainRoute, Route, route, route_plain};
use super::serving::{ServedEndpoint, Serving, Timeouts};
use super::worker::Shared;
use crate::config::{Hold, UpstreamAddress};
use crate::drain::Watch;
use crate::http1::RequestHead;
use crate::matrix::{Host, ServerName};
use crate::tls::ProvenName;
use crate::upstream::{Gate, Pool};
use http::{HeaderValue, Method};
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Path below which HTTP-01 challenges are answered (RFC 8555 §8.3).
const CHALLENGE_PREFIX: &str = "/.well-known/acme-challenge/";

/// The pools of one worker, by upstream.
#[derive(Default)]
pub(super) struct Pools(RefCell<HashMap<UpstreamAddress, Rc<Pool>>>);

impl Pools {
    fn get(&self, endpoint: &ServedEndpoint, shared: &Shared) -> Rc<Pool> {
        let ServedEndpoint { address, check, .. } = endpoint;
        if let Some(pool) = self.0.borrow().get(address) {
            return Rc::clone(pool);
        }
        let gate = Gate::new(address.clone(), *check, Arc::clone(&shared.commons), shared.commons.metrics_of(address));
        let pool = Rc::new(Pool::new(address.clone(), gate));
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
    pub(super) date: DateLine,
    pub(super) request_ids: RequestIds,
    pub(super) flights: Rc<Flights>,
    pub(super) callers: Callers,
    /// When the program stops.
    pub(super) drain: Watch,
}

/// Serves the requests of one connection.
pub(super) struct Service {
    pub(super) local: Rc<Local>,
    /// Who is connected: the client, or a proxy that names it in each request.
    pub(super) peer: IpAddr,
    pub(super) arrival: Arrival,
    timeouts: Timeouts,
}

impl Service {
    pub(super) fn new(local: Rc<Local>, peer: IpAddr, arrival: Arrival) -> Self {
        let timeouts = local.shared.serving.load().limits.timeouts;
        Self { local, peer, arrival, timeouts }
    }

    /// The bounds of this connection's waits.
    pub(super) fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// The `Date` of an answer.
    pub(super) fn date(&self) -> HeaderValue {
        self.local.date.now()
    }

    /// Where unread HTTP/2 bodies go.
    pub(super) fn linger(&self) -> Linger {
        self.local.linger.clone()
    }

    /// Answers one request. It always has an answer; failures become Matrix errors here.
    pub(super) async fn answer(&self, head: RequestHead, body: Option<RequestBody>) -> Answer {
        let serving = self.local.shared.serving.load_full();
        let trusted = &serving.admission.trusted_proxies;
        let client = client_of(self.peer, trusted, head.fields().all("x-forwarded-for"));
        // Before any look at the host: whether that has changed is a part of the question.
        if let Some(visit) = self.local.shared.loopback.visit(head.path()) {
            let answer = self.loop_back(visit, client, &head, body).await;
            return self.secured(answer, &serving);
        }
        let decided = match &self.arrival {
            Arrival::Tls(name) => Self::decide(&serving, name, client, &head),
            Arrival::Plain => self.decide_plain(&serving, client, &head),
        };
        let answered = match decided {
            Ok(Decision::Forward(upstream, host)) => {
                self.forward(&serving, upstream, (client, &host), head, body).await
            }
            Ok(Decision::Answer(answer)) => Ok(answer),
            Err(error) => Err(error),
        };
        self.secured(answered.unwrap_or_else(|error| Answer::ours(respond::error(error))), &serving)
    }

    fn secured(&self, mut answer: Answer, serving: &Serving) -> Answer {
        if matches!(self.arrival, Arrival::Tls(_)) {
            answer.hsts.clone_from(&serving.hsts);
        }
        answer
    }

    fn decide(
        serving: &Serving,
        name: &ProvenName,
        client: IpAddr,
        head: &RequestHead,
    ) -> Result<Decision, ProxyError> {
        let (host, asked_for) = host_of(head)?;
        if !name.admits(&asked_for) {
            return Err(ProxyError::Misdirected);
        }
        let method = method_of(head)?;
        let (path, query) = (path_of(head)?, head.query());
        let asked = Asked { method: head.method(), host: &asked_for, path, query, client };
        match route(serving, &asked) {
            Route::WellKnown(server, document) => {
                Ok(Decision::Answer(Answer::ours(respond::well_known(&server.documents, document, &method))))
            }
            Route::Refuse(error) => Err(error),
            Route::Forward(destination) => Ok(Decision::Forward(destination, host)),
        }
    }

    async fn forward(
        &self,
        serving: &Serving,
        destination: Destination,
        (client, host): (IpAddr, &str),
        head: RequestHead,
        body: Option<RequestBody>,
    ) -> Result<Answer, ProxyError> {
        let rates = &self.local.shared.rates;
        let preflight = head.method() == "OPTIONS";
        let class = destination.class.as_str();
        let arriving = Arriving { class, client: client.into(), preflight, path: head.path(), fields: head.fields() };
        let admitted = rates.admit(arriving).await?;
        let trusted = &serving.admission.trusted_proxies;
        let given = given_request_id(self.peer, trusted, head.fields().all("x-request-id"));
        let (given, fresh) = (given.map(<[u8]>::to_vec), self.local.request_ids.fresh());
        let pools = self.pools(serving, &destination, client, &head);
        let forwarding = Forwarding {
            client,
            host,
            strip: destination.strip,
            request_id: given.as_deref().unwrap_or(&fresh),
            max_body: serving.limits.max_body,
            timeouts: self.timeouts,
            // Not at all for a preflight, which can be answered in the upstream's stead.
            hold: if preflight { Duration::ZERO } else { hold_limit(&serving.limits.hold, destination.class) }
                .saturating_sub(admitted.waited()),
            drain: &self.local.drain,
        };
        // Nobody signs a preflight: it is answered whatever it claims.
        let caller = if preflight { None } else { self.local.callers.of(serving, &destination, &head) };
        // Not sooner: a request that waits for its rate holds nothing else.
        let flight = self.local.flights.take(client.into()).ok_or(ProxyError::Crowded)?;
        let mut answer = match forward(head, body, pools, &forwarding).await {
            // Says nothing about the homeserver's state, so it can be answered in its stead. What a site
            // allows to whom is its own.
            Err(error) if preflight && error.is_the_upstreams() && destination.class != Class::Site => {
                return Ok(Answer::ours(respond::preflight()));
            }
            answered => answered?,
        };
        answer.flight = Some(flight);
        if let Some(caller) = caller {
            caller.answered(answer.head.status());
        }
        rates.settle(&admitted, answer.head.status());
        Ok(answer)
    }

    /// The pools of a destination's endpoints, in the order in which they are tried: those that are up
    /// first.
    fn pools(&self, serving: &Serving, destination: &Destination, client: IpAddr, head: &RequestHead) -> Vec<Rc<Pool>> {
        let pool = |endpoint: &ServedEndpoint| self.local.pools.get(endpoint, &self.local.shared);
        if let Some(only) = serving.only_endpoint(destination) {
            return vec![pool(only)];
        }
        let authorization: Vec<_> = head.fields().all("authorization").collect();
        let keyed = Keyed { path: head.path(), query: head.query(), client, authorization: &authorization };
        let all = candidates(serving, destination, &keyed, &self.local.turns, |endpoint| pool(endpoint).state());
        all.into_iter().map(pool).collect()
    }

    fn decide_plain(&self, serving: &Serving, client: IpAddr, head: &RequestHead) -> Result<Decision, ProxyError> {
        let path = path_of(head)?;
        if let Some(token) = path.strip_prefix(CHALLENGE_PREFIX) {
            // Before any look at the host: a CA validates names that have no certificate yet.
            let answer = self.local.shared.challenges.answer_http(token);
            let answer = answer.map(|answer| Decision::Answer(Answer::ours(respond::challenge(answer))));
            return answer.ok_or(ProxyError::NotRouted);
        }
        let (_, asked_for) = host_of(head)?;
        method_of(head)?;
        let asked = Asked { method: head.method(), host: &asked_for, path, query: head.query(), client };
        match route_plain(serving, &asked) {
            PlainRoute::Refuse(error) => Err(error),
            PlainRoute::Redirect { origin, cache_control } => {
                let location = format!("{origin}{}", head.target());
                Ok(Decision::Answer(Answer::ours(respond::redirect(&location, cache_control))))
            }
        }
    }
}

/// How long a request of this class may wait for an upstream that is down. What is no homeserver's
/// does not wait.
fn hold_limit(hold: &Hold, class: Class) -> Duration {
    match class.hold() {
        Some(HoldGroup::Federation) => hold.federation,
        Some(HoldGroup::Key) => hold.key,
        Some(HoldGroup::Client) => hold.client,
        None => Duration::ZERO,
    }
}

/// What becomes of a request.
enum Decision {
    Forward(Destination, String),
    Answer(Answer),
}

/// The one host of a request, as written and as a name. HTTP/2 carries it as `:authority`. Port,
/// case and the dot of a fully qualified name make no difference to whose it is.
fn host_of(head: &RequestHead) -> Result<(String, Host), ProxyError> {
    let mut lines = head.fields().all("host");
    let line = lines.next().map(|line| std::str::from_utf8(line).map_err(|_| ProxyError::BadHost)).transpose()?;
    if lines.next().is_some() {
        return Err(ProxyError::BadHost);
    }
    let written = match (head.authority(), line) {
        (Some(authority), Some(line)) if !line.eq_ignore_ascii_case(authority) => return Err(ProxyError::BadHost),
        (_, Some(line)) => line,
        (Some(authority), None) => authority,
        (None, None) => return Err(ProxyError::BadHost),
    };
    let parsed = ServerName::parse(written).or_else(|_| {
        let (host, port) = written.split_once(':').map_or((written, None), |(host, port)| (host, Some(port)));
        let host = host.strip_suffix('.').unwrap_or(host);
        ServerName::parse(&port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    });
    let host = parsed.map_err(|_| ProxyError::BadHost)?.host().clone();
    Ok((written.to_owned(), host))
}

/// The raw path of an origin-form or absolute-form target.
fn path_of(head: &RequestHead) -> Result<&str, ProxyError> {
    let path = head.path();
    if head.method() == "CONNECT" || !path.starts_with('/') {
        return Err(ProxyError::BadTarget);
    }
    Ok(path)
}

/// The method. TRACE would have an upstream echo what this hop added (RFC 9110 §9.3.8).
fn method_of(head: &RequestHead) -> Result<Method, ProxyError> {
    match Method::from_bytes(head.method().as_bytes()) {
        Ok(Method::TRACE) | Err(_) => Err(ProxyError::MethodNotAllowed),
        Ok(method) => Ok(method),
    }
}
