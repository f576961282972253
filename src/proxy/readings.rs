//! The paths that servers may make of one path: pure.
//!
//! Servers differ in whether they decode before they split at slashes, remove dot segments before or
//! after decoding, merge empty segments, take a backslash for a slash, and decode twice. With a
//! `..` in the path each difference moves what the `..` removes, and so where the path leads:
//! `/_matrix/a%2Fb/../../_synapse/admin` stays below `/_matrix` for one that decodes first and is
//! an admin path for one that does not.

use super::target::decode;

/// All of them, without duplicates next to each other. Empty when no reading of the path has a `..`:
/// then what it begins with is what it begins with for everybody.
pub(super) fn readings(path: &str) -> Vec<String> {
    if !may_climb(path) {
        return Vec::new();
    }
    let mut readings = Vec::new();
    let mut text = path.as_bytes().to_vec();
    for decoded_before in 0..=2 {
        for separators in [&b"/"[..], b"/\\"] {
            for decoded_after in 0..=(2 - decoded_before) {
                for merges in [false, true] {
                    readings.push(resolve(&text, separators, decoded_after, merges));
                }
            }
        }
        text = decode(&text);
    }
    readings.dedup();
    readings
}

/// Whether any reading has a segment `..`. A dot may be encoded, and so may be the `%` of its escape.
fn may_climb(path: &str) -> bool {
    let escapes = path.as_bytes().split(|byte| *byte == b'%').skip(1);
    let hides = escapes.filter_map(|escape| escape.get(..2)).any(|digits| matches!(digits, b"2e" | b"2E" | b"25"));
    path.contains("..") || (hides && memchr::memmem::find(&decode(&decode(path.as_bytes())), b"..").is_some())
}

/// Splits at `separators`, decodes each segment so many times, and removes dot segments (RFC 3986
/// §5.2.4), empty ones too if the server merges slashes.
fn resolve(text: &[u8], separators: &[u8], decode_segments: u8, merges: bool) -> String {
    let mut segments: Vec<Vec<u8>> = Vec::new();
    let mut pieces = text.split(|byte| separators.contains(byte));
    // What stands before the first slash: nothing, in a path.
    let first = pieces.next().unwrap_or_default();
    for piece in Some(first).filter(|first| !first.is_empty()).into_iter().chain(pieces) {
        let segment = (0..decode_segments).fold(piece.to_vec(), |segment, _| decode(&segment));
        match segment.as_slice() {
            b"." => {}
            b"" if merges => {}
            b".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    let mut path = String::with_capacity(text.len());
    for segment in segments {
        path.push('/');
        path.push_str(&String::from_utf8_lossy(&segment));
    }
    if path.is_empty() { "/".to_owned() } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_does_not_climb_has_no_other_reading() {
        for path in ["/", "/_matrix/x", "/_matrix/%21a%3Ab/%24x%2Fy", "/a.b/.c/d./%2e", "/a//b", "/a\\b", "/100%25/%zz"]
        {
            assert_eq!(readings(path), [""; 0], "{path}");
        }
    }

    #[test]
    fn each_way_of_reading_is_there() {
        for (path, reading) in [
            ("/a/../b", "/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/a/%252e%252E/b", "/b"),
            ("/a/%2e./b", "/a/%2e./b"),
            ("/a%2Fb/../c", "/c"),
            ("/a%2Fb/../c", "/a/c"),
            ("/a%252Fb/../c", "/a/c"),
            ("/a//../b", "/a/b"),
            ("/a//../b", "/b"),
            ("/a\\b/../c", "/c"),
            ("/a\\b/../c", "/a/c"),
            ("/a%5Cb/../c", "/a/c"),
            ("/a/b/../%2e%2e/c", "/a/%2e%2e/c"),
            ("/../..", "/"),
        ] {
            assert!(readings(path).iter().any(|found| found == reading), "{path}: {reading}: {:?}", readings(path));
        }
    }
}
