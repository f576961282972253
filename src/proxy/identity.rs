//! Whose a request is, as far as a proxy in front may say so: pure.
//!
//! A trusted proxy's `X-Forwarded-For` names the client and its `X-Request-Id` the request; from
//! anybody else both are ignored. A trace context (W3C Trace Context) is no claim of identity and
//! passes from anybody, if it is one.

use crate::net::admit::contains;
use ipnet::IpNet;
use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// Most entries of X-Forwarded-For that are looked at. Chains of trusted proxies are a few long.
const MAX_ENTRIES: usize = 64;

/// Longest entry in bytes: an IPv6 address in its longest form, brackets and a port.
const MAX_ENTRY: usize = "[0000:0000:0000:0000:0000:ffff:255.255.255.255]:65535".len();

/// Longest request id in bytes that is taken over.
const MAX_REQUEST_ID: usize = 128;

/// The client of a request that came from `peer` with these X-Forwarded-For lines.
///
/// Each proxy appends the address it was called from. So the list is read from its end as long as
/// the address reached there is that of a trusted proxy, whose word on the one before counts. At
/// something that is no address nobody is left to be believed, and the last one found stands.
#[expect(single_use_lifetimes, reason = "the compiler takes no elided lifetime in this place")]
pub(super) fn client_of<'a>(
    peer: IpAddr,
    trusted: &[IpNet],
    x_forwarded_for: impl DoubleEndedIterator<Item = &'a [u8]>,
) -> IpAddr {
    let entries = x_forwarded_for.rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
    // A list may have empty elements, which say nothing (RFC 9110 §5.6.1.2).
    let mut entries = entries.take(MAX_ENTRIES).map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty());
    let mut client = peer.to_canonical();
    while contains(trusted, client) {
        match entries.next().and_then(address) {
            Some(before) => client = before,
            None => break,
        }
    }
    client
}

/// The address in `192.0.2.7`, `192.0.2.7:4660`, `2001:db8::7` or `[2001:db8::7]:4660`.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok().filter(|text| text.len() <= MAX_ENTRY)?;
    let address = if let Some(bracketed) = text.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']')?;
        if !rest.is_empty() && !is_port(rest.strip_prefix(':')?) {
            return None;
        }
        IpAddr::V6(address.parse::<Ipv6Addr>().ok()?)
    } else if let Ok(address) = text.parse() {
        address
    } else {
        let (address, _) = text.split_once(':').filter(|(_, port)| is_port(port))?;
        IpAddr::V4(address.parse::<Ipv4Addr>().ok()?)
    };
    Some(address.to_canonical())
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// The request id that a trusted proxy has given, if `peer` is one: a single line of at most 128
/// visible ASCII characters. Without one the request gets a fresh id ([`RequestIds::fresh`]).
pub(super) fn given_request_id<'a>(
    peer: IpAddr,
    trusted: &[IpNet],
    mut x_request_id: impl Iterator<Item = &'a [u8]>,
) -> Option<&'a [u8]> {
    let (line, None) = (x_request_id.next()?, x_request_id.next()) else {
        return None;
    };
    let sane = (1..=MAX_REQUEST_ID).contains(&line.len()) && line.iter().all(u8::is_ascii_graphic);
    (sane && contains(trusted, peer.to_canonical())).then_some(line)
}

/// A request id of our own: `0123456789abcdef-0000000000000001`.
pub(super) type RequestId = [u8; 33];

/// Makes the ids of one worker's requests: a random number of the worker's and a counter, so that a
/// request costs no system call.
#[derive(Debug)]
pub(super) struct RequestIds {
    worker: u64,
    count: Cell<u64>,
}

impl RequestIds {
    /// Different from those of every other worker and of every other run.
    pub(super) fn new() -> Self {
        // The standard library seeds its hasher from the system's random numbers; ids are no secret.
        Self { worker: RandomState::new().hash_one("request ids"), count: Cell::new(0) }
    }

