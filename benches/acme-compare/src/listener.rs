//! Where the CA looks: a TLS listener that answers TLS-ALPN-01 (RFC 8737) and nothing else.
//!
//! Both clients have the same one. What it shows is the client's own resolver's business.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::ResolvesServerCert;
use tokio_rustls::TlsAcceptor;

/// A socket on a port of its own choice.
pub fn bind() -> TcpListener {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.set_nonblocking(true).expect("a socket");
    socket
}

/// Answers what arrives at `socket`. Never returns.
pub async fn serve(socket: &TcpListener, resolver: Arc<dyn ResolvesServerCert>) {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols.push(b"acme-tls/1".to_vec());
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let socket = socket.try_clone().expect("a socket");
    let socket = tokio::net::TcpListener::from_std(socket).expect("inside a runtime");
    loop {
        let Ok((stream, _)) = socket.accept().await else { continue };
        let acceptor = acceptor.clone();
        // A handshake that fails is one that the CA counts.
        tokio::task::spawn_local(async move { drop(acceptor.accept(stream).await) });
    }
}
