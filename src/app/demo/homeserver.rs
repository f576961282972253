//! A stub homeserver: just enough of the federation and client APIs for the check to find a
//! healthy server, with a signing key that is made at every start and plainly the demo's.

use super::DemoError;
use crate::clock::Clock;
use crate::drain::Watch;
use crate::matrix::MatrixError;
use crate::matrix::error::ErrorCode;
use crate::matrix::keys::SigningKey;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How long published keys are valid: as Synapse's.
const KEY_VALIDITY: i64 = 86_400;

struct Homeserver {
    server_name: String,
    key: SigningKey,
}

/// Binds a port and returns the future that serves it until drained.
pub(super) async fn start(
    server_name: &str,
    mut drain: Watch,
) -> Result<(SocketAddr, impl Future<Output = ()> + use<>), DemoError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let key = SigningKey::generate("demo").map_err(|_| DemoError::Key)?;
    let homeserver = Rc::new(Homeserver { server_name: server_name.to_owned(), key });
    let serve = async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = drain.started() => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn_local(converse(stream, Rc::clone(&homeserver)));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the stub homeserver cannot accept");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    };
    Ok((address, serve))
}

async fn converse(stream: TcpStream, homeserver: Rc<Homeserver>) {
    let service = service_fn(move |request| {
        let answer = homeserver.answer(&request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new());
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection to the stub homeserver ended");
    }
}

impl Homeserver {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, body) = match (request.method(), request.uri().path()) {
            (&Method::GET, "/_matrix/federation/v1/version") => {
                let server = json!({ "name": "vestibule demo stub", "version": env!("CARGO_PKG_VERSION") });
                (StatusCode::OK, json!({ "server": server }).to_string())
            }
            (&Method::GET, "/_matrix/key/v2/server") => self.keys(),
            (&Method::GET, "/_matrix/client/versions") => {
                (StatusCode::OK, json!({ "versions": ["v1.11"], "unstable_features": {} }).to_string())
            }
            (&Method::OPTIONS, _) => (StatusCode::OK, String::new()),
            (_, "/_matrix/federation/v1/version" | "/_matrix/key/v2/server" | "/_matrix/client/versions") => {
                unrecognized(StatusCode::METHOD_NOT_ALLOWED)
            }
            // Servers must sign these, and the stub knows none.
            (&Method::GET, path) if is_signed(path) => {
                let error = MatrixError::new(ErrorCode::Forbidden, "the stub knows no other server");
                (StatusCode::FORBIDDEN, error.to_json())
            }
            _ => unrecognized(StatusCode::NOT_FOUND),
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, DELETE, OPTIONS"),
            (ACCESS_CONTROL_ALLOW_HEADERS, "X-Requested-With, Content-Type, Authorization"),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }

    fn keys(&self) -> (StatusCode, String) {
        let valid_until = Clock::System.now().plus(KEY_VALIDITY).0.saturating_mul(1_000);
        match self.key.document(&self.server_name, valid_until) {
            Ok(document) => (StatusCode::OK, document.to_string()),
            Err(error) => {
                let body = MatrixError::new(ErrorCode::Unknown, error.to_string()).to_json();
                (StatusCode::INTERNAL_SERVER_ERROR, body)
            }
        }
    }
}

/// Endpoints that homeservers open to signed requests only: one event, or a profile. Matched by the
/// bytes of the path, as an encoded slash in an event ID is no slash.
fn is_signed(path: &str) -> bool {
    let event = path.strip_prefix("/_matrix/federation/v1/event/");
    path == "/_matrix/federation/v1/query/profile" || event.is_some_and(|id| !id.is_empty() && !id.contains('/'))
}

fn unrecognized(status: StatusCode) -> (StatusCode, String) {
    (status, MatrixError::new(ErrorCode::Unrecognized, "the stub knows no such endpoint").to_json())
}
