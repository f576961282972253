//! Key exchange: post-quantum where the client can, which Debian's OpenSSL cannot, so rustls is the client.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, NamedGroup, RootCertStore};

use super::Front;

/// Shakes hands with these groups, in this order of preference, and returns the agreed one.
#[track_caller]
fn agree(front: &Front, groups: Vec<&'static dyn SupportedKxGroup>) -> NamedGroup {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&front.root).expect("a root")).expect("a usable root");
    let provider = CryptoProvider { kx_groups: groups, ..aws_lc_rs::default_provider() };
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("both versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("one.test").expect("a name");
    let mut connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut stream = TcpStream::connect(front.https()).expect("vestibule accepts");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).expect("a handshake");
    }
    connection.negotiated_key_exchange_group().expect("a finished handshake has a group").name()
}

#[test]
fn a_client_that_knows_only_the_hybrid_group_is_served() {
    let front = Front::internal();
    assert_eq!(agree(&front, vec![aws_lc_rs::kx_group::X25519MLKEM768]), NamedGroup::X25519MLKEM768);
}

#[test]
fn a_current_client_gets_the_hybrid_group() {
    let front = Front::internal();
    assert_eq!(agree(&front, aws_lc_rs::default_provider().kx_groups), NamedGroup::X25519MLKEM768);
}

#[test]
fn older_clients_get_what_they_know() {
    use aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519};
    let front = Front::internal();
    assert_eq!(agree(&front, vec![X25519, SECP256R1]), NamedGroup::X25519);
    assert_eq!(agree(&front, vec![SECP256R1]), NamedGroup::secp256r1);
    assert_eq!(agree(&front, vec![SECP384R1]), NamedGroup::secp384r1);
}
