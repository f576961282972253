//! Ranges of addresses that the public Internet does not lead to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which range that is not reachable from the internet `address` belongs to.
pub fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => not_public_v4(v4),
        IpAddr::V6(v6) => embedded(v6).map_or_else(|| not_public_v6(v6), not_public_v4),
    }
}

/// The IPv4 address that packets to `address` come to in the end, where a translator or a tunnel
/// reads one out of it: IPv4-mapped and IPv4-compatible (RFC 4291 §2.5.5), NAT64 with the well-known
/// prefix (RFC 6052 §2.1), 6to4 (RFC 3056 §2). Prefixes that a network chose for its own NAT64
/// cannot be told from any other.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        // "::" and "::1" are no IPv4-compatible addresses.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
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
        (192, 0, 0) => Some("a range for protocols (192.0.0.0/24)"),
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
        (0xfec0..=0xfeff, _) => Some("site-local (fec0::/10)"),
        (0x2001, 0x0db8) => Some("a documentation range (2001:db8::/32)"),
        (0x3fff, 0..=0x0fff) => Some("a documentation range (3fff::/20)"),
        (0x2001, 0x0000) => Some("Teredo (2001::/32), which nobody answers any more"),
        (0x0064, 0xff9b) => Some("the NAT64 of a private network (64:ff9b:1::/48)"),
        (0xff00..=0xffff, _) => Some("multicast (ff00::/8)"),
        // All addresses of hosts on the internet are in 2000::/3 (RFC 4291 §2.4, IANA's registry).
        (0x2000..=0x3fff, _) => None,
        _ => Some("reserved"),
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
            ("::10.0.0.1", false),
            ("::8.8.8.8", true),
            ("64:ff9b::10.0.0.1", false),
            ("64:ff9b::8.8.8.8", true),
            ("64:ff9b:1::8.8.8.8", false),
            ("2002:0a00:0001::1", false),
            ("2002:0808:0808::1", true),
            ("2001::1", false),
            ("2001:500::1", true),
            ("fec0::1", false),
            ("3fff:1::1", false),
            ("3fff:1000::1", true),
            ("100::1", false),
            ("4000::1", false),
            ("192.0.0.8", false),
        ];
        for (address, public) in table {
            assert_eq!(not_public(address.parse().unwrap()).is_none(), public, "{address}");
        }
    }
}
