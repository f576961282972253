//! The chunked transfer coding (RFC 9112 §7.1).

use super::body::{Decoded, Malformed, take};
use super::fields::{is_token, is_value};
use bytes::{Buf as _, BytesMut};
use std::io::Write as _;

/// The last chunk, and no trailers.
pub const FINAL_CHUNK: &[u8] = b"0\r\n\r\n";

/// The longest line with a chunk's size and extensions. Nobody sends extensions but to test proxies.
const MAX_SIZE_LINE: usize = 1024;

/// Bytes of extensions that a body may carry beyond as many as it has data: chunks of one byte with
/// a long extension each would make us read a thousand bytes for one.
const EXTENSION_ALLOWANCE: u64 = 16 * 1024;

/// The longest trailer section. Trailers are read and dropped: no homeserver reads any, and a forged
/// address could hide there.
const MAX_TRAILERS: usize = 8 * 1024;

/// Digits of a chunk size: 2^60 bytes in one chunk are enough for anybody, and no sum overflows.
const MAX_SIZE_DIGITS: usize = 15;

/// Appends the line that precedes a chunk of `length` bytes. CR LF follows the data.
pub fn write_chunk_size(out: &mut Vec<u8>, length: usize) {
    // Writing to memory does not fail.
    let _ = write!(out, "{length:x}\r\n");
}

/// A decoder's place in a chunked body.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    place: Place,
    /// How far the current line has been searched for its end.
    searched: usize,
    data: u64,
    extensions: u64,
    trailers: usize,
}

#[derive(Debug, Default)]
enum Place {
    /// At the line with a chunk's size.
    #[default]
    Size,
    /// Inside a chunk: bytes left.
    Data(u64),
    /// Between a chunk's data and the next line.
    AfterData,
    /// After the last chunk.
    Trailers,
    Done,
}

impl Chunks {
    pub(super) fn is_done(&self) -> bool {
        matches!(self.place, Place::Done)
    }

    pub(super) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Decoded, Malformed> {
        loop {
            match &mut self.place {
                Place::Size => {
                    let Some(line) = self.line(buffer, MAX_SIZE_LINE, Malformed::ChunkExtension)? else {
                        return Ok(Decoded::More);
                    };
                    self.place = match self.size(&line)? {
                        0 => Place::Trailers,
                        size => Place::Data(size),
                    };
                }
                Place::Data(left) => {
                    let Some(data) = take(buffer, *left) else {
                        return Ok(Decoded::More);
                    };
                    let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    self.data = self.data.saturating_add(length);
                    *left = left.saturating_sub(length);
                    if *left == 0 {
                        self.place = Place::AfterData;
                    }
                    return Ok(Decoded::Data(data));
                }
                Place::AfterData => match buffer.get(..2) {
                    Some(b"\r\n") => {
                        buffer.advance(2);
                        self.place = Place::Size;
                    }
                    Some(_) => return Err(Malformed::ChunkEnd),
                    None if matches!(buffer.first(), None | Some(b'\r')) => return Ok(Decoded::More),
                    None => return Err(Malformed::ChunkEnd),
                },
                Place::Trailers => {
                    let limit = MAX_TRAILERS.saturating_sub(self.trailers);
                    let Some(line) = self.line(buffer, limit, Malformed::Trailer)? else {
                        return Ok(Decoded::More);
                    };
                    self.trailers += line.len() + 2;
                    if line.is_empty() {
                        self.place = Place::Done;
                    } else if !is_field_line(&line) {
                        return Err(Malformed::Trailer);
                    }
                }
                Place::Done => return Ok(Decoded::End),
            }
        }
    }

    /// Takes the line at the front of `buffer`, without its CR LF.
    fn line(
        &mut self,
        buffer: &mut BytesMut,
        limit: usize,
        too_long: Malformed,
    ) -> Result<Option<BytesMut>, Malformed> {
        let unsearched = buffer.get(self.searched..).unwrap_or_default();
        let Some(at) = memchr::memchr(b'\n', unsearched).map(|at| self.searched + at) else {
            self.searched = buffer.len();
            // One byte more than fits may be the CR of a line that does.
            return if buffer.len() > limit + 1 { Err(too_long) } else { Ok(None) };
        };
        self.searched = 0;
        let mut line = buffer.split_to(at + 1);
        let text = line.len().saturating_sub(2);
        if !line.ends_with(b"\r\n") || text > limit || line.iter().take(text).any(|byte| *byte == b'\r') {
            return Err(too_long);
        }
        line.truncate(text);
        Ok(Some(line))
    }

    /// The size that a chunk's line gives; extensions are checked and dropped.
    fn size(&mut self, line: &[u8]) -> Result<u64, Malformed> {
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (number, extension) = line.split_at_checked(digits).ok_or(Malformed::ChunkSize)?;
        if number.is_empty() || number.len() > MAX_SIZE_DIGITS {
            return Err(Malformed::ChunkSize);
        }
        let size = number
            .iter()
            .try_fold(0_u64, |size, digit| char::from(*digit).to_digit(16).map(|digit| (size << 4) | u64::from(digit)));
        let visible = extension.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
        match visible.map(|at| extension.get(at)) {
            None if extension.is_empty() => {}
            Some(Some(b';')) if is_value(extension) => {}
            // Space after the size and then nothing, or something that is no extension.
            _ => {
                return Err(if extension.starts_with(b";") { Malformed::ChunkExtension } else { Malformed::ChunkSize });
            }
        }
        self.extensions = self.extensions.saturating_add(u64::try_from(extension.len()).unwrap_or(u64::MAX));
        if self.extensions > self.data.saturating_add(EXTENSION_ALLOWANCE) {
            return Err(Malformed::ChunkExtension);
        }
        size.ok_or(Malformed::ChunkSize)
    }
}

