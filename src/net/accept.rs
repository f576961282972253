//! Accepting connections.

use super::connections::{Connections, Slot};
use super::listen::{Listener, Role};
use crate::drain::Watch;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// How long to pause when the process or the machine is out of descriptors or memory: the
/// connection stays queued, and trying again at once would spin.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// A connection as it was accepted.
#[derive(Debug)]
pub struct Accepted {
    /// The stream.
    pub stream: TcpStream,
    /// The other end, an IPv4 address even where it came over a dual-stack socket.
    pub peer: SocketAddr,
    /// The listener it came by.
    pub role: Role,
    /// Its place among all connections.
    pub slot: Slot,
}

/// One worker's handle on a shared listener.
#[derive(Debug)]
pub struct Acceptor {
    socket: TcpListener,
    role: Role,
    connections: Arc<Connections>,
}

impl Acceptor {
    /// Duplicates `listener`. Must run on the worker's runtime.
    pub fn new(listener: &Listener, connections: Arc<Connections>) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::from_std(listener.socket.try_clone()?)?, role: listener.role, connections })
    }

    /// Hands every connection to `serve` until draining begins. Tokio's budget bounds how many are
    /// taken in one turn.
    pub async fn run(self, mut drain: Watch, mut serve: impl FnMut(Accepted)) {
        loop {
            tokio::select! {
                biased;
                () = drain.started() => return,
                accepted = self.next() => match accepted {
                    Ok((stream, peer)) => {
                        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                        serve(Accepted { stream, peer, role: self.role, slot: self.connections.open() });
                    }
                    Err(error) if is_peers_fault(&error) => {}
                    Err(error) => {
                        if let Some(times) = self.connections.exhausted.due(Instant::now()) {
                            tracing::warn!(listener = %self.role, %error, times, "cannot accept connections");
                        }
                        tokio::time::sleep(EXHAUSTED_PAUSE).await;
                    }
                },
            }
        }
    }

    /// The next connection once there is room for one; until then it stays queued.
    async fn next(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.connections.room().await;
        self.socket.accept().await
    }
}

/// The peer gave up between its handshake and our accept.
fn is_peers_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
