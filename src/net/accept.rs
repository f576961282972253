//! Accepting connections.

use super::listen::{Listener, Role};
use crate::drain::Watch;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

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
}

/// One worker's handle on a shared listener.
#[derive(Debug)]
pub struct Acceptor {
    socket: TcpListener,
    role: Role,
}

impl Acceptor {
    /// Duplicates `listener`. Must run on the worker's runtime.
    pub fn new(listener: &Listener) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::from_std(listener.socket.try_clone()?)?, role: listener.role })
    }

    /// Hands every connection to `serve` until draining begins. Tokio's budget bounds how many are
    /// taken in one turn.
    pub async fn run(self, mut drain: Watch, mut serve: impl FnMut(Accepted)) {
        loop {
            tokio::select! {
                biased;
                () = drain.started() => return,
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                        serve(Accepted { stream, peer, role: self.role });
                    }
                    Err(error) if is_peers_fault(&error) => {}
                    Err(error) => {
                        tracing::warn!(listener = %self.role, %error, "cannot accept connections");
                        tokio::time::sleep(EXHAUSTED_PAUSE).await;
                    }
                },
            }
        }
    }
}

/// The peer gave up between its handshake and our accept.
fn is_peers_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
