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

/// After failures that may pass: the last step is as long as the usual pause.
const LADDER: Ladder = Ladder::new(&[
    Duration::from_secs(60),
    Duration::from_secs(600),
    Duration::from_secs(3_600),
    Duration::from_secs(6 * 3_600),
]);

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
