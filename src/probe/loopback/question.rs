//! What is sent: everything that proxies are known to spoil, all of it harmless.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, FORWARDED, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request};
use http_body_util::Full;

/// An address nobody has (RFC 5737), which a forged header claims.
pub(super) const FORGED: &str = "203.0.113.66";

/// The marks that a path carries, each in a text of its own so that what changed can be told, and
/// how people write it. Room and user ids, event ids of old rooms and aliases hold all of them.
pub(super) const MARKS: [(&str, &str); 7] = [
    ("%2F", "/a%2Fb"),
    ("%23", "/%23c"),
    ("%21", "/%21d"),
    ("%40", "/e%40f"),
    ("%3A", "/g%3Ah"),
    (";", "/i;j"),
    ("//", "//k"),
];

/// What follows the question mark: a user id.
pub(super) const QUERY: &str = "user_id=%40l%3Am";

/// As requests of federation are signed; two keys make two lines. No signature is right.
const AUTHORIZATIONS: [&str; 2] = [
    "X-Matrix origin=\"loop.invalid\",destination=\"loop.invalid\",key=\"ed25519:a\",sig=\"bG9vcA\"",
    "X-Matrix origin=\"loop.invalid\",destination=\"loop.invalid\",key=\"ed25519:b\",sig=\"YmFjaw\"",
];

/// Lines by which a client would lie about itself.
const FORGERIES: [(&str, &str); 5] = [
    ("x-forwarded-for", FORGED),
    ("x-real-ip", FORGED),
    ("x-forwarded-proto", "http"),
    ("x-forwarded-host", "forged.invalid"),
    ("x-client-ip", FORGED),
];

/// The line that is long.
pub(super) const LONG: &str = "x-vestibule-loop";

/// Its length in bytes. Tokens of clients are longer than one would think; nginx takes lines of 8 KiB
/// and Apache of 8190 bytes unless they are told otherwise, and this is what should always pass.
const LONG_BYTES: usize = 7 * 1024;

/// A body's length in bytes.
const BODY_BYTES: usize = 1024;

/// What we call ourselves.
pub(super) const OWN_AGENT: &str = concat!("vestibule/", env!("CARGO_PKG_VERSION"));
/// What a Synapse calls itself.
pub(super) const SYNAPSE: &str = "Synapse/1.140.0";
/// What Dendrite and the public federation tester call themselves.
pub(super) const GO: &str = "Go-http-client/1.1";

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) method: Method,
    /// What follows the nonce.
    pub(super) rest: String,
    pub(super) agent: &'static str,
    pub(super) lines: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
}

impl Question {
    /// Nothing special. Whatever answers this must know the nonce.
    pub(super) fn plain() -> Self {
        Self { method: Method::GET, rest: String::new(), agent: OWN_AGENT, lines: Vec::new(), body: Bytes::new() }
    }

    /// The path's marks, the query, two signatures, forged lines, as from a Synapse.
    pub(super) fn whole() -> Self {
        let path: String = MARKS.iter().map(|(_, text)| *text).collect();
        Self::plain().by(SYNAPSE).at(&format!("{path}?{QUERY}")).signed(2).forged()
    }

    /// With a body, as transactions are sent, as from a server in Go.
    pub(super) fn put() -> Self {
        Self::plain().by(GO).signed(1).putting()
    }

    /// With a long line.
    pub(super) fn long() -> Self {
        let mut long = Self::plain();
        long.lines.push((HeaderName::from_static(LONG), filler()));
        long
    }

    pub(super) fn by(self, agent: &'static str) -> Self {
        Self { agent, ..self }
    }

    /// With this after the nonce.
    pub(super) fn at(self, rest: &str) -> Self {
        Self { rest: rest.to_owned(), ..self }
    }

    /// With so many signatures.
    pub(super) fn signed(mut self, times: usize) -> Self {
        let lines = AUTHORIZATIONS.iter().take(times);
        self.lines.extend(lines.map(|value| (AUTHORIZATION, HeaderValue::from_static(value))));
        self
    }

    pub(super) fn forged(mut self) -> Self {
        let lines = FORGERIES.iter();
        self.lines.extend(lines.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))));
        self.lines.push((FORWARDED, HeaderValue::from_static("for=203.0.113.66;proto=http")));
        self
    }

    pub(super) fn putting(mut self) -> Self {
        self.lines.push((CONTENT_TYPE, HeaderValue::from_static("application/json")));
        let filler = "x".repeat(BODY_BYTES.saturating_sub(11));
        Self { method: Method::PUT, body: Bytes::from(format!("{{\"loop\":\"{filler}\"}}")), ..self }
    }

    /// The request for `path`, which ends with the nonce.
    pub(super) fn request(&self, path: &str, host: &str) -> http::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(self.target(path))
            .header(HOST, host)
            .header(USER_AGENT, self.agent)
            .header("accept", "application/json")
            .header("connection", "close")
            .body(Full::new(self.body.clone()))?;
        for (name, value) in &self.lines {
            request.headers_mut().append(name, value.clone());
        }
        Ok(request)
    }

    /// Path and query as they are sent.
    pub(super) fn target(&self, path: &str) -> String {
        format!("{path}{}", self.rest)
    }

    /// The values of a header, in order.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.lines.iter().filter(move |(line, _)| line == name).map(|(_, value)| value.as_bytes())
    }
}

fn filler() -> HeaderValue {
    HeaderValue::from_bytes(&[b'x'; LONG_BYTES]).unwrap_or_else(|_| HeaderValue::from_static("x"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_sent_as_they_are_written() {
        let question = Question::whole();
        let request = question.request("/p/0123", "a.test:8448").unwrap();
        let target = "/p/0123/a%2Fb/%23c/%21d/e%40f/g%3Ah/i;j//k?user_id=%40l%3Am";
        assert_eq!(request.uri().to_string(), target);
        assert_eq!(question.target("/p/0123"), target);
        assert_eq!(request.headers().get_all(AUTHORIZATION).iter().count(), 2);
        assert_eq!(request.headers()[HOST], "a.test:8448");
        assert_eq!(Question::put().body.len(), BODY_BYTES);
        assert_eq!(Question::long().all(LONG).next().unwrap().len(), LONG_BYTES);
    }
}
