//! Listening sockets: bound once, owned by the process, shared with workers by duplication.
//!
//! No SO_REUSEPORT: closing such a socket resets the connections queued on it, and a second
//! process could bind the port unnoticed. IPV6_V6ONLY is always set explicitly, because its
//! default is a setting of the machine.

use super::owner;
use crate::config::Addresses;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

/// Connections that may wait to be accepted. The kernel caps it at net.core.somaxconn, 4096 on
/// current systems.
const BACKLOG: i32 = 4096;

/// A silent connection is probed after two minutes and then every 30 seconds; the kernel gives it up
/// after nine probes, so after six and a half minutes in all.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(120);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// TLS, clients and delegated federation.
    Https,
    /// TLS, peers without delegation.
    Federation,
    /// Plain text: challenges and the redirect.
    Http,
    /// Plain text, for the operator. Served by the control plane.
    Status,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Https => "https",
            Self::Federation => "federation",
            Self::Http => "http",
            Self::Status => "status",
        })
    }
}

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    /// What it is for.
    pub role: Role,
    /// Where it is bound; the port is never 0.
    pub address: SocketAddr,
    /// The socket, non-blocking.
    pub socket: TcpListener,
}

/// A socket that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("listen.{role} cannot take {address}: {reason}{remedy}")]
pub struct BindError {
    role: Role,
    address: SocketAddr,
    reason: io::Error,
    remedy: String,
}

/// Binds every address of a role.
pub fn bind_all(role: Role, addresses: &Addresses) -> Result<Vec<Listener>, BindError> {
    let bound = addresses.addresses.iter().map(|address| match bind(role, *address) {
        Err(error) if addresses.by_default && no_ipv6(&error.reason) && address.ip().is_unspecified() => {
            tracing::info!(listener = %role, "this machine has no IPv6, listening on IPv4 only");
            bind(role, SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()))
        }
        other => other,
    });
    bound.collect()
}

fn bind(role: Role, address: SocketAddr) -> Result<Listener, BindError> {
    let opened = open(address).and_then(|socket| Ok((socket.local_addr()?, socket)));
    match opened {
        Ok((bound, socket)) => Ok(Listener { role, address: bound, socket }),
        Err(reason) => Err(BindError { role, address, remedy: remedy(&reason, address), reason }),
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the last process's connections to leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    if let SocketAddr::V6(v6) = address {
        // "[::]" is both families; a specific address is itself.
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }
    // Accepted sockets inherit it: small answers must not wait for an acknowledgement.
    socket.set_tcp_nodelay(true)?;
    // So is this: a peer that vanished without a word (a phone that left its network) is found out.
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL))?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn no_ipv6(error: &io::Error) -> bool {
    // EAFNOSUPPORT without the protocol, EADDRNOTAVAIL with it disabled by sysctl.
    const EAFNOSUPPORT: i32 = 97;
    error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn remedy(error: &io::Error, address: SocketAddr) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => match owner::of_port(address) {
            Some(owner) if owner.id == std::process::id() => {
                "; another of the configured listeners has it (\"[::]\" is IPv4 too): write each port once".to_owned()
            }
            Some(owner) => format!("; it is held by {owner}: stop that program, or listen elsewhere"),
            None => "; another program holds it: see ss -ltnp, stop that program, or listen elsewhere".to_owned(),
        },
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need the capability: AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address".to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Addresses {
        Addresses { addresses: list.iter().map(|text| text.parse().unwrap()).collect(), by_default: false }
    }

    #[test]
    fn port_0_is_resolved_and_a_port_taken_twice_is_told() {
        let first = bind_all(Role::Https, &addresses(&["127.0.0.1:0"])).unwrap().remove(0);
        assert_ne!(first.address.port(), 0);
        let error = bind_all(Role::Federation, &addresses(&[&first.address.to_string()])).unwrap_err().to_string();
        assert!(error.starts_with("listen.federation cannot take 127.0.0.1:"), "{error}");
        assert!(error.contains("another of the configured listeners"), "{error}");
    }

    #[test]
    fn the_unspecified_ipv6_address_takes_both_families() {
        let Ok(mut both) = bind_all(Role::Http, &addresses(&["[::]:0"])) else {
            return; // a machine without IPv6 has nothing to show here
        };
        let listener = both.remove(0);
        let client = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, listener.address.port())).unwrap();
        listener.socket.set_nonblocking(false).unwrap();
        let (_, peer) = listener.socket.accept().unwrap();
        assert_eq!(peer.ip().to_canonical(), client.local_addr().unwrap().ip());
    }
}
