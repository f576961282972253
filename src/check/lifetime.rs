//! How long peers keep what they read at `/.well-known/matrix/server` (server-server API, "Resolving
//! server names"; the figures are those of the specification, which Synapse follows).
//!
//! Peers may add or take a tenth where no header says how long, so that they do not all ask at once.

use super::chain::Policy;
use super::observe::http::HttpAnswer;
use super::observe::well_known::Visit;
use crate::clock::Timestamp;

/// Without a word from the server.
const DEFAULT: i64 = 24 * 3600;
/// No shorter, whatever the server says.
pub(super) const SHORTEST: i64 = 300;
/// No longer, whatever the server says.
pub(super) const LONGEST: i64 = 48 * 3600;
/// How long a peer that found no valid delegation does without asking again.
const FAILURE: i64 = 3600;

/// Until when peers that ask now may use what they are told: the delegation, or that there is none.
/// The latest of all addresses counts. `None` where nobody was asked.
pub(super) fn until(visits: &[Visit], policy: Policy) -> Option<Timestamp> {
    let each = visits.iter().filter_map(|visit| {
        let answer = visit.last()?.answer.as_ref().ok()?;
        let seconds = if visit.delegation(policy).is_some() { seconds(answer) } else { FAILURE };
        Some(answer.received.plus(seconds))
    });
    each.max()
}

/// How long a valid answer is kept, in seconds.
fn seconds(answer: &HttpAnswer) -> i64 {
    stated(answer).map_or(DEFAULT, |seconds| seconds.clamp(SHORTEST, LONGEST))
}

/// What the headers say: `no-store` and `max-age` before `Expires`, whose broken values are the past
/// (RFC 9111 §5.3).
pub(super) fn stated(answer: &HttpAnswer) -> Option<i64> {
    let values = answer.headers.get_all("cache-control").iter().filter_map(|value| value.to_str().ok());
    let directives: Vec<_> = values.flat_map(|value| value.split(',')).map(|d| d.trim().to_ascii_lowercase()).collect();
    if directives.iter().any(|directive| directive == "no-store") {
        return Some(0);
    }
    let age =
        directives.iter().find_map(|directive| directive.strip_prefix("max-age=")?.trim_matches('"').parse().ok());
    age.or_else(|| Some(http_date(answer.header("expires")?).map_or(0, |date| date.since(answer.received))))
}

/// An HTTP date, which is RFC 2822's with the zone always GMT.
pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Timestamp(zoned.timestamp().as_second()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::HeaderMap;

    fn answer(headers: &[(&'static str, &str)]) -> HttpAnswer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        HttpAnswer { status: 200, headers: map, body: Bytes::new(), received: Timestamp(1_790_000_000) }
    }

    #[test]
    fn http_dates() {
        assert_eq!(http_date("Mon, 21 Sep 2026 14:13:20 GMT"), Some(Timestamp(1_790_000_000)));
        assert_eq!(http_date("yesterday"), None);
    }

    #[test]
    fn headers_decide_within_bounds() {
        const IN_AN_HOUR: &str = "Mon, 21 Sep 2026 15:13:20 GMT";
        let table: [(&[(&str, &str)], i64); 11] = [
            (&[], 86_400),
            (&[("cache-control", "public")], 86_400),
            (&[("cache-control", "public, Max-Age=3600")], 3600),
            (&[("cache-control", "public"), ("cache-control", "max-age=\"7200\"")], 7200),
            (&[("cache-control", "max-age=60")], 300),
            (&[("cache-control", "max-age=31536000")], 172_800),
            (&[("cache-control", "no-store, max-age=3600")], 300),
            (&[("cache-control", "max-age=7200"), ("expires", IN_AN_HOUR)], 7200),
            (&[("cache-control", "max-age=soon"), ("expires", IN_AN_HOUR)], 3600),
            (&[("expires", IN_AN_HOUR)], 3600),
            (&[("expires", "0")], 300),
        ];
        for (headers, expected) in table {
            assert_eq!(seconds(&answer(headers)), expected, "{headers:?}");
        }
    }
}
