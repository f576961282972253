//! When the CA wants a certificate renewed (ACME Renewal Information, RFC 9773): pure.
//!
//! A CA that is asked for a certificate names a window of time. A renewal inside it is free of
//! Let's Encrypt's rate limits, so the time is chosen inside, at random as the RFC asks, and kept
//! until the window moves. A window that lies in the past is how a CA says "now": the certificate
//! has been or is about to be revoked.

use super::plan::Validity;
use crate::backoff::Ladder;
use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Without Retry-After, and after an answer that will not get better soon (RFC 9773 §4.3.3): six
/// hours.
const ASK_AGAIN: i64 = 6 * 3_600;

/// Retry-After is taken between a minute and a day (RFC 9773 §4.3.2).
const SOONEST: i64 = 60;
const LATEST: i64 = 86_400;

/// After failures that may pass. An hour at most: until the CA is heard again, its time is not known either.
const LADDER: Ladder = Ladder::new(&[Duration::from_secs(60), Duration::from_secs(600), Duration::from_secs(3_600)]);

/// The answer is three short strings.
const MAX_BODY: usize = 64 * 1024;

/// Longer links are nothing that a person would open.
const MAX_LINK: usize = 512;

/// A window that begins longer before its certificate does says nothing about the certificate: a
/// zero time, most likely.
const LONG_BEFORE: i64 = 366 * 86_400;

/// A window that ends longer after its certificate does is a mistake.
const LONG_AFTER: i64 = 86_400;

/// Time that an order takes after it was begun. The exemption from rate limits asks that the order
/// is placed before the window ends.
const ORDER_TAKES: i64 = 600;

/// What the CA suggested for one certificate, and the time that was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The certificate: base64url of the authority key identifier, a dot, base64url of the serial
    /// number (RFC 9773 §4.1).
    pub certificate: String,
    /// The window begins.
    pub start: Timestamp,
    /// The window is over.
    pub end: Timestamp,
    /// Inside the window; when to renew.
    pub chosen: Timestamp,
    /// A page that says why, if the CA has one.
    pub explanation: Option<String>,
    /// When the CA named this window first.
    pub named: Timestamp,
    /// When to ask again.
    pub ask_again: Timestamp,
}

impl Window {
    /// Whether the CA named a time that had passed already, which means: renew now. A window that
    /// passed while nobody looked is not one.
    pub fn was_past(&self) -> bool {
        self.end <= self.named
    }
}

/// A renewal information document, read and found sane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The window begins.
    pub start: Timestamp,
    /// The window is over; later than `start`.
    pub end: Timestamp,
    /// A page that says why.
    pub explanation: Option<String>,
}

