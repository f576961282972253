//! The head of an answer.

use super::body::{Framing, content_length};
use super::fields::{Fields, has_strict_line_ends, head_length};
use bytes::BytesMut;

/// The largest head of an answer. Homeservers send one or two KiB.
const MAX_HEAD: usize = 64 * 1024;

/// Most header lines in an answer.
const MAX_FIELDS: usize = 128;

/// An answer that is not one. Always the upstream's fault: a 502.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Not HTTP/1.1, or not well-formed.
    #[error("the answer is malformed: {0}")]
    Malformed(&'static str),
    /// The head is too large.
    #[error("the head of the answer is over {MAX_HEAD} bytes")]
    TooLarge,
}

use ResponseError::Malformed;

/// An answer's head.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    fields: Fields,
    status: u16,
    framing: Framing,
    length: Option<u64>,
    persistent: bool,
}

impl ResponseHead {
    /// Takes the head off the front of `buffer` once it is all there. `searched` is 0 at the start of
    /// a head and kept by the caller between calls. `to_head` says that the request was a HEAD, to
    /// which no answer has a body.
    pub fn read(buffer: &mut BytesMut, searched: &mut usize, to_head: bool) -> Result<Option<Self>, ResponseError> {
        // What does not begin like an answer never becomes one. Empty lines before it are surplus of the answer before.
        if buffer.iter().zip(b"HTTP/1.").any(|(byte, expected)| byte != expected) {
            return Err(Malformed("it does not begin with HTTP/1"));
        }
        let length = head_length(buffer, *searched);
        if length.unwrap_or(buffer.len()) > MAX_HEAD {
            return Err(ResponseError::TooLarge);
        }
        let Some(length) = length else {
            *searched = buffer.len();
            return Ok(None);
        };
        *searched = 0;
        let bytes = buffer.split_to(length).freeze();
        let mut headers = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(&bytes) {
            Ok(httparse::Status::Complete(_)) if has_strict_line_ends(&bytes) => {}
            Ok(_) => return Err(Malformed("a line does not end with CR LF")),
            Err(httparse::Error::TooManyHeaders) => return Err(Malformed("it has too many header lines")),
            Err(_) => return Err(Malformed("a line of its head is not HTTP")),
        }
        let status = response.code.filter(|code| (100..600).contains(code)).ok_or(Malformed("no such status"))?;
        let version = response.version;
        let fields = Fields::new(bytes.clone(), response.headers);
        let length = content_length(&fields).map_err(|()| Malformed("the Content-Length is not one number"))?;
        if version != Some(1) && fields.contains("transfer-encoding") {
            return Err(Malformed("HTTP/1.0 has no transfer codings"));
        }
        let framing = framing(&fields, status, length, to_head)?;
        let closes = fields.members("connection").any(|option| option.eq_ignore_ascii_case(b"close"));
        // An announced body that the status forbids: some servers send it all the same.
        let bodiless = status < 200 || status == 204;
        let announced = bodiless && (length.is_some_and(|length| length > 0) || fields.contains("transfer-encoding"));
        // What follows a 101 is no HTTP.
        let switches = status == 101;
        let persistent = version == Some(1) && !closes && !announced && !switches && framing != Framing::Close;
        Ok(Some(Self { fields, status, framing, length, persistent }))
    }

    /// From 100 to 599.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// An answer that another one follows: any 1xx but 101.
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// How its body ends.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// What its `Content-Length` says, which answers to HEAD and a 304 have without a body.
    pub fn content_length(&self) -> Option<u64> {
        self.length
    }

    /// Whether the upstream can take another request on the connection.
    pub fn is_persistent(&self) -> bool {
        self.persistent
    }

    /// The header lines.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }
}

/// How the body is delimited (RFC 9112 §6.3).
fn framing(fields: &Fields, status: u16, length: Option<u64>, to_head: bool) -> Result<Framing, ResponseError> {
    let mut codings = fields.all("transfer-encoding");
    let coding = codings.next();
    let chunked = coding.map(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    if codings.next().is_some() || chunked == Some(false) {
        return Err(Malformed("its Transfer-Encoding is not \"chunked\" alone"));
    }
    if chunked == Some(true) && length.is_some() {
        return Err(Malformed("both Content-Length and Transfer-Encoding"));
    }
    if to_head || status < 200 || matches!(status, 204 | 304) {
        return Ok(Framing::Length(0));
    }
    Ok(match (chunked, length) {
        (Some(_), _) => Framing::Chunked,
        (None, Some(length)) => Framing::Length(length),
        (None, None) => Framing::Close,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, to_head: bool) -> Result<Option<ResponseHead>, ResponseError> {
        ResponseHead::read(&mut BytesMut::from(text), &mut 0, to_head)
    }

    #[test]
    fn framing_follows_status_and_request() {
        let length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
        let cases = [
            (length, false, Framing::Length(5), true),
            (length, true, Framing::Length(0), true),
            (chunked, false, Framing::Chunked, true),
            (chunked, true, Framing::Length(0), true),
            ("HTTP/1.1 200 OK\r\n\r\n", false, Framing::Close, false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", false, Framing::Length(1), false),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", false, Framing::Length(0), true),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false, Framing::Length(0), false),
            ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", false, Framing::Length(0), false),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, Framing::Length(0), true),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", false, Framing::Length(0), false),
            ("HTTP/1.1 200\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n", false, Framing::Length(0), false),
        ];
        for (text, to_head, framing, persistent) in cases {
            let head = read(text, to_head).unwrap().unwrap();
            assert_eq!((head.framing(), head.is_persistent()), (framing, persistent), "{text:?}");
        }
        assert_eq!(read(length, true).unwrap().unwrap().content_length(), Some(5));
    }

    #[test]
    fn what_is_no_answer_is_refused_at_once() {
        for text in [
            "SSH-2.0-OpenSSH",
            "HTTP/2 200 OK\r\n",
            "<html>",
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 099 x\r\n\r\n",
            "HTTP/1.1 600 x\r\n\r\n",
            "HTTP/1.1 1000 x\r\n\r\n",
            "HTTP/1.1 abc\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 200 OK\nA: b\r\n\r\n",
        ] {
            assert!(read(text, false).is_err(), "{text:?}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(1 << 20));
        assert_eq!(read(&endless, false).unwrap_err(), ResponseError::TooLarge);
        assert!(read("HTTP/1.1 200 OK\r\nA", false).unwrap().is_none());
        assert!(read("HT", false).unwrap().is_none());
    }
}
