//! Which page there is at which path.

use super::form::{CheckForm, MAX_BODY, Refused};
use super::{Arrival, CHECK_LIMIT, Phase, Status, page};
use crate::telemetry::exposition::CONTENT_TYPE as OPENMETRICS;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body, Bytes};

const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// Where the form leads.
const CHECK: &str = "/check";

/// What every answer says besides. With `no-referrer`, browsers would send the form's `Origin` as null.
const HEADERS: [(HeaderName, &str); 4] = [
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// A page.
#[derive(Clone, Copy)]
enum Page {
    Overview,
    Data,
    Metrics,
    Live,
    Ready,
}

/// Every page: its path and what it is for.
const PAGES: [(&str, Page, &str); 5] = [
    ("/", Page::Overview, "for people"),
    ("/status.json", Page::Data, "the same for programs"),
    ("/metrics", Page::Metrics, "for Prometheus (OpenMetrics)"),
    ("/livez", Page::Live, "200 while the control plane runs"),
    ("/readyz", Page::Ready, "200 while requests are served, 503 while stopping"),
];

/// What a page says now.
struct Shown {
    status: StatusCode,
    content_type: &'static str,
    body: String,
    /// At most one more line.
    header: Option<(HeaderName, HeaderValue)>,
}

impl Shown {
    fn plain(status: StatusCode, body: impl Into<String>) -> Self {
        Self { status, content_type: PLAIN, body: body.into(), header: None }
    }

    fn good(content_type: &'static str, body: String) -> Self {
        Self { status: StatusCode::OK, content_type, body, header: None }
    }

    fn not_allowed(allowed: &'static str) -> Self {
        let said = format!("This is read-only: {allowed}.\n");
        let header = Some((ALLOW, HeaderValue::from_static(allowed)));
        Self { header, ..Self::plain(StatusCode::METHOD_NOT_ALLOWED, said) }
    }

    fn refused(why: Refused) -> Self {
        let status = match why {
            Refused::ForeignHost | Refused::ForeignOrigin | Refused::BadToken => StatusCode::FORBIDDEN,
            Refused::BadName => StatusCode::BAD_REQUEST,
            Refused::Busy | Refused::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        };
        let header = match why {
            Refused::TooMany(wait) => Some((RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)))),
            _ => None,
        };
        Self { status, content_type: HTML, body: page::refused(&why.to_string()), header }
    }
}

fn no_such_page() -> Shown {
    let list: String = PAGES.iter().map(|(path, _, about)| format!("{path}  {about}\n")).collect();
    Shown::plain(StatusCode::NOT_FOUND, format!("There is:\n{list}"))
}

impl Status {
    /// The answer to a request. To a HEAD, hyper leaves the body out.
    pub(super) async fn answer<B>(&self, request: Request<B>, arrival: &Arrival) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let page = PAGES.iter().find(|(path, ..)| *path == request.uri().path());
        let shown = match (&self.form, page) {
            (Some(form), None) if request.uri().path() == CHECK => match *request.method() {
                Method::POST => self.check(form, request, arrival).await.unwrap_or_else(Shown::refused),
                // Whoever reloads a result by its address.
                _ if reads => Shown {
                    header: Some((LOCATION, HeaderValue::from_static("/#check"))),
                    ..Shown::plain(StatusCode::SEE_OTHER, "The form is at /\n")
                },
                _ => Shown::not_allowed("GET, HEAD, POST"),
            },
            _ if !reads => Shown::not_allowed("GET, HEAD"),
            (_, Some((_, page, _))) => self.show(*page, request.headers(), arrival).await,
            (_, None) => no_such_page(),
        };
        self.response(shown)
    }

    async fn show(&self, page: Page, headers: &HeaderMap, arrival: &Arrival) -> Shown {
        match page {
            Page::Overview => {
                let view = self.sources.view(&self.lifecycle, &self.cache).await;
                let token = self.form.as_ref().and_then(|form| form.token(headers, arrival.own));
                Shown::good(HTML, page::overview(&view, token))
            }
            Page::Data => {
                let view = self.sources.view(&self.lifecycle, &self.cache).await;
                match serde_json::to_string_pretty(&view) {
                    Ok(text) => Shown::good(JSON, text + "\n"),
                    Err(_) => Shown::plain(StatusCode::INTERNAL_SERVER_ERROR, "the status cannot be written\n"),
                }
            }
            Page::Metrics => match self.exposition.text() {
                Ok(body) => Shown::good(OPENMETRICS, body),
                Err(_) => Shown::plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n"),
            },
            // To be asked is to be alive: the same thread answers that renews certificates and hears signals.
            Page::Live => Shown::plain(StatusCode::OK, "alive\n"),
            Page::Ready => {
                let phase = self.lifecycle.phase();
                let ready = phase == Phase::Ready;
                let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                Shown::plain(status, format!("{}\n", phase.as_str()))
            }
        }
    }

    async fn check<B>(&self, form: &CheckForm, request: Request<B>, arrival: &Arrival) -> Result<Shown, Refused>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        CheckForm::receive(request.headers(), arrival.own)?;
        let body = Limited::new(request.into_body(), MAX_BODY);
        // Pinned: the body of a caller need not be movable.
        let body = Box::pin(body).collect().await.map_err(|_| Refused::BadName)?;
        let name = form.name(&body.to_bytes())?;
        let permit = form.permit()?;
        arrival.extend(CHECK_LIMIT);
        tracing::info!(server = %name.escape_debug(), "a check was asked for on the status page");
        let report = form.check(name, permit).await;
        Ok(Shown::good(HTML, page::result(&report)))
    }

    fn response(&self, shown: Shown) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(shown.body)));
        *response.status_mut() = shown.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(shown.content_type));
        for (name, value) in HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let policy = if shown.content_type == HTML { self.policy.as_str() } else { "default-src 'none'" };
        if let Ok(policy) = HeaderValue::from_str(policy) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        headers.extend(shown.header);
        response
    }
}
