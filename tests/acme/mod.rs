//! Certificates ordered from a real ACME server, on the ports of the real ones, in a sandbox of each test's own.

mod binding;
mod clocks;
mod commands;
mod dns;
mod failover;
mod faulty;
mod faulty_server;
mod flaws;
mod habits;
mod import;
mod interrupted;
mod issue;
mod lab;
mod lives;
mod newer;
mod preflight;
mod refusals;
mod replacing;
mod restart;
mod standing_in;
mod suggestions;
mod trouble;
mod unreachable;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::openssl::Handshake;
use crate::support::pebble::{Pebble, Settings};
use crate::support::vestibule::{Vestibule, quoted};

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

const HOSTS: [(IpAddr, &str); 2] = [(ADDRESS, NAMES[0]), (ADDRESS, NAMES[1])];

/// The names of the one homeserver in most of these tests.
const NAMES: [&str; 2] = ["a.test", "matrix.a.test"];

/// Seconds are usual. Every test is over long before; a hanging one must not hang the others.
const LIMIT: Duration = Duration::from_secs(120);

const CERTIFICATE: Duration = Duration::from_secs(60);

/// For a line of a log that needs nothing from outside.
const SOON: Duration = Duration::from_secs(15);

/// Nobody listens there in a sandbox.
const CLOSED: u16 = 1;

/// A CA, and a state folder for the vestibules that come and go in front of it.
struct Scene {
    pebble: Pebble,
    folder: TempDir,
}

impl Scene {
    #[track_caller]
    fn new(pebble: Settings) -> Self {
        Self { pebble: pebble.start(), folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn certificate_file(&self) -> PathBuf {
        self.state().join("certificates/a.test.pem")
    }

    /// Starts a vestibule that knows these challenge types; the certificate may come later.
    #[track_caller]
    fn vestibule(&self, challenges: &[&str]) -> Vestibule {
        self.vestibule_for(
            challenges,
            &format!("[[server]]\nserver_name = {:?}\npublic_host = {:?}", NAMES[0], NAMES[1]),
        )
    }

    /// The same for other names.
    #[track_caller]
    fn vestibule_for(&self, challenges: &[&str], names: &str) -> Vestibule {
        let acme = format!(
            "directory = {:?}\nca_file = {}\nchallenges = {challenges:?}",
            self.pebble.directory(),
            quoted(&self.pebble.endpoint_root())
        );
        Vestibule::start(&config(&self.state(), &acme, names))
    }

    /// Starts one, waits for its certificate and ends it: what is left is what a restart finds.
    #[track_caller]
    fn issue_once(&self, challenges: &[&str]) {
        let vestibule = self.vestibule(challenges);
        vestibule.wait_for_certificate(NAMES[0], CERTIFICATE);
        stop(vestibule);
    }

    /// What has happened at the CA so far.
    fn count(&mut self) -> Count {
        Count {
            accounts: self.logged(" accounts in memory"),
            orders: self.logged("Added order "),
            issued: self.logged("Issued certificate "),
        }
    }

    /// How many challenges were announced so far. Exact only while an account has no valid authorisation: asked never
    /// to reuse one, Pebble still does so in one of a hundred cases.
    fn announced(&mut self) -> usize {
        self.logged("POST /chalZ/ ")
    }

    fn logged(&mut self, what: &str) -> usize {
        self.pebble.process().lines().iter().filter(|line| line.contains(what)).count()
    }

    /// The https listener shows `name` a certificate for exactly `names` that leads to this CA's root.
    #[track_caller]
    fn assert_served(&self, name: &str, names: &[&str]) {
        let root = self.pebble.save_issuing_root(self.folder.path());
        let outcome = handshake(name).trust(&root).arguments(["-verify_hostname", name]).perform();
        assert!(outcome.is_verified(), "{name}: {}", outcome.text);
        assert_eq!(outcome.names(), names);
    }
}

/// Requests that Pebble received, and what came of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    accounts: usize,
    orders: usize,
    issued: usize,
}

/// All at the first try.
const ONE_ORDER: Count = Count { accounts: 1, orders: 1, issued: 1 };

fn handshake(name: &str) -> Handshake {
    Handshake::with(SocketAddr::new(ADDRESS, 443)).name(name)
}

#[track_caller]
fn stop(vestibule: Vestibule) {
    let status = vestibule.terminate(SOON);
    assert!(status.success(), "vestibule ended with {status}");
}

/// A whole configuration on the ports that CAs look at.
fn config(state: &Path, acme: &str, names: &str) -> String {
    format!(
        r#"
        state_dir = {state}
        [listen]
        https = ["{ADDRESS}:443"]
        federation = ["{ADDRESS}:8448"]
        http = ["{ADDRESS}:80"]
        status = "off"
        [acme]
        {acme}
        [check]
        network = "private"
        {names}
        "#,
        state = quoted(state),
    )
}

/// The value of `key=` in a log line, up to the next blank.
#[track_caller]
fn field<'a>(line: &'a str, key: &str) -> &'a str {
    let value = line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {key} in {line:?}"))
}
