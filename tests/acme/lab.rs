//! A state folder, an admin socket and what one types there, for vestibules that come and go in front of any CAs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;

use super::issue::walk;
use super::{NAMES, config, field, handshake};
use crate::support::eventually::eventually;
use crate::support::faulty_ca::{FaultyCa, Kind, Records};
use crate::support::faulty_server::FaultyServer;
use crate::support::openssl;
use crate::support::process::Signal;
use crate::support::vestibule::{Vestibule, command, quoted};

/// For what takes a few exchanges with a CA in a sandbox whose name server is dead.
pub(super) const PATIENCE: Duration = Duration::from_secs(40);

/// The names of most of these tests.
pub(super) const SERVER: &str = "[[server]]\nserver_name = \"a.test\"\npublic_host = \"matrix.a.test\"";

/// One challenge type, so that a failure is one failure.
pub(super) const HTTP: &str = "challenges = [\"http-01\"]\n";

pub(super) struct Lab {
    folder: TempDir,
    names: String,
}

/// What a command said, and whether it went well.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) good: bool,
    pub(super) text: String,
}

impl Lab {
    pub(super) fn new() -> Self {
        Self::serving(SERVER)
    }

    /// With these tables instead of the usual server's.
    pub(super) fn serving(names: &str) -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder"), names: names.to_owned() }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn state(&self) -> PathBuf {
        self.folder().join("state")
    }

    pub(super) fn certificate_file(&self) -> PathBuf {
        self.state().join("certificates/a.test.pem")
    }

    fn config(&self, acme: &str) -> String {
        let admin = format!("status = \"off\"\nadmin = \"unix:{}\"", self.folder().join("admin.sock").display());
        config(&self.state(), acme, &self.names).replacen("status = \"off\"", &admin, 1)
    }

    /// Starts one with this in `[acme]`.
    #[track_caller]
    pub(super) fn start(&self, acme: &str) -> Vestibule {
        self.write(acme);
        Vestibule::start(&self.config(acme))
    }

    /// What the commands go by.
    fn write(&self, acme: &str) {
        fs::write(self.folder().join("commands.toml"), self.config(acme)).expect("a writable folder");
    }

    /// Types `vestibule certs renew` and these words, for the vestibule that was started last.
    #[track_caller]
    pub(super) fn renew(&self, words: &[&str]) -> Said {
        let mut renew = command(["certs", "renew"]);
        let output = renew.args(words).arg("--config").arg(self.folder().join("commands.toml")).output();
        let output = output.expect("the program starts");
        let text = [output.stdout, output.stderr].concat();
        Said { good: output.status.success(), text: String::from_utf8(text).expect("UTF-8") }
    }

    /// Whoever runs has had its turn, and finds nothing to order.
    #[track_caller]
    pub(super) fn assert_nothing_due(&self) {
        let said = self.renew(&[]);
        assert!(said.good && said.text.contains("not due before"), "{said:?}");
    }

    /// Types the same with nobody running.
    #[track_caller]
    pub(super) fn renew_alone(&self, acme: &str) -> Said {
        self.write(acme);
        self.renew(&[])
    }

    /// Starts one and waits for its certificate.
    #[track_caller]
    pub(super) fn issue(&self, acme: &str) -> Vestibule {
        let vestibule = self.start(acme);
        vestibule.wait_for_certificate(NAMES[0], PATIENCE);
        vestibule
    }

    /// All files of the state folder.
    pub(super) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        walk(&self.state(), &mut |path| {
            if path.is_file() {
                let name = path.strip_prefix(self.state()).expect("inside").to_string_lossy().into_owned();
                files.insert(name, fs::read(path).expect("a readable file"));
            }
        });
        files
    }

    /// The only file whose name contains this, and its content.
    #[track_caller]
    pub(super) fn file(&self, part: &str) -> (PathBuf, String) {
        let files = self.files();
        let found: Vec<_> = files.iter().filter(|(name, _)| name.contains(part)).collect();
        let [(name, content)] = found[..] else { panic!("{part:?}: {:?}", files.keys()) };
        (self.state().join(name), String::from_utf8(content.clone()).expect("UTF-8"))
    }
}

/// What `[acme]` says of one CA of our own.
pub(super) fn asks(server: &FaultyServer) -> String {
    format!("directory = {:?}\nca_file = {}\n", server.directory(), quoted(&server.endpoint_root()))
}

/// A CA that tries HTTP-01 where it ought to.
#[track_caller]
pub(super) fn good_ca() -> FaultyServer {
    FaultyServer::settings(FaultyCa::settings()).start()
}

/// Waits until so many requests of a kind have arrived.
#[track_caller]
pub(super) fn wait_for(server: &FaultyServer, kind: Kind, count: usize) {
    wait_until(server, &format!("{count} of {kind:?}"), |records| records.count(kind) >= count);
}

#[track_caller]
pub(super) fn wait_until(server: &FaultyServer, what: &str, arrived: impl Fn(&Records) -> bool) {
    eventually(what, PATIENCE, || server.ca().with_records(|records| arrived(records).then_some(()).ok_or("not yet")));
}

/// Accounts, orders and certificates so far.
pub(super) fn made(server: &FaultyServer) -> (usize, usize, usize) {
    server.ca().with_records(|records| (records.accounts.len(), records.orders.len(), records.certificates.len()))
}

/// Ends it as the kernel does when memory runs out.
#[track_caller]
pub(super) fn kill(mut vestibule: Vestibule) {
    vestibule.process().signal(Signal::Kill);
    vestibule.process().wait(PATIENCE);
}

/// Seconds from now to the `next_attempt` of a log line.
#[track_caller]
pub(super) fn next_attempt_in(line: &str) -> i64 {
    let at: Timestamp = field(line, "next_attempt").parse().unwrap_or_else(|error| panic!("{error}: {line}"));
    at.as_second() - Timestamp::now().as_second()
}

/// The serial number of what is shown for a name.
#[track_caller]
pub(super) fn served_serial(name: &str) -> String {
    let outcome = handshake(name).perform();
    openssl::must(["x509", "-noout", "-serial"], outcome.leaf()).trim().to_owned()
}

/// Ends the test if a line has this in it.
#[track_caller]
pub(super) fn assert_unsaid(vestibule: &mut Vestibule, what: &str) {
    let said = vestibule.process().lines().into_iter().find(|line| line.contains(what));
    assert_eq!(said, None);
}

/// Ends the test if the CA has seen anything that Let's Encrypt would not like.
#[track_caller]
pub(super) fn assert_pleased(server: &FaultyServer) {
    server.ca().with_records(|records| {
        assert!(records.breaches.is_empty() && records.over_limits().is_empty(), "{records:#?}");
    });
}
