//! `[listen]`: the addresses this program opens.

use super::reader::{Reader, Wrong};
use super::tree::{Node, Origin};
use super::values;
use ipnet::IpNet;
use std::net::SocketAddr;

/// Addresses of one kind of listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Each gets a socket of its own.
    pub addresses: Vec<SocketAddr>,
    /// Whether nobody wrote them: then `[::]` falls back to `0.0.0.0` where the machine has no IPv6.
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
    /// Plain HTTP for the operator: metrics and readiness. One address at most.
    pub status: Option<Addresses>,
    /// Networks whose connections begin with a PROXY protocol header.
    pub proxy_protocol_from: Vec<IpNet>,
}

/// Reads `[listen]`.
pub fn read(reader: &Reader) -> Listen {
    let addresses = |key, default| Addresses {
        addresses: reader.read(key, default, |node| values::list(node, values::socket_address)),
        by_default: reader.origin_of(key) == Origin::Default || !reader.is_set(key),
    };
    let status = reader.read("status", "\"127.0.0.1:9464\"", address_or_off);
    let listen = Listen {
        https: addresses("https", "[\"[::]:443\"]"),
        federation: addresses("federation", "[\"[::]:8448\"]"),
        http: addresses("http", "[\"[::]:80\"]"),
        status: status.map(|address| Addresses { addresses: vec![address], by_default: !reader.is_set("status") }),
        proxy_protocol_from: reader.read("proxy_protocol_from", "[]", |node| values::list(node, values::network)),
    };
    if listen.https.addresses.is_empty() && listen.federation.addresses.is_empty() {
        reader.refuse("https", Wrong::new("no TLS listener is left", "write https = [\"[::]:443\"]"));
    }
    reader.read("admin", "\"unix:/run/vestibule/admin.sock\"", unix_socket);
    reader.without_effect("admin");
    listen
}

fn unix_socket(node: &Node) -> Result<String, Wrong> {
    let text = values::string(node)?;
    match text.strip_prefix("unix:/") {
        Some(_) => Ok(text),
        None => Err(Wrong::new(format!("{text:?} is not a unix socket"), "write \"unix:/run/vestibule/admin.sock\"")),
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
