//! The handshake and what it lets through, seen by clients that share no code with the product: `openssl s_client`,
//! curl, sslyze; rustls as a client only where OpenSSL is too old.

mod groups;
mod names;
mod protocols;
mod resumption;
mod scan;
mod suites;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::curl::Curl;
use crate::support::openssl::Handshake;
use crate::support::openssl_ca::{KeyKind, OpensslCa};
use crate::support::vestibule::{Vestibule, command, quoted};

/// Answered from memory, so that no homeserver is needed.
const DOCUMENT: &str = "/.well-known/matrix/server";

/// `unrecognized_name` (RFC 6066 §3).
const UNRECOGNIZED_NAME: u8 = 112;

/// vestibule for two homeservers that are not there: `one.test` with `matrix.one.test`, and `two.test`.
struct Front {
    vestibule: Vestibule,
    root: PathBuf,
    _folder: TempDir,
}

impl Front {
    /// With certificates of the internal CA.
    #[track_caller]
    fn internal() -> Self {
        Self::internal_with("", "")
    }

    /// The same with more keys in `[tls]`, and more tables.
    #[track_caller]
    fn internal_with(tls: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let vestibule = Vestibule::start(&config(&folder, &format!("issuer = \"internal\"\n{tls}"), more));
        let printed = command(["certs", "root", "--config"]).arg(vestibule.config_file()).output();
        let printed = printed.expect("the program starts");
        assert!(printed.status.success(), "{printed:?}");
        let root = folder.path().join("printed-root.pem");
        fs::write(&root, printed.stdout).expect("a writable folder");
        Self { vestibule, root, _folder: folder }
    }

    /// With an RSA certificate for `one.test` from the operator's files, and none for `two.test`.
    #[track_caller]
    fn rsa() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ca = OpensslCa::new(folder.path());
        let leaf = ca.issue(&["one.test", "matrix.one.test"], KeyKind::Rsa2048);
        let chain = ca.concatenate("chain.pem", &[&leaf.certificate, &ca.intermediate()]);
        let files = format!("[[tls.certificates]]\nchain = {}\nkey = {}", quoted(&chain), quoted(&leaf.key));
        let vestibule = Vestibule::start(&config(&folder, "issuer = \"files\"", &files));
        Self { vestibule, root: ca.root(), _folder: folder }
    }

    fn https(&self) -> SocketAddr {
        self.vestibule.address("https")
    }

    /// A handshake with the https listener for `one.test`.
    fn handshake(&self) -> Handshake {
        Handshake::with(self.https()).name("one.test")
    }

    /// A request to the https listener for `name`, wherever that is.
    fn curl(&self, name: &str) -> Curl {
        Curl::new().trust(&self.root).connect_to(name, self.https()).limit(Duration::from_secs(10))
    }
}

/// A whole configuration with these keys in `[tls]`, and more tables.
fn config(folder: &TempDir, tls: &str, more: &str) -> String {
    format!(
        r#"
        state_dir = {state}
        [listen]
        https = ["127.0.0.1:0"]
        federation = ["127.0.0.1:0"]
        http = ["127.0.0.1:0"]
        status = "off"
        [check]
        network = "private"
        [[server]]
        server_name = "one.test"
        public_host = "matrix.one.test"
        homeserver = "http://127.0.0.1:9"
        [[server]]
        server_name = "two.test"
        homeserver = "http://127.0.0.1:9"
        [tls]
        {tls}
        {more}
        "#,
        state = quoted(&folder.path().join("state")),
    )
}
