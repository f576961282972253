//! How requests reach a CA: a seam, and HTTPS behind it.

use crate::net::exchange::{Bounds, ExchangeError, exchange};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io;
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
const AGENT: HeaderValue = HeaderValue::from_static(concat!("vestibule/", env!("CARGO_PKG_VERSION")));

/// Takes a request with an absolute URL to a CA and brings back the whole answer, within bounds of
/// its own for time and size.
///
/// HTTPS is the one that is shipped. A simulation of years puts a CA of its own here.
pub trait Transport: Send + Sync + 'static {
    /// One exchange.
    fn exchange(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Bytes>, WireError>>;
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The CA names a URL that cannot be asked.
    #[error("{0} is not an https URL with a host")]
    Url(Uri),
    /// Nobody there.
    #[error("cannot connect to {host}")]
    Connect {
        /// Whom.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// Somebody there, who could not be identified.
    #[error(
        "no TLS connection to {host}; if its certificate is called expired or not yet valid, is this machine's clock right?"
    )]
    Tls {
        /// Whom.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// No whole answer in time.
    #[error("{0} did not answer within {1:?}")]
    Timeout(String, Duration),
    /// Somebody else has just asked, in vain; why, in words.
    #[error("{0} (a moment ago)")]
    JustFailed(String),
    /// The connection broke, or the answer is too long.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
}

/// HTTPS. ACME is a handful of requests a month: each takes a connection of its own.
#[derive(Clone)]
pub struct Https {
    tls: TlsConnector,
}

impl Https {
    /// A client that trusts `roots`.
    pub fn new(roots: RootCertStore) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    async fn whole(self, mut request: Request<Bytes>) -> Result<Response<Bytes>, WireError> {
        let uri = request.uri().clone();
        let host = uri.host().map(|host| host.trim_matches(['[', ']']).to_owned());
        let (Some("https"), Some(host), Some(authority)) = (uri.scheme_str(), host, uri.authority()) else {
            return Err(WireError::Url(uri));
        };
        let name = ServerName::try_from(host.clone()).map_err(|_| WireError::Url(uri.clone()))?;
        let host_header = HeaderValue::from_str(authority.as_str()).map_err(|_| WireError::Url(uri.clone()))?;
        request.headers_mut().insert(HOST, host_header);
        request.headers_mut().insert(USER_AGENT, AGENT);
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        *request.uri_mut() = target.parse().map_err(|_| WireError::Url(uri.clone()))?;
        let request = request.map(Full::new);
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

impl Transport for Https {
    fn exchange(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Bytes>, WireError>> {
        Box::pin(self.clone().whole(request))
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
