//! The TLS terminator: ClientHello first, then the certificate, then the handshake.

mod acceptor;
mod config;

pub use acceptor::{Handshake, HandshakeError, ProvenName, TlsStream, handshake};
pub use config::{Tickets, TlsTable};
