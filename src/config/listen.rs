//! `[listen]`: the addresses this program opens.

use super::reader::{Reader, Wrong};
use super::tree::{Node, Origin};
use super::values;
use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What the kernel takes as a unix socket's path: `sun_path` of unix(7) less its terminating zero.
const LONGEST_PATH: usize = 107;

/// Addresses of one kind of listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Each gets a socket of its own.
    pub addresses: Vec<SocketAddr>,
    /// Whether nobody wrote them: then `[::]` falls back to `0.0.0.0` where the machine has no IPv6.
    pub by_default: bool,
}

/// Where the admin socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminAddress {
    /// The socket's file.
    pub path: PathBuf,
    /// Whether nobody wrote it: then a machine without its folder goes without a socket.
    pub by_default: bool,
}

/// All listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// TLS for clients and delegated federation.
    pub https: Addresses,
    /// TLS for peers without delegation.
    pub federation: Addresses,
    /// HTTP-01 challenges and the redirect to https.
    pub http: Addresses,
    /// Commands to a running vestibule; `None` is off.
    pub admin: Option<AdminAddress>,
    /// Plain HTTP for the operator: metrics and readiness. One address at most.
    pub status: Option<Addresses>,
    /// Networks whose connections begin with a PROXY protocol header.
    pub proxy_protocol_from: Vec<IpNet>,
}

/// Reads `[listen]`.
pub fn read(reader: &Reader) -> Listen {
    let by_default = |key: &str| reader.origin_of(key) == Origin::Default || !reader.is_set(key);
    let addresses = |key, default| Addresses {
        addresses: reader.read(key, default, |node| values::list(node, values::socket_address)),
        by_default: by_default(key),
    };
    let status = reader.read("status", "\"127.0.0.1:9464\"", address_or_off);
    let listen = Listen {
        https: addresses("https", "[\"[::]:443\"]"),
        federation: addresses("federation", "[\"[::]:8448\"]"),
        http: addresses("http", "[\"[::]:80\"]"),
        admin: reader
            .read("admin", "\"unix:/run/vestibule/admin.sock\"", unix_socket_or_off)
            .map(|path| AdminAddress { path, by_default: by_default("admin") }),
        status: status.map(|address| Addresses { addresses: vec![address], by_default: !reader.is_set("status") }),
        proxy_protocol_from: reader.read("proxy_protocol_from", "[]", |node| values::list(node, values::network)),
    };
    if listen.https.addresses.is_empty() && listen.federation.addresses.is_empty() {
        reader.refuse("https", Wrong::new("no TLS listener is left", "write https = [\"[::]:443\"]"));
    }
    listen
}

fn unix_socket_or_off(node: &Node) -> Result<Option<PathBuf>, Wrong> {
    const RIGHT: &str = "write \"unix:/run/vestibule/admin.sock\" or \"off\"";
    let text = values::string(node).map_err(|_| Wrong::kind(node, RIGHT))?;
    if text == "off" {
        return Ok(None);
    }
    let path = text.strip_prefix("unix:").filter(|path| path.starts_with('/') && !path.ends_with('/'));
    match path {
        Some(path) if path.len() > LONGEST_PATH => {
            Err(Wrong::new("the path of a unix socket is 107 bytes at most", "write a shorter one"))
        }
        Some(path) => Ok(Some(PathBuf::from(path))),
        None => Err(Wrong::new(format!("{text:?} is not a unix socket"), RIGHT)),
    }
}

fn address_or_off(node: &Node) -> Result<Option<SocketAddr>, Wrong> {
    if values::string(node).is_ok_and(|text| text == "off") {
        return Ok(None);
    }
    values::socket_address(node)
        .map(Some)
        .map_err(|wrong| Wrong::new(wrong.wrong, "write \"127.0.0.1:9464\" or \"off\""))
}
