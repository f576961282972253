//! What is ours: addresses of this machine, and the listeners of this process.

use crate::net::admit::contains;
use crate::net::listen::Role;
use crate::net::proxy_protocol::LOCAL_HEADER;
use ipnet::IpNet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// Whether `address` is one of this machine's. An unreadable list of interfaces is one without it.
///
/// Neither of the two ways without a list is right: trying to bind is deceived by the setting
/// `ip_nonlocal_bind`, and the source address of a route by a second address on an interface.
pub fn is_own(address: IpAddr) -> bool {
    let address = address.to_canonical();
    // All of 127.0.0.0/8 is, and the interface has but one of them.
    address.is_loopback()
        || if_addrs::get_if_addrs().is_ok_and(|interfaces| interfaces.iter().any(|interface| interface.ip() == address))
}

/// The listeners of this process.
#[derive(Clone, Debug, Default)]
pub struct OwnListeners {
    /// Where they are bound.
    pub listeners: Vec<(Role, SocketAddr)>,
    /// Networks whose connections must begin with a PROXY protocol header.
    pub proxy_protocol_from: Vec<IpNet>,
}

impl OwnListeners {
    /// Whether a listener of this role has this port, on whatever address.
    pub fn has_port(&self, role: Role, port: u16) -> bool {
        self.listeners.iter().any(|(listener, address)| *listener == role && address.port() == port)
    }

    /// Connects to `address`. A listener of ours that would ask this machine for a PROXY protocol
    /// header gets one that says that nobody stands behind it.
    pub(super) async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(address).await?;
        let source = stream.local_addr()?.ip().to_canonical();
        if contains(&self.proxy_protocol_from, source) && is_own(address.ip()) {
            stream.write_all(&LOCAL_HEADER).await?;
        }
        Ok(stream)
    }
}

/// Where a listener on `bound` is to be found from here: an unspecified address is every one, and
/// loopback is always among them. IPv6 may be off on loopback alone.
pub(super) fn from_here(bound: SocketAddr) -> Vec<SocketAddr> {
    let loopback: &[IpAddr] = match bound.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => &[IpAddr::V4(Ipv4Addr::LOCALHOST)],
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => &[IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)],
        _ => return vec![bound],
    };
    loopback.iter().map(|address| SocketAddr::new(*address, bound.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_ours_and_documentation_is_not() {
        let table = [
            ("127.0.0.1", true),
            ("127.200.3.4", true),
            ("::ffff:127.0.0.1", true),
            ("192.0.2.1", false),
            ("2001:db8::1", false),
            ("0.0.0.0", false),
        ];
        for (address, own) in table {
            assert_eq!(is_own(address.parse().unwrap()), own, "{address}");
        }
        // Whatever this machine speaks from is its own.
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        if socket.connect("192.0.2.1:9").is_ok() {
            assert!(is_own(socket.local_addr().unwrap().ip()));
        }
    }

    #[test]
    fn listeners_are_found_from_here() {
        let table: [(&str, &[&str]); 4] = [
            ("0.0.0.0:443", &["127.0.0.1:443"]),
            ("[::]:443", &["[::1]:443", "127.0.0.1:443"]),
            ("127.0.0.2:80", &["127.0.0.2:80"]),
            ("[2001:db8::1]:80", &["[2001:db8::1]:80"]),
        ];
        for (bound, expected) in table {
            let found: Vec<_> = from_here(bound.parse().unwrap()).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{bound}");
        }
    }
}
