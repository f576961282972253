//! The operator's files change while the program runs: a new pair comes into service by itself, and until it is whole
//! the last good one does. The client all the while is `openssl s_client`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rcgen::CertificateParams;
use x509_parser::time::ASN1Time;

use super::{config, pair};
use crate::support::ca::TestCa;
use crate::support::eventually::eventually;
use crate::support::openssl::{self, Handshake};
use crate::support::openssl_ca::{KeyKind, OpensslCa};
use crate::support::vestibule::Vestibule;

/// A look every five seconds, one more to confirm, and a busy machine.
const RELOAD: Duration = Duration::from_secs(15);

/// A chain with its key, and the leaf's serial number as openssl has it.
struct Version {
    chain: Vec<u8>,
    key: Vec<u8>,
    serial: String,
}

struct Desk {
    folder: tempfile::TempDir,
    ca: OpensslCa,
}

impl Desk {
    #[track_caller]
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ca = OpensslCa::new(folder.path());
        Self { folder, ca }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    #[track_caller]
    fn version(&self, names: &[&str]) -> Version {
        let leaf = self.ca.issue(names, KeyKind::P256);
        let chain = self.ca.concatenate("version.pem", &[&leaf.certificate, &self.ca.intermediate()]);
        let [chain, key] = [chain, leaf.key].map(|path| fs::read(path).expect("just written"));
        Version { serial: serial(&String::from_utf8_lossy(&chain)), chain, key }
    }

    /// Serves `chain` and `key`, and what they do not cover from `issuer`.
    #[track_caller]
    fn start(&self, issuer: &str, chain: &Path, key: &Path) -> Vestibule {
        Vestibule::start(&config(self.folder.path(), &format!("issuer = \"{issuer}\"\n{}", pair(chain, key))))
    }

    fn handshake(&self, vestibule: &Vestibule) -> Handshake {
        Handshake::with(vestibule.address("https")).name("a.test").trust(&self.ca.root())
    }

    #[track_caller]
    fn wait_until_shown(&self, vestibule: &Vestibule, version: &Version) {
        eventually("the new certificate is shown", RELOAD, || {
            // Without a root, to see whatever is shown.
            let shown = Handshake::with(vestibule.address("https")).name("a.test").perform();
            let shown = serial(shown.leaf());
            (shown == version.serial).then_some(()).ok_or(shown)
        });
        let outcome = self.handshake(vestibule).perform();
        assert!(outcome.is_verified(), "{}", outcome.text);
    }

