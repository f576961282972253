//! Where a message's body ends, and the bytes up to there.

use super::chunked::Chunks;
use super::fields::Fields;
use bytes::{Bytes, BytesMut};

/// How a body is delimited (RFC 9112 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By `Content-Length`; none at all is 0.
    Length(u64),
    /// By `Transfer-Encoding: chunked`.
    Chunked,
    /// By the end of the connection: answers only.
    Close,
}

/// A body that is not what its framing says. Its sender's fault, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A chunk's size is no hexadecimal number, or too large.
    #[error("a chunk size is not a hexadecimal number")]
    ChunkSize,
    /// A chunk extension is too long or not text.
    #[error("a chunk extension is malformed or too long")]
    ChunkExtension,
    /// A chunk's data is not followed by CR LF.
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    /// A trailer line is malformed, or there are too many.
    #[error("the trailer section is malformed or too long")]
    Trailer,
    /// The connection ended first.
    #[error("the body broke off")]
    BrokeOff,
}

/// What a step of decoding gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// The next bytes of the body, never empty.
    Data(Bytes),
    /// More input is needed.
    More,
    /// The body is over; what is left in the buffer is not part of it.
    End,
}

/// Takes a body out of a connection's bytes.
#[derive(Debug)]
pub struct Decoder(State);

#[derive(Debug)]
enum State {
    Left(u64),
    Chunks(Chunks),
    Close,
}

impl Decoder {
    /// A decoder at the start of a body.
    pub fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::Length(length) => State::Left(length),
            Framing::Chunked => State::Chunks(Chunks::default()),
            Framing::Close => State::Close,
        })
    }

    /// Takes what it can from the front of `buffer`, without copying.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Decoded, Malformed> {
        match &mut self.0 {
            State::Left(0) => Ok(Decoded::End),
            State::Left(left) => Ok(match take(buffer, *left) {
                Some(data) => {
                    *left = left.saturating_sub(u64::try_from(data.len()).unwrap_or(u64::MAX));
                    Decoded::Data(data)
                }
                None => Decoded::More,
            }),
            State::Chunks(chunks) => chunks.decode(buffer),
            State::Close => Ok(take(buffer, u64::MAX).map_or(Decoded::More, Decoded::Data)),
        }
    }

    /// Whether the body is over.
    pub fn is_done(&self) -> bool {
        match &self.0 {
            State::Left(left) => *left == 0,
            State::Chunks(chunks) => chunks.is_done(),
            State::Close => false,
        }
    }

    /// The connection ended, and no byte is left to decode.
    pub fn end_of_connection(&mut self) -> Result<(), Malformed> {
        match self.0 {
            State::Close => {
                self.0 = State::Left(0);
                Ok(())
            }
            _ if self.is_done() => Ok(()),
            _ => Err(Malformed::BrokeOff),
        }
    }

    /// How many bytes are still to come, where that is known.
    pub fn left(&self) -> Option<u64> {
        match &self.0 {
            State::Left(left) => Some(*left),
            State::Chunks(_) | State::Close => None,
        }
    }
}

/// The largest length: what programs that count with a sign can count, so that nobody's count wraps.
const MAX_LENGTH: u64 = i64::MAX.unsigned_abs();

/// The one `Content-Length` (RFC 9110 §8.6): digits only, and no second line even if it says the same.
pub(super) fn content_length(fields: &Fields) -> Result<Option<u64>, ()> {
    let mut values = fields.all("content-length");
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() || value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(());
    }
    let length = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
    length.filter(|length| *length <= MAX_LENGTH).map(Some).ok_or(())
}

/// Up to `most` bytes from the front.
pub(super) fn take(buffer: &mut BytesMut, most: u64) -> Option<Bytes> {
    let count = usize::try_from(most).unwrap_or(usize::MAX).min(buffer.len());
    (count > 0).then(|| buffer.split_to(count).freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_ends_the_body_and_not_a_byte_later() {
        let mut buffer = BytesMut::from("hello, surplus");
        let mut decoder = Decoder::new(Framing::Length(5));
        assert_eq!(decoder.decode(&mut buffer), Ok(Decoded::Data(Bytes::from("hello"))));
        assert!(decoder.is_done());
        assert_eq!(decoder.decode(&mut buffer), Ok(Decoded::End));
        assert_eq!(buffer, ", surplus");
    }

    #[test]
    fn an_end_too_early_is_no_end() {
        for framing in [Framing::Length(5), Framing::Chunked] {
            let mut decoder = Decoder::new(framing);
            assert_eq!(decoder.decode(&mut BytesMut::new()), Ok(Decoded::More));
            assert_eq!(decoder.end_of_connection(), Err(Malformed::BrokeOff));
        }
        let mut decoder = Decoder::new(Framing::Close);
        assert_eq!(decoder.decode(&mut BytesMut::from("x")), Ok(Decoded::Data(Bytes::from("x"))));
        assert_eq!(decoder.end_of_connection(), Ok(()));
        assert!(decoder.is_done());
        assert_eq!(Decoder::new(Framing::Length(0)).end_of_connection(), Ok(()));
    }
}
