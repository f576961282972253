//! Which header lines pass: pure.
//!
//! `Host`, `Authorization` (which may repeat, one X-Matrix line per key) and everything else that
//! is end-to-end passes as it came. Hop-by-hop lines (RFC 9110 §7.6.1) do not, in either
//! direction. Whatever claims to be the client's address is replaced by the one that is.

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use std::net::IpAddr;

/// Meaningful between two neighbours only.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Lines by which some homeserver or framework would learn a client's address or scheme.
const FORWARDING: [&str; 11] = [
    "forwarded",
    "client-ip",
    "x-real-ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "cf-connecting-ip",
    "fly-client-ip",
    "cloudfront-viewer-address",
    "x-envoy-external-address",
    "x-original-forwarded-for",
];

/// Turns the client's header lines into the upstream's.
pub(super) fn to_upstream(headers: &mut HeaderMap, client: IpAddr, host: &HeaderValue) {
    remove_hop_by_hop(headers);
    // The body is read as soon as the upstream takes it, and that is when the client is told to go on.
    headers.remove(EXPECT);
    // Trailers are not forwarded, so nobody is told to expect them.
    headers.remove(TRAILER);
    let claims: Vec<_> = headers.keys().filter(|name| claims_an_address(name)).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
    join_cookies(headers);
    // One plain address: Synapse reads the first of a list, others the last.
    if let Ok(address) = HeaderValue::from_str(&client.to_string()) {
        headers.insert("x-forwarded-for", address.clone());
        headers.insert("x-real-ip", address);
    }
    headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
    headers.insert("x-forwarded-host", host.clone());
    headers.insert(HOST, host.clone());
}

/// Turns the upstream's header lines into the client's.
pub(super) fn to_downstream(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
}

/// Whether a line claims to say who the client is. CGI and its heirs take `_` for `-`.
fn claims_an_address(name: &HeaderName) -> bool {
    let name = name.as_str().replace('_', "-");
    name.starts_with("x-forwarded") || FORWARDING.contains(&name.as_str())
}

/// HTTP/2 lets a client send its cookies as several lines; HTTP/1.1 knows one (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else {
        return;
    };
    let crumbs = [first, second].into_iter().chain(crumbs).map(HeaderValue::as_bytes);
    let joined = crumbs.collect::<Vec<_>>().join(&b"; "[..]);
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, joined);
    }
}

/// Puts back the two lines that hand a WebSocket on: they are hop-by-hop, and this hop agrees.
pub(super) fn keep_websocket(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Whether these lines ask for a WebSocket (RFC 6455 §4.1), the only upgrade that passes.
pub(super) fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(UPGRADE).and_then(|value| value.to_str().ok());
    let websocket = upgrade.is_some_and(|value| value.trim().eq_ignore_ascii_case("websocket"));
    websocket && headers.get_all(CONNECTION).iter().any(|value| tokens(value).any(|token| token == "upgrade"))
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(tokens)
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        // A sender could otherwise strip what requests stand on.
        .filter(|name| ![HOST, AUTHORIZATION, CONTENT_LENGTH].contains(name))
        .collect();
    for name in nominated.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// The comma-separated tokens of a value, in lower case.
fn tokens(value: &HeaderValue) -> impl Iterator<Item = String> {
    let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let tokens: Vec<_> = text.split(',').map(|token| token.trim().to_owned()).collect();
    tokens.into_iter().filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
    }

    fn sent(lines: &[(&str, &str)]) -> Vec<String> {
        let mut headers = map(lines);
        to_upstream(&mut headers, "192.0.2.7".parse().unwrap(), &HeaderValue::from_static("a.example:443"));
        let mut lines: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    const OURS: [&str; 5] = [
        "host: a.example:443",
        "x-forwarded-for: 192.0.2.7",
        "x-forwarded-host: a.example:443",
        "x-forwarded-proto: https",
        "x-real-ip: 192.0.2.7",
    ];

    #[test]
    fn forged_addresses_are_replaced() {
        let forged = sent(&[
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "7.7.7.7"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-port", "80"),
            ("x-forwarded-anything", "x"),
            ("forwarded", "for=6.6.6.6"),
            ("x-real-ip", "6.6.6.6"),
            ("cf-connecting-ip", "6.6.6.6"),
            ("true-client-ip", "6.6.6.6"),
            ("x_forwarded_for", "6.6.6.6"),
            ("x-forwarded", "for=6.6.6.6"),
            ("client-ip", "6.6.6.6"),
            ("trailer", "X-Forwarded-For"),
        ]);
        assert_eq!(forged, OURS);
    }

    #[test]
    fn hop_by_hop_and_nominated_lines_stay_here() {
        let lines = sent(&[
            ("connection", "close, X-Secret, Authorization, host, content-length"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "x"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("transfer-encoding", "chunked"),
            ("expect", "100-continue"),
            ("authorization", "X-Matrix a"),
            ("authorization", "X-Matrix b"),
            ("content-length", "3"),
        ]);
        let mut expected = OURS.map(str::to_owned).to_vec();
        expected
            .extend(["authorization: X-Matrix a", "authorization: X-Matrix b", "content-length: 3"].map(str::to_owned));
        expected.sort();
        assert_eq!(lines, expected);
    }

    #[test]
    fn cookie_crumbs_become_one_line() {
        let lines = sent(&[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]);
        assert!(lines.contains(&"cookie: a=1; b=2; c=3".to_owned()), "{lines:?}");
    }

    #[test]
    fn only_a_websocket_is_an_upgrade() {
        assert!(asks_for_websocket(&map(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")])));
        assert!(!asks_for_websocket(&map(&[("connection", "Upgrade"), ("upgrade", "h2c")])));
        assert!(!asks_for_websocket(&map(&[("upgrade", "websocket")])));
    }

    proptest! {
        #[test]
        fn nothing_nominated_survives(name in "x-[a-z]{1,8}") {
            prop_assume!(name != "x-real-ip");
            let lines = sent(&[("connection", &name), (&name, "1")]);
            prop_assert_eq!(lines, OURS);
        }
    }
}
