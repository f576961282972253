//! Who stands in between: pure, by what proxies write into answers and requests.

use super::arrival::Arrival;
use crate::probe::connection::quote;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A proxy on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// Which program, as far as that can be told.
    pub kind: HopKind,
    /// What gave it away, such as `Server: nginx/1.22.1`.
    pub sign: String,
}

/// A program whose settings are known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HopKind {
    /// nginx, and what is built of it.
    Nginx,
    /// Apache httpd.
    Apache,
    /// Traefik.
    Traefik,
    /// Cloudflare's proxy.
    Cloudflare,
    /// HAProxy.
    Haproxy,
    /// Caddy.
    Caddy,
    /// Something else.
    Other,
}

impl fmt::Display for HopKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Nginx => "nginx",
            Self::Apache => "Apache",
            Self::Traefik => "Traefik",
            Self::Cloudflare => "Cloudflare",
            Self::Haproxy => "HAProxy",
            Self::Caddy => "Caddy",
            Self::Other => "a proxy",
        })
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.kind, self.sign)
    }
}

/// How programs call themselves in `Server` and `Via`.
const CALLED: [(&str, HopKind); 10] = [
    ("cloudflare", HopKind::Cloudflare),
    ("nginx", HopKind::Nginx),
    ("openresty", HopKind::Nginx),
    ("angie", HopKind::Nginx),
    ("tengine", HopKind::Nginx),
    ("apache", HopKind::Apache),
    ("traefik", HopKind::Traefik),
    ("haproxy", HopKind::Haproxy),
    ("caddy", HopKind::Caddy),
    ("cloudfront", HopKind::Other),
];

/// The hop that signs an answer, or else a request. The one nearest to the client is named: what it
/// spoils, none behind it can mend.
pub(super) fn named(answer: Option<&HeaderMap>, page: &[u8], arrival: Option<&Arrival>) -> Option<Hop> {
    answer.and_then(by_answer).or_else(|| by_page(page)).or_else(|| arrival.and_then(by_request))
}

/// This program signs nothing, so whatever stands there is another's.
fn by_answer(answer: &HeaderMap) -> Option<Hop> {
    let value = |name: &str| Some(quote(&String::from_utf8_lossy(answer.get(name)?.as_bytes())));
    let say = |kind, name: &str, value: &str| Some(Hop { kind, sign: format!("{name}: {value}") });
    if let Some(ray) = value("cf-ray") {
        return say(HopKind::Cloudflare, "cf-ray", &ray);
    }
    for name in [
        "server",
        "via",
        "x-powered-by",
        "x-served-by",
        "x-cache",
        "x-amz-cf-id",
        "x-sucuri-id",
        "x-envoy-upstream-service-time",
    ] {
        if let Some(value) = value(name) {
            return say(called(&value), name, &value);
        }
    }
    None
}

/// Error pages that come without a name in their head.
fn by_page(page: &[u8]) -> Option<Hop> {
    let found = |text: &str| memchr::memmem::find(page, text.as_bytes()).is_some();
    let (kind, sign) =
        if found("Request forbidden by administrative rules.") || found("Your browser sent an invalid request.") {
            (HopKind::Haproxy, "its error page")
        } else if found("<center>nginx") {
            (HopKind::Nginx, "its error page")
        } else if page.trim_ascii() == b"404 page not found" {
            (HopKind::Traefik, "its page for unknown routes")
        } else {
            return None;
        };
    Some(Hop { kind, sign: sign.to_owned() })
}

