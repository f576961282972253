//! Which page there is at which path.

use super::{Phase, Status};
use crate::telemetry::exposition::CONTENT_TYPE as OPENMETRICS;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;

const PLAIN: &str = "text/plain; charset=utf-8";

/// A page: its path, what it is for, and what it says.
struct Page {
    path: &'static str,
    about: &'static str,
    show: fn(&Status) -> Shown,
}

/// What a page says now.
struct Shown {
    status: StatusCode,
    content_type: &'static str,
    body: String,
}

impl Shown {
    fn plain(status: StatusCode, body: impl Into<String>) -> Self {
        Self { status, content_type: PLAIN, body: body.into() }
    }
}

/// Every page.
const PAGES: [Page; 3] = [
    Page { path: "/metrics", about: "for Prometheus (OpenMetrics)", show: metrics },
    Page { path: "/livez", about: "200 while the control plane runs", show: livez },
    Page { path: "/readyz", about: "200 while requests are served, 503 while stopping", show: readyz },
];

fn metrics(status: &Status) -> Shown {
    match status.exposition.text() {
        Ok(body) => Shown { status: StatusCode::OK, content_type: OPENMETRICS, body },
        Err(_) => Shown::plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n"),
    }
}

/// To be asked is to be alive: the same thread answers that renews certificates and hears signals.
fn livez(_: &Status) -> Shown {
    Shown::plain(StatusCode::OK, "alive\n")
}

fn readyz(status: &Status) -> Shown {
    match status.lifecycle.phase() {
        Phase::Starting => Shown::plain(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Phase::Ready => Shown::plain(StatusCode::OK, "ready\n"),
        Phase::Stopping => Shown::plain(StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
    }
}

fn no_such_page() -> Shown {
    let list: String = PAGES.iter().map(|page| format!("{}  {}\n", page.path, page.about)).collect();
    Shown::plain(StatusCode::NOT_FOUND, format!("There is:\n{list}"))
}

impl Status {
    /// The answer to a request, whatever its host and body. To a HEAD, hyper leaves the body out.
    pub(super) fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let method = request.method();
        let shown = match PAGES.iter().find(|page| page.path == request.uri().path()) {
            _ if method != Method::GET && method != Method::HEAD => {
                Shown::plain(StatusCode::METHOD_NOT_ALLOWED, "This is read-only: GET and HEAD.\n")
            }
            Some(page) => (page.show)(self),
            None => no_such_page(),
        };
        let mut response = Response::new(Full::new(Bytes::from(shown.body)));
        *response.status_mut() = shown.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(shown.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if shown.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::status::Lifecycle;
    use crate::telemetry::exposition::Exposition;

    #[test]
    fn pages_by_method_path_and_phase() {
        let lifecycle = Lifecycle::default();
        let status = Status::new(Exposition::default(), lifecycle.clone());
        let ask = |method: &str, path: &str| {
            let request = Request::builder().method(method).uri(path).body(()).unwrap();
            status.answer(&request).status().as_u16()
        };
        for (phase, ready) in [(Phase::Starting, 503), (Phase::Ready, 200), (Phase::Stopping, 503)] {
            lifecycle.enter(phase);
            assert_eq!(ask("GET", "/readyz"), ready, "{phase:?}");
            assert_eq!(ask("GET", "/livez"), 200);
        }
        for (method, path, expected) in [
            ("HEAD", "/metrics", 200),
            ("GET", "/metrics?x=y", 200),
            ("GET", "/metrics/", 404),
            ("GET", "http://any.host/livez", 200),
            ("GET", "/", 404),
            ("POST", "/metrics", 405),
            ("DELETE", "/nowhere", 405),
            ("OPTIONS", "/metrics", 405),
        ] {
            assert_eq!(ask(method, path), expected, "{method} {path}");
        }
    }
}
