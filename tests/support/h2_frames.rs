//! HTTP/2 frames as bytes (RFC 9113 §4, §6), and an HPACK encoder that writes whatever it is told: a real client would
//! not send what servers must withstand.

/// What a client begins with (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Flags. `ACK` is for SETTINGS and PING, `END_STREAM` for DATA and HEADERS.
pub const ACK: u8 = 0x1;
pub const END_STREAM: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
pub const PADDED: u8 = 0x8;
pub const PRIORITISED: u8 = 0x20;

/// Error codes (RFC 9113 §7).
pub const PROTOCOL_ERROR: u32 = 1;
pub const INTERNAL_ERROR: u32 = 2;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const CANCEL: u32 = 8;
pub const COMPRESSION_ERROR: u32 = 9;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// Settings (RFC 9113 §6.5.2).
pub const HEADER_TABLE_SIZE: u16 = 1;
pub const ENABLE_PUSH: u16 = 2;
pub const INITIAL_WINDOW_SIZE: u16 = 4;
pub const MAX_FRAME_SIZE: u16 = 5;

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A frame as bytes; nothing about it need be right.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).expect("a frame has 24 bits for its length").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

pub fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> =
        settings.iter().flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(SETTINGS, 0, 0, payload)
}

pub fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, increment.to_be_bytes())
}

pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, code.to_be_bytes())
}

/// One field of a block: a literal that is never indexed, without Huffman coding (RFC 7541 §6.2.3), so that any byte
/// can stand in it.
pub fn field(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    let mut block = vec![0x10];
    for text in [name.as_ref(), value.as_ref()] {
        integer(&mut block, 7, text.len());
        block.extend_from_slice(text);
    }
    block
}

/// A block of such fields.
pub fn fields<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// An integer with `bits` of prefix, all of whose other bits are zero (RFC 7541 §5.1).
fn integer(block: &mut Vec<u8>, bits: u32, value: usize) {
    let most = (1 << bits) - 1;
    if value < most {
        block.push(low_byte(value));
        return;
    }
    block.push(low_byte(most));
    let mut rest = value - most;
    while rest >= 128 {
        block.push(low_byte(rest) | 0x80);
        rest >>= 7;
    }
    block.push(low_byte(rest));
}

fn low_byte(value: usize) -> u8 {
    u8::try_from(value & 0xff).expect("masked")
}

/// The frame at the start of `bytes`, and how many it took.
pub fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let head = bytes.get(..9)?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let payload = bytes.get(9..9 + length)?.to_vec();
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
    Some((Frame { kind: head[3], flags: head[4], stream, payload }, 9 + length))
}

impl Frame {
    /// The 32 bits at `at`: an error code, an increment.
    pub fn word(&self, at: usize) -> u32 {
        self.payload.get(at..at + 4).map_or(0, |bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The payload of DATA, or the fragment of HEADERS, without padding and priority.
    pub fn content(&self) -> &[u8] {
        let mut content = &self.payload[..];
        if self.has(PADDED) && matches!(self.kind, DATA | HEADERS) {
            let Some((padding, rest)) = content.split_first() else { return &[] };
            content = rest.get(..rest.len().saturating_sub(usize::from(*padding))).unwrap_or_default();
        }
        if self.kind == HEADERS && self.has(PRIORITISED) {
            content = content.get(5..).unwrap_or_default();
        }
        content
    }
}

/// The `:status` of a block, which comes first (RFC 9113 §8.3), from an encoder that was told to keep no table.
pub fn status(block: &[u8]) -> Option<u16> {
    let mut rest = block;
    // Changes of the table's size.
    while let Some((first, tail)) = rest.split_first().filter(|(first, _)| *first & 0xe0 == 0x20) {
        let more = if first & 0x1f == 0x1f { tail.iter().position(|byte| byte & 0x80 == 0)? + 1 } else { 0 };
        rest = &tail[more..];
    }
    let (first, rest) = rest.split_first()?;
    if first & 0x80 != 0 {
        // The static table has the common ones.
        return [200, 204, 206, 304, 400, 404, 500].get(usize::from(first & 0x7f).checked_sub(8)?).copied();
    }
    let name = first & if first & 0x40 != 0 { 0x3f } else { 0x0f };
    if !(8..=14).contains(&name) {
        return None;
    }
    let (length, rest) = rest.split_first()?;
    let text = rest.get(..usize::from(length & 0x7f))?;
    let digits = if length & 0x80 != 0 { huffman_digits(text)? } else { String::from_utf8_lossy(text).into_owned() };
    digits.parse().ok().filter(|_| digits.len() == 3)
}

/// Three digits in HPACK's Huffman code (RFC 7541, appendix B): `0` to `2` take five bits, the others six.
fn huffman_digits(bytes: &[u8]) -> Option<String> {
    let bits: Vec<u32> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| u32::from(byte >> bit & 1))).collect();
    let mut rest = &bits[..];
    let mut digits = String::new();
    while digits.len() < 3 {
        let number = |count: usize| rest.get(..count).map(|bits| bits.iter().fold(0, |sum, bit| sum << 1 | bit));
        let (digit, taken) = match (number(5)?, number(6)) {
            (short @ 0..=2, _) => (short, 5),
            (_, Some(long @ 0b01_1001..=0b01_1111)) => (long - 0b01_1001 + 3, 6),
            _ => return None,
        };
        digits.push(char::from_digit(digit, 10)?);
        rest = &rest[taken..];
    }
    Some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_as_it_was_written() {
        let bytes = frame(DATA, END_STREAM | PADDED, 3, b"\x02ab\0\0");
        let (read, taken) = parse(&[&bytes[..], b"more"].concat()).expect("whole");
        assert_eq!((taken, read.content()), (bytes.len(), &b"ab"[..]));
        assert_eq!((read.kind, read.stream, read.has(END_STREAM)), (DATA, 3, true));
        assert_eq!(parse(&bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn long_strings_have_long_lengths() {
        // RFC 7541 §C.1.2: 1337 with a prefix of five bits.
        let mut block = Vec::new();
        integer(&mut block, 5, 1337);
        assert_eq!(block, [0x1f, 0x9a, 0x0a]);
        assert_eq!(field("a", "bc"), [0x10, 1, b'a', 2, b'b', b'c']);
    }

    #[test]
    fn statuses() {
        // RFC 7541 §C.6.1 has 302 in Huffman code.
        for (block, expected) in [
            (&b"\x88"[..], Some(200)),
            (b"\x20\x8e", Some(500)),
            (b"\x3f\xe1\x1f\x8d", Some(404)),
            (b"\x48\x82\x64\x02", Some(302)),
            (b"\x08\x03421", Some(421)),
            (b"\x40\x01a\x01b", None),
            (b"", None),
        ] {
            assert_eq!(status(block), expected, "{block:?}");
        }
    }
}
