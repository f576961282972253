//! Parsers for the kinds of value that several keys share.

use super::reader::{Wrong, nearest};
use super::tree::{Node, Value};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Text.
pub fn string(node: &Node) -> Result<String, Wrong> {
    match &node.value {
        Value::String(text) => Ok(text.clone()),
        _ => Err(Wrong::kind(node, "write it in quotes")),
    }
}

/// Text that may be empty, which means "not set".
pub fn string_or_unset(node: &Node) -> Result<Option<String>, Wrong> {
    string(node).map(|text| Some(text).filter(|text| !text.is_empty()))
}

/// A path, absolute or from the working directory.
pub fn path(node: &Node) -> Result<PathBuf, Wrong> {
    match string(node)? {
        text if text.is_empty() => Err(Wrong::new("the path is empty", "write a path in quotes")),
        text => Ok(PathBuf::from(text)),
    }
}

/// `true` or `false`.
pub fn boolean(node: &Node) -> Result<bool, Wrong> {
    match node.value {
        Value::Boolean(flag) => Ok(flag),
        _ => Err(Wrong::kind(node, "write true or false, without quotes")),
    }
}

/// A whole number of at least one.
pub fn count(node: &Node) -> Result<u32, Wrong> {
    const RIGHT: &str = "write a whole number from 1 to 4294967295";
    match node.value {
        Value::Integer(number) => {
            let number = u32::try_from(number).ok().filter(|number| *number > 0);
            number.ok_or_else(|| Wrong::new("out of range", RIGHT))
        }
        _ => Err(Wrong::kind(node, RIGHT)),
    }
}

/// A list of values of one kind.
pub fn list<T>(node: &Node, item: impl Fn(&Node) -> Result<T, Wrong>) -> Result<Vec<T>, Wrong> {
    match &node.value {
        Value::Array(items) => items.iter().map(item).collect(),
        _ => Err(Wrong::kind(node, "write a list in square brackets")),
    }
}

/// One of several words.
pub fn word<T: Copy>(node: &Node, words: &[(&str, T)]) -> Result<T, Wrong> {
    let right = || {
        let words: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        format!("write one of {}", words.join(", "))
    };
    let Value::String(text) = &node.value else {
        return Err(Wrong::kind(node, &right()));
    };
    match words.iter().find(|(word, _)| word == text) {
        Some((_, value)) => Ok(*value),
        None => {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            Err(Wrong::new(format!("{text:?} is not known here"), nearest(text, &known).unwrap_or_else(right)))
        }
    }
}

/// A duration: a whole number and a unit, `"500ms"`, `"30s"`, `"10m"`, `"6h"`, `"365d"`.
pub fn duration(node: &Node) -> Result<Duration, Wrong> {
    const RIGHT: &str = "write a number and a unit (ms, s, m, h, d) in quotes, such as \"30s\"";
    let Value::String(text) = &node.value else {
        return Err(Wrong::kind(node, RIGHT));
    };
    parse_duration(text).ok_or_else(|| Wrong::new(format!("{text:?} is not a duration"), RIGHT))
}

/// The longest wait that can be asked for. It stands for "never": longer ones would run out of what a
/// clock can express.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 86_400);

/// How long something may be waited for; zero is not at all.
pub fn wait(node: &Node) -> Result<Duration, Wrong> {
    let wait = duration(node)?;
    match wait <= LONGEST_WAIT {
        true => Ok(wait),
        false => Err(Wrong::new("this is longer than a year", "write at most \"365d\"")),
    }
}

/// A wait that is not zero.
pub fn timeout(node: &Node) -> Result<Duration, Wrong> {
    match wait(node)? {
        Duration::ZERO => Err(Wrong::new("nothing is done in no time", "write a duration such as \"10s\"")),
        wait => Ok(wait),
    }
}

/// The text form of [`duration`], which the command line shares.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(milliseconds).map(Duration::from_millis)
}

