//! What comes back: a ServerHello and a chain, an alert, or nothing of the kind.

use super::{Suite, Version};

/// A chain of this many bytes is none that any client would read.
const MAX_BYTES: usize = 64 * 1024;
/// Longest content of a record (RFC 5246, section 6.2.1), with the room that ciphers are allowed.
const MAX_RECORD: usize = 16_384 + 2048;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;
const FATAL: u8 = 2;

/// The outcome of a [`super::Question`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The server agrees.
    Hello(ServerHello),
    /// It refuses with this alert (RFC 5246, section 7.2).
    Alert(u8),
    /// It hangs up without a word, as some do instead of an alert.
    Closed,
    /// It speaks something else.
    NotTls,
}

/// What the server chose, and the chain it presents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHello {
    /// The version chosen.
    pub version: Version,
    /// The suite chosen.
    pub suite: Suite,
    /// The certificates in DER, as presented; none from an anonymous suite.
    pub certificates: Vec<Vec<u8>>,
}

/// Reads a reply piece by piece, 64 KiB of it at most.
#[derive(Debug, Default)]
pub struct Reader {
    /// Bytes of a record that is not whole yet.
    raw: Vec<u8>,
    /// Bytes of handshake messages that are not whole yet.
    messages: Vec<u8>,
    taken: usize,
    hello: Option<ServerHello>,
}

impl Reader {
    /// Takes what came, and says the outcome once it is known.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<Reply> {
        self.taken = self.taken.saturating_add(bytes.len());
        if self.taken > MAX_BYTES {
            return Some(self.finish());
        }
        self.raw.extend_from_slice(bytes);
        loop {
            let (kind, content) = match self.record() {
                Ok(Some(record)) => record,
                Ok(None) => return None,
                Err(NotTls) => return Some(self.so_far(Reply::NotTls)),
            };
            match kind {
                HANDSHAKE => self.messages.extend(content),
                ALERT => match content.as_slice() {
                    // A warning, such as that the name is unknown, does not end a handshake.
                    [level, _] if *level != FATAL => {}
                    [_, description] => return Some(self.so_far(Reply::Alert(*description))),
                    _ => return Some(self.so_far(Reply::NotTls)),
                },
                _ => return Some(self.so_far(Reply::NotTls)),
            }
            while let Some((kind, body)) = self.message() {
                if let Some(reply) = self.take(kind, &body) {
                    return Some(reply);
                }
            }
        }
    }

    /// The outcome where nothing more comes.
    pub fn finish(&mut self) -> Reply {
        let nothing = self.raw.is_empty() && self.messages.is_empty();
        self.so_far(if nothing { Reply::Closed } else { Reply::NotTls })
    }

    /// What the server agreed to counts, whatever came after it.
    fn so_far(&mut self, otherwise: Reply) -> Reply {
        self.hello.take().map_or(otherwise, Reply::Hello)
    }

    /// The next whole record: its kind and content.
    fn record(&mut self) -> Result<Option<(u8, Vec<u8>)>, NotTls> {
        let Some((kind, major, length)) = header(&self.raw) else {
            // Not even a header: enough to see that the first byte is none of ours.
            return match self.raw.first() {
                Some(kind) if !matches!(*kind, ALERT | HANDSHAKE) => Err(NotTls),
                _ => Ok(None),
            };
        };
        if major != 3 || !matches!(kind, ALERT | HANDSHAKE) || length > MAX_RECORD {
            return Err(NotTls);
        }
        Ok(take(&mut self.raw, 5, length).map(|content| (kind, content)))
    }

    /// The next whole handshake message: its kind and body.
    fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        let [kind, a, b, c] = *self.messages.first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
        take(&mut self.messages, 4, length).map(|body| (kind, body))
    }

    fn take(&mut self, kind: u8, body: &[u8]) -> Option<Reply> {
        match (kind, &mut self.hello) {
            (SERVER_HELLO, None) => {
                let Some(hello) = server_hello(body) else { return Some(Reply::NotTls) };
                self.hello = Some(hello);
                None
            }
            (CERTIFICATE, Some(hello)) => {
                hello.certificates = certificates(body).unwrap_or_default();
                Some(self.so_far(Reply::NotTls))
            }
            // Past the place where a chain would stand, or out of order.
            _ => Some(self.so_far(Reply::NotTls)),
        }
    }
}

/// Bytes that are no TLS record.
struct NotTls;

fn header(raw: &[u8]) -> Option<(u8, u8, usize)> {
    let [kind, major, _, high, low] = *raw.first_chunk()?;
    Some((kind, major, usize::from(u16::from_be_bytes([high, low]))))
}

/// Takes `length` bytes from after the first `skip` of `buffer`, if they are all there.
fn take(buffer: &mut Vec<u8>, skip: usize, length: usize) -> Option<Vec<u8>> {
    let content = buffer.get(skip..skip.checked_add(length)?)?.to_vec();
    buffer.drain(..skip + length);
    Some(content)
}

