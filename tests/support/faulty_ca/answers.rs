//! Answers, from what is meant to what HTTP carries.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, DATE, LINK, LOCATION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::faults::{Problem, RetryAfter};
use super::settings::DateHeader;

const REPLAY_NONCE: HeaderName = HeaderName::from_static("replay-nonce");

/// What a handler says.
pub(super) struct Reply {
    pub(super) status: u16,
    content_type: &'static str,
    pub(super) body: Bytes,
    location: Option<String>,
    retry_after: Option<String>,
    up: Option<String>,
}

impl Reply {
    fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status, content_type, body: body.into(), location: None, retry_after: None, up: None }
    }

    pub(super) fn empty(status: u16) -> Self {
        Self::new(status, "", "")
    }

    pub(super) fn json(status: u16, value: &Value) -> Self {
        Self::new(status, "application/json", value.to_string())
    }

    pub(super) fn raw_json(body: impl Into<Bytes>) -> Self {
        Self::new(200, "application/json", body)
    }

    pub(super) fn chain(pem: Bytes) -> Self {
        Self::new(200, "application/pem-certificate-chain", pem)
    }

    pub(super) fn html(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(status, "text/html", body)
    }

    pub(super) fn location(mut self, url: String) -> Self {
        self.location = Some(url);
        self
    }

    pub(super) fn up(mut self, url: &str) -> Self {
        self.up = Some(format!("<{url}>;rel=\"up\""));
        self
    }

    pub(super) fn retry_after(mut self, header: Option<String>) -> Self {
        self.retry_after = header;
        self
    }

    pub(super) fn problem(problem: &Problem, clock: Clock) -> Self {
        let (header, suffix) = told(&problem.retry_after, clock);
        let kind = format!("urn:ietf:params:acme:error:{}", problem.kind);
        let body = json!({"type": kind, "detail": format!("{}{suffix}", problem.detail), "status": problem.status});
        Self::new(problem.status, "application/problem+json", body.to_string()).retry_after(header)
    }

    pub(super) fn into_response(self, nonce: Option<String>, index: &HeaderValue, clock: Clock) -> Response<Bytes> {
        let mut response = Response::new(self.body);
        *response.status_mut() = StatusCode::from_u16(self.status).expect("a status code");
        let headers = response.headers_mut();
        if let Some(date) = clock.told() {
            headers.insert(DATE, value(&http_date(date)));
        }
        if !self.content_type.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        }
        if let Some(nonce) = nonce {
            headers.insert(REPLAY_NONCE, value(&nonce));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        headers.insert(LINK, index.clone());
        for (name, text) in [(LOCATION, self.location), (RETRY_AFTER, self.retry_after)] {
            text.into_iter().for_each(|text| drop(headers.insert(name.clone(), value(&text))));
        }
        if let Some(up) = self.up {
            headers.append(LINK, value(&up));
        }
        response
    }
}

/// The true time, and what is told about it.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    pub(super) now: i64,
    pub(super) date: DateHeader,
}

impl Clock {
    fn told(self) -> Option<i64> {
        match self.date {
            DateHeader::True => Some(self.now),
            DateHeader::Skewed(by) => Some(self.now + by),
            DateHeader::Absent => None,
        }
    }
}

/// The header, and what is added to the detail.
pub(super) fn told(retry_after: &RetryAfter, clock: Clock) -> (Option<String>, String) {
    match retry_after {
        RetryAfter::None => (None, String::new()),
        RetryAfter::Seconds(seconds) => (Some(seconds.to_string()), String::new()),
        RetryAfter::Date(seconds) => (Some(http_date(clock.told().unwrap_or(clock.now) + seconds)), String::new()),
        RetryAfter::Detail(seconds) => {
            let at = timestamp(clock.now + seconds).strftime("%Y-%m-%d %H:%M:%S UTC");
            (None, format!(", retry after {at}: see https://ca.test/docs/rate-limits"))
        }
        RetryAfter::DetailZulu(seconds) => (None, format!(", retry after {}", rfc3339(clock.now + seconds))),
        RetryAfter::Text(text) => (Some(text.clone()), String::new()),
    }
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("a header that can be sent")
}

fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a time within a few thousand years")
}

pub(super) fn rfc3339(seconds: i64) -> String {
    timestamp(seconds).to_string()
}

fn http_date(seconds: i64) -> String {
    let seconds = u64::try_from(seconds).expect("a time after 1970");
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}
