//! The ClientHello.

use super::{Suite, Version};

/// What to offer.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The newest version the client would agree to; a server answers with its own newest one that
    /// is not newer than this.
    pub version: Version,
    /// Suites in order of preference.
    pub suites: &'a [Suite],
    /// The name for SNI, if any. SSL 3.0 has no extensions and so no place for it.
    pub name: Option<&'a str>,
}

/// `TLS_EMPTY_RENEGOTIATION_INFO_SCSV` (RFC 5746, section 3.3): without it some servers refuse at
/// once, whatever is offered besides.
const RENEGOTIATION: u16 = 0x00ff;

/// Groups for key exchange: X25519, P-256, P-384, P-521 (RFC 8422) and 2048 bits of finite field
/// (RFC 7919), whatever an old server may have.
const GROUPS: [u16; 5] = [0x001d, 0x0017, 0x0018, 0x0019, 0x0100];

/// Signature schemes (RFC 8446, section 4.2.3), down to those with SHA-1: the question is not how
/// the server signs.
const SCHEMES: [u16; 13] =
    [0x0403, 0x0503, 0x0603, 0x0807, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201, 0x0202];

const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const EC_POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;

impl Question<'_> {
    /// The record to send. `random` may be anything: nothing is ever derived from it.
    pub fn record(&self, random: [u8; 32]) -> Vec<u8> {
        let mut hello = Vec::new();
        hello.extend(self.version.number().to_be_bytes());
        hello.extend(random);
        hello.push(0); // no session to resume
        let suites = self.suites.iter().map(|suite| suite.0).chain([RENEGOTIATION]);
        hello.extend(block16(&numbers(suites)));
        hello.extend([1, 0]); // one compression method: none
        if self.version > Version::Ssl3 {
            hello.extend(block16(&self.extensions()));
        }
        let mut message = vec![1];
        message.extend(u32::try_from(hello.len()).unwrap_or(u32::MAX).to_be_bytes().into_iter().skip(1));
        message.extend(hello);
        // The record layer of a first flight says TLS 1.0 for the sake of old servers (RFC 5246,
        // appendix E.1).
        let mut record = vec![22];
        record.extend(self.version.min(Version::Tls10).number().to_be_bytes());
        record.extend(block16(&message));
        record
    }

    fn extensions(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut add = |kind: u16, content: &[u8]| {
            all.extend(kind.to_be_bytes());
            all.extend(block16(content));
        };
        if let Some(name) = self.name {
            let mut entry = vec![0];
            entry.extend(block16(name.as_bytes()));
            add(SERVER_NAME, &block16(&entry));
        }
        add(SUPPORTED_GROUPS, &block16(&numbers(GROUPS)));
        add(EC_POINT_FORMATS, &[1, 0]);
        if self.version == Version::Tls12 {
            add(SIGNATURE_ALGORITHMS, &block16(&numbers(SCHEMES)));
        }
        all
    }
}

fn numbers(numbers: impl IntoIterator<Item = u16>) -> Vec<u8> {
    numbers.into_iter().flat_map(u16::to_be_bytes).collect()
}

/// `content` with its length in two bytes before it. Nothing here comes near 64 KiB: names have at
/// most 255 bytes and the table of suites is what it is.
fn block16(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    length.to_be_bytes().into_iter().chain(content.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// rustls reads what is written here, so it is well-formed.
    fn read(question: &Question<'_>) -> (Option<String>, Vec<u16>) {
        let mut acceptor = rustls::server::Acceptor::default();
        let record = question.record([7; 32]);
        acceptor.read_tls(&mut record.as_slice()).unwrap();
        let accepted = acceptor.accept().map_err(|(error, _)| error).unwrap().unwrap();
        let hello = accepted.client_hello();
        let suites = hello.cipher_suites().iter().map(|suite| u16::from(*suite)).collect();
        (hello.server_name().map(str::to_owned), suites)
    }

    #[test]
    fn a_hello_that_others_can_read() {
        let suites = Suite::all();
        let question = Question { version: Version::Tls12, suites: &suites, name: Some("m.example.com") };
        let (name, read) = read(&question);
        assert_eq!(name.as_deref(), Some("m.example.com"));
        let mut expected: Vec<_> = suites.iter().map(|suite| suite.0).collect();
        expected.push(RENEGOTIATION);
        assert_eq!(read, expected);
    }

    #[test]
    fn ssl_3_has_no_extensions() {
        let question = Question { version: Version::Ssl3, suites: &[Suite(5)], name: Some("m.example.com") };
        let record = question.record([7; 32]);
        let mut expected = vec![22, 3, 0, 0, 47, 1, 0, 0, 43, 3, 0];
        expected.extend([7; 32]);
        expected.extend([0, 0, 4, 0, 5, 0, 0xff, 1, 0]);
        assert_eq!(record, expected);
    }

    #[test]
    fn the_record_layer_is_never_newer_than_tls_1_0() {
        for (version, layer, inside) in [(Version::Ssl3, 0, 0), (Version::Tls10, 1, 1), (Version::Tls11, 1, 2)] {
            let record = Question { version, suites: &[Suite(5)], name: None }.record([0; 32]);
            assert_eq!((&record[1..3], &record[9..11]), (&[3, layer][..], &[3, inside][..]));
        }
    }
}