fn server_hello(body: &[u8]) -> Option<ServerHello> {
    let (version, rest) = body.split_first_chunk::<2>()?;
    let (_random, rest) = rest.split_first_chunk::<32>()?;
    let (session, rest) = rest.split_first()?;
    let (_, rest) = rest.split_at_checked(usize::from(*session))?;
    let (suite, _) = rest.split_first_chunk::<2>()?;
    let version = Version::of(u16::from_be_bytes(*version))?;
    Some(ServerHello { version, suite: Suite(u16::from_be_bytes(*suite)), certificates: Vec::new() })
}

/// The certificates of a Certificate message: a list of entries with lengths of three bytes.
fn certificates(body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut rest, _) = block24(body)?;
    let mut certificates = Vec::new();
    while !rest.is_empty() {
        let (certificate, after) = block24(rest)?;
        certificates.push(certificate.to_vec());
        rest = after;
    }
    Some(certificates)
}

fn block24(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let ([a, b, c], rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[kind, 3, 1], &length[..], content].concat()
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[kind], &length[1..], body].concat()
    }

    fn hello(version: [u8; 2], suite: [u8; 2]) -> Vec<u8> {
        message(SERVER_HELLO, &[&version[..], &[9; 32], &[2, 0, 0], &suite, &[0]].concat())
    }

    fn chain(certificates: &[&[u8]]) -> Vec<u8> {
        let entry = |content: &[u8]| message(0, content)[1..].to_vec();
        let entries: Vec<u8> = certificates.iter().flat_map(|certificate| entry(certificate)).collect();
        message(CERTIFICATE, &entry(&entries))
    }

    fn said(version: Version, suite: u16, certificates: &[&[u8]]) -> Reply {
        let certificates = certificates.iter().map(|certificate| certificate.to_vec()).collect();
        Reply::Hello(ServerHello { version, suite: Suite(suite), certificates })
    }

    /// The outcome of `bytes` in pieces of `size`, then of the end.
    fn read(bytes: &[u8], size: usize) -> Reply {
        let mut reader = Reader::default();
        let told = bytes.chunks(size).find_map(|piece| reader.feed(piece));
        told.unwrap_or_else(|| reader.finish())
    }

    #[test]
    fn replies_of_every_kind() {
        let full = [hello([3, 1], [0, 5]), chain(&[b"leaf", b"issuer"])].concat();
        let done = message(14, &[]);
        let table: [(Vec<u8>, Reply); 15] = [
            (record(22, &full), said(Version::Tls10, 5, &[b"leaf", b"issuer"])),
            (
                [record(22, &full[..60]), record(22, &full[60..])].concat(),
                said(Version::Tls10, 5, &[b"leaf", b"issuer"]),
            ),
            ([record(22, &hello([3, 3], [0xc0, 0x18])), record(22, &done)].concat(), said(Version::Tls12, 0xc018, &[])),
            ([record(21, &[1, 112]), record(22, &full)].concat(), said(Version::Tls10, 5, &[b"leaf", b"issuer"])),
            (record(22, &hello([3, 0], [0, 5])), said(Version::Ssl3, 5, &[])),
            ([record(22, &hello([3, 2], [0, 5])), record(21, &[2, 40])].concat(), said(Version::Tls11, 5, &[])),
            (
                record(22, &[hello([3, 2], [0, 5]), message(CERTIFICATE, &[0, 0, 9, 1])].concat()),
                said(Version::Tls11, 5, &[]),
            ),
            (record(21, &[2, 70]), Reply::Alert(70)),
            (record(21, &[2]), Reply::NotTls),
            (Vec::new(), Reply::Closed),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Reply::NotTls),
            (record(22, &hello([3, 4], [0, 5])), Reply::NotTls),
            (record(22, &message(SERVER_HELLO, &[3, 3])), Reply::NotTls),
            (record(22, &done), Reply::NotTls),
            (vec![22, 3, 1, 0xff, 0xff], Reply::NotTls),
        ];
        for (row, (bytes, expected)) in table.into_iter().enumerate() {
            for size in [1, 7, bytes.len().max(1)] {
                assert_eq!(read(&bytes, size), expected, "row {row} in pieces of {size}");
            }
        }
    }

    #[test]
    fn no_more_is_read_than_anybody_sends() {
        let mut reader = Reader::default();
        let huge = record(22, &[11, 0xff, 0xff, 0xff]);
        assert_eq!(reader.feed(&record(22, &hello([3, 3], [0, 5]))), None);
        assert_eq!(reader.feed(&huge), None);
        let piece = record(22, &[0; 4096]);
        let told = (0..100).find_map(|_| reader.feed(&piece));
        assert_eq!(told, Some(said(Version::Tls12, 5, &[])));
        assert!(reader.messages.len() + reader.raw.len() <= MAX_BYTES);
    }

    proptest! {
        /// Whatever comes, in whatever pieces: no panic, and the pieces do not matter.
        #[test]
        fn pieces_do_not_matter(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..120)).prop_map(|(kind, body)| {
                    record(22, &[hello([3, 3], [0, 5]), message(kind, &body)].concat())
                }),
            ],
            size in 1_usize..40,
        ) {
            prop_assert_eq!(read(&bytes, size), read(&bytes, bytes.len().max(1)));
        }
    }
}