/// A duration, or `"off"`.
pub fn duration_or_off(node: &Node) -> Result<Option<Duration>, Wrong> {
    match &node.value {
        Value::String(text) if text == "off" => Ok(None),
        _ => duration(node).map(Some).map_err(|wrong| Wrong::new(wrong.wrong, format!("{}, or \"off\"", wrong.right))),
    }
}

/// A number of bytes: `"512KiB"`, `"50MiB"`, `"1GiB"`, `"1000B"`.
fn parse_bytes(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let bytes = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(bytes)
}

/// A size, or `"none"`.
pub fn size_or_none(node: &Node) -> Result<Option<u64>, Wrong> {
    const RIGHT: &str = "write a size such as \"50MiB\" (units B, KiB, MiB, GiB), or \"none\"";
    let Value::String(text) = &node.value else {
        return Err(Wrong::kind(node, RIGHT));
    };
    if text == "none" {
        return Ok(None);
    }
    parse_bytes(text).map(Some).ok_or_else(|| Wrong::new(format!("{text:?} is not a size"), RIGHT))
}

/// A rate in bytes per second: `"1KiB/s"`.
pub fn rate(node: &Node) -> Result<u64, Wrong> {
    const RIGHT: &str = "write a size per second such as \"1KiB/s\"";
    let Value::String(text) = &node.value else {
        return Err(Wrong::kind(node, RIGHT));
    };
    let bytes = text.strip_suffix("/s").and_then(parse_bytes);
    bytes.ok_or_else(|| Wrong::new(format!("{text:?} is not a rate"), RIGHT))
}

/// A socket address with a port; port 0 asks the system for a free one.
pub fn socket_address(node: &Node) -> Result<SocketAddr, Wrong> {
    const RIGHT: &str = "write address and port such as \"0.0.0.0:443\" or \"[::]:443\"";
    let text = string(node).map_err(|_| Wrong::kind(node, RIGHT))?;
    text.parse().map_err(|_| Wrong::new(format!("{text:?} is not an address with a port"), RIGHT))
}

/// A network such as `10.0.0.0/8`; a bare address is a network of one. IPv4 written as IPv6
/// (`::ffff:10.0.0.0/104`) is IPv4, as the addresses are that it is compared with.
pub fn network(node: &Node) -> Result<IpNet, Wrong> {
    const RIGHT: &str = "write a network such as \"10.0.0.0/8\" or \"2001:db8::/32\"";
    let text = string(node).map_err(|_| Wrong::kind(node, RIGHT))?;
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let network = network.ok_or_else(|| Wrong::new(format!("{text:?} is not a network"), RIGHT))?;
    let mapped = match (network.addr().to_canonical(), network.prefix_len().checked_sub(96)) {
        (IpAddr::V4(address), Some(prefix)) if matches!(network, IpNet::V6(_)) => {
            ipnet::Ipv4Net::new(address, prefix).ok().map(IpNet::V4)
        }
        _ => None,
    };
    Ok(mapped.unwrap_or(network))
}

/// An absolute `https://` URL without a fragment.
pub fn https_url(node: &Node) -> Result<String, Wrong> {
    const RIGHT: &str = "write a URL such as \"https://ca.example.com/directory\"";
    let text = string(node)?;
    let uri = text.parse::<http::Uri>().ok();
    let good =
        uri.is_some_and(|uri| uri.scheme_str() == Some("https") && uri.host().is_some_and(|host| !host.is_empty()));
    if good { Ok(text) } else { Err(Wrong::new(format!("{text:?} is not an https URL"), RIGHT)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_networks_are_ipv4_however_they_are_written() {
        let network = |text: &str| {
            let node = Node { value: Value::String(text.to_owned()), origin: crate::config::Origin::Default };
            network(&node).map(|network| network.to_string())
        };
        for (text, expected) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(network(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn durations_and_sizes_have_units() {
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("365d"), Some(Duration::from_secs(365 * 86_400)));
        for bad in ["", "30", "s", "-1s", "1.5s", "30 s", "99999999999999999999s", "18446744073709551615d", "ms"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
        assert_eq!((parse_bytes("50MiB"), parse_bytes("5M"), parse_bytes("1B")), (Some(52_428_800), None, Some(1)));
    }
}
