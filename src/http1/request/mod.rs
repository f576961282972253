//! The head of a request.

use super::body::Framing;
use super::fields::{Fields, has_strict_line_ends, head_length, is_token, range_in};
use bytes::{Buf as _, Bytes, BytesMut};
use std::ops::Range;

/// The longest method. The longest registered one has 17 letters.
const MAX_METHOD: usize = 32;

/// The most header lines that can be asked for.
const MAX_FIELDS: usize = 128;

/// The most empty lines before a request. RFC 9112 §2.2 asks for one; without an end to them, a
/// client could keep a connection busy and never begin.
const MAX_EMPTY_LINES: u8 = 4;

/// Bounds on a head.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the whole head, its empty line included.
    pub head: usize,
    /// Bytes of the request target.
    pub target: usize,
}

/// What a request was sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

/// A request that is not one. Always the client's fault, and the end of its connection: nobody
/// knows where the next request begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// 400.
    #[error("the request is malformed: {0}")]
    Malformed(&'static str),
    /// 414.
    #[error("the request target is too long")]
    TargetTooLong,
    /// 431.
    #[error("the request head is too large")]
    TooLarge,
    /// 431.
    #[error("the request head has too many lines")]
    TooManyFields,
    /// 501.
    #[error("only the transfer coding \"chunked\" is known")]
    UnknownCoding,
    /// 505.
    #[error("only HTTP/1.1 and HTTP/1.0 are spoken on this connection")]
    UnknownVersion,
}

use RequestError::Malformed;

/// A request's head.
#[derive(Clone, Debug)]
pub struct RequestHead {
    fields: Fields,
    method: Range<usize>,
    target: Range<usize>,
    /// Of an absolute-form target, or of HTTP/2.
    authority: Option<Range<usize>>,
    version: Version,
    framing: Framing,
    persistent: bool,
}

/// How far the head at the front of a buffer has been looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    empty_lines: u8,
    searched: usize,
    line_checked: bool,
}

/// Reads heads from the front of a connection's buffer.
#[derive(Clone, Copy, Debug)]
pub struct HeadReader {
    limits: Limits,
    progress: Progress,
}

impl HeadReader {
    /// A reader at the start of a head.
    pub fn new(limits: Limits) -> Self {
        Self { limits, progress: Progress::default() }
    }

    /// Takes the head off the front of `buffer` once it is all there.
    pub fn read(&mut self, buffer: &mut BytesMut) -> Result<Option<RequestHead>, RequestError> {
        // RFC 9112 §2.2: a line end before the request line is what some clients send after a body.
        while self.progress.searched == 0 && buffer.starts_with(b"\r\n") {
            buffer.advance(2);
            self.progress.empty_lines = self.progress.empty_lines.saturating_add(1);
            if self.progress.empty_lines > MAX_EMPTY_LINES {
                return Err(Malformed("too many empty lines before it"));
            }
        }
        if buffer.as_ref() == b"\r" {
            return Ok(None);
        }
        let Some(length) = head_length(buffer, self.progress.searched) else {
            self.check_early(buffer)?;
            self.progress.searched = buffer.len();
            return Ok(None);
        };
        if length > self.limits.head {
            return Err(self.too_large(buffer));
        }
        self.progress = Progress::default();
        RequestHead::parse(buffer.split_to(length).freeze(), self.limits).map(Some)
    }