/// Why a renewal information document is of no use. RFC 9773 §4.2 asks to go on as if there had
/// been no answer.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSuggestion {
    /// Not the document of RFC 9773 §4.2.
    #[error("not renewal information")]
    Malformed(#[from] serde_json::Error),
    /// Longer than any such document.
    #[error("renewal information of {0} bytes")]
    TooLong(usize),
    /// Not a time of RFC 3339.
    #[error("renewal information with a time that is none")]
    Time(#[from] jiff::Error),
    /// It ends before it begins.
    #[error("a renewal window that ends at {end}, before it begins at {start}")]
    Empty {
        /// The window begins.
        start: Timestamp,
        /// The window is over.
        end: Timestamp,
    },
    /// It has nothing to do with the certificate.
    #[error("a renewal window from {start} to {end} for a certificate valid from {} to {}", validity.not_before, validity.not_after)]
    Absurd {
        /// The window begins.
        start: Timestamp,
        /// The window is over.
        end: Timestamp,
        /// The certificate.
        validity: Validity,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    suggested_window: DocumentWindow,
    #[serde(rename = "explanationURL")]
    explanation: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct DocumentWindow {
    start: String,
    end: String,
}

impl Suggestion {
    /// Reads the body of an answer about a certificate with this validity.
    pub fn parse(body: &[u8], validity: Validity) -> Result<Self, InvalidSuggestion> {
        if body.len() > MAX_BODY {
            return Err(InvalidSuggestion::TooLong(body.len()));
        }
        let document: Document = serde_json::from_slice(body)?;
        let start: jiff::Timestamp = document.suggested_window.start.parse()?;
        let end: jiff::Timestamp = document.suggested_window.end.parse()?;
        // Whole seconds inside the window.
        let start = Timestamp(start.as_second()).plus(i64::from(start.subsec_nanosecond() > 0));
        let end = Timestamp(end.as_second());
        if end <= start {
            return Err(InvalidSuggestion::Empty { start, end });
        }
        let earliest = validity.not_before.plus(-LONG_BEFORE);
        if start < earliest || start >= validity.not_after || end > validity.not_after.plus(LONG_AFTER) {
            return Err(InvalidSuggestion::Absurd { start, end, validity });
        }
        let explanation = document.explanation.as_ref().and_then(serde_json::Value::as_str);
        Ok(Self { start, end, explanation: explanation.filter(|link| is_link(link)).map(ToOwned::to_owned) })
    }
}

/// Whether a link may stand in a log and on a page.
fn is_link(text: &str) -> bool {
    let scheme = text.starts_with("https://") || text.starts_with("http://");
    scheme && text.len() <= MAX_LINK && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The window to keep after an answer. `random` chooses the time, uniformly; the time that was
/// chosen before stays while the window does.
pub fn merge(
    certificate: &str,
    old: Option<&Window>,
    suggestion: &Suggestion,
    retry_after: Option<i64>,
    now: Timestamp,
    random: u64,
) -> Window {
    let Suggestion { start, end, explanation } = suggestion.clone();
    let same = old.filter(|old| old.certificate == certificate && (old.start, old.end) == (start, end));
    let (chosen, named) = match same {
        Some(old) => (old.chosen, old.named),
        None => (choose(start, end, random), now),
    };
    let ask_again = now.plus(retry_after.unwrap_or(ASK_AGAIN).clamp(SOONEST, LATEST));
    Window { certificate: certificate.to_owned(), start, end, chosen, explanation, named, ask_again }
}

/// A time in the window, but for its last minutes.
fn choose(start: Timestamp, end: Timestamp, random: u64) -> Timestamp {
    let length = end.since(start);
    let usable = length.saturating_sub(ORDER_TAKES.min(length / 10)).max(1);
    let offset = u64::try_from(usable).map_or(0, |usable| random % usable);
    start.plus(i64::try_from(offset).unwrap_or(0))
}

/// Why there was no suggestion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSuggestion {
    /// It may pass: no connection, a deadline, 5xx, 429.
    Temporary,
    /// It will not soon: another 4xx, a body that cannot be read.
    LongTerm,
}

impl NoSuggestion {
    /// What an HTTP status says; `None` when there was no answer.
    pub fn of_status(status: Option<u16>) -> Self {
        match status {
            Some(408 | 429) | None => Self::Temporary,
            Some(400..=499) => Self::LongTerm,
            Some(status) if status < 400 => Self::LongTerm,
            Some(_) => Self::Temporary,
        }
    }
}

/// When to ask again after `failures` failures in a row (RFC 9773 §4.3.3). A first question that
/// failed is repeated like any other.
pub fn after_failure(kind: NoSuggestion, failures: u32, retry_after: Option<i64>, now: Timestamp) -> Timestamp {
    let pause = match kind {
        NoSuggestion::Temporary => i64::try_from(LADDER.after(failures.max(1)).as_secs()).unwrap_or(ASK_AGAIN),
        NoSuggestion::LongTerm => ASK_AGAIN,
    };
    let asked = retry_after.map_or(0, |seconds| seconds.clamp(SOONEST, LATEST));
    now.plus(pause.max(asked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: i64 = 86_400;

    /// 2026-01-01 and 90 days.
    const VALIDITY: Validity =
        Validity { not_before: Timestamp(1_767_225_600), not_after: Timestamp(1_767_225_600 + 90 * DAY) };

    fn body(start: &str, end: &str) -> String {
        format!(
            r#"{{"suggestedWindow":{{"start":"{start}","end":"{end}"}},"explanationURL":"https://ca.example/why"}}"#
        )
    }

    fn parse(body: &str) -> Result<Suggestion, InvalidSuggestion> {
        Suggestion::parse(body.as_bytes(), VALIDITY)
    }

    #[test]
    fn documents() {
        let good = parse(&body("2026-03-01T00:00:00Z", "2026-03-02T02:00:00+02:00")).unwrap();
        assert_eq!((good.start, good.end), (Timestamp(1_772_323_200), Timestamp(1_772_409_600)));
        assert_eq!(good.explanation.as_deref(), Some("https://ca.example/why"));
        let fraction = parse(&body("2026-03-01T00:00:00.5Z", "2026-03-02T00:00:00.5Z")).unwrap();
        assert_eq!((fraction.start, fraction.end), (Timestamp(1_772_323_201), Timestamp(1_772_409_600)), "inside");
        let past = parse(&body("2025-12-01T00:00:00Z", "2025-12-01T00:30:00Z")).unwrap();
        assert_eq!(past.end.since(past.start), 1_800);
        let plain =
            parse(r#"{"suggestedWindow":{"start":"2026-03-01T00:00:00Z","end":"2026-03-02T00:00:00Z"},"new":1}"#);
        assert_eq!(plain.unwrap().explanation, None);
        for link in [r#""javascript:alert(1)""#, r#""https://a b""#, "7", "null", r#""https://a\u001b[2J""#] {
            let text =
                body("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z").replace(r#""https://ca.example/why""#, link);
            assert_eq!(parse(&text).unwrap().explanation, None, "{link}: the window counts without its link");
        }
    }

    #[test]
    fn documents_that_are_none() {
        type Is = fn(&InvalidSuggestion) -> bool;
        let malformed: Is = |error| matches!(error, InvalidSuggestion::Malformed(_));
        let time: Is = |error| matches!(error, InvalidSuggestion::Time(_));
        let empty: Is = |error| matches!(error, InvalidSuggestion::Empty { .. });
        let absurd: Is = |error| matches!(error, InvalidSuggestion::Absurd { .. });
        let cases = [
            (String::new(), malformed),
            ("null".to_owned(), malformed),
            ("<html>busy</html>".to_owned(), malformed),
            (r#"{"suggestedWindow":{"start":1,"end":2}}"#.to_owned(), malformed),
            (body("soon", "2026-03-02T00:00:00Z"), time),
            (body("2026-03-01T00:00:00", "2026-03-02T00:00:00"), time),
            (body("2026-03-02T00:00:00Z", "2026-03-01T00:00:00Z"), empty),
            (body("2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z"), empty),
            (body("2026-03-01T00:00:00.1Z", "2026-03-01T00:00:00.9Z"), empty),
            (body("0001-01-01T00:00:00Z", "0001-01-02T00:00:00Z"), absurd),
            (body("2026-04-01T00:00:00Z", "2026-04-02T00:00:00Z"), absurd),
            (body("2026-03-01T00:00:00Z", "9999-01-01T00:00:00Z"), absurd),
        ];
        for (text, is) in cases {
            let error = parse(&text).unwrap_err();
            assert!(is(&error), "{text}: {error}");
        }
        let long = format!("{}{}", body("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"), " ".repeat(MAX_BODY));
        assert!(matches!(parse(&long), Err(InvalidSuggestion::TooLong(_))));
    }

    fn suggestion(start: i64, end: i64) -> Suggestion {
        Suggestion { start: Timestamp(start), end: Timestamp(end), explanation: None }
    }

    #[test]
    fn the_next_question() {
        let again = |retry_after| {
            merge("a.b", None, &suggestion(0, DAY), retry_after, Timestamp(100), 0).ask_again.since(Timestamp(100))
        };
        assert_eq!((again(None), again(Some(7_200))), (6 * 3_600, 7_200));
        assert_eq!((again(Some(i64::MIN)), again(Some(0)), again(Some(i64::MAX))), (60, 60, DAY));
        let failed = |kind, failures, retry_after| after_failure(kind, failures, retry_after, Timestamp(0)).0;
        let temporary: Vec<_> = (0..7).map(|failures| failed(NoSuggestion::Temporary, failures, None)).collect();
        assert_eq!(temporary, [60, 60, 600, 3_600, 3_600, 3_600, 3_600]);
        assert_eq!(failed(NoSuggestion::LongTerm, 1, None), 21_600);
        assert_eq!(failed(NoSuggestion::Temporary, 1, Some(900)), 900);
        assert_eq!(failed(NoSuggestion::Temporary, 1, Some(i64::MAX)), DAY);
        for (status, kind) in [
            (None, NoSuggestion::Temporary),
            (Some(503), NoSuggestion::Temporary),
            (Some(429), NoSuggestion::Temporary),
            (Some(404), NoSuggestion::LongTerm),
            (Some(200), NoSuggestion::LongTerm),
        ] {
            assert_eq!(NoSuggestion::of_status(status), kind, "{status:?}");
        }
    }

    #[test]
    fn a_window_that_was_past_when_it_was_named() {
        let named = |now| merge("a.b", None, &suggestion(0, 100), None, Timestamp(now), 1);
        assert!(!named(99).was_past() && named(100).was_past());
        let repeated = merge("a.b", Some(&named(50)), &suggestion(0, 100), None, Timestamp(500), 1);
        assert!(!repeated.was_past(), "it passed since, while nobody could renew");
        let moved = merge("a.b", Some(&named(50)), &suggestion(1, 100), None, Timestamp(500), 1);
        assert!(moved.was_past());
    }

    proptest! {
        #[test]
        fn the_time_is_inside_and_stays(
            start in -1_000_000_i64..4_000_000_000, length in 1_i64..40_000_000, random: u64, other: u64, later in 0..DAY,
        ) {
            let suggestion = suggestion(start, start + length);
            let first = merge("a.b", None, &suggestion, None, Timestamp(0), random);
            prop_assert!(first.start <= first.chosen && first.chosen < first.end);
            prop_assert!(first.end.since(first.chosen) >= ORDER_TAKES.min(length / 10));
            let second = merge("a.b", Some(&first), &suggestion, Some(60), Timestamp(later), other);
            prop_assert_eq!((second.chosen, second.named), (first.chosen, first.named));
            let text = serde_json::to_string(&first).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Window>(&text).unwrap(), &first);
            let renewed = merge("c.d", Some(&first), &suggestion, None, Timestamp(later), other);
            prop_assert_eq!(renewed.chosen, choose(suggestion.start, suggestion.end, other));
        }

        #[test]
        fn the_whole_window_is_used(offset in 0_u64..900) {
            let window = merge("a.b", None, &suggestion(0, 1_000), None, Timestamp(0), offset);
            prop_assert_eq!(window.chosen, Timestamp(i64::try_from(offset).unwrap()));
        }

        #[test]
        fn nothing_that_comes_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Suggestion::parse(&bytes, VALIDITY);
        }
    }
}
