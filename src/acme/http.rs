//! The wire to the CA, under instant-acme's `HttpClient` seam.
//!
//! The library's own client has no deadline, no limit on bodies, and loses the status and
//! Retry-After of errors. Here a deadline covers the whole exchange, bodies end at 1 MiB, and an
//! error answer that is not a plain `badNonce` becomes a [`Refusal`] that keeps all of it. ACME is
//! a handful of requests a month: each takes a connection of its own.

use crate::net::exchange::{Bounds, ExchangeError, exchange};
use bytes::Bytes;
use http::header::{HOST, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient, Problem};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

/// A CA under load may take a while to sign; one that takes longer is down.
const DEADLINE: Duration = Duration::from_secs(30);

/// For one of the CA's addresses; several fit into the deadline.
const CONNECT: Duration = Duration::from_secs(5);

/// Directories, orders and chains are kilobytes.
const MAX_BODY: usize = 1 << 20;

/// Sent with every request, as RFC 8555 §6.1 asks.
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("vestibule/", env!("CARGO_PKG_VERSION")));

/// An error answer of the CA, whole.
#[derive(Debug, thiserror::Error)]
#[error("the CA answered {status}: {problem}")]
pub(super) struct Refusal {
    pub status: StatusCode,
    /// Seconds.
    pub retry_after: Option<i64>,
    /// The problem document, or the beginning of what came instead.
    pub problem: String,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("{0} is not an https URL with a host")]
    Url(Uri),
    #[error("cannot connect to {host}")]
    Connect { host: String, source: io::Error },
    #[error("no TLS connection to {host}")]
    Tls { host: String, source: io::Error },
    #[error("{0} did not answer within {1:?}")]
    Timeout(String, Duration),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
}

/// The client.
#[derive(Clone)]
pub(super) struct Wire {
    tls: TlsConnector,
}

impl Wire {
    pub(super) fn new(roots: RootCertStore) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    async fn exchange(&self, mut request: Request<BodyWrapper<Bytes>>) -> Result<Response<Bytes>, WireError> {
        let uri = request.uri().clone();
        let host = uri.host().map(|host| host.trim_matches(['[', ']']).to_owned());
        let (Some("https"), Some(host), Some(authority)) = (uri.scheme_str(), host, uri.authority()) else {
            return Err(WireError::Url(uri));
        };
        let name = ServerName::try_from(host.clone()).map_err(|_| WireError::Url(uri.clone()))?;
        let host_header = HeaderValue::from_str(authority.as_str()).map_err(|_| WireError::Url(uri.clone()))?;
        request.headers_mut().insert(HOST, host_header);
        request.headers_mut().insert(http::header::USER_AGENT, USER_AGENT);
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        *request.uri_mut() = target.parse().map_err(|_| WireError::Url(uri.clone()))?;
        let whole = async {
            let tcp = connect(&host, uri.port_u16().unwrap_or(443)).await;
            let tcp = tcp.map_err(|source| WireError::Connect { host: host.clone(), source })?;
            let tls = self.tls.connect(name, tcp).await;
            let tls = tls.map_err(|source| WireError::Tls { host: host.clone(), source })?;
            Ok(exchange(tls, request, Bounds { deadline: DEADLINE, max_body: MAX_BODY }).await?)
        };
        match tokio::time::timeout(DEADLINE, whole).await {
            Ok(result) => result,
            Err(_) => Err(WireError::Timeout(host.clone(), DEADLINE)),
        }
    }
}

/// Tries each address in turn: behind a broken IPv6 route the CA is still there over IPv4.
async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((host, port)).await? {
        match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::Error::new(io::ErrorKind::TimedOut, format!("no answer from {address}")),
        }
    }
    Err(failed)
}

impl HttpClient for Wire {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let wire = self.clone();
        Box::pin(async move {
            let response = wire.exchange(request).await.map_err(|error| Error::Other(Box::new(error)))?;
            if let Some(refusal) = refusal(&response) {
                return Err(Error::Other(Box::new(refusal)));
            }
            let (parts, body) = response.into_parts();
            Ok(BytesResponse { parts, body: Box::new(Collected(body)) })
        })
    }
}

/// An error answer, unless it is the `badNonce` that the library repeats by itself.
fn refusal(response: &Response<Bytes>) -> Option<Refusal> {
    if response.status().is_success() || response.status().is_redirection() {
        return None;
    }
    let problem = serde_json::from_slice::<Problem>(response.body()).ok();
    if problem.as_ref().is_some_and(is_bad_nonce) {
        return None;
    }
    let described = problem.filter(|problem| problem.detail.is_some() || problem.r#type.is_some());
    let problem = described.map_or_else(
        || String::from_utf8_lossy(response.body()).chars().take(200).collect(),
        |problem| problem.to_string(),
    );
    Some(Refusal { status: response.status(), retry_after: retry_after(response), problem })
}

/// Whether a problem is `badNonce` (RFC 8555 §6.5).
pub(super) fn is_bad_nonce(problem: &Problem) -> bool {
    problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:badNonce")
}

/// Retry-After in seconds; its other form is a date (RFC 9110 §10.2.3).
fn retry_after(response: &Response<Bytes>) -> Option<i64> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(i64::from(seconds));
    }
    // Measured against the server's own clock where it tells it.
    let parse = |text| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok();
    let date = response.headers().get(http::header::DATE)?.to_str().ok().and_then(parse)?;
    Some(parse(text)?.as_second() - date.as_second())
}

/// A body that is here already.
struct Collected(Bytes);

impl instant_acme::BytesBody for Collected {
    fn into_bytes<'this, 'life>(
        &'this mut self,
    ) -> Pin<Box<dyn Future<Output = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>> + Send + 'life>>
    where
        'this: 'life,
        Self: 'life,
    {
        Box::pin(std::future::ready(Ok(std::mem::take(&mut self.0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &'static str) -> Response<Bytes> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(Bytes::from_static(body.as_bytes())).unwrap()
    }

    #[test]
    fn refusals_keep_status_and_retry_after() {
        let limited = answer(
            429,
            &[("retry-after", "3600")],
            r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"slow"}"#,
        );
        let refusal = refusal(&limited).unwrap();
        assert_eq!((refusal.status.as_u16(), refusal.retry_after), (429, Some(3600)));
        assert!(refusal.problem.contains("slow"));
        let dated = [("date", "Mon, 23 Nov 2026 10:00:00 GMT"), ("retry-after", "Mon, 23 Nov 2026 11:00:00 GMT")];
        let refusal = super::refusal(&answer(503, &dated, "<html>busy</html>")).unwrap();
        assert_eq!((refusal.retry_after, refusal.problem.as_str()), (Some(3600), "<html>busy</html>"));
        assert!(super::refusal(&answer(400, &[], r#"{"type":"urn:ietf:params:acme:error:badNonce"}"#)).is_none());
        assert!(super::refusal(&answer(201, &[], "")).is_none());
    }
}
