//! Synapse, the reference homeserver, from the environment that `tests/peers/setup.sh` makes.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::ports;
use super::process::{Process, Signal};
use super::python;

/// A cold start loads some thousand Python files.
const START: Duration = Duration::from_secs(60);

/// Lets an operator's tool register users; the server listens on loopback only.
const REGISTRATION_SECRET: &str = "not a secret: loopback only";

/// A homeserver on plain HTTP, as it stands behind a proxy.
pub struct Synapse {
    process: Process,
    folder: TempDir,
    address: SocketAddr,
    server_name: String,
}

impl Synapse {
    /// Starts a homeserver named `server_name` that trusts the roots in `federation_roots` when it calls others.
    #[track_caller]
    pub fn start(server_name: &str, federation_roots: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        write_signing_key(folder.path());
        // JSON is YAML, and has one way to quote.
        let config = config(server_name, folder.path(), address, federation_roots);
        fs::write(folder.path().join("homeserver.yaml"), config.to_string()).expect("a writable folder");

        let mut process = spawn(server_name, folder.path());
        process.wait_until_listening(address, START);
        Self { process, folder, address, server_name: server_name.to_owned() }
    }

    /// Ends it with this signal and waits until it is gone.
    #[track_caller]
    pub fn stop(&mut self, signal: Signal) {
        self.process.signal(signal);
        self.process.wait(START);
    }

    /// Starts it again where it was, with all that it has stored, and waits until it listens.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.process = spawn(&self.server_name, self.folder.path());
        self.process.wait_until_listening(self.address, START);
    }

    /// The servers that it does not talk to for a while because they failed it.
    #[track_caller]
    pub fn servers_given_up(&self) -> Vec<String> {
        const ASK: &str = "import sqlite3
for row in sqlite3.connect('file:synapse.db?mode=ro', uri=True).execute(
        'select destination, retry_last_ts, retry_interval from destinations where retry_interval > 0'):
    print(*row)";
        let output = Command::new(python::program("python")).args(["-c", ASK]).current_dir(self.folder.path()).output();
        let output = output.expect("Python is there");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// What goes into `homeserver = …`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The file with its signing key.
    pub fn signing_key(&self) -> PathBuf {
        self.folder.path().join("signing.key")
    }

    /// Where it listens, in plain HTTP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes an ordinary user with Synapse's own tool.
    #[track_caller]
    pub fn register(&self, user: &str, password: &str) {
        let output = Command::new(python::program("register_new_matrix_user"))
            .args(["-u", user, "-p", password, "--no-admin", "-c", "homeserver.yaml"])
            .arg(self.url())
            .current_dir(self.folder.path())
            .output()
            .expect("the tool comes with Synapse");
        assert!(output.status.success(), "{user} is not registered: {output:?}");
    }

    /// The process, for what it logs and for taking it down.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn spawn(server_name: &str, folder: &Path) -> Process {
    let mut command = Command::new(python::program("python"));
    command.args(["-m", "synapse.app.homeserver", "-c", "homeserver.yaml"]).current_dir(folder);
    Process::spawn(format!("synapse {server_name}"), &mut command)
}

fn config(server_name: &str, folder: &Path, address: SocketAddr, federation_roots: &Path) -> serde_json::Value {
    let unlimited = json!({ "per_second": 1000, "burst_count": 1000 });
    json!({
        "server_name": server_name,
        "public_baseurl": format!("https://{server_name}/"),
        "report_stats": false,
        "pid_file": folder.join("synapse.pid"),
        "media_store_path": folder.join("media"),
        "signing_key_path": folder.join("signing.key"),
        "database": { "name": "sqlite3", "args": { "database": folder.join("synapse.db") } },
        "listeners": [{
            "type": "http",
            "port": address.port(),
            "bind_addresses": [address.ip()],
            "tls": false,
            "x_forwarded": true,
            "resources": [{ "names": ["client", "federation"] }],
        }],
        "registration_shared_secret": REGISTRATION_SECRET,
        // The proxy in front answers these.
        "serve_server_wellknown": false,
        // Peers are on loopback, which is forbidden ground by default.
        "ip_range_blacklist": [],
        "federation_custom_ca_list": [federation_roots],
        "trusted_key_servers": [],
        // One lost request must not silence a peer for ten minutes of a test.
        "federation": { "destination_min_retry_interval": "1s", "destination_max_retry_interval": "5s" },
        "rc_message": unlimited,
        "rc_registration": unlimited,
        "rc_login": { "address": unlimited, "account": unlimited, "failed_attempts": unlimited },
        "rc_joins": { "local": unlimited, "remote": unlimited },
        "rc_invites": { "per_room": unlimited, "per_user": unlimited, "per_issuer": unlimited },
        "rc_federation": { "window_size": 1000, "sleep_limit": 1000, "reject_limit": 1000, "concurrent": 100 },
        "max_upload_size": "50M",
    })
}

/// A fresh key in the one-line form Synapse reads, which spares a start of Synapse to make it.
fn write_signing_key(folder: &Path) {
    use base64::Engine as _;
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed).expect("randomness");
    let seed = base64::engine::general_purpose::STANDARD_NO_PAD.encode(seed);
    fs::write(folder.join("signing.key"), format!("ed25519 a_test {seed}\n")).expect("a writable folder");
}
