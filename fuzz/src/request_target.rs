//! Targets of requests.

use crate::http1::{HeadReader, Limits};
use crate::normalisers::NORMALISERS;
use crate::proxy::{access, is_kept, is_matrix};
use bytes::BytesMut;

/// A target that the codec takes comes out byte for byte, and routing is at least as strict about its path as it would
/// be if it saw what any of the servers behind makes of it.
pub fn request_target(data: &[u8]) {
    let wire = [b"GET /", data, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    let limits = Limits { head: usize::MAX, target: usize::MAX };
    let Ok(Some(head)) = HeadReader::new(limits).read(&mut BytesMut::from(wire.as_slice())) else { return };
    let written = wire[4..].split(|byte| *byte == b' ').next().unwrap();
    assert_eq!(head.target().as_bytes(), written);
    assert_eq!(Some(head.path().as_bytes()), written.split(|byte| *byte == b'?').next());

    let path = head.path();
    for (name, normalise) in NORMALISERS {
        let Some(seen) = normalise(path.as_bytes()) else { continue };
        let literal = inert(&String::from_utf8_lossy(&seen));
        assert!(access(path) >= access(&literal), "{name} sees {literal:?} in {path:?}");
        assert!(is_kept(path) || !is_kept(&literal), "{name} sees {literal:?} in {path:?}");
        assert!(is_matrix(path) || !is_matrix(&literal), "{name} sees {literal:?} in {path:?}");
    }
}

/// What a server has made of a path is what it acts on: nothing in it is to be decoded, removed or merged once more.
/// So what could be is replaced by a letter that no prefix has.
fn inert(path: &str) -> String {
    let segments = path.split('/').skip(1).map(|segment| match segment {
        "" | "." | ".." => "X".to_owned(),
        segment => segment.replace(['%', '\\'], "X"),
    });
    segments.fold(String::new(), |path, segment| path + "/" + &segment)
}
