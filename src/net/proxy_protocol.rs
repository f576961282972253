//! The PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt): how a load balancer in front
//! says whose connection it passes on.
//!
//! [`parse`] is pure and strict, [`read`] takes a header off a stream and not a byte of what follows.
//! Two published parsers were tried first. `proxy-header` takes `PROXYxTCP4`, version 1 lines beyond
//! 107 bytes and ports such as `+80`; `ppp` takes datagrams and `+80` too, and both refuse a LOCAL
//! header for its address family, which the specification says to ignore. Neither tells early that
//! bytes cannot become a header.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// Longest header in bytes: version 2's fixed part and what the specification asks receivers to have
/// room for (§2.2, 520 bytes of addresses and TLVs).
pub const MAX_HEADER: usize = 16 + 520;

/// Longest version 1 line in bytes, with its CRLF (§2.1).
const MAX_LINE: usize = 107;

const PREFIX_V1: &[u8] = b"PROXY ";
const SIGNATURE_V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// A whole version 2 header of a proxy that speaks for itself (§2.2, LOCAL): the connection is the
/// socket's own.
pub const LOCAL_HEADER: [u8; 16] = *b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// What bytes at the beginning of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of them belong to a header that is not complete.
    NeedMore,
    /// A header.
    Header {
        /// Whose connection it is; `None` leaves the socket's own address (LOCAL, UNSPEC, UNKNOWN).
        source: Option<SocketAddr>,
        /// The header's length in bytes.
        consumed: usize,
    },
    /// No header, and no further byte would make it one.
    Malformed(Malformed),
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Neither version's beginning.
    #[error("it does not begin with one")]
    Missing,
    /// Version 1, more than 107 bytes without an end; version 2, more than 536 bytes.
    #[error("it is too long")]
    TooLong,
    /// A version 1 line that is not written as §2.1 has it.
    #[error("its line is malformed")]
    Line,
    /// An address that is none of its family.
    #[error("its address is malformed")]
    Address,
    /// A port that is no plain decimal number from 0 to 65535.
    #[error("its port is malformed")]
    Port,
    /// A version after 2, or a command other than LOCAL and PROXY.
    #[error("its version or command is unknown")]
    Command,
    /// Something else than a stream over IPv4, IPv6 or a unix socket.
    #[error("its address family or transport is unknown")]
    Family,
    /// A version 2 header without room for the addresses that it announces.
    #[error("it is too short for its addresses")]
    TooShort,
}

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub enum ProxyProtocolError {
    /// The bytes are no header.
    #[error("no PROXY protocol header: {0}")]
    Malformed(Malformed),
    /// The connection ended within it.
    #[error("the connection ended before its PROXY protocol header")]
    Ended,
    /// The connection failed.
    #[error("the PROXY protocol header cannot be read")]
    Io(#[from] io::Error),
}

/// Reads exactly one header off `stream`, however it is fragmented. `None` leaves the socket's own
/// address. The caller sets the deadline.
pub async fn read(stream: &mut TcpStream) -> Result<Option<SocketAddr>, ProxyProtocolError> {
    let mut buffer = [0; MAX_HEADER];
    let mut taken = 0;
    loop {
        // What is looked at is taken only as far as it is the header's; what is taken is not seen
        // again, so that a fragment does not wake this up for ever.
        let room = buffer.get_mut(taken..).unwrap_or_default();
        let seen = stream.peek(room).await?;
        if seen == 0 {
            return Err(ProxyProtocolError::Ended);
        }
        let verdict = parse(buffer.get(..taken + seen).unwrap_or_default());
        let (until, source) = match verdict {
            Verdict::NeedMore => (taken + seen, None),
            Verdict::Header { source, consumed } => (consumed, Some(source)),
            Verdict::Malformed(why) => return Err(ProxyProtocolError::Malformed(why)),
        };
        stream.read_exact(buffer.get_mut(taken..until).unwrap_or_default()).await?;
        taken = until;
        if let Some(source) = source {
            return Ok(source);
        }
    }
}

/// Judges the first bytes of a connection.
pub fn parse(bytes: &[u8]) -> Verdict {
    let parsed = match () {
        () if begins(bytes, SIGNATURE_V2) => parse_v2(bytes),
        () if begins(bytes, PREFIX_V1) => parse_v1(bytes),
        () => Err(Malformed::Missing),
    };
    match parsed {
        Ok(Some((source, consumed))) => Verdict::Header { source: source.map(canonical), consumed },
        Ok(None) => Verdict::NeedMore,
        Err(why) => Verdict::Malformed(why),
    }
}

/// Whether the shorter of the two is where the longer one begins.
fn begins(bytes: &[u8], with: &[u8]) -> bool {
    bytes.iter().zip(with).all(|(byte, wanted)| byte == wanted)
}

/// An IPv4 client is one, however the balancer's socket has written it.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A source, if the header names one, and the header's length; `None` while it is incomplete.
type Parsed = Result<Option<(Option<SocketAddr>, usize)>, Malformed>;

fn parse_v1(bytes: &[u8]) -> Parsed {
    let window = bytes.get(..MAX_LINE).unwrap_or(bytes);
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        let unended = window.strip_suffix(b"\r").unwrap_or(window);
        return match () {
            () if !unended.iter().all(is_printable) => Err(Malformed::Line),
            () if window.len() == MAX_LINE => Err(Malformed::TooLong),
            () => Ok(None),
        };
    };
    let line = window.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(Malformed::Line)?;
    // The prefix matched as far as the bytes went, and they went on to a line feed.
    let rest = line.strip_prefix(PREFIX_V1).ok_or(Malformed::Line)?;
    if !rest.iter().all(is_printable) {
        return Err(Malformed::Line);
    }
    let text = std::str::from_utf8(rest).map_err(|_| Malformed::Line)?;
    let (protocol, addresses) = text.split_once(' ').map_or((text, None), |(word, rest)| (word, Some(rest)));
    let source = match (protocol, addresses) {
        // Whatever stands behind it is to be ignored.
        ("UNKNOWN", _) => None,
        ("TCP4", Some(addresses)) => Some(endpoints::<Ipv4Addr>(addresses)?),
        ("TCP6", Some(addresses)) => Some(endpoints::<Ipv6Addr>(addresses)?),
        _ => return Err(Malformed::Line),
    };
    Ok(Some((source, end + 1)))
}