    /// The next one, in visible ASCII.
    pub(super) fn fresh(&self) -> RequestId {
        let count = self.count.get().wrapping_add(1);
        self.count.set(count);
        let mut id = [b'-'; 33];
        let (worker, counted) = id.split_at_mut(16);
        write_hex(self.worker, worker);
        write_hex(count, counted.get_mut(1..).unwrap_or_default());
        id
    }
}

/// Fills `digits` with the lowest ones of `number`.
fn write_hex(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        let low = usize::try_from(number & 0xf).unwrap_or_default();
        *digit = b"0123456789abcdef".get(low).copied().unwrap_or_default();
        number >>= 4;
    }
}

/// Whether `traceparent` and `tracestate` lines pass, untouched and both: there is exactly one
/// `traceparent`, and it is valid. Otherwise both are removed (W3C Trace Context §3.2.4: a state
/// without its parent means nothing). None is ever made up.
#[expect(single_use_lifetimes, reason = "the compiler takes no elided lifetime in this place")]
pub(super) fn keeps_trace<'a>(mut traceparent: impl Iterator<Item = &'a [u8]>) -> bool {
    traceparent.next().is_some_and(is_traceparent) && traceparent.next().is_none()
}

/// `version "-" trace-id "-" parent-id "-" trace-flags` in lower-case hexadecimal digits (§3.2.2).
/// What a later version appends begins with a dash.
fn is_traceparent(value: &[u8]) -> bool {
    const LENGTH: usize = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".len();
    let Some((known, more)) = value.split_at_checked(LENGTH) else {
        return false;
    };
    let shaped = known.iter().enumerate().all(|(at, byte)| match at {
        2 | 35 | 52 => *byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    });
    // Neither identifier is all zeros.
    let identifies = |field: Range<usize>| known.get(field).is_some_and(|id| id.iter().any(|byte| *byte != b'0'));
    let complete = match known.first_chunk() {
        Some(b"ff") => false,
        Some(b"00") => more.is_empty(),
        _ => more.is_empty() || more.starts_with(b"-"),
    };
    shaped && identifies(3..35) && identifies(36..52) && complete
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn client(peer: &str, lines: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "2001:db8:ffff::/48"].map(|network| network.parse().unwrap());
        client_of(peer.parse().unwrap(), &trusted, lines.iter().map(|line| line.as_bytes())).to_string()
    }

    #[test]
    fn the_first_untrusted_address_from_the_right() {
        let table: [(&str, &[&str], &str); 20] = [
            // Nobody else is believed.
            ("192.0.2.7", &["6.6.6.6"], "192.0.2.7"),
            ("::ffff:192.0.2.7", &["6.6.6.6"], "192.0.2.7"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.7"], "192.0.2.7"),
            ("::ffff:10.0.0.1", &["192.0.2.7"], "192.0.2.7"),
            ("2001:db8:ffff::1", &["192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", &["6.6.6.6, 192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", &["6.6.6.6", "192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", &["6.6.6.6, 192.0.2.7, 10.0.0.3", "10.0.0.2"], "192.0.2.7"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["192.0.2.7:4660"], "192.0.2.7"),
            ("10.0.0.1", &["2001:db8::7"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]:4660"], "2001:db8::7"),
            ("10.0.0.1", &["::ffff:192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", &["6.6.6.6,\t[::ffff:10.0.0.2]:1 ,"], "6.6.6.6"),
            ("10.0.0.1", &["192.0.2.7, , ", "", ",,"], "192.0.2.7"),
            // What is no address ends the search.
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6, _hidden, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["6.6.6.6, \u{e9}"], "10.0.0.1"),
        ];
        for (peer, lines, expected) in table {
            assert_eq!(client(peer, lines), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn what_is_no_address() {
        for entry in [
            "192.0.2",
            "192.0.2.07",
            "192.0.2.7:",
            "192.0.2.7:x",
            "192.0.2.7:+1",
            "192.0.2.7:65536",
            "[192.0.2.7]",
            "[2001:db8::7",
            "2001:db8::7]",
            "[2001:db8::7]443",
            "[2001:db8::7]:",
            "fe80::1%eth0",
            "[fe80::1%1]:2",
            "a.example",
            "\"192.0.2.7\"",
            "for=192.0.2.7",
            "192.0.2.7 192.0.2.8",
            "192.0.2.7;",
            "00000000000000000000000000000000000000000000192.0.2.7",
        ] {
            assert_eq!(client("10.0.0.1", &[entry]), "10.0.0.1", "{entry:?}");
        }
    }

    #[test]
    fn the_work_is_bounded() {
        let chain = |length| format!("192.0.2.7{}", ", 10.0.0.2".repeat(length));
        assert_eq!(client("10.0.0.1", &[&chain(MAX_ENTRIES - 1)]), "192.0.2.7");
        assert_eq!(client("10.0.0.1", &[&chain(MAX_ENTRIES)]), "10.0.0.2");
        let empty = format!("192.0.2.7{}", ",".repeat(MAX_ENTRIES));
        assert_eq!(client("10.0.0.1", &[&empty]), "10.0.0.1");
    }

    #[test]
    fn a_request_id_is_taken_from_a_trusted_proxy_only() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let given = |peer: &str, lines: &[&str]| {
            let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
            let given = given_request_id(peer.parse().unwrap(), &trusted, lines.into_iter());
            given.map(|id| String::from_utf8_lossy(id).into_owned())
        };
        assert_eq!(given("10.0.0.1", &["a-1/~"]).as_deref(), Some("a-1/~"));
        assert_eq!(given("::ffff:10.0.0.1", &["a"]).as_deref(), Some("a"));
        let longest = "x".repeat(MAX_REQUEST_ID);
        assert_eq!(given("10.0.0.1", &[&longest]), Some(longest.clone()));
        assert_eq!(given("192.0.2.7", &["a"]), None);
        for lines in [&[][..], &[""], &["a", "a"], &["a b"], &["a\u{e9}"], &["a\n"], &[&format!("{longest}x")]] {
            assert_eq!(given("10.0.0.1", lines), None, "{lines:?}");
        }
    }

    #[test]
    fn fresh_ids_are_all_different() {
        let (one, other) = (RequestIds::new(), RequestIds::new());
        let ids: std::collections::HashSet<_> = (0..1000).flat_map(|_| [one.fresh(), other.fresh()]).collect();
        assert_eq!(ids.len(), 2000);
        let id = RequestIds { worker: 0x0123_4567_89ab_cdef, count: Cell::new(0x2e) }.fresh();
        assert_eq!(std::str::from_utf8(&id), Ok("0123456789abcdef-000000000000002f"));
    }

    #[test]
    fn a_trace_context_passes_if_it_is_one() {
        const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let keeps = |lines: &[&str]| keeps_trace(lines.iter().map(|line| line.as_bytes()));
        assert!(keeps(&[GOOD]));
        assert!(keeps(&[&GOOD.replacen("00", "01", 1)]), "a later version");
        assert!(keeps(&[&format!("{}-more", GOOD.replacen("00", "cc", 1))]), "a later version with more");
        let bad = [
            String::new(),
            "00".to_owned(),
            GOOD.to_uppercase(),
            GOOD.replacen("00", "ff", 1),
            GOOD.replacen("00", "0g", 1),
            GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            GOOD.replace('-', "_"),
            format!("{GOOD}-more"),
            format!("{GOOD} "),
            format!("{}more", GOOD.replacen("00", "cc", 1)),
            GOOD.replace("-b7ad6b7169203331", "b-7ad6b7169203331"),
            GOOD.strip_suffix('1').unwrap().to_owned(),
        ];
        for value in bad {
            assert!(!keeps(&[&value]), "{value:?}");
        }
        assert!(!keeps(&[]) && !keeps(&[GOOD, GOOD]));
    }

    proptest! {
        /// Whatever stands left of it, the address that the trusted proxy saw is the client's.
        #[test]
        fn nothing_forged_gets_past_a_trusted_proxy(forged in "[ -~]{0,80}") {
            prop_assert_eq!(client("10.0.0.1", &[&forged, "192.0.2.7"]), "192.0.2.7");
            prop_assert_eq!(client("10.0.0.1", &[&format!("{forged},192.0.2.7")]), "192.0.2.7");
        }
    }
}
