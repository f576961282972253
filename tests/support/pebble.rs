//! Pebble: Let's Encrypt's own test CA, with its bad habits to choose from.
//!
//! Pebble resolves names as the machine does, so names that exist nowhere need either a sandbox, whose hosts file is
//! the test's own, or a name server.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::ca::TestCa;
use super::curl::Curl;
use super::ports;
use super::process::Process;

/// Let's Encrypt's lifetime today. Clients refuse certificates that live longer than 398 days, and Pebble's own default
/// is five years.
const VALIDITY: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// A running Pebble with an issuing root made at its start.
pub struct Pebble {
    process: Process,
    folder: TempDir,
    listen: SocketAddr,
    management: SocketAddr,
}

/// How Pebble behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    http_port: u16,
    tls_port: u16,
    nonce_reject: u8,
    validation_delay: Option<u8>,
    validity: Duration,
    name_server: Option<SocketAddr>,
}

impl Settings {
    /// Where HTTP-01 and TLS-ALPN-01 are tried, on whatever address the name has.
    pub fn challenge_ports(mut self, http: u16, tls: u16) -> Self {
        (self.http_port, self.tls_port) = (http, tls);
        self
    }

    /// Refuses this share of good nonces, in percent.
    pub fn nonce_reject(mut self, percent: u8) -> Self {
        self.nonce_reject = percent;
        self
    }

    /// Waits up to so many seconds before each validation, which shows clients that post a challenge twice.
    pub fn validation_delay(mut self, seconds: u8) -> Self {
        self.validation_delay = Some(seconds);
        self
    }

    /// How long certificates live.
    pub fn validity(mut self, validity: Duration) -> Self {
        self.validity = validity;
        self
    }

    /// Asks this server for addresses instead of the machine's resolver.
    pub fn name_server(mut self, address: SocketAddr) -> Self {
        self.name_server = Some(address);
        self
    }

    /// Starts Pebble and waits until it answers.
    #[track_caller]
    pub fn start(self) -> Pebble {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let endpoint = TestCa::new(folder.path()).issue(&["127.0.0.1", "localhost"]);
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let management = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let config = json!({ "pebble": {
            "listenAddress": listen,
            "managementListenAddress": management,
            "certificate": endpoint.chain,
            "privateKey": endpoint.key,
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": self.validity.as_secs(),
        }});
        let config_file = folder.path().join("pebble.json");
        fs::write(&config_file, config.to_string()).expect("a writable folder");

        let mut command = Command::new("pebble");
        command.arg("-strict").arg("-config").arg(&config_file);
        // Whatever the user's environment says: a CA that believes everything proves nothing.
        command.env_remove("PEBBLE_VA_ALWAYS_VALID").env_remove("PEBBLE_VA_NOSLEEP");
        command.env("PEBBLE_WFE_NONCEREJECT", self.nonce_reject.to_string());
        // Left alone, Pebble reuses every other authorisation, which makes two runs of one test differ. At 0 it still
        // reuses one of a hundred.
        command.env("PEBBLE_AUTHZREUSE", "0");
        match self.validation_delay {
            Some(seconds) => command.env("PEBBLE_VA_SLEEPTIME", seconds.to_string()),
            None => command.env("PEBBLE_VA_NOSLEEP", "1"),
        };
        if let Some(address) = self.name_server {
            command.arg("-dnsserver").arg(address.to_string());
        }
        let mut process = Process::spawn("pebble", &mut command);
        process.wait_until_listening(listen, Duration::from_secs(10));
        process.wait_until_listening(management, Duration::from_secs(10));
        Pebble { process, folder, listen, management }
    }
}

impl Pebble {
    /// A well-behaved CA that tries challenges on the ports of the real ones.
    pub fn settings() -> Settings {
        Settings {
            http_port: 80,
            tls_port: 443,
            nonce_reject: 0,
            validation_delay: None,
            validity: VALIDITY,
            name_server: None,
        }
    }

    /// The URL that goes into `[acme] directory`.
    pub fn directory(&self) -> String {
        format!("https://{}/dir", self.listen)
    }

    /// The root of the directory's own certificate: what goes into `[acme] ca_file`.
    pub fn endpoint_root(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The root that issued certificates lead to, which is new at every start, written next to `name` in `folder`.
    #[track_caller]
    pub fn save_issuing_root(&self, folder: &Path) -> PathBuf {
        let url = format!("https://{}/roots/0", self.management);
        let pem = Curl::new().trust(&self.endpoint_root()).send(&url).expect_status(200).body;
        let file = folder.join("issuing-root.pem");
        fs::write(&file, pem).expect("a writable folder");
        file
    }

    /// The process, for what it logs and for ending it early.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