    /// Refuses what no further byte can mend: somebody who speaks another protocol should not wait
    /// for a timeout.
    fn check_early(&mut self, buffer: &[u8]) -> Result<(), RequestError> {
        if buffer.len() > self.limits.head {
            return Err(self.too_large(buffer));
        }
        let searched = self.progress.searched.saturating_sub(1).min(buffer.len());
        let unsearched = buffer.get(searched..).unwrap_or_default();
        let bare = |at: usize| (searched + at).checked_sub(1).and_then(|before| buffer.get(before)) != Some(&b'\r');
        if memchr::memchr_iter(b'\n', unsearched).any(bare) {
            return Err(Malformed("a line does not end with CR LF"));
        }
        if self.progress.line_checked {
            return Ok(());
        }
        match memchr::memchr(b'\n', buffer) {
            Some(at) => {
                let mut request = httparse::Request::new(&mut []);
                let line = buffer.get(..=at).unwrap_or_default();
                self.progress.line_checked = true;
                match request.parse(line) {
                    Err(error) => Err(explain(error, line)),
                    Ok(_) => Ok(()),
                }
            }
            None => {
                let method = buffer.iter().position(|byte| *byte == b' ');
                match method {
                    None if buffer.len() > MAX_METHOD => Err(Malformed("the method is too long")),
                    None if !buffer.is_empty() && !is_token(buffer) => Err(Malformed("this is not HTTP")),
                    Some(_) if buffer.len() > self.limits.target + MAX_METHOD + 16 => Err(RequestError::TargetTooLong),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Which part of a head is too large.
    fn too_large(self, buffer: &[u8]) -> RequestError {
        let line = buffer.split(|byte| *byte == b'\n').next().unwrap_or_default();
        match line.iter().position(|byte| *byte == b' ') {
            Some(0..=MAX_METHOD) if line.len() <= self.limits.target => RequestError::TooLarge,
            Some(0..=MAX_METHOD) => RequestError::TargetTooLong,
            _ => Malformed("the method is too long"),
        }
    }
}

impl RequestHead {
    fn parse(bytes: Bytes, limits: Limits) -> Result<Self, RequestError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&bytes) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(Malformed("the head is incomplete")),
            Err(error) => return Err(explain(error, &bytes)),
        }
        if !has_strict_line_ends(&bytes) {
            return Err(Malformed("a line does not end with CR LF"));
        }
        let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
        let version = if request.version == Some(1) { Version::Http11 } else { Version::Http10 };
        if method.len() > MAX_METHOD {
            return Err(Malformed("the method is too long"));
        }
        if target.len() > limits.target {
            return Err(RequestError::TargetTooLong);
        }
        let (authority, path) = split_target(method, target)?;
        let (method, path) = (range_in(&bytes, method.as_bytes()), range_in(&bytes, path.as_bytes()));
        let authority = authority.map(|authority| range_in(&bytes, authority.as_bytes()));
        let fields = Fields::new(bytes.clone(), request.headers);
        let hosts = fields.all("host").count();
        if hosts > 1 || (hosts == 0 && version == Version::Http11) {
            return Err(Malformed("HTTP/1.1 asks for exactly one Host line"));
        }
        let framing = framing(&fields, version)?;
        let persistent = version == Version::Http11
            && !fields.members("connection").any(|option| option.eq_ignore_ascii_case(b"close"));
        Ok(Self { fields, method, target: path, authority, version, framing, persistent })
    }

    /// The head of a request that came over HTTP/2. `complete` says that no body follows; of the limits
    /// the one on the target counts, since HTTP/2 has one of its own on the whole.
    pub fn build<'a>(
        method: &str,
        authority: Option<&str>,
        target: &str,
        lines: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        (complete, limits): (bool, Limits),
    ) -> Result<Self, RequestError> {
        if method.len() > MAX_METHOD {
            return Err(Malformed("the method is too long"));
        }
        if target.len() > limits.target {
            return Err(RequestError::TargetTooLong);
        }
        let mut text = BytesMut::with_capacity(512);
        let mut put = |part: &[u8]| {
            let start = text.len();
            text.extend_from_slice(part);
            start..text.len()
        };
        let method = put(method.as_bytes());
        let target = put(target.as_bytes());
        let authority = authority.map(|authority| put(authority.as_bytes()));
        let lines: Vec<_> = lines.take(MAX_FIELDS + 1).map(|(name, value)| (put(name), put(value))).collect();
        if lines.len() > MAX_FIELDS {
            return Err(RequestError::TooManyFields);
        }
        let fields = Fields::from_ranges(text.freeze(), lines);
        if fields.contains("transfer-encoding") {
            return Err(Malformed("HTTP/2 has no transfer codings"));
        }
        let framing = match framing(&fields, Version::Http2)? {
            Framing::Length(0) if !complete && !fields.contains("content-length") => Framing::Chunked,
            Framing::Length(1..) if complete => return Err(Malformed("the body is shorter than its Content-Length")),
            framing => framing,
        };
        Ok(Self { fields, method, target, authority, version: Version::Http2, framing, persistent: true })
    }

    /// The method. Any token; case matters.
    pub fn method(&self) -> &str {
        self.text(&self.method)
    }

    /// Path and query as they came; `*` or an authority where the request asks for one.
    pub fn target(&self) -> &str {
        self.text(&self.target)
    }