fn is_field_line(line: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', line) else { return false };
    let (name, value) = line.split_at(colon);
    is_token(name) && is_value(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Decoder, Framing};
    use proptest::prelude::*;

    /// Feeds `input` in pieces of `step` bytes; the body, and what was left behind it.
    fn decode(input: &[u8], step: usize) -> Result<(Vec<u8>, Vec<u8>), Malformed> {
        let mut decoder = Decoder::new(Framing::Chunked);
        let mut buffer = BytesMut::new();
        let mut body = Vec::new();
        for (number, piece) in input.chunks(step).enumerate() {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.decode(&mut buffer)? {
                    Decoded::Data(data) => body.extend_from_slice(&data),
                    Decoded::More => break,
                    Decoded::End => {
                        let consumed = (number * step + piece.len()).min(input.len());
                        buffer.extend_from_slice(&input[consumed..]);
                        return Ok((body, buffer.to_vec()));
                    }
                }
            }
        }
        Err(Malformed::BrokeOff)
    }

    #[test]
    fn table() {
        use Malformed::{BrokeOff, ChunkEnd, ChunkExtension, ChunkSize, Trailer};
        let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(2000));
        let trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(2000));
        let cases: &[(&str, Result<&str, Malformed>)] = &[
            ("5\r\nhello\r\n0\r\n\r\n", Ok("hello")),
            ("1\r\nh\r\n004\r\nello\r\n00\r\n\r\n", Ok("hello")),
            ("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", Ok("01234567890123456789")),
            ("0\r\n\r\nGET", Ok("")),
            ("5;a=b;c=\"d e\"\r\nhello\r\n0;z\r\n\r\n", Ok("hello")),
            ("5 ;a\r\nhello\r\n0\r\n\r\n", Ok("hello")),
            ("0\r\nExpires: never\r\nx:\r\n\r\n", Ok("")),
            ("G\r\n", Err(ChunkSize)),
            ("-1\r\n", Err(ChunkSize)),
            ("+5\r\nhello\r\n0\r\n\r\n", Err(ChunkSize)),
            ("0x5\r\nhello\r\n", Err(ChunkSize)),
            (" 5\r\nhello\r\n", Err(ChunkSize)),
            ("5 \r\nhello\r\n", Err(ChunkSize)),
            ("5 6\r\nhello\r\n", Err(ChunkSize)),
            ("\r\n", Err(ChunkSize)),
            ("10000000000000005\r\nhello", Err(ChunkSize)),
            ("ffffffffffffffff\r\n", Err(ChunkSize)),
            ("5\nhello\r\n0\r\n\r\n", Err(ChunkExtension)),
            ("5\r\rhello\r\n0\r\n\r\n", Err(ChunkExtension)),
            ("5;a\0b\r\nhello\r\n", Err(ChunkExtension)),
            (&long, Err(ChunkExtension)),
            ("5\r\nhello0\r\n\r\n", Err(ChunkEnd)),
            ("5\r\nhello\n0\r\n\r\n", Err(ChunkEnd)),
            ("5\r\nhello\r\r\n", Err(ChunkEnd)),
            ("0\r\nno colon\r\n\r\n", Err(Trailer)),
            ("0\r\na : b\r\n\r\n", Err(Trailer)),
            ("0\r\na: b\n\r\n", Err(Trailer)),
            ("0\r\n folded\r\n\r\n", Err(Trailer)),
            (&trailers, Err(Trailer)),
            ("5\r\nhel", Err(BrokeOff)),
            ("5\r\nhello\r\n", Err(BrokeOff)),
            ("0\r\n", Err(BrokeOff)),
        ];
        for (input, expected) in cases {
            for step in [1, 2, 3, 7, 1 << 20] {
                let seen = decode(input.as_bytes(), step).map(|(body, _)| String::from_utf8(body).unwrap());
                assert_eq!(seen.as_deref().map_err(|error| *error), *expected, "{input:?} by {step}");
            }
        }
    }

    #[test]
    fn one_byte_chunks_pass_and_long_extensions_on_them_do_not() {
        let honest = format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(20_000));
        assert_eq!(decode(honest.as_bytes(), 4096).unwrap().0.len(), 20_000);
        let padded = format!("{}0\r\n\r\n", "1;aaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n".repeat(20_000));
        assert_eq!(decode(padded.as_bytes(), 4096), Err(Malformed::ChunkExtension));
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back_however_it_is_split(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8),
            step in 1_usize..400,
        ) {
            let mut wire = Vec::new();
            for piece in &pieces {
                write_chunk_size(&mut wire, piece.len());
                wire.extend_from_slice(piece);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(FINAL_CHUNK);
            wire.extend_from_slice(b"next");
            prop_assert_eq!(decode(&wire, step), Ok((pieces.concat(), b"next".to_vec())));
        }

        #[test]
        fn the_verdict_does_not_depend_on_the_split(
            input in prop::collection::vec(prop::sample::select(b"05a;\r\n :G".to_vec()), 0..40),
            step in 1_usize..10,
        ) {
            prop_assert_eq!(decode(&input, step), decode(&input, 1 << 20));
        }
    }
}