fn by_request(arrival: &Arrival) -> Option<Hop> {
    let value = |name: &str| Some(quote(&String::from_utf8_lossy(arrival.all(name).next()?)));
    let say =
        |kind, name: &str, value: &str| Some(Hop { kind, sign: format!("the request arrived with {name}: {value}") });
    if let Some(ray) = value("cf-ray") {
        return say(HopKind::Cloudflare, "CF-Ray", &ray);
    }
    if let Some(via) = value("via") {
        return say(called(&via), "Via", &via);
    }
    if let Some(server) = value("x-forwarded-server") {
        // Both write it; Traefik adds the port.
        let kind = if value("x-forwarded-port").is_some() { HopKind::Traefik } else { HopKind::Apache };
        return say(kind, "X-Forwarded-Server", &server);
    }
    // They are sent with capitals, and over HTTP/1.1 few programs touch that.
    let lowered = arrival.lines.iter().any(|(name, _)| &**name == b"user-agent");
    let http1 = arrival.tls.as_ref().is_none_or(|tls| tls.alpn.as_deref() != Some("h2"));
    if lowered && http1 {
        let sign = "header names arrive in lower case, as HAProxy and Envoy write them";
        return Some(Hop { kind: HopKind::Haproxy, sign: sign.to_owned() });
    }
    None
}

fn called(value: &str) -> HopKind {
    let value = value.to_ascii_lowercase();
    CALLED.iter().find(|(name, _)| value.contains(name)).map_or(HopKind::Other, |(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::{HeaderName, HeaderValue};

    type Lines<'a> = &'a [(&'static str, &'static str)];

    fn answer(lines: Lines<'_>) -> HeaderMap {
        let lines = lines.iter();
        lines.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn arrival(lines: Lines<'_>) -> Arrival {
        let lines = lines.iter();
        let lines =
            lines.map(|(name, value)| (Bytes::from_static(name.as_bytes()), Bytes::from_static(value.as_bytes())));
        Arrival { lines: lines.collect(), ..Arrival::default() }
    }

    #[test]
    fn by_what_they_write() {
        let none = arrival(&[("User-Agent", "x")]);
        let table: [(Lines<'_>, &[u8], Arrival, Option<HopKind>); 14] = [
            (&[], b"{}", none, None),
            (&[("server", "nginx/1.22.1")], b"", arrival(&[]), Some(HopKind::Nginx)),
            (&[("server", "openresty")], b"", arrival(&[]), Some(HopKind::Nginx)),
            (&[("server", "Apache/2.4.62 (Debian)")], b"", arrival(&[]), Some(HopKind::Apache)),
            (&[("server", "cloudflare"), ("cf-ray", "8x-FRA")], b"", arrival(&[]), Some(HopKind::Cloudflare)),
            (&[("via", "1.1 Caddy")], b"", arrival(&[]), Some(HopKind::Caddy)),
            (&[("server", "Microsoft-IIS/10.0")], b"", arrival(&[]), Some(HopKind::Other)),
            (&[], b"<html>Request forbidden by administrative rules.", arrival(&[]), Some(HopKind::Haproxy)),
            (&[], b"404 page not found\n", arrival(&[]), Some(HopKind::Traefik)),
            (&[], b"{}", arrival(&[("Cf-Ray", "8x-FRA")]), Some(HopKind::Cloudflare)),
            (&[], b"{}", arrival(&[("X-Forwarded-Server", "a"), ("X-Forwarded-Port", "443")]), Some(HopKind::Traefik)),
            (&[], b"{}", arrival(&[("X-Forwarded-Server", "a")]), Some(HopKind::Apache)),
            (&[], b"{}", arrival(&[("Via", "1.1 varnish (Varnish/7.1)")]), Some(HopKind::Other)),
            (&[], b"{}", arrival(&[("user-agent", "x")]), Some(HopKind::Haproxy)),
        ];
        for (lines, page, arrival, kind) in table {
            let hop = named(Some(&answer(lines)), page, Some(&arrival));
            assert_eq!(hop.as_ref().map(|hop| hop.kind), kind, "{lines:?} {arrival:?} {hop:?}");
        }
        let hop = named(Some(&answer(&[("server", "nginx/1.22.1")])), b"", None).unwrap();
        assert_eq!(hop.to_string(), "nginx (server: nginx/1.22.1)");
    }
}