    /// Shakes hands without a pause while `change` runs; each time the chain must verify, which proves the key too,
    /// and the certificate be one of `versions`, later ones for good.
    #[track_caller]
    fn always_served<T>(&self, handshake: &Handshake, versions: &[&Version], change: impl FnOnce() -> T) -> T {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let client = scope.spawn(|| {
                let mut reached = 0;
                while !over.load(Ordering::Relaxed) {
                    let outcome = handshake.perform();
                    assert!(outcome.is_verified(), "{}", outcome.text);
                    let shown = serial(outcome.leaf());
                    let at = versions.iter().position(|version| version.serial == shown).expect("a known one");
                    assert!(at >= reached, "back from {reached} to {at}");
                    reached = at;
                }
            });
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(change));
            over.store(true, Ordering::Relaxed);
            client.join().expect("every handshake succeeds");
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

fn serial(pem: &str) -> String {
    openssl::must(["x509", "-noout", "-serial"], pem)
}

/// A connection that stays open, by `openssl s_client`.
struct Connection {
    client: Child,
    answers: BufReader<ChildStdout>,
}

impl Connection {
    #[track_caller]
    fn open(address: SocketAddr) -> Self {
        let mut client = Command::new("openssl")
            .args(["s_client", "-quiet", "-servername", "a.test", "-connect", &address.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed");
        let answers = BufReader::new(client.stdout.take().expect("stdout is piped"));
        Self { client, answers }
    }

    /// A request that vestibule answers itself, and the status line.
    #[track_caller]
    fn ask(&mut self) -> String {
        let stdin = self.client.stdin.as_mut().expect("stdin is piped");
        stdin.write_all(b"GET /.well-known/matrix/server HTTP/1.1\r\nHost: a.test\r\n\r\n").expect("it still reads");
        stdin.flush().expect("it still reads");
        let mut line = || {
            let mut line = String::new();
            self.answers.read_line(&mut line).expect("an answer");
            line
        };
        let status = line();
        let mut length = 0;
        loop {
            let header = line().to_ascii_lowercase();
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        self.answers.read_exact(&mut vec![0; length]).expect("the whole body");
        status
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ended = self.client.kill();
        let _status = self.client.wait();
    }
}

/// certbot adds numbered files to `archive` and lets the links in `live` point to them, one after the other.
#[test]
fn links_are_swapped_as_certbot_does() {
    let desk = Desk::new();
    let (live, archive) = (desk.path("live/a.test"), desk.path("archive/a.test"));
    for folder in [&live, &archive] {
        fs::create_dir_all(folder).expect("a writable folder");
    }
    let link = |name: &str, number: u32, content: &[u8]| {
        fs::write(archive.join(format!("{name}{number}.pem")), content).expect("a writable folder");
        let link = live.join(format!("{name}.pem"));
        let _none_the_first_time = fs::remove_file(&link);
        symlink(format!("../../archive/a.test/{name}{number}.pem"), link).expect("a link");
    };
    let (first, second) = (desk.version(&["a.test"]), desk.version(&["a.test"]));
    link("privkey", 1, &first.key);
    link("fullchain", 1, &first.chain);
    let mut vestibule = desk.start("files", &live.join("fullchain.pem"), &live.join("privkey.pem"));
    let mut connection = Connection::open(vestibule.address("https"));
    assert!(connection.ask().starts_with("HTTP/1.1 200 "));
    let mark = vestibule.process().mark();
    desk.always_served(&desk.handshake(&vestibule), &[&first, &second], || {
        link("privkey", 2, &second.key);
        // Long enough to be looked at in between.
        thread::sleep(Duration::from_secs(6));
        link("fullchain", 2, &second.chain);
        desk.wait_until_shown(&vestibule, &second);
    });
    assert!(connection.ask().starts_with("HTTP/1.1 200 "), "open connections go on");
    let log = vestibule.process().lines_since(mark).join("\n");
    assert_eq!(log.matches("certificate published").count(), 1, "{log}");
    assert!(!log.contains("tls.certificates"), "nobody is alarmed by a renewal: {log}");
}

/// As careful tools do; and the certificate has lost a name, which is told.
#[test]
fn files_are_renamed_over() {
    let desk = Desk::new();
    let (chain, key) = (desk.path("site.pem"), desk.path("site.key"));
    let write = |version: &Version| {
        for (path, content) in [(&chain, &version.chain), (&key, &version.key)] {
            let new = path.with_extension("new");
            fs::write(&new, content).expect("a writable folder");
            fs::rename(&new, path).expect("the same folder");
        }
    };
    let (first, second) = (desk.version(&["a.test", "matrix.a.test"]), desk.version(&["a.test"]));
    write(&first);
    let text = config(desk.folder.path(), &format!("issuer = \"files\"\n{}", pair(&chain, &key)));
    let text =
        text.replacen("server_name = \"a.test\"", "server_name = \"a.test\"\npublic_host = \"matrix.a.test\"", 1);
    let mut vestibule = Vestibule::start(&text);
    desk.always_served(&desk.handshake(&vestibule), &[&first, &second], || {
        write(&second);
        desk.wait_until_shown(&vestibule, &second);
    });
    let told = vestibule.process().wait_for_line("no longer covers these names", Duration::from_secs(5));
    assert!(told.contains(" WARN ") && told.contains("names=matrix.a.test"), "{told}");
    // Its operator may go back to the old one.
    let mark = vestibule.process().mark();
    write(&first);
    vestibule.process().wait_for_line_since(mark, "certificate published", RELOAD);
    desk.wait_until_shown(&vestibule, &first);
}

/// As editors and `cp` do, with a pause in the middle of each file.
#[test]
fn files_are_rewritten_in_place_in_halves() {
    let desk = Desk::new();
    let (chain, key) = (desk.path("site.pem"), desk.path("site.key"));
    let (first, second) = (desk.version(&["a.test"]), desk.version(&["a.test"]));
    fs::write(&chain, &first.chain).expect("a writable folder");
    fs::write(&key, &first.key).expect("a writable folder");
    let mut vestibule = desk.start("files", &chain, &key);
    let mark = vestibule.process().mark();
    let write_slowly = |path: &Path, content: &[u8]| {
        let (begin, end) = content.split_at(content.len() / 2);
        let mut file = fs::File::create(path).expect("a writable file");
        file.write_all(begin).expect("a writable file");
        thread::sleep(Duration::from_secs(6));
        file.write_all(end).expect("a writable file");
    };
    desk.always_served(&desk.handshake(&vestibule), &[&first, &second], || {
        write_slowly(&chain, &second.chain);
        write_slowly(&key, &second.key);
        desk.wait_until_shown(&vestibule, &second);
    });
    let log = vestibule.process().lines_since(mark).join("\n");
    assert!(!log.contains("tls.certificates"), "nobody is alarmed by a slow copy: {log}");
}

/// A file that is gone, and one that is something else: the last good pair stays, which is told with the remedy, and
/// the next good one needs no restart.
#[test]
fn a_removed_file_changes_nothing_until_there_is_another() {
    let desk = Desk::new();
    let (chain, key) = (desk.path("site.pem"), desk.path("site.key"));
    let (first, second) = (desk.version(&["a.test"]), desk.version(&["a.test"]));
    fs::write(&chain, &first.chain).expect("a writable folder");
    fs::write(&key, &first.key).expect("a writable folder");
    let mut vestibule = desk.start("files", &chain, &key);
    desk.always_served(&desk.handshake(&vestibule), &[&first, &second], || {
        fs::remove_file(&key).expect("it is there");
        let told = format!(
            ": {}: No such file or directory (os error 2); correct the path in [[tls.certificates]]",
            key.display()
        );
        let told = vestibule.process().wait_for_line(&told, Duration::from_secs(30));
        assert!(told.contains(" WARN tls.certificates: the last good pair stays in service, until "), "{told}");
        fs::write(&chain, &second.chain).expect("a writable folder");
        fs::write(&key, &second.key).expect("a writable folder");
    });
    desk.always_served(&desk.handshake(&vestibule), &[&first, &second], || desk.wait_until_shown(&vestibule, &second));
}

/// A pair that was of no use at start takes its names over from the issuer.
#[test]
fn a_mended_pair_comes_into_service() {
    let desk = Desk::new();
    let (chain, key) = (desk.path("site.pem"), desk.path("site.key"));
    let version = desk.version(&["a.test"]);
    fs::write(&chain, &version.chain).expect("a writable folder");
    fs::write(&key, desk.version(&["a.test"]).key).expect("a writable folder");
    let mut vestibule = desk.start("internal", &chain, &key);
    vestibule.process().wait_for_line("belongs to none of the certificates", Duration::from_secs(5));
    let outcome = Handshake::with(vestibule.address("https")).name("a.test").perform();
    assert_ne!(serial(outcome.leaf()), version.serial, "the internal CA's");
    fs::write(&key, &version.key).expect("a writable folder");
    desk.wait_until_shown(&vestibule, &version);
}

/// Nobody renewed the file: its name is the issuer's from the second on in which it expires, and the file's again once
/// it is good.
#[test]
fn a_pair_that_expires_leaves_its_names_to_the_issuer() {
    let desk = Desk::new();
    let ca = TestCa::new(desk.folder.path());
    let mut params = CertificateParams::new(["a.test".to_owned()]).expect("a name");
    params.not_before = ASN1Time::now().to_datetime() - Duration::from_secs(60);
    params.not_after = ASN1Time::now().to_datetime() + Duration::from_secs(5);
    let issued = ca.issue_with(params);
    let chain = desk.ca.concatenate("chain.pem", &[&issued.chain, &ca.root_file()]);
    let vestibule = desk.start("internal", &chain, &issued.key);
    let shown = || Handshake::with(vestibule.address("https")).name("a.test").perform().leaf().to_owned();
    let first = serial(&shown());
    assert_eq!(first, serial(&fs::read_to_string(&issued.chain).expect("the chain")));
    eventually("the issuer's certificate is shown", RELOAD, || {
        let now = serial(&shown());
        (now != first).then_some(()).ok_or(now)
    });
    let good = desk.version(&["a.test"]);
    fs::write(&issued.key, &good.key).expect("a writable folder");
    fs::write(&chain, &good.chain).expect("a writable folder");
    desk.wait_until_shown(&vestibule, &good);
}
