//! Requests made by the `curl` program: a client that shares no code with what it tests.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::NamedTempFile;

/// A request in the making.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Curl {
    arguments: Vec<OsString>,
}

/// An answer of any status.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// As curl names it: `1.1`, `2`.
    pub http_version: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// No answer: curl's exit status and what it said.
#[derive(Debug)]
pub struct CurlError {
    pub code: i32,
    pub message: String,
}

impl fmt::Display for CurlError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "curl ended with {}: {}", self.code, self.message.trim())
    }
}

impl Curl {
    pub fn new() -> Self {
        // -q first: nothing of the user's own settings may reach a test, nor may a proxy of the environment.
        Self { arguments: Vec::new() }
            .arguments(["-q", "--silent", "--show-error", "--noproxy", "*"])
            .limit(Duration::from_secs(30))
    }

    /// Anything curl knows that has no method of its own here.
    pub fn arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// The whole exchange may take this long; the last call counts.
    pub fn limit(self, limit: Duration) -> Self {
        self.arguments(["--max-time".to_owned(), limit.as_secs_f64().to_string()])
    }

    /// Trusts the roots in `file`, and no others.
    pub fn trust(self, file: &Path) -> Self {
        self.arguments([OsString::from("--cacert"), file.into()])
    }

    /// Goes to `address` for `host`, whatever port the URL names, and leaves SNI and Host as they are.
    pub fn connect_to(self, host: &str, address: SocketAddr) -> Self {
        self.arguments(["--connect-to".to_owned(), format!("{host}::{address}")])
    }

    /// Goes to `address` whatever the URL names, and leaves SNI and Host as they are.
    pub fn connect_everything_to(self, address: SocketAddr) -> Self {
        self.arguments(["--connect-to".to_owned(), format!("::{address}")])
    }

    pub fn http1(self) -> Self {
        self.arguments(["--http1.1"])
    }

    pub fn http2(self) -> Self {
        self.arguments(["--http2"])
    }

    pub fn method(self, method: &str) -> Self {
        self.arguments(["--request", method])
    }

    pub fn header(self, name: &str, value: &str) -> Self {
        self.arguments(["--header".to_owned(), format!("{name}: {value}")])
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub fn json(self, body: &Value) -> Self {
        self.header("Content-Type", "application/json").arguments(["--data-binary".to_owned(), body.to_string()])
    }

    pub fn body_from(self, file: &Path) -> Self {
        let mut at_file = OsString::from("@");
        at_file.push(file);
        self.arguments([OsString::from("--data-binary"), at_file])
    }

    /// Sends the request and returns the answer, or panics when there is none.
    #[track_caller]
    pub fn send(self, url: &str) -> Response {
        self.try_send(url).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    /// Sends the request; an answer of any status is `Ok`.
    pub fn try_send(self, url: &str) -> Result<Response, CurlError> {
        // The head goes to a file of its own, so that the body stays exactly what was sent.
        let head = NamedTempFile::new().expect("a temporary file");
        let output = Command::new("curl")
            .args(&self.arguments)
            .arg("--dump-header")
            .arg(head.path())
            .args(["--write-out", "%{stderr}%{http_version}", "--url", url])
            .output()
            .expect("curl is installed; tests/peers/setup.sh sees to it");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            return Err(CurlError { code: output.status.code().unwrap_or(-1), message: said });
        }
        let head = fs::read(head.path()).expect("curl wrote the head");
        Ok(Response::parse(&String::from_utf8_lossy(&head), said, output.stdout))
    }
}

impl Response {
    /// Reads the last of the heads in `heads`.
    pub(super) fn parse(heads: &str, http_version: String, body: Vec<u8>) -> Self {
        // Interim answers (100, 103) have heads of their own; the last one belongs to the body.
        let last = heads.trim_end().rsplit("\r\n\r\n").next().unwrap_or_default();
        let mut lines = last.lines();
        let status_line = lines.next().unwrap_or_default();
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status in {heads:?}"));
        let header =
            |line: &str| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
        Self { status, http_version, headers: lines.filter_map(header).collect(), body }
    }

    /// The value of a header that stands there once; two of it are a fault worth failing for.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let first = values.next();
        assert!(values.next().is_none(), "two headers {name} in {:?}", self.headers);
        first.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    /// The answer itself if it has this status; otherwise the test ends with what came instead.
    #[track_caller]
    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?} with body {}", self.headers, self.text());
        self
    }
}
