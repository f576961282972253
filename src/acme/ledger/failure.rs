//! How an order can fail, and whose fault it is.

use crate::clock::Timestamp;
use crate::config::Challenge;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A CA's explanation is a sentence or two.
const MAX_DETAIL: usize = 400;

/// Let's Encrypt's link carries a signed token with the names.
const MAX_LINK: usize = 4_096;

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How.
    pub kind: FailureKind,
    /// For people; cut to 400 characters in the record.
    pub detail: String,
    /// Seconds that the CA asked to wait.
    pub retry_after: Option<i64>,
    /// The challenge type that was tried, if it came to that.
    pub challenge: Option<Challenge>,
    /// The names whose authorisation failed (or may have), as the CA writes them
    /// ([`crate::matrix::HostPattern::plain`]). Each counts against the CA's limit, whatever the kind. For
    /// [`FailureKind::Validation`], none means all.
    pub identifiers: Vec<String>,
}

/// How it failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The CA tried and could not validate.
    Validation,
    /// The CA refused: 4xx, for an account, a policy, a CAA record, a request that it does not like.
    Refused,
    /// One of the CA's rate limits.
    RateLimited,
    /// The CA has paused a name after very many failures in a row: a person must open its link.
    Paused {
        /// The link.
        link: Option<String>,
    },
    /// The CA answers, but cannot work: 5xx, a bad nonce every time, a document that is none.
    Unavailable,
    /// The CA does not answer: no connection, no TLS, a deadline.
    Unreachable,
    /// What came is not a certificate for this key, these names, and now.
    Unproved,
    /// This side could not do its part, and the CA was not told to look.
    Local,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Validation => "validation failed",
            Self::Refused => "the CA refused",
            Self::RateLimited => "a rate limit of the CA",
            Self::Paused { .. } => "the CA has paused a name",
            Self::Unavailable => "the CA cannot work",
            Self::Unreachable => "the CA cannot be reached",
            Self::Unproved => "the CA's certificate is unusable",
            Self::Local => "this side could not do its part",
        })
    }
}

impl FailureKind {
    /// Whether another CA may well do what this one does not.
    ///
    /// A failed validation is about this machine and its DNS: it would fail at the next CA too, and
    /// cost there as well. All else is this CA's own: its outages, its limits, its pauses, and its
    /// refusals, which come before it looks at the names (an account that it closed, terms that it
    /// changed, a name that its policy forbids, a CAA record without it). Where the refusal is the
    /// request's fault, the next CA's refusal costs an order and no failed validation.
    pub fn is_ca_side(&self) -> bool {
        match self {
            Self::Validation | Self::Local => false,
            Self::Refused
            | Self::RateLimited
            | Self::Paused { .. }
            | Self::Unavailable
            | Self::Unreachable
            | Self::Unproved => true,
        }
    }

    /// Whether the CA was away, so that nothing was counted there.
    pub(super) fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable | Self::Unreachable | Self::Local)
    }

    /// What an error answer means (RFC 8555 §6.7). `problem_type` is the whole URN.
    pub fn from_problem(status: u16, problem_type: Option<&str>, detail: &str) -> Self {
        let kind = problem_type.and_then(|urn| urn.strip_prefix("urn:ietf:params:acme:error:"));
        match (status, kind) {
            // A load balancer's 503 may carry `rateLimited`: it is over in minutes.
            (408 | 500.., _) | (_, Some("badNonce" | "serverInternal")) => Self::Unavailable,
            (429, _) | (_, Some("rateLimited")) => {
                // Let's Encrypt's pauses differ from its rate limits by this phrase only.
                if detail.contains("temporarily prevented") {
                    Self::Paused { link: first_link(detail) }
                } else {
                    Self::RateLimited
                }
            }
            (_, Some("connection" | "dns" | "incorrectResponse" | "tls")) => Self::Validation,
            (400..=499, _) => Self::Refused,
            // A redirect or a success that is no answer.
            _ => Self::Unavailable,
        }
    }
}

/// The first https link in a text.
fn first_link(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("https://")?;
    let end = rest.find(|c: char| !c.is_ascii_graphic() || matches!(c, '"' | '<' | '>' | '\\' | '`'));
    let rest = end.and_then(|end| rest.get(..end)).unwrap_or(rest);
    let rest = rest.trim_end_matches(['.', ',', ';', ':', ')', ']', '\'']);
    (!rest.is_empty() && rest.len() < MAX_LINK).then(|| format!("https://{rest}"))
}

