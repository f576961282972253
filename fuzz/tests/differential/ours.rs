//! The codec, used as vestibule's connections use it.

use crate::seen::{Message, Seen, grouped};
use bytes::BytesMut;
use vestibule_fuzz::http1::{Decoded, Decoder, Framing, HeadReader, Limits, Malformed, RequestHead, ResponseHead};

pub(crate) const LIMITS: Limits = Limits { head: 32 * 1024, target: 8 * 1024 };

/// Bytes that come piece by piece.
struct Input<'a> {
    pieces: std::slice::Iter<'a, Vec<u8>>,
    buffer: BytesMut,
}

impl<'a> Input<'a> {
    fn new(pieces: &'a [Vec<u8>]) -> Self {
        Self { pieces: pieces.iter(), buffer: BytesMut::new() }
    }

    /// False at the end of the connection.
    fn read(&mut self) -> bool {
        self.pieces.next().is_some_and(|piece| {
            self.buffer.extend_from_slice(piece);
            true
        })
    }

    fn body(&mut self, framing: Framing) -> Result<Vec<u8>, Malformed> {
        let mut decoder = Decoder::new(framing);
        let mut body = Vec::new();
        loop {
            match decoder.decode(&mut self.buffer)? {
                Decoded::Data(data) => body.extend_from_slice(&data),
                Decoded::End => return Ok(body),
                Decoded::More if self.read() => {}
                Decoded::More => {
                    assert!(self.buffer.is_empty() || framing == Framing::Chunked);
                    return decoder.end_of_connection().map(|()| body);
                }
            }
        }
    }
}

/// A server: requests until one closes, is refused, or does not come.
pub(crate) fn requests(pieces: &[Vec<u8>]) -> Seen {
    let mut input = Input::new(pieces);
    let mut seen = Seen::default();
    loop {
        let mut reader = HeadReader::new(LIMITS);
        let head = loop {
            match reader.read(&mut input.buffer) {
                Ok(Some(head)) => break head,
                Ok(None) if input.read() => {}
                Ok(None) => {
                    seen.end = if input.buffer.is_empty() { "end of input" } else { "waits for more" }.to_owned();
                    return seen;
                }
                Err(error) => {
                    seen.end = error.to_string();
                    return seen;
                }
            }
        };
        let body = input.body(head.framing());
        seen.end = body.as_ref().err().map_or_else(|| "closed".to_owned(), ToString::to_string);
        let goes_on = body.is_ok() && head.is_persistent();
        seen.messages.push(request(&head, body.ok()));
        if !goes_on {
            return seen;
        }
    }
}

fn request(head: &RequestHead, body: Option<Vec<u8>>) -> Message {
    let authority = head.authority().map(|authority| format!("//{authority}")).unwrap_or_default();
    Message {
        start: format!("{} {authority}{}", head.method(), head.target()),
        lines: grouped(head.fields().iter()),
        body,
    }
}

/// A client: the answer to one request, and whether it could send another one.
pub(crate) fn answer(pieces: &[Vec<u8>], to_head: bool) -> (Seen, bool) {
    let mut input = Input::new(pieces);
    let mut seen = Seen::default();
    let mut searched = 0;
    let head = loop {
        match ResponseHead::read(&mut input.buffer, &mut searched, to_head) {
            Ok(Some(head)) if head.is_interim() => {}
            Ok(Some(head)) => break head,
            Ok(None) if input.read() => {}
            Ok(None) => {
                seen.end = "broke off".to_owned();
                return (seen, false);
            }
            Err(error) => {
                seen.end = error.to_string();
                return (seen, false);
            }
        }
    };
    let body = input.body(head.framing());
    seen.end = body.as_ref().err().map_or_else(|| "done".to_owned(), ToString::to_string);
    // Bytes behind an answer belong to no request: such a connection is not used again.
    let reusable = body.is_ok() && head.is_persistent() && input.buffer.is_empty() && !input.read();
    seen.messages.push(Message {
        start: head.status().to_string(),
        lines: grouped(head.fields().iter()),
        body: body.ok(),
    });
    (seen, reusable)
}
