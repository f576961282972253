//! Pebble: Let's Encrypt's own test CA, with its bad habits to choose from.
//!
//! Pebble resolves names as the machine does, so names that exist nowhere need either a sandbox, whose hosts file is
//! the test's own, or a name server.
//!
//! There are two of it: the one of Debian stable, which every test may use, and a newer one below `target/peers`, which
//! knows renewal information, profiles and `alreadyReplaced`. `tests/peers/setup.sh` fetches that one. Where the
//! machine's mirror has none, setup.sh leaves the reason, and [`Pebble::newer`] prints it and gives nothing; where there
//! is neither, it fails.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::ca::{Issued, TestCa};
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
    /// The program.
    program: PathBuf,
    is_newer: bool,
    profiles: Vec<(String, Duration)>,
    external_accounts: Vec<(String, String)>,
    external_account_required: bool,
    chain_length: u8,
    alternate_roots: u8,
    authorization_reuse: u8,
    retry_after: Option<(u32, u32)>,
    key_algorithm: Option<KeyAlgorithm>,
}

/// What the keys of the issuing CA are.
#[derive(Clone, Copy, Debug)]
pub enum KeyAlgorithm {
    Ecdsa,
    Rsa,
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

    /// The profiles on offer, with the lifetimes of their certificates. Left alone, the newer one has a single
    /// `default`: an order that asks for none gets any of them, at random.
    #[track_caller]
    pub fn profiles(mut self, profiles: &[(&str, Duration)]) -> Self {
        self.must_be_newer();
        self.profiles = profiles.iter().map(|(name, validity)| ((*name).to_owned(), *validity)).collect();
        self
    }

    /// An external account: its key identifier and MAC key in base64url.
    pub fn external_account(mut self, kid: &str, mac_key: &str) -> Self {
        self.external_accounts.push((kid.to_owned(), mac_key.to_owned()));
        self
    }

    /// Makes no account that is not bound to an external one.
    pub fn external_account_required(mut self) -> Self {
        self.external_account_required = true;
        self
    }

    /// How many certificates are sent behind the leaf, none of them the root; one if not set. Let's Encrypt sends three.
    pub fn chain_length(mut self, count: u8) -> Self {
        self.chain_length = count;
        self
    }

    /// Offers so many other chains, each to a root of its own.
    pub fn alternate_roots(mut self, count: u8) -> Self {
        self.alternate_roots = count;
        self
    }

    /// How many of a hundred new orders are given valid authorisations of earlier ones. Pebble draws a number from 0 to
    /// 99 and compares it with `<=`, so 0 still is one of a hundred.
    pub fn authorization_reuse(mut self, percent: u8) -> Self {
        self.authorization_reuse = percent;
        self
    }

    /// `Retry-After` in seconds: with unfinished authorisations, and with unfinished orders.
    #[track_caller]
    pub fn retry_after(mut self, authorization: u32, order: u32) -> Self {
        self.must_be_newer();
        self.retry_after = Some((authorization, order));
        self
    }

    /// What the keys of the issuing CA are.
    #[track_caller]
    pub fn key_algorithm(mut self, algorithm: KeyAlgorithm) -> Self {
        self.must_be_newer();
        self.key_algorithm = Some(algorithm);
        self
    }

    #[track_caller]
    fn must_be_newer(&self) {
        assert!(self.is_newer, "this Pebble would ignore it; begin with Pebble::newer()");
    }

