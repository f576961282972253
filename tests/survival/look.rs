//! Looking: at what is shown in a handshake, and at what lies in a folder.

use std::fs;
use std::io;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{HTTPS, NAMES};

/// A client that trusts one root. It is faster than a program to start, and a moment is what counts here.
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    #[track_caller]
    pub fn new(root: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root.as_bytes()).expect("a root")).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("the provider's versions").with_root_certificates(roots).with_no_client_auth();
        Self(Arc::new(config))
    }

    /// The public key in the certificate that is shown, whose chain, names, time and key were verified; `None` when
    /// the server has no certificate for the name. An error when nobody listens.
    #[track_caller]
    pub fn handshake(&self) -> io::Result<Option<Vec<u8>>> {
        let mut stream = TcpStream::connect(HTTPS)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let name = ServerName::try_from(NAMES[1]).expect("a name");
        let mut connection = ClientConnection::new(Arc::clone(&self.0), name).expect("a client");
        if let Err(error) = connection.complete_io(&mut stream) {
            match error.get_ref().and_then(|error| error.downcast_ref()) {
                Some(rustls::Error::AlertReceived(_)) => return Ok(None),
                _ => panic!("a handshake ended with: {error}"),
            }
        }
        let leaf = connection.peer_certificates().and_then(|chain| chain.first()).expect("a leaf");
        let (_, leaf) = X509Certificate::from_der(leaf).expect("a certificate");
        Ok(Some(leaf.public_key().subject_public_key.data.to_vec()))
    }
}

/// Every file below a folder, as a relative path.
#[track_caller]
pub fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    walk(folder, &mut |path, is_folder| {
        if !is_folder {
            found.push(path.strip_prefix(folder).expect("a path below").to_string_lossy().into_owned());
        }
    });
    found.sort();
    found
}

/// Ends the test unless all files are 0600 and all folders 0700.
#[track_caller]
pub fn assert_private(folder: &Path) {
    walk(folder, &mut |path, is_folder| {
        let mode = path.metadata().expect("it is there").permissions().mode() & 0o7777;
        assert_eq!(mode, if is_folder { 0o700 } else { 0o600 }, "{} has mode {mode:o}", path.display());
    });
}

#[track_caller]
fn walk(folder: &Path, visit: &mut dyn FnMut(&Path, bool)) {
    visit(folder, true);
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() { walk(&path, visit) } else { visit(&path, false) }
    }
}