fn is_printable(byte: &u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// The source among `source destination source-port destination-port`.
fn endpoints<A: std::str::FromStr + Into<IpAddr>>(text: &str) -> Result<SocketAddr, Malformed> {
    let fields: Vec<_> = text.split(' ').collect();
    let [source, destination, source_port, destination_port] = fields[..] else {
        return Err(Malformed::Line);
    };
    let source: A = source.parse().map_err(|_| Malformed::Address)?;
    let _destination: A = destination.parse().map_err(|_| Malformed::Address)?;
    port(destination_port)?;
    Ok(SocketAddr::new(source.into(), port(source_port)?))
}

fn port(text: &str) -> Result<u16, Malformed> {
    // The library's parser would take a sign and leading zeros.
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(Malformed::Port)
}

fn parse_v2(bytes: &[u8]) -> Parsed {
    const LOCAL: u8 = 0x20;
    const PROXY: u8 = 0x21;
    const UNSPECIFIED: u8 = 0x00;
    const TCP_OVER_IPV4: u8 = 0x11;
    const TCP_OVER_IPV6: u8 = 0x21;
    const UNIX_STREAM: u8 = 0x31;
    /// Two paths (§2.2), of no use here.
    const UNIX_ADDRESSES: usize = 216;

    let Some((fixed, rest)) = bytes.split_first_chunk::<16>() else {
        return Ok(None);
    };
    let [.., command, family, high, low] = *fixed;
    if !matches!(command, LOCAL | PROXY) {
        return Err(Malformed::Command);
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if fixed.len() + length > MAX_HEADER {
        return Err(Malformed::TooLong);
    }
    let Some(block) = rest.get(..length) else {
        return Ok(None);
    };
    let source = match (command, family) {
        // A health check of the balancer's own: whatever follows is to be ignored, the family too.
        (LOCAL, _) | (_, UNSPECIFIED) => None,
        (_, TCP_OVER_IPV4) => Some(source_of::<4, 8>(block)?),
        (_, TCP_OVER_IPV6) => Some(source_of::<16, 32>(block)?),
        (_, UNIX_STREAM) if block.len() < UNIX_ADDRESSES => return Err(Malformed::TooShort),
        (_, UNIX_STREAM) => None,
        _ => return Err(Malformed::Family),
    };
    // TLVs behind the addresses are of no use here.
    Ok(Some((source, fixed.len() + length)))
}

/// The source in an address block: two addresses of `ONE` bytes, `BOTH` together, and two ports.
fn source_of<const ONE: usize, const BOTH: usize>(block: &[u8]) -> Result<SocketAddr, Malformed>
where
    IpAddr: From<[u8; ONE]>,
{
    let address = block.first_chunk::<ONE>();
    let ports = block.get(BOTH..).and_then(|rest| rest.first_chunk::<4>());
    let (Some(address), Some([high, low, ..])) = (address, ports) else {
        return Err(Malformed::TooShort);
    };
    Ok(SocketAddr::new(IpAddr::from(*address), u16::from_be_bytes([*high, *low])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    const NOTHING: Verdict = Verdict::Malformed(Malformed::Missing);

    fn header(source: Option<&str>, consumed: usize) -> Verdict {
        Verdict::Header { source: source.map(|text| text.parse().unwrap()), consumed }
    }

    /// A version 2 header.
    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE_V2.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(block.len()).unwrap().to_be_bytes());
        bytes.extend(block);
        bytes
    }

    const V4_BLOCK: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x34, 0x01, 0xbb];

    fn v6_block(source: &str) -> Vec<u8> {
        let source: Ipv6Addr = source.parse().unwrap();
        [&source.octets()[..], &[0; 16], &[0x12, 0x34, 0x01, 0xbb]].concat()
    }

    #[test]
    fn lines_of_version_1() {
        let good = [
            ("PROXY TCP4 192.0.2.7 10.0.0.1 4660 443\r\n", Some("192.0.2.7:4660")),
            ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", Some("255.255.255.255:65535")),
            ("PROXY TCP4 192.0.2.7 10.0.0.1 0 0\r\n", Some("192.0.2.7:0")),
            ("PROXY TCP6 2001:db8::7 ::1 4660 443\r\n", Some("[2001:db8::7]:4660")),
            ("PROXY TCP6 ::ffff:192.0.2.7 ::ffff:10.0.0.1 4660 443\r\n", Some("192.0.2.7:4660")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff::1 whatever it is  65535\r\n", None),
        ];
        for (line, source) in good {
            assert_eq!(parse(line.as_bytes()), header(source, line.len()), "{line:?}");
            let followed = format!("{line}GET / HTTP/1.1\r\n\r\n");
            assert_eq!(parse(followed.as_bytes()), header(source, line.len()), "{followed:?}");
            for end in 0..line.len() {
                assert_eq!(parse(&line.as_bytes()[..end]), Verdict::NeedMore, "{end} bytes of {line:?}");
            }
        }
    }

    #[test]
    fn the_header_of_connections_to_ourselves_is_one() {
        assert_eq!(parse(&LOCAL_HEADER), header(None, LOCAL_HEADER.len()));
    }

    #[test]
    fn wrong_lines_of_version_1() {
        use Malformed::{Address, Line, Missing, Port};
        let wrong: [(&[u8], Malformed); 26] = [
            (b"GET / HTTP/1.1\r\n", Missing),
            (b"\x16\x03\x01", Missing),
            (b"PROXYxTCP4 192.0.2.7 10.0.0.1 1 2\r\n", Missing),
            (b"proxy TCP4 192.0.2.7 10.0.0.1 1 2\r\n", Missing),
            (b"PROXY\r\n", Missing),
            (b"PROXY \r\n", Line),
            (b"PROXY TCP4\r\n", Line),
            (b"PROXY TCP5 192.0.2.7 10.0.0.1 1 2\r\n", Line),
            (b"PROXY tcp4 192.0.2.7 10.0.0.1 1 2\r\n", Line),
            (b"PROXY UNKNOWNS\r\n", Line),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\n", Line),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\rx", Line),
            (b"PROXY TCP4\t192.0.2.7 10.0.0.1 1 2", Line),
            (b"PROXY UNKNOWN \xff\r\n", Line),
            (b"PROXY UNKNOWN \0", Line),
            (b"PROXY TCP4  192.0.2.7 10.0.0.1 1 2\r\n", Line),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2 \r\n", Line),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 1\r\n", Line),
            (b"PROXY TCP4 192.0.2.07 10.0.0.1 1 2\r\n", Address),
            (b"PROXY TCP4 2001:db8::7 ::1 1 2\r\n", Address),
            (b"PROXY TCP6 192.0.2.7 10.0.0.1 1 2\r\n", Address),
            (b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", Address),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 2\r\n", Port),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 +1 2\r\n", Port),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 01 2\r\n", Port),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 1 -2\r\n", Port),
        ];
        for (bytes, why) in wrong {
            assert_eq!(parse(bytes), Verdict::Malformed(why), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_line_of_107_bytes_is_the_longest() {
        let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16));
        assert_eq!(parse(line(MAX_LINE).as_bytes()), header(None, MAX_LINE));
        assert_eq!(parse(line(MAX_LINE + 1).as_bytes()), Verdict::Malformed(Malformed::TooLong));
        let endless = line(200).into_bytes();
        assert_eq!(parse(&endless[..MAX_LINE]), Verdict::Malformed(Malformed::TooLong));
        assert_eq!(parse(&endless[..MAX_LINE - 1]), Verdict::NeedMore);
    }

    #[test]
    fn headers_of_version_2() {
        let tlvs = |block: &[u8]| [block, &[0x04, 0, 3, 1, 2, 3]].concat();
        let good = [
            (v2(0x21, 0x11, &V4_BLOCK), Some("192.0.2.7:4660")),
            (v2(0x21, 0x11, &tlvs(&V4_BLOCK)), Some("192.0.2.7:4660")),
            (v2(0x21, 0x21, &v6_block("2001:db8::7")), Some("[2001:db8::7]:4660")),
            (v2(0x21, 0x21, &tlvs(&v6_block("::ffff:192.0.2.7"))), Some("192.0.2.7:4660")),
            (v2(0x21, 0x31, &[0; 216]), None),
            (v2(0x21, 0x00, &[]), None),
            (v2(0x21, 0x00, &V4_BLOCK), None),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0x11, &V4_BLOCK), None),
            // The family of a LOCAL header is ignored, whatever it is.
            (v2(0x20, 0xff, &[1, 2, 3]), None),
            (v2(0x21, 0x11, &[&V4_BLOCK[..], &[0; 508]].concat()), Some("192.0.2.7:4660")),
        ];
        for (bytes, source) in good {
            assert_eq!(parse(&bytes), header(source, bytes.len()), "{bytes:?}");
            assert_eq!(parse(&[&bytes[..], b"\x16\x03\x01"].concat()), header(source, bytes.len()));
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes[..end]), Verdict::NeedMore, "{:?}", &bytes[..end]);
            }
        }
    }

    #[test]
    fn wrong_headers_of_version_2() {
        use Malformed::{Command, Family, TooLong, TooShort};
        let wrong = [
            (v2(0x11, 0x11, &V4_BLOCK), Command),
            (v2(0x31, 0x11, &V4_BLOCK), Command),
            (v2(0x22, 0x11, &V4_BLOCK), Command),
            (v2(0x21, 0x12, &V4_BLOCK), Family),
            (v2(0x21, 0x10, &V4_BLOCK), Family),
            (v2(0x21, 0x01, &[]), Family),
            (v2(0x21, 0x41, &V4_BLOCK), Family),
            (v2(0x21, 0x11, &V4_BLOCK[..11]), TooShort),
            (v2(0x21, 0x21, &[0; 35]), TooShort),
            (v2(0x21, 0x31, &[0; 215]), TooShort),
            (v2(0x20, 0x00, &[0; 521]), TooLong),
            (v2(0x21, 0x11, &[0; 521])[..16].to_vec(), TooLong),
        ];
        for (bytes, why) in wrong {
            assert_eq!(parse(&bytes), Verdict::Malformed(why), "{bytes:?}");
        }
        assert_eq!(parse(b"\r\n\r\n\0\r\nQUIT\r"), NOTHING);
        assert_eq!(parse(b"\r\n\r\nGET"), NOTHING);
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_verdict(v1 in any::<bool>(), rest in proptest::collection::vec(any::<u8>(), 0..600)) {
            let bytes = match v1 {
                true => [PREFIX_V1, &rest].concat(),
                false => [&SIGNATURE_V2[..], &rest].concat(),
            };
            match parse(&bytes) {
                Verdict::NeedMore => prop_assert!(bytes.len() < MAX_HEADER),
                Verdict::Header { consumed, .. } => prop_assert!(consumed <= bytes.len().min(MAX_HEADER)),
                Verdict::Malformed(_) => {}
            }
        }

        #[test]
        fn what_is_malformed_stays_so(rest in "[TCP46 UNKNOW0-9.:\r\n]{0,60}", more in "[ -~\r\n]{0,60}") {
            let bytes = format!("PROXY {rest}");
            let longer = format!("{bytes}{more}");
            match parse(bytes.as_bytes()) {
                Verdict::NeedMore => {}
                settled => prop_assert_eq!(parse(longer.as_bytes()), settled),
            }
        }
    }

    /// What `read` makes of `sent`, and what it leaves.
    async fn received(sent: &[&[u8]]) -> (Result<Option<SocketAddr>, ProxyProtocolError>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        client.set_nodelay(true).unwrap();
        let sending = async {
            for piece in sent {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
        };
        let (read, ()) = tokio::join!(read(&mut server), sending);
        let mut left = Vec::new();
        server.read_to_end(&mut left).await.unwrap();
        (read, left)
    }

    #[tokio::test]
    async fn reading_takes_the_header_and_nothing_else() {
        let line = b"PROXY TCP4 192.0.2.7 10.0.0.1 4660 443\r\n".to_vec();
        for bytes in [line, v2(0x21, 0x11, &V4_BLOCK), v2(0x20, 0, &[]), v2(0x20, 0, &[0; 520])] {
            let Verdict::Header { source, .. } = parse(&bytes) else { panic!("{bytes:?}") };
            let whole = [&bytes[..], b"what follows"].concat();
            let (read, left) = received(&[&whole]).await;
            assert_eq!((read.unwrap(), left.as_slice()), (source, b"what follows".as_slice()));
            let singly: Vec<_> = whole.chunks(1).collect();
            let (read, left) = received(&singly).await;
            assert_eq!((read.unwrap(), left.as_slice()), (source, b"what follows".as_slice()));
        }
    }

    #[tokio::test]
    async fn reading_ends_with_the_connection_or_the_first_wrong_byte() {
        let (read, _) = received(&[b"PROXY TCP4 192.0.2.7"]).await;
        assert!(matches!(read, Err(ProxyProtocolError::Ended)), "{read:?}");
        let (read, _) = received(&[]).await;
        assert!(matches!(read, Err(ProxyProtocolError::Ended)), "{read:?}");
        let (read, left) = received(&[b"\x16\x03\x01"]).await;
        assert!(matches!(read, Err(ProxyProtocolError::Malformed(Malformed::Missing))), "{read:?}");
        assert_eq!(left, b"\x16\x03\x01");
    }
}
