//! PROXY protocol headers.

use crate::proxy_protocol::{MAX_HEADER, Verdict, parse};
use std::net::{IpAddr, SocketAddr};

/// A verdict, once given, stays whatever follows, comes with the last byte that it needs, and comes before the longest
/// header is over; the source means the same when it is written out in either version.
pub fn proxy_header(data: &[u8]) {
    let data = &data[..data.len().min(MAX_HEADER + 1)];
    let whole = parse(data);
    let decided = (0..=data.len()).find(|length| parse(&data[..*length]) != Verdict::NeedMore);
    for length in decided.unwrap_or(data.len())..=data.len() {
        assert_eq!(parse(&data[..length]), whole, "after {length} bytes");
    }
    match whole {
        Verdict::NeedMore => assert!(data.len() < MAX_HEADER),
        Verdict::Malformed(_) => {}
        Verdict::Header { source, consumed } => {
            assert_eq!(Some(consumed), decided);
            if let Some(source) = source {
                check(source);
            }
        }
    }
}

fn check(source: SocketAddr) {
    let (ip, port) = (source.ip(), source.port());
    let (name, family, address) = match ip {
        IpAddr::V4(ip) => ("TCP4", 0x11, ip.octets().to_vec()),
        IpAddr::V6(ip) => ("TCP6", 0x21, ip.octets().to_vec()),
    };
    let line = format!("PROXY {name} {ip} {ip} {port} 1\r\n").into_bytes();
    let ports = [port.to_be_bytes(), [0, 1]].concat();
    let block = [address.as_slice(), &address, &ports].concat();
    let length = (block.len() as u16).to_be_bytes();
    let binary = [b"\r\n\r\n\0\r\nQUIT\n\x21".as_slice(), &[family], &length, &block].concat();
    for header in [line, binary] {
        assert_eq!(parse(&header), Verdict::Header { source: Some(source), consumed: header.len() });
    }
}
