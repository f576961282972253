//! An error answer of a CA, whole.

use crate::clock::Timestamp;
use bytes::Bytes;
use http::header::{DATE, HeaderMap, RETRY_AFTER};
use http::{Response, StatusCode};
use instant_acme::Problem;

/// The types of problem that are told apart (RFC 8555 §6.7).
const BAD_NONCE: &str = "urn:ietf:params:acme:error:badNonce";
const RATE_LIMITED: &str = "urn:ietf:params:acme:error:rateLimited";
const ACCOUNT_GONE: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// The beginning of a body that is no problem document: enough to know it again.
const EXCERPT: usize = 200;

/// An error answer.
#[derive(Debug, thiserror::Error)]
#[error("the CA answered {status}: {problem}")]
pub(in crate::acme) struct Refusal {
    pub status: StatusCode,
    /// Seconds.
    pub retry_after: Option<i64>,
    /// The type of the problem, if it is one.
    pub kind: Option<String>,
    /// What the problem says of itself.
    pub detail: String,
    /// The problem document for people, or the beginning of what came instead.
    problem: String,
}

impl Refusal {
    /// `None` for an answer that is not an error.
    pub(super) fn of(response: &Response<Bytes>, now: Timestamp) -> Option<Self> {
        let status = response.status();
        if status.is_success() || status.is_redirection() {
            return None;
        }
        let problem = serde_json::from_slice::<Problem>(response.body()).ok();
        let problem = problem.filter(|problem| problem.detail.is_some() || problem.r#type.is_some());
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok()).and_then(http_date);
        let retry_after = retry_after(response.headers(), date.or(Some(now)));
        Some(match problem {
            Some(problem) => Self {
                status,
                retry_after,
                problem: problem.to_string(),
                detail: problem.detail.unwrap_or_default(),
                kind: problem.r#type,
            },
            None => {
                let excerpt: String = String::from_utf8_lossy(response.body()).chars().take(EXCERPT).collect();
                Self { status, retry_after, problem: excerpt, detail: String::new(), kind: None }
            }
        })
    }

    /// Whether the request may be made again at once (RFC 8555 §6.5).
    pub(in crate::acme) fn is_bad_nonce(&self) -> bool {
        self.kind.as_deref() == Some(BAD_NONCE)
    }

    /// Whether the CA does not know the account (any more).
    pub(in crate::acme) fn account_is_gone(&self) -> bool {
        self.kind.as_deref() == Some(ACCOUNT_GONE)
    }

    /// Whether the request itself is refused, rather than its time.
    pub(in crate::acme) fn is_final(&self) -> bool {
        let transient = [BAD_NONCE, RATE_LIMITED, ACCOUNT_GONE];
        self.status.is_client_error()
            && self.status != StatusCode::TOO_MANY_REQUESTS
            && !self.kind.as_deref().is_some_and(|kind| transient.contains(&kind))
    }
}

/// Retry-After in seconds; its other form is a date (RFC 9110 §10.2.3), which is measured against
/// the server's own clock.
pub(super) fn retry_after(headers: &HeaderMap, date: Option<Timestamp>) -> Option<i64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(i64::from(seconds));
    }
    Some(http_date(text)?.since(date?).max(0))
}

/// A date of HTTP (RFC 9110 §5.6.7).
pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(text.trim()).ok()?;
    let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok().map(Timestamp)
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
    fn status_type_and_retry_after_are_kept() {
        let limited = answer(
            429,
            &[("retry-after", "3600")],
            r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"slow"}"#,
        );
        let of = |response: &Response<Bytes>| Refusal::of(response, Timestamp(0));
        let refusal = of(&limited).unwrap();
        assert_eq!((refusal.status.as_u16(), refusal.retry_after, refusal.is_final()), (429, Some(3600), false));
        assert_eq!((refusal.detail.as_str(), refusal.kind.as_deref()), ("slow", Some(RATE_LIMITED)));
        let dated = [("date", "Mon, 23 Nov 2026 10:00:00 GMT"), ("retry-after", "Mon, 23 Nov 2026 11:00:00 GMT")];
        let refusal = of(&answer(503, &dated, "<html>busy</html>")).unwrap();
        assert_eq!((refusal.retry_after, refusal.problem.as_str()), (Some(3600), "<html>busy</html>"));
        let past = [("date", "Mon, 23 Nov 2026 10:00:00 GMT"), ("retry-after", "Mon, 23 Nov 2026 09:00:00 GMT")];
        assert_eq!(of(&answer(503, &past, "")).unwrap().retry_after, Some(0));
        let nonce = of(&answer(400, &[], r#"{"type":"urn:ietf:params:acme:error:badNonce"}"#)).unwrap();
        assert!(nonce.is_bad_nonce() && !nonce.is_final());
        assert!(of(&answer(409, &[], r#"{"type":"urn:ietf:params:acme:error:conflict"}"#)).unwrap().is_final());
        assert!(of(&answer(201, &[], "")).is_none());
    }
}
