//! Bodies in the chunked coding.

use crate::http1::{Decoded, Decoder, FINAL_CHUNK, Framing, Malformed, write_chunk_size};
use crate::split::splits;
use bytes::BytesMut;

/// The verdict on a body and its bytes do not depend on how it is split, and bytes that are encoded come back.
pub fn chunked_body(data: &[u8]) {
    let [whole, bytes, uneven] = splits(data).map(|pieces| decode(&pieces));
    assert_eq!(whole, bytes);
    assert_eq!(whole, uneven);
    if let Ok((body, rest)) = whole {
        assert!(data.ends_with(&rest));
        assert!(body.len() < data.len());
    }
    let [_, _, uneven] = splits(data);
    let encoded = encode(&uneven);
    for pieces in splits(&encoded) {
        assert_eq!(decode(&pieces), Ok((data.to_vec(), b"GET /".to_vec())));
    }
}

/// The body, and what is left behind it.
fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>), Malformed> {
    let mut decoder = Decoder::new(Framing::Chunked);
    let mut buffer = BytesMut::new();
    let mut body = Vec::new();
    let mut pieces = pieces.iter();
    for piece in pieces.by_ref() {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer)? {
                Decoded::Data(data) => {
                    assert!(!data.is_empty());
                    body.extend_from_slice(&data);
                }
                Decoded::More => break,
                Decoded::End => {
                    assert!(decoder.is_done());
                    assert_eq!(decoder.end_of_connection(), Ok(()));
                    pieces.for_each(|piece| buffer.extend_from_slice(piece));
                    return Ok((body, buffer.to_vec()));
                }
            }
        }
    }
    assert!(!decoder.is_done());
    decoder.end_of_connection()?;
    unreachable!("an end before the last chunk passed for the body's end")
}

/// A chunk a piece, and a request behind the body.
fn encode(pieces: &[&[u8]]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for piece in pieces {
        write_chunk_size(&mut encoded, piece.len());
        encoded.extend_from_slice(piece);
        encoded.extend_from_slice(b"\r\n");
    }
    encoded.extend_from_slice(FINAL_CHUNK);
    encoded.extend_from_slice(b"GET /");
    encoded
}
