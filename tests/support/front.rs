//! A vestibule with a CA of its own, listening on loopback, in front of whatever a test puts behind it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::curl::Curl;
use super::origin::Origin;
use super::raw_client::RawClient;
use super::vestibule::{Vestibule, command};

/// The homeserver's name. It exists nowhere (RFC 6761), so the self-check at the start asks nobody.
pub const NAME: &str = "hs.invalid";

/// The host that delegation points to.
pub const PUBLIC: &str = "matrix.hs.invalid";

/// Enough for anything that happens at once, on a busy machine too.
pub const SOON: Duration = Duration::from_secs(10);

/// A running front, and the root that its certificates lead to.
pub struct Front {
    vestibule: Vestibule,
    folder: TempDir,
}

impl Front {
    /// Free ports, and certificates without any CA outside. Dotted, so that a test's own keys and tables may follow.
    pub const LOOPBACK: &'static str = concat!(
        "listen.https = [\"127.0.0.1:0\"]\nlisten.federation = [\"127.0.0.1:0\"]\nlisten.http = [\"127.0.0.1:0\"]\n",
        "listen.status = \"off\"\ntls.issuer = \"internal\"\ncheck.network = \"private\"\n",
    );

    /// In front of `origin`, with defaults.
    #[track_caller]
    pub fn before(origin: &Origin) -> Self {
        Self::with(origin, "")
    }

    /// In front of `origin`, with the tables in `more`.
    #[track_caller]
    pub fn with(origin: &Origin, more: &str) -> Self {
        Self::at(&origin.url(), more)
    }

    /// In front of whatever answers at `homeserver`, with the tables in `more`.
    #[track_caller]
    pub fn at(homeserver: &str, more: &str) -> Self {
        Self::start(&format!(
            "server_name = \"{NAME}\"\npublic_host = \"{PUBLIC}\"\nhomeserver = \"{homeserver}\"\n{more}"
        ))
    }

    /// With this configuration; listeners and issuer are added to it.
    #[track_caller]
    pub fn start(config: &str) -> Self {
        Self::of(Vestibule::start(&format!("{}{config}", Self::LOOPBACK)))
    }

    /// The same with at most so many open files.
    #[track_caller]
    pub fn start_with_open_files(most: u32, config: &str) -> Self {
        Self::of(Vestibule::start_with_open_files(most, &format!("{}{config}", Self::LOOPBACK)))
    }

    #[track_caller]
    fn of(vestibule: Vestibule) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let printed = command(["certs", "root", "--config"]).arg(vestibule.config_file()).output();
        let printed = printed.expect("the program starts");
        assert!(printed.status.success(), "{printed:?}");
        fs::write(folder.path().join("root.pem"), printed.stdout).expect("a writable folder");
        Self { vestibule, folder }
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// A folder for files of the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn https(&self) -> SocketAddr {
        self.vestibule.address("https")
    }

    pub fn federation(&self) -> SocketAddr {
        self.vestibule.address("federation")
    }

    pub fn http(&self) -> SocketAddr {
        self.vestibule.address("http")
    }

    /// A request that ends at the https listener, whatever its URL says.
    pub fn curl(&self) -> Curl {
        self.curl_to(self.https())
    }

    /// A request that ends at `address`.
    pub fn curl_to(&self, address: SocketAddr) -> Curl {
        Curl::new().trust(&self.root()).connect_everything_to(address)
    }

    /// A connection to the https listener for the homeserver's name.
    #[track_caller]
    pub fn raw(&self) -> RawClient {
        RawClient::tls(self.https(), NAME, &self.root())
    }

    /// The program, for its log and for signals.
    pub fn vestibule(&mut self) -> &mut Vestibule {
        &mut self.vestibule
    }
}

/// The start of a request for the homeserver's name.
pub fn head(method: &str, target: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: {NAME}\r\n")
}

/// A whole request without a body.
pub fn get(target: &str) -> String {
    format!("{}\r\n", head("GET", target))
}

/// A URL of the homeserver.
pub fn url(target: &str) -> String {
    format!("https://{NAME}{target}")
}