/// Seconds from `now` until the time that a detail asks to wait for: Let's Encrypt writes `retry
/// after 2026-11-23 21:05:10 UTC` where a proxy may have dropped the header.
pub fn retry_after_in(detail: &str, now: Timestamp) -> Option<i64> {
    const WORDS: &str = "retry after ";
    /// `2026-11-23T21:05:10`, with a blank or a T.
    const LENGTH: usize = 19;
    let lower = detail.to_ascii_lowercase();
    let start = lower.find(WORDS)?.checked_add(WORDS.len())?;
    let civil: jiff::civil::DateTime = detail.get(start..start.checked_add(LENGTH)?)?.parse().ok()?;
    let zone = detail.get(start + LENGTH..)?.trim_start();
    if !zone.starts_with('Z') && !zone.starts_with("UTC") && !zone.starts_with("+00") {
        return None;
    }
    let until = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    Some(Timestamp(until.as_second()).since(now).max(0))
}

/// A detail of bearable length, on one line.
pub(super) fn shorten(detail: &str) -> String {
    detail.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_DETAIL).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems() {
        let of = |status, kind: &str| {
            FailureKind::from_problem(status, Some(&format!("urn:ietf:params:acme:error:{kind}")), "")
        };
        let cases = [
            (403, "caa", FailureKind::Refused),
            (400, "rejectedIdentifier", FailureKind::Refused),
            (400, "malformed", FailureKind::Refused),
            (401, "externalAccountRequired", FailureKind::Refused),
            (409, "alreadyReplaced", FailureKind::Refused),
            (429, "rateLimited", FailureKind::RateLimited),
            (400, "rateLimited", FailureKind::RateLimited),
            (503, "rateLimited", FailureKind::Unavailable),
            (500, "serverInternal", FailureKind::Unavailable),
            (400, "badNonce", FailureKind::Unavailable),
            (400, "connection", FailureKind::Validation),
            (403, "dns", FailureKind::Validation),
        ];
        for (status, kind, expected) in cases {
            assert_eq!(of(status, kind), expected, "{status} {kind}");
        }
        for (status, expected) in [
            (429, FailureKind::RateLimited),
            (502, FailureKind::Unavailable),
            (404, FailureKind::Refused),
            (302, FailureKind::Unavailable),
            (200, FailureKind::Unavailable),
        ] {
            assert_eq!(FailureKind::from_problem(status, None, "<html>"), expected, "{status}");
        }
        assert_eq!(FailureKind::from_problem(400, Some("about:blank"), ""), FailureKind::Refused);
    }

    #[test]
    fn a_pause_and_its_link() {
        let kind = Some("urn:ietf:params:acme:error:rateLimited");
        let of = |detail: &str| FailureKind::from_problem(429, kind, detail);
        let said = "Your account is temporarily prevented from requesting certificates for a.example and possibly \
                    others. Please visit: https://portal.example/unpause/v1/?jwt=ab.cd-ef_0";
        let link = Some("https://portal.example/unpause/v1/?jwt=ab.cd-ef_0".to_owned());
        assert_eq!(of(said), FailureKind::Paused { link: link.clone() });
        assert_eq!(of(&format!("({said}).")), FailureKind::Paused { link: link.clone() });
        assert_eq!(of(&format!("{said}\u{1b}[2J more")), FailureKind::Paused { link });
        assert_eq!(of("temporarily prevented"), FailureKind::Paused { link: None });
        assert_eq!(of("temporarily prevented: https://"), FailureKind::Paused { link: None });
        assert_eq!(of("too many certificates: see https://portal.example/"), FailureKind::RateLimited);
    }

    #[test]
    fn times_in_a_detail() {
        // 2026-11-23T21:05:10Z
        let now = Timestamp(1_795_467_910 - 70);
        let of = |detail: &str| retry_after_in(detail, now);
        assert_eq!(of("too many (5) in the last 1h0m0s, retry after 2026-11-23 21:05:10 UTC: see https://x"), Some(70));
        assert_eq!(of("Retry After 2026-11-23T21:05:10Z"), Some(70));
        assert_eq!(of("retry after 2026-11-23 21:05:10 +0000 UTC"), Some(70));
        assert_eq!(of("retry after 2026-11-22 21:05:10 UTC"), Some(0), "over");
        for none in [
            "retry later",
            "retry after ",
            "retry after a while, please be patient",
            "retry after 2026-11-23 21:05:10 +0200",
            "retry after 2026-13-23 21:05:10 UTC",
            "retry after \u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn only_a_failed_validation_is_this_side_s_fault() {
        assert!(!FailureKind::Validation.is_ca_side());
        let paused = FailureKind::Paused { link: None };
        for kind in [FailureKind::Refused, FailureKind::RateLimited, paused, FailureKind::Unavailable] {
            assert!(kind.is_ca_side(), "{kind}");
        }
        assert_eq!(shorten(&"a\nb".repeat(1_000)).len(), MAX_DETAIL);
        assert!(shorten("a\nb\u{1b}") == "a b ");
    }
}