    fn config(&self, endpoint: &Issued, listen: SocketAddr, management: SocketAddr) -> Value {
        let keys = self.external_accounts.iter().map(|(kid, key)| (kid.clone(), json!(key)));
        let mut pebble = json!({
            "listenAddress": listen,
            "managementListenAddress": management,
            "certificate": endpoint.chain,
            "privateKey": endpoint.key,
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": self.external_account_required,
            "externalAccountMACKeys": Value::Object(keys.collect()),
        });
        if self.is_newer {
            let default = [("default".to_owned(), self.validity)];
            let profiles = if self.profiles.is_empty() { &default[..] } else { &self.profiles };
            let profiles = profiles.iter().map(|(name, validity)| {
                (name.clone(), json!({"description": name, "validityPeriod": validity.as_secs()}))
            });
            pebble["profiles"] = Value::Object(profiles.collect());
        } else {
            pebble["certificateValidityPeriod"] = json!(self.validity.as_secs());
        }
        if let Some((authorization, order)) = self.retry_after {
            pebble["retryAfter"] = json!({"authz": authorization, "order": order});
        }
        match self.key_algorithm {
            None => {}
            Some(KeyAlgorithm::Ecdsa) => pebble["keyAlgorithm"] = json!("ecdsa"),
            Some(KeyAlgorithm::Rsa) => pebble["keyAlgorithm"] = json!("rsa"),
        }
        json!({"pebble": pebble})
    }

    /// Starts Pebble and waits until it answers.
    #[track_caller]
    pub fn start(self) -> Pebble {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let endpoint = TestCa::new(folder.path()).issue(&["127.0.0.1", "localhost"]);
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let management = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let config = self.config(&endpoint, listen, management);
        let config_file = folder.path().join("pebble.json");
        fs::write(&config_file, config.to_string()).expect("a writable folder");

        let mut command = Command::new(&self.program);
        command.arg("-strict").arg("-config").arg(&config_file);
        // Whatever the user's environment says: a CA that believes everything proves nothing.
        command.env_remove("PEBBLE_VA_ALWAYS_VALID").env_remove("PEBBLE_VA_NOSLEEP");
        command.env("PEBBLE_WFE_NONCEREJECT", self.nonce_reject.to_string());
        // Left alone, Pebble reuses every other authorisation, which makes two runs of one test differ.
        command.env("PEBBLE_AUTHZREUSE", self.authorization_reuse.to_string());
        command.env("PEBBLE_CHAIN_LENGTH", self.chain_length.to_string());
        command.env("PEBBLE_ALTERNATE_ROOTS", self.alternate_roots.to_string());
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
            program: "pebble".into(),
            is_newer: false,
            profiles: Vec::new(),
            external_accounts: Vec::new(),
            external_account_required: false,
            chain_length: 1,
            alternate_roots: 0,
            authorization_reuse: 0,
            retry_after: None,
            key_algorithm: None,
        }
    }

    /// The same from the newer Pebble, or nothing where there is none to be had; then it has printed why, and the test
    /// that asked has nothing to test. It fails where there ought to be one.
    #[track_caller]
    pub fn newer() -> Option<Settings> {
        // A package in a folder of this one includes this file too.
        let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let root = folders.find(|folder| folder.join("tests/peers").is_dir()).expect("it lies in the repository");
        let folder = root.join("target/peers/pebble-next");
        let program = folder.join("usr/bin/pebble");
        if program.exists() {
            return Some(Settings { program, is_newer: true, ..Self::settings() });
        }
        match fs::read_to_string(folder.join("missing")) {
            Ok(reason) => {
                println!("GAP: not tested, for want of a newer Pebble: {}", reason.trim());
                None
            }
            Err(_) => panic!("{} is missing: run tests/peers/setup.sh", program.display()),
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
        let file = folder.join("issuing-root.pem");
        fs::write(&file, self.issuing_root(0)).expect("a writable folder");
        file
    }

    /// The root of the chain that is sent (0), or of an alternate one, as PEM.
    #[track_caller]
    pub fn issuing_root(&self, number: u8) -> String {
        let url = format!("https://{}/roots/{number}", self.management);
        Curl::new().trust(&self.endpoint_root()).send(&url).expect_status(200).text()
    }

    /// What is told from now on about when to renew this certificate: any text, good or bad. The newer Pebble only.
    #[track_caller]
    pub fn set_renewal_info(&self, certificate: &str, body: &str) {
        let url = format!("https://{}/set-renewal-info/", self.management);
        let order = json!({"Certificate": certificate, "ARIResponse": body});
        Curl::new().trust(&self.endpoint_root()).json(&order).send(&url).expect_status(200);
    }

    /// The process, for what it logs and for ending it early.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
