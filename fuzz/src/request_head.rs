//! Heads of requests.

use crate::http1::{Framing, HeadReader, Limits, RequestError, RequestHead, Version};
use crate::split::splits;
use bytes::BytesMut;

/// Small, so that inputs of a few hundred bytes meet them.
const LIMITS: Limits = Limits { head: 512, target: 128 };

/// What counts about a head.
#[derive(Debug, PartialEq)]
struct Seen {
    method: String,
    target: String,
    authority: Option<String>,
    version: Version,
    framing: Framing,
    persistent: bool,
    expects_continue: bool,
    lines: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Seen {
    fn of(head: &RequestHead) -> Self {
        Self {
            method: head.method().to_owned(),
            target: head.target().to_owned(),
            authority: head.authority().map(str::to_owned),
            version: head.version(),
            framing: head.framing(),
            persistent: head.is_persistent(),
            expects_continue: head.expects_continue(),
            lines: head.fields().iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
        }
    }
}

/// The verdict on a head does not depend on how it is split; what is accepted has nothing in it that somebody else
/// could read differently, and means the same to httparse and to us when it is written out again.
pub fn request_head(data: &[u8]) {
    let [whole, bytes, uneven] = splits(data).map(|pieces| read(&pieces));
    for split in [&bytes, &uneven] {
        match (&whole, split) {
            // Refused before all of it was there, rightly if nothing that could follow would have mended it.
            (Ok(None), Err(_)) => assert!(!can_be_completed(data), "refused too early"),
            (Err(_), Err(_)) => {}
            _ => assert_eq!(&whole, split),
        }
    }
    if let Ok(Some((seen, rest))) = whole {
        assert!(data.ends_with(&rest));
        check(&seen);
    }
}

/// The first head, and what is left behind it.
fn read(pieces: &[&[u8]]) -> Result<Option<(Seen, Vec<u8>)>, RequestError> {
    let mut reader = HeadReader::new(LIMITS);
    let mut buffer = BytesMut::new();
    let mut pieces = pieces.iter();
    for piece in pieces.by_ref() {
        buffer.extend_from_slice(piece);
        if let Some(head) = reader.read(&mut buffer)? {
            pieces.for_each(|piece| buffer.extend_from_slice(piece));
            return Ok(Some((Seen::of(&head), buffer.to_vec())));
        }
    }
    Ok(None)
}

fn can_be_completed(data: &[u8]) -> bool {
    let ends =
        ["\r\n\r\n", "\n\r\n", "\r\nHost: a\r\n\r\n", " HTTP/1.1\r\nHost: a\r\n\r\n", " / HTTP/1.1\r\nHost: a\r\n\r\n"];
    ends.iter().any(|end| matches!(read(&[&[data, end.as_bytes()].concat()]), Ok(Some(_))))
}

fn check(seen: &Seen) {
    assert!(seen.target.bytes().all(|byte| byte > b' ' && byte != 0x7f && byte != b'#'));
    assert!(seen.method.bytes().all(|byte| byte.is_ascii_graphic()));
    let named = |wanted: &'static str| {
        let is_named = move |name: &[u8]| name.eq_ignore_ascii_case(wanted.as_bytes());
        seen.lines.iter().filter(move |(name, _)| is_named(name)).map(|(_, value)| value.as_slice())
    };
    assert!(named("host").count() <= 1);
    match (named("content-length").collect::<Vec<_>>().as_slice(), named("transfer-encoding").count()) {
        ([], 0) => assert_eq!(seen.framing, Framing::Length(0)),
        ([], 1) => assert_eq!(seen.framing, Framing::Chunked),
        ([length], 0) => {
            assert!(length.iter().all(u8::is_ascii_digit));
            assert_eq!(seen.framing, Framing::Length(std::str::from_utf8(length).unwrap().parse().unwrap()));
        }
        other => panic!("framed twice: {other:?}"),
    }
    let mut text = format!("{} {} HTTP/1.1\r\n", seen.method, seen.target).into_bytes();
    for (name, value) in &seen.lines {
        assert!(value.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f)));
        text.extend([name.as_slice(), b": ", value, b"\r\n"].concat());
    }
    text.extend_from_slice(b"\r\n");

    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut headers);
    assert_eq!(request.parse(&text), Ok(httparse::Status::Complete(text.len())));
    assert_eq!((request.method, request.path), (Some(seen.method.as_str()), Some(seen.target.as_str())));
    assert!(request.headers.iter().map(|header| (header.name.as_bytes(), header.value)).eq(lines(seen)));

    // Written out, a line may have grown by a space, and HTTP/1.0 has become 1.1, which asks for a host.
    if seen.version == Version::Http11 {
        let limits = Limits { head: LIMITS.head * 2, target: LIMITS.target };
        let again = HeadReader::new(limits).read(&mut BytesMut::from(text.as_slice())).unwrap().unwrap();
        assert_eq!(&Seen { authority: seen.authority.clone(), ..Seen::of(&again) }, seen);
    }
}

fn lines(seen: &Seen) -> impl Iterator<Item = (&[u8], &[u8])> {
    seen.lines.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
}
