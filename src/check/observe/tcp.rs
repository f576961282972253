//! TCP connections of the check: all of them are made here, where the guard stands.

use super::tls::{Stage, Trouble};
use crate::check::network::Network;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Connects to `address`, if `network` lets it.
pub(super) async fn connect(network: &Network, address: SocketAddr) -> Result<TcpStream, Trouble> {
    if let Some(range) = network.refuses(address.ip()) {
        return Err(Trouble::Guarded(format!("{} is {range}", address.ip())));
    }
    let limit = network.limits.connect;
    match timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(trouble(&error)),
        Err(_) => Err(Trouble::Timeout(Stage::Connect, limit)),
    }
}

fn trouble(error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => Trouble::NoRoute(error.to_string()),
        io::ErrorKind::ConnectionRefused => Trouble::Connect("connection refused".to_owned()),
        _ => Trouble::Connect(error.to_string()),
    }
}