    /// The path as it came, without the query.
    pub fn path(&self) -> &str {
        let target = self.target();
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// What stands after the question mark.
    pub fn query(&self) -> Option<&str> {
        self.target().split_once('?').map(|(_, query)| query)
    }

    /// The authority of an absolute-form target, or of HTTP/2.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_ref().map(|range| self.text(range))
    }

    /// The protocol it came by.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How its body ends. A chunked one has no known length, over HTTP/2 too.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the client can use the connection for another request.
    pub fn is_persistent(&self) -> bool {
        self.persistent
    }

    /// Whether the client waits for a 100 before it sends the body (RFC 9110 §10.1.1).
    pub fn expects_continue(&self) -> bool {
        self.version == Version::Http11
            && self.framing != Framing::Length(0)
            && self.fields.members("expect").any(|member| member.eq_ignore_ascii_case(b"100-continue"))
    }

    /// The header lines.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    fn text(&self, range: &Range<usize>) -> &str {
        // All of these were text when the head was made.
        std::str::from_utf8(self.fields.at(range)).unwrap_or_default()
    }
}

/// Authority and path of a target in one of its four forms (RFC 9112 §3.2). Another scheme than these
/// two is not for us: Synapse's workers use one among themselves.
fn split_target<'a>(method: &str, target: &'a str) -> Result<(Option<&'a str>, &'a str), RequestError> {
    if target.contains('#') {
        return Err(Malformed("the request target has a fragment"));
    }
    let scheme = ["https://", "http://"].into_iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let Some(rest) = scheme else {
        return match (method, target) {
            ("OPTIONS", "*") => Ok((None, target)),
            ("CONNECT", _) if is_authority(target) => Ok((None, target)),
            _ if target.starts_with('/') => Ok((None, target)),
            _ => Err(Malformed("the request target is neither a path nor an absolute URL")),
        };
    };
    match rest.find('/').and_then(|at| rest.split_at_checked(at)) {
        Some((authority, path)) if is_authority(authority) => Ok((Some(authority), path)),
        _ => Err(Malformed("the request target is no absolute URL with a path")),
    }
}

/// Whether this has only what a host and a port are made of, and so no user information.
fn is_authority(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
}

/// How the body is delimited (RFC 9112 §6.3), where nothing is left to guess.
fn framing(fields: &Fields, version: Version) -> Result<Framing, RequestError> {
    let mut codings = fields.all("transfer-encoding");
    let length = super::body::content_length(fields).map_err(|()| Malformed("the Content-Length is not one number"))?;
    let Some(coding) = codings.next() else {
        return Ok(Framing::Length(length.unwrap_or(0)));
    };
    if version == Version::Http10 {
        return Err(Malformed("HTTP/1.0 has no transfer codings"));
    }
    if length.is_some() {
        return Err(Malformed("both Content-Length and Transfer-Encoding"));
    }
    if codings.next().is_some() {
        return Err(Malformed("Transfer-Encoding stands there twice"));
    }
    match coding.eq_ignore_ascii_case(b"chunked") {
        true => Ok(Framing::Chunked),
        false if memchr::memmem::find(&coding.to_ascii_lowercase(), b"chunked").is_some() => {
            Err(Malformed("the Transfer-Encoding is not \"chunked\" alone"))
        }
        false => Err(RequestError::UnknownCoding),
    }
}

/// The sentence for what httparse found. `head` tells a version of the future from a malformed one.
fn explain(error: httparse::Error, head: &[u8]) -> RequestError {
    use httparse::Error::{HeaderName, HeaderValue, NewLine, Status, Token, TooManyHeaders, Version};
    let line = head.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default();
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let future =
        matches!(version, [b'H', b'T', b'T', b'P', b'/', b'0' | b'2'..=b'9', b'.', digit] if digit.is_ascii_digit());
    match error {
        // Without any header line allowed, the first one is one too many: the request line was good.
        TooManyHeaders => RequestError::TooManyFields,
        Version | NewLine if future => RequestError::UnknownVersion,
        Version | NewLine => Malformed("the request line is malformed"),
        HeaderName => Malformed("a header name is malformed"),
        HeaderValue => Malformed("a header value is malformed"),
        Token | Status => Malformed("the request line is malformed"),
    }
}

#[cfg(test)]
mod tests;
