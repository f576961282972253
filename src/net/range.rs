//! Ranges of addresses that the public Internet does not lead to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which range that is not reachable from the internet `address` belongs to.
pub fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => not_public_v4(v4),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or_else(|| not_public_v6(v6), not_public_v4),
    }
}

fn not_public_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (0, ..) => Some("not an address of a host (0.0.0.0/8)"),
        (127, ..) => Some("loopback (127.0.0.0/8)"),
        (10, ..) => Some("a private range (10.0.0.0/8)"),
        (172, 16..=31, _) => Some("a private range (172.16.0.0/12)"),
        (192, 168, _) => Some("a private range (192.168.0.0/16)"),
        (169, 254, _) => Some("link-local (169.254.0.0/16)"),
        (100, 64..=127, _) => Some("carrier-grade NAT (100.64.0.0/10)"),
        (192, 0, 2) | (198, 51, 100) | (203, 0, 113) => Some("a documentation range"),
        (198, 18..=19, _) => Some("a benchmark range (198.18.0.0/15)"),
        (224.., ..) => Some("multicast or reserved"),
        _ => None,
    }
}

fn not_public_v6(address: Ipv6Addr) -> Option<&'static str> {
    let [first, second, ..] = address.segments();
    match (first, second) {
        _ if address.is_loopback() => Some("loopback (::1)"),
        _ if address.is_unspecified() => Some("not an address of a host (::)"),
        (0xfe80..=0xfebf, _) => Some("link-local (fe80::/10)"),
        (0xfc00..=0xfdff, _) => Some("a private range (fc00::/7)"),
        (0x2001, 0x0db8) => Some("a documentation range (2001:db8::/32)"),
        (0xff00..=0xffff, _) => Some("multicast (ff00::/8)"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let table = [
            ("8.8.8.8", true),
            ("172.15.0.1", true),
            ("172.16.0.1", false),
            ("10.1.2.3", false),
            ("192.168.1.1", false),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("127.0.1.1", false),
            ("169.254.1.1", false),
            ("192.0.2.1", false),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
            ("2a00:1450::1", true),
            ("::1", false),
            ("fe80::1", false),
            ("fd00::1", false),
            ("2001:db8::1", false),
            ("::ffff:10.0.0.1", false),
            ("::ffff:8.8.8.8", true),
        ];
        for (address, public) in table {
            assert_eq!(not_public(address.parse().unwrap()).is_none(), public, "{address}");
        }
    }
}
