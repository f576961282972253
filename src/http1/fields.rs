//! Header lines, kept as the bytes they came in.

use bytes::Bytes;
use std::ops::Range;

/// Where one line's name and value stand.
#[derive(Clone, Debug)]
struct Line {
    name: Range<usize>,
    value: Range<usize>,
}

/// The header lines of a head, in order. Names keep their case; values have no space around them.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    bytes: Bytes,
    lines: Vec<Line>,
}

impl Fields {
    /// The lines that httparse found in `bytes`.
    pub(super) fn new(bytes: Bytes, parsed: &[httparse::Header<'_>]) -> Self {
        let at = |part: &[u8]| range_in(&bytes, part);
        let lines = parsed
            .iter()
            .map(|header| Line { name: at(header.name.as_bytes()), value: at(trim(header.value)) })
            .collect();
        Self { bytes, lines }
    }

    /// Lines that stand at these places of `bytes`.
    pub(super) fn from_ranges(bytes: Bytes, lines: Vec<(Range<usize>, Range<usize>)>) -> Self {
        Self { bytes, lines: lines.into_iter().map(|(name, value)| Line { name, value }).collect() }
    }

    /// Name and value of each line.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> + Clone {
        self.lines.iter().map(|line| (self.at(&line.name), self.at(&line.value)))
    }

    /// The values of a header, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a [u8]> + Clone {
        let named = move |line: &&Line| self.at(&line.name).eq_ignore_ascii_case(name.as_bytes());
        self.lines.iter().filter(named).map(|line| self.at(&line.value))
    }

    /// The first value of a header.
    pub fn first<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// Whether a header is there.
    pub fn contains(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// The comma-separated members of a list header, over all its lines, without the space around
    /// them and without empty ones (RFC 9110 §5.6.1).
    pub fn members<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.all(name).flat_map(|value| value.split(|byte| *byte == b',')).map(trim).filter(|member| !member.is_empty())
    }

    /// The bytes of a part.
    pub(super) fn at(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// Where `part`, a slice of `whole`, stands in it.
pub(super) fn range_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}

/// Without optional white space (RFC 9110 §5.6.3: space and tab only) at both ends.
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The length of the head that `buffer` begins with, its empty line included, if it is all there.
/// `seen` is how much was searched before.
pub(super) fn head_length(buffer: &[u8], seen: usize) -> Option<usize> {
    let from = seen.saturating_sub(3).min(buffer.len());
    let rest = buffer.get(from..)?;
    memchr::memmem::find(rest, b"\r\n\r\n").map(|at| from + at + 4)
}

/// Whether each line ends with CR LF and neither stands elsewhere. httparse takes a bare LF for a
/// line's end, others take it for part of a value: that difference is an attack.
pub(super) fn has_strict_line_ends(head: &[u8]) -> bool {
    memchr::memchr2_iter(b'\r', b'\n', head).all(|at| match head.get(at) {
        Some(b'\r') => head.get(at + 1) == Some(&b'\n'),
        _ => at.checked_sub(1).and_then(|before| head.get(before)) == Some(&b'\r'),
    })
}

/// A header name or method (RFC 9110 §5.6.2).
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// A field value (RFC 9110 §5.5): no control byte but the tab.
pub(super) fn is_value(value: &[u8]) -> bool {
    value.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_around_values_goes() {
        assert_eq!(trim(b" \t a b\t "), b"a b");
        assert_eq!(trim(b"  "), b"");
        assert_eq!(trim(b""), b"");
    }

    #[test]
    fn bare_line_ends_are_found() {
        assert!(has_strict_line_ends(b"a: b\r\nc: d\r\n\r\n"));
        for bad in ["a: b\nc: d\r\n\r\n", "a: b\rc: d\r\n\r\n", "\n", "a\r", "a\r\r\n"] {
            assert!(!has_strict_line_ends(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn the_end_is_found_across_reads() {
        let head = b"GET / HTTP/1.1\r\n\r\nrest";
        for seen in 0..18 {
            assert_eq!(head_length(head, seen), Some(18), "{seen}");
        }
        assert_eq!(head_length(b"GET / HTTP/1.1\r\n\r", 0), None);
        assert_eq!(head_length(b"", 9), None);
    }
}
