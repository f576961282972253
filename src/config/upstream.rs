//! Where requests go: `http://host:port` or `unix:/path`.

use super::reader::Wrong;
use super::tree::Node;
use super::values;
use crate::matrix::Host;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The address of an upstream. HTTP/1.1 in plain text: TLS ends here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UpstreamAddress {
    /// An address with a port.
    Tcp(SocketAddr),
    /// A name to look up at each connect, with a port.
    Name(String, u16),
    /// A unix domain socket.
    Unix(PathBuf),
}

impl fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Name(name, port) => write!(f, "http://{name}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Parses an upstream address.
pub fn upstream(node: &Node) -> Result<UpstreamAddress, Wrong> {
    const RIGHT: &str = "write \"http://127.0.0.1:8008\" or \"unix:/run/synapse/main.sock\"";
    let text = values::string(node).map_err(|_| Wrong::kind(node, RIGHT))?;
    if let Some(path) = text.strip_prefix("unix:") {
        return match path.starts_with('/') {
            true => Ok(UpstreamAddress::Unix(PathBuf::from(path))),
            false => Err(Wrong::new(format!("{path:?} is not an absolute path"), RIGHT)),
        };
    }
    if text.starts_with("https://") {
        return Err(Wrong::new("TLS towards the upstream is not spoken here", RIGHT));
    }
    let Some(authority) = text.strip_prefix("http://") else {
        return Err(Wrong::new(format!("{text:?} has no scheme"), RIGHT));
    };
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    if authority.contains('/') {
        // A path here is how other proxies come to rewrite the signed request target.
        return Err(Wrong::new("a path does not belong here, requests are forwarded with their own", RIGHT));
    }
    let Some((host, port)) = authority.rsplit_once(':') else {
        return Err(Wrong::new("the port is missing", RIGHT));
    };
    let port = port.parse::<u16>().ok().filter(|port| *port > 0);
    let port = port.ok_or_else(|| Wrong::new(format!("{authority:?} has no valid port"), RIGHT))?;
    match Host::parse(host) {
        Ok(Host::Ip(address)) => Ok(UpstreamAddress::Tcp(SocketAddr::new(address, port))),
        Ok(Host::Dns(name)) => Ok(UpstreamAddress::Name(name, port)),
        Err(error) => Err(Wrong::new(format!("{host:?} is not a host"), error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::{Origin, Value};

    fn parse(text: &str) -> Result<String, Wrong> {
        upstream(&Node { value: Value::String(text.to_owned()), origin: Origin::Default }).map(|a| a.to_string())
    }

    #[test]
    fn forms() {
        for good in ["http://127.0.0.1:8008", "http://[::1]:8008", "http://localhost:8008", "unix:/run/a.sock"] {
            assert_eq!(parse(good).as_deref(), Ok(good));
        }
        for bad in ["127.0.0.1:8008", "https://a:1", "http://a", "http://a:0", "http://a:1/x", "unix:a", "http://:1"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
