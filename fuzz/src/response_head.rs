//! Heads of answers.

use crate::http1::{Framing, ResponseError, ResponseHead};
use crate::split::splits;
use bytes::BytesMut;

/// What counts about a head.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    framing: Framing,
    length: Option<u64>,
    persistent: bool,
    lines: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The verdict does not depend on how the head is split, an answer's body has one end, and what is accepted means the
/// same to httparse when it is written out again. A HEAD's answer differs in nothing but its body.
pub fn response_head(data: &[u8]) {
    for to_head in [false, true] {
        let [whole, bytes, uneven] = splits(data).map(|pieces| read(&pieces, to_head));
        for split in [bytes, uneven] {
            match (&whole, &split) {
                (Err(_), Err(_)) => {}
                _ => assert_eq!(whole, split),
            }
        }
        if let Ok(Some((seen, rest))) = whole {
            assert!(data.ends_with(&rest));
            check(&seen, to_head);
        }
    }
}

/// The first head, and what is left behind it.
fn read(pieces: &[&[u8]], to_head: bool) -> Result<Option<(Seen, Vec<u8>)>, ResponseError> {
    let mut buffer = BytesMut::new();
    let mut searched = 0;
    let mut pieces = pieces.iter();
    for piece in pieces.by_ref() {
        buffer.extend_from_slice(piece);
        if let Some(head) = ResponseHead::read(&mut buffer, &mut searched, to_head)? {
            pieces.for_each(|piece| buffer.extend_from_slice(piece));
            let seen = Seen {
                status: head.status(),
                framing: head.framing(),
                length: head.content_length(),
                persistent: head.is_persistent(),
                lines: head.fields().iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
            };
            return Ok(Some((seen, buffer.to_vec())));
        }
    }
    Ok(None)
}

fn check(seen: &Seen, to_head: bool) {
    assert!((100..600).contains(&seen.status));
    let count =
        |wanted: &str| seen.lines.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes())).count();
    let (lengths, codings) = (count("content-length"), count("transfer-encoding"));
    assert!(lengths + codings <= 1);
    let bodiless = to_head || seen.status < 200 || matches!(seen.status, 204 | 304);
    let expected = match (seen.length, codings) {
        _ if bodiless => Framing::Length(0),
        (Some(length), _) => Framing::Length(length),
        (None, 1) => Framing::Chunked,
        (None, _) => Framing::Close,
    };
    assert_eq!(seen.framing, expected);
    assert!(!(seen.persistent && seen.framing == Framing::Close));
    let mut text = format!("HTTP/1.1 {} \r\n", seen.status).into_bytes();
    for (name, value) in &seen.lines {
        assert!(value.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f)));
        text.extend([name.as_slice(), b": ", value, b"\r\n"].concat());
    }
    text.extend_from_slice(b"\r\n");
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut response = httparse::Response::new(&mut headers);
    assert_eq!(response.parse(&text), Ok(httparse::Status::Complete(text.len())));
    let lines = seen.lines.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
    assert!(response.headers.iter().map(|header| (header.name.as_bytes(), header.value)).eq(lines));
}
